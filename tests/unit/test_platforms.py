"""What platforms keep of an index, and the index that is rebuilt of it."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.oci import (
    DOCKER_CONFIG,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Digest,
    Manifest,
    Platform,
    parse_manifest,
)
from replicator.platforms import (
    Choice,
    Platforms,
    Standing,
    choose,
    config_of,
    covers,
    joined,
    parse_platform,
    rebuilt,
    standing_of,
    unsaid,
    ways,
)

AMD, ARM = parse_platform("linux/amd64"), parse_platform("linux/arm64")
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Entry = dict[str, object]


def named(*texts: str) -> Platforms:
    return tuple(map(parse_platform, texts))


def entry(name: str, platform: str = "", *, kind: str = OCI_MANIFEST, of: str = "") -> Entry:
    """An entry of an index; `platform` as the index says it, `of` the name of what it attests."""
    made: Entry = {"mediaType": kind, "digest": Digest.of(name.encode()), "size": len(name)}
    if platform:
        made["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    if of:
        made["annotations"] = {
            "vnd.docker.reference.digest": Digest.of(of.encode()),
            "vnd.docker.reference.type": "attestation-manifest",
        }
    return made


def index(*entries: Entry, **more: object) -> Manifest:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}
    return parse_manifest(json.dumps(document, indent=3).encode(), OCI_INDEX)


def pointing(inner: Manifest, platform: str = "") -> Entry:
    return entry("", platform, kind=OCI_INDEX) | {"digest": inner.digest, "size": len(inner.raw)}


def image(config_type: str = OCI_CONFIG, **more: object) -> Manifest:
    config = {"mediaType": config_type, "digest": Digest.of(b"config"), "size": 6}
    document = {"schemaVersion": 2, "config": config, "layers": [], **more}
    return parse_manifest(json.dumps(document).encode(), OCI_MANIFEST)


def kept(choice: Choice) -> list[Digest]:
    return [item.digest for item in choice.kept]


def digests(*names: str) -> list[Digest]:
    return [Digest.of(name.encode()) for name in names]


# Names


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm64", "linux/aarch64"),
        ("linux/arm64", "linux/arm64/8"),
        ("linux/arm64", "linux/arm64/v8.0"),
        ("linux/arm64/v9", "linux/arm64/9.0"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm", "linux/arm/7"),
        ("linux/arm/v7", "linux/armhf"),
        ("linux/arm/v6", "linux/armel"),
        ("linux/amd64", "linux/x86_64"),
        ("linux/amd64", "linux/x86-64/v1"),
        ("linux/386", "linux/i386"),
        ("darwin/arm64", "macos/arm64"),
        ("linux/arm64", "Linux/ARM64"),
    ],
)
def test_one_platform_has_several_names(text: str, same: str) -> None:
    assert parse_platform(text) == parse_platform(same)


def test_every_other_variant_is_a_platform_of_its_own() -> None:
    texts = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8", "linux/arm64", "linux/arm64/v9"]
    texts += ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "windows/amd64"]

    assert len(set(named(*texts))) == len(texts)
    assert [str(platform) for platform in named(*texts)] == texts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "linux/",
        "/amd64",
        "linux/arm/",
        "linux/arm/v7/x",
        "linux/arm/v 7",
        "linux/*",
        "linux /arm",
    ],
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"os/architecture|is no"):
        parse_platform(text)


@pytest.mark.parametrize(
    ("text", "slip"), [("linuks/amd64", "'linuks' is no op"), ("linux/amd46", "'amd46' is no arch")]
)
def test_a_slip_of_the_pen_is_named(text: str, slip: str) -> None:
    with pytest.raises(ValueError, match=slip):
        parse_platform(text)


@pytest.mark.parametrize(
    ("held", "wanted", "expected"),
    [
        ((), (), True),
        ((), (AMD,), True),
        ((AMD,), (), False),
        ((AMD,), (AMD,), True),
        ((AMD, ARM), (ARM,), True),
        ((AMD,), (AMD, ARM), False),
    ],
)
def test_a_copy_covers_what_is_wanted(held: Platforms, wanted: Platforms, expected: bool) -> None:
    assert covers(held, wanted) is expected


def test_platforms_are_joined_and_all_with_some_is_all() -> None:
    assert joined((ARM,), (AMD, ARM)) == (AMD, ARM)
    assert joined((), (AMD,)) == joined((AMD,), ()) == ()


# An image by itself


@pytest.mark.parametrize(
    ("manifest", "is_image"),
    [
        (image(), True),
        (image(DOCKER_CONFIG), True),
        (image("application/vnd.cncf.helm.config.v1+json"), False),
        (image(artifactType="application/vnd.example.sbom.v1+json"), False),
        (index(), False),
    ],
    ids=["oci", "docker", "chart", "artifact", "index"],
)
def test_an_image_has_a_config_that_says_its_platform(manifest: Manifest, is_image: bool) -> None:
    assert config_of(manifest) == (manifest.blobs[0] if is_image else None)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('{"os": "linux", "architecture": "amd64"}', Standing.WANTED),
        ('{"os": "linux", "architecture": "arm64", "variant": "v8"}', Standing.WANTED),
        ('{"os": "linux", "architecture": "arm"}', Standing.OTHER),
        # BuildKit's attestations
        ('{"os": "unknown", "architecture": "unknown"}', Standing.OTHER),
        # cosign's signatures
        ('{"os": "", "architecture": ""}', Standing.NEUTRAL),
        ('{"os": "linux"}', Standing.NEUTRAL),
        ('{"os": 1, "architecture": ["amd64"]}', Standing.NEUTRAL),
        ("{}", Standing.NEUTRAL),
        ("[]", Standing.NEUTRAL),
        ("no json", Standing.NEUTRAL),
        ("[" * 100_000, Standing.NEUTRAL),
    ],
)
def test_an_image_by_itself_is_judged_by_its_config(config: str, expected: Standing) -> None:
    assert standing_of(config.encode(), (AMD, ARM)) is expected


# An index


def test_only_the_images_for_wanted_platforms_are_kept() -> None:
    made = index(entry("a", "linux/amd64"), entry("b", "linux/s390x"), entry("c", "linux/arm64/v8"))

    choice = choose(made, (AMD, ARM), {})

    assert (kept(choice), choice.standing) == (digests("a", "c"), Standing.WANTED)
    assert choice.left_out == frozenset(digests("b"))
    assert choice.is_part
    assert unsaid(made, (AMD, ARM)) == ()


def test_nothing_is_left_out_of_an_index_for_wanted_platforms_alone() -> None:
    choice = choose(index(entry("a", "linux/amd64")), (AMD, ARM), {})

    assert (choice.left_out, choice.is_part) == (frozenset(), False)
    assert rebuilt(choice) is choice


def test_an_index_for_other_platforms_is_not_to_be_copied() -> None:
    made = index(entry("a", "linux/s390x"), entry("b", kind=LAYER), entry("c", "windows/amd64"))

    assert choose(made, (AMD,), {}).standing is Standing.OTHER


def test_an_index_of_what_has_no_platform_is_kept_whole() -> None:
    made = index(entry("cache", kind=LAYER), entry("unknown", "unknown/unknown"))

    choice = choose(made, (AMD,), {})

    assert (choice.standing, kept(choice)) == (Standing.NEUTRAL, digests("cache", "unknown"))


def test_an_attestation_goes_where_its_image_goes() -> None:
    made = index(
        entry("a", "linux/amd64"),
        entry("b", "linux/s390x"),
        entry("about a", "unknown/unknown", of="a"),
        entry("about b", "unknown/unknown", of="b"),
        entry("also about b", of="b"),
        entry("about what is elsewhere", "unknown/unknown", of="elsewhere"),
    )

    choice = choose(made, (AMD,), {})

    assert kept(choice) == digests("a", "about a", "about what is elsewhere")


def test_an_image_that_is_listed_for_two_platforms_is_there_for_the_wanted_one() -> None:
    made = index(
        entry("a", "linux/s390x"), entry("a", "linux/amd64"), entry("about a", "unknown/unknown", of="a")
    )

    choice = choose(made, (AMD,), {})

    assert (kept(choice), choice.left_out) == (digests("a", "about a"), frozenset())


def test_what_the_index_does_not_say_is_to_be_looked_into() -> None:
    inner = index(entry("x", "linux/amd64"))
    made = index(entry("image"), pointing(inner), entry("blob", kind=LAYER), pointing(index(), "linux/s390x"))

    assert [item.digest for item in unsaid(made, (AMD,))] == [*digests("image"), inner.digest]


@pytest.mark.parametrize(
    ("standing", "expected"),
    [(Standing.WANTED, ["a", "b"]), (Standing.OTHER, ["a"]), (Standing.NEUTRAL, ["a", "b"])],
)
def test_an_image_that_only_its_config_tells_of(standing: Standing, expected: list[str]) -> None:
    made = index(entry("a", "linux/amd64"), entry("b"))

    choice = choose(made, (AMD,), {digests("b")[0]: Choice.whole(image(), standing)})

    assert kept(choice) == digests(*expected)


def test_an_entry_that_the_source_does_not_have_is_kept_so_that_its_copy_fails() -> None:
    assert kept(choose(index(entry("a")), (AMD,), {})) == digests("a")


def test_indexes_within_an_index_are_chosen_from_as_well() -> None:
    mixed = index(entry("a", "linux/amd64"), entry("b", "linux/s390x"))
    other = index(entry("c", "linux/s390x"))
    made = index(pointing(mixed), pointing(other))
    seen = {inner.digest: choose(inner, (AMD,), {}) for inner in (mixed, other)}

    choice = choose(made, (AMD,), seen)

    assert (kept(choice), choice.standing) == ([mixed.digest], Standing.WANTED)
    assert kept(choice.below[mixed.digest]) == digests("a")
    assert choice.left_out == frozenset([*digests("b"), other.digest])


# The rebuilt index


def test_an_index_is_rebuilt_of_what_is_kept_with_all_that_is_said_of_it() -> None:
    extra = {"annotations": {"who": "é"}, "data": "e30="}
    made = index(
        entry("b", "linux/s390x"), entry("a", "linux/amd64") | extra, annotations={"name": "top"}, x=[1.5]
    )

    form = rebuilt(choose(made, (AMD,), {}))

    assert json.loads(form.manifest.raw) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [json.loads(json.dumps(entry("a", "linux/amd64") | extra))],
        "annotations": {"name": "top"},
        "x": [1.5],
    }
    assert (form.made_from, form.left_out, form.is_part) == (made.digest, frozenset(), True)
    assert kept(form) == digests("a")


def test_a_rebuilt_index_is_always_the_same_bytes() -> None:
    document = {"mediaType": OCI_INDEX, "manifests": [entry("a", "linux/amd64"), entry("b", "linux/arm64")]}
    turned = dict(reversed([*document.items()]))
    spaced, packed = json.dumps(document, indent=7), json.dumps(turned, separators=(",", ":"))

    one, other = (
        rebuilt(choose(parse_manifest(text.encode(), OCI_INDEX), (ARM,), {})) for text in (spaced, packed)
    )

    assert one.manifest.raw == other.manifest.raw
    assert one.manifest.raw == (
        b'{"manifests":[{"digest":"%s","mediaType":"%s","platform":{"architecture":"arm64","os":"linux"},"size":1}],'
        b'"mediaType":"%s"}' % (digests("b")[0].encode(), OCI_MANIFEST.encode(), OCI_INDEX.encode())
    )


def test_an_index_around_a_rebuilt_one_points_to_that() -> None:
    inner = index(entry("a", "linux/amd64"), entry("b", "linux/s390x"))
    plain = index(entry("c", "linux/amd64"))
    made = index(pointing(inner) | {"data": "stale"}, pointing(plain))
    seen = {each.digest: choose(each, (AMD,), {}) for each in (inner, plain)}

    form = rebuilt(choose(made, (AMD,), seen))

    within = rebuilt(seen[inner.digest]).manifest
    assert kept(form) == [within.digest, plain.digest]
    assert form.manifest.children[0].size_bytes == len(within.raw)
    assert b"stale" not in form.manifest.raw
    assert form.below[within.digest].manifest == within
    assert form.left_out == frozenset()


@pytest.mark.parametrize(
    ("sparse", "rewrite", "expected"),
    [
        (True, True, ["sparse", "rebuilt"]),
        (True, False, ["sparse"]),
        (False, True, ["rebuilt"]),
        (False, False, []),
    ],
)
def test_the_ways_to_hold_a_part_of_an_index(sparse: bool, rewrite: bool, expected: list[str]) -> None:
    choice = choose(index(entry("a", "linux/amd64"), entry("b", "linux/s390x")), (AMD,), {})
    names = {choice.manifest.digest: "sparse", rebuilt(choice).manifest.digest: "rebuilt"}

    found = [names[form.manifest.digest] for form in ways(choice, sparse=sparse, rewrite=rewrite)]

    assert found == expected


def test_a_whole_index_is_held_in_one_way() -> None:
    choice = Choice.whole(index(entry("a", "linux/amd64")))

    assert [*ways(choice, sparse=False, rewrite=True)] == [choice]


# Properties

TEXTS = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm64/v8",
    "linux/arm/v6",
    "windows/amd64",
    "unknown/unknown",
    "",
]
ENTRIES = st.lists(
    st.builds(
        entry,
        st.sampled_from("abcdef"),
        st.sampled_from(TEXTS),
        of=st.sampled_from(["", "a", "b", "elsewhere"]),
    ),
    max_size=6,
)
WANTED = st.lists(
    st.sampled_from(named("linux/amd64", "linux/arm64", "linux/arm/v6", "linux/s390x")),
    min_size=1,
    unique=True,
).map(tuple)


@given(ENTRIES, WANTED)
def test_a_rebuilt_index_has_nothing_to_leave_out(entries: Sequence[Entry], wanted: Platforms) -> None:
    choice = choose(index(*entries), wanted, {})

    form = rebuilt(choice)

    assert {item.digest for item in form.manifest.children} == {item.digest for item in choice.kept}
    again = choose(form.manifest, wanted, {})
    assert rebuilt(again).manifest.digest == form.manifest.digest


@given(ENTRIES, WANTED, WANTED)
def test_who_wants_more_platforms_keeps_no_less(
    entries: Sequence[Entry], wanted: Platforms, more: Platforms
) -> None:
    made = index(*entries)

    assert choose(made, joined(wanted, more), {}).left_out <= choose(made, wanted, {}).left_out


@given(ENTRIES, WANTED)
def test_no_image_for_another_platform_is_kept(entries: Sequence[Entry], wanted: Platforms) -> None:
    for item in choose(index(*entries), wanted, {}).kept:
        said: Platform | None = item.platform
        assert said is None or said.os == "unknown" or parse_platform(str(said)) in wanted

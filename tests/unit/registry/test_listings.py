import time

import httpx
import pytest

from replicator.errors import Corrupt, Denied, PermanentError, TemporaryError, Unavailable
from replicator.oci import OCI_INDEX, Descriptor, Digest, index_of
from replicator.rules.registries import RegistryType
from tests.unit.registry.scripted import API, HOST, MANIFEST, Answer, Script, client_of, refusal, registry

TAGS = "/v2/payments/api/tags/list"
REFERRERS = f"/v2/payments/api/referrers/{MANIFEST.digest}"
INDEX = {"Content-Type": OCI_INDEX}
SBOM = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"sbom"), 4, artifact_type="sbom")
SIGNATURE = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"signature"), 9)


def page(*tags: object, link: str = "") -> httpx.Response:
    return httpx.Response(200, json={"name": API, "tags": list(tags)}, headers={"Link": link} if link else {})


def test_tags_are_listed_over_all_pages() -> None:
    pages = [
        page("v1", "v2", link=f'<{TAGS}?last=v2&n=2&opaque=a%2Fb>; rel="next"'),
        page(
            "v3", link=f'</first>; rel="first", <https://{HOST}{TAGS}?page=3>; title="a, b"; rel="last next"'
        ),
        page("v2", "v4"),
    ]
    script = Script({f"GET {TAGS}": list(pages)})

    assert client_of(script).tags(API) == ["v1", "v2", "v3", "v4"]
    assert script.lines == [
        f"GET {TAGS}?n=1000",
        f"GET {TAGS}?last=v2&n=2&opaque=a%2Fb",
        f"GET {TAGS}?page=3",
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(404), None),
        (httpx.Response(200, json={"tags": None}), []),
        (page(), []),
        (page("v1", "", "sha256:abc", 5, "-x", "v1"), ["v1"]),
    ],
)
def test_a_listing_may_be_odd(answer: httpx.Response, expected: list[str] | None) -> None:
    assert client_of(Script({f"GET {TAGS}": answer})).tags(API) == expected


def test_a_full_page_without_a_link_is_followed_by_its_last_tag() -> None:
    first = [f"v{number}" for number in range(1000)]
    script = Script({f"GET {TAGS}": [page(*first), page("w1", "w2")]})

    assert client_of(script).tags(API) == [*first, "w1", "w2"]
    assert script.lines[1] == f"GET {TAGS}?n=1000&last=v999"


def test_a_registry_that_knows_no_pages_is_asked_twice_at_most() -> None:
    script = Script({f"GET {TAGS}": page(*(f"v{number}" for number in range(1500)))})

    tags = client_of(script).tags(API)

    assert tags
    assert len(tags) == 1500
    assert len(script.log) == 2


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([httpx.Response(403)], Denied),
        ([httpx.Response(503)], Unavailable),
        ([httpx.Response(200, content=b"<html>")], PermanentError),
        ([httpx.Response(404, headers={"Content-Type": "text/html; charset=utf-8"})], PermanentError),
        ([httpx.Response(200, json={"name": "x"})], PermanentError),
        ([httpx.Response(200, json=["v1"])], PermanentError),
        ([httpx.Response(200, json={"tags": 5})], PermanentError),
        ([page("v1", link="<https://evil.example.net/>; rel=next")], PermanentError),
        ([page("v1", link=f"<http://{HOST}{TAGS}>; rel=next")], PermanentError),
        ([page("v1", link=f"<{TAGS}?n=1000>; rel=next")], PermanentError),
        ([page("v1", link="<?page=2>; rel=next"), httpx.Response(404)], TemporaryError),
        ([page("v1", link="<?page=2>; rel=next"), httpx.Response(502)], Unavailable),
        ([httpx.Response(200, content=b" " * (11 * 1024 * 1024))], PermanentError),
    ],
)
def test_a_listing_that_cannot_be_had_whole_fails(answers: list[Answer], expected: type[Exception]) -> None:
    script = Script({f"GET {TAGS}": answers})

    with pytest.raises(expected, match="listing the tags of payments/api at eu"):
        client_of(script).tags(API)
    assert all(item.url.host == HOST for item in script.log)


def googles(manifest: object) -> httpx.Response:
    return httpx.Response(
        200, json={"name": API, "tags": ["v1", "v2", "v3"], "manifest": manifest, "child": []}
    )


def test_google_lists_digests_with_the_tags() -> None:
    manifest = {
        MANIFEST.digest: {"tag": ["v1", "v2"], "mediaType": "x", "timeUploadedMs": "1"},
        SBOM.digest: {"tag": []},
        SIGNATURE.digest: {},
    }
    script = Script({f"GET {TAGS}": googles(manifest)})

    found = client_of(script, registry(kind=RegistryType.GAR)).listing(API)

    assert found == {"v1": MANIFEST.digest, "v2": MANIFEST.digest, "v3": None}
    assert len(script.log) == 1


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        5,
        {"md5:0": {"tag": ["v1"]}},
        {MANIFEST.digest: {"tag": 5}},
        {MANIFEST.digest: []},
        {MANIFEST.digest: {"tag": [5]}},
        {MANIFEST.digest: {"tag": ["v1"]}, SBOM.digest: {"tag": ["v1"]}},
    ],
)
def test_a_digest_that_is_not_told_for_sure_is_not_told(manifest: object) -> None:
    script = Script({f"GET {TAGS}": googles(manifest)})

    found = client_of(script, registry(kind=RegistryType.GAR)).listing(API)

    assert found == {"v1": None, "v2": None, "v3": None}


def test_other_products_list_tags_alone() -> None:
    script = Script({f"GET {TAGS}": googles({MANIFEST.digest: {"tag": ["v1"]}})})

    assert client_of(script).listing(API) == {"v1": None, "v2": None, "v3": None}
    assert client_of(Script({})).listing(API) is None


def test_an_endless_listing_is_given_up() -> None:
    count = 0

    def endless(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return page(f"v{count}", link=f"<?page={count}>; rel=next")

    with pytest.raises(PermanentError, match="does not end"):
        client_of(Script({f"GET {TAGS}": endless})).tags(API)
    assert count == 1000


@pytest.mark.parametrize(
    "link", ["<" * 50_000, "<a>" * 20_000, ";rel=" * 20_000, "<a>" + "; rel" * 20_000, '<a>"' * 20_000]
)
def test_a_hostile_link_takes_no_time(link: str) -> None:
    began = time.perf_counter()

    assert client_of(Script({f"GET {TAGS}": page("v1", link=link)})).tags(API) == ["v1"]
    assert time.perf_counter() - began < 1


def test_referrers_are_listed_over_all_pages() -> None:
    first = httpx.Response(
        200, content=index_of([SBOM]), headers=INDEX | {"Link": f'<{REFERRERS}?page=2>; rel="next"'}
    )
    second = httpx.Response(200, content=index_of([SIGNATURE, SBOM]), headers=INDEX)

    assert client_of(Script({f"GET {REFERRERS}": [first, second]})).referrers(API, MANIFEST.digest) == [
        SBOM,
        SIGNATURE,
    ]


def test_a_later_page_that_is_no_list_does_not_pass_for_a_registry_without_the_api() -> None:
    first = httpx.Response(
        200, content=index_of([SBOM]), headers=INDEX | {"Link": f'<{REFERRERS}?page=2>; rel="next"'}
    )
    second = httpx.Response(200, content=b"<html>", headers={"Content-Type": "text/html"})

    with pytest.raises(TemporaryError, match="went away"):
        client_of(Script({f"GET {REFERRERS}": [first, second]})).referrers(API, MANIFEST.digest)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(404, content=b"404 page not found"), None),
        (httpx.Response(405), None),
        (httpx.Response(200, content=b"<html>", headers={"Content-Type": "text/html"}), None),
        (httpx.Response(200, content=index_of([])), None),
        (refusal(404, "NAME_UNKNOWN"), []),
        (refusal(400, "MANIFEST_INVALID"), []),
        (
            httpx.Response(
                200, content=index_of([]), headers={"Content-Type": f"{OCI_INDEX}; charset=utf-8"}
            ),
            [],
        ),
    ],
)
def test_a_registry_without_the_api_is_told_from_one_without_referrers(
    answer: httpx.Response, expected: list[Descriptor] | None
) -> None:
    assert client_of(Script({f"GET {REFERRERS}": answer})).referrers(API, MANIFEST.digest) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(403), Denied),
        (httpx.Response(503), Unavailable),
        (httpx.Response(200, content=b"{}", headers=INDEX), Corrupt),
    ],
)
def test_referrers_that_cannot_be_had_fail(answer: httpx.Response, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="listing the referrers of"):
        client_of(Script({f"GET {REFERRERS}": answer})).referrers(API, MANIFEST.digest)

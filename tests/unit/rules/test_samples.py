import pytest

from replicator.rules.samples import samples, spelled_out


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("library/nginx", ["library/nginx"]),
        ("{a,{b,c}/d}e", ["ae", "b/de", "c/de"]),
        ("v*", ["vx", "v"]),
        ("a/**/b", ["a/b", "a/x/b"]),
        ("a**", ["ax", "a"]),
        ("v[0-9]", ["v0"]),
        ("[^x1]", ["a"]),
        ("a?", ["ax"]),
        ("[", []),
        ("{a,b[}", ["a"]),
        ("", [""]),
    ],
)
def test_wildcards_give_way_to_short_text(pattern: str, names: list[str]) -> None:
    assert [sample.name for sample in samples(pattern)] == names


@pytest.mark.parametrize(
    ("pattern", "exact"), [("{a,b}/c", {True}), ("{a,b*}", {True, False}), ("a?", {False}), ("[a]", {False})]
)
def test_only_what_the_pattern_spells_out_is_exact(pattern: str, exact: set[bool]) -> None:
    assert {sample.exact for sample in samples(pattern)} == exact


def test_their_number_is_bounded() -> None:
    assert len(samples("{a,b}" * 100)) <= 64
    assert len(samples("{a,b}" * 1000)) == 0


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("library/nginx", ("library/nginx",)),
        ("{a,b}/c", ("a/c", "b/c")),
        ("a/*", None),
        ("{a,b*}", None),
        ("a?", None),
        ("{a,b}" * 100, None),
        ("", None),
    ],
)
def test_a_pattern_without_wildcards_spells_its_names_out(
    pattern: str, names: tuple[str, ...] | None
) -> None:
    assert spelled_out(pattern) == names

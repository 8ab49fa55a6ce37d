import pytest

from replicator.rules import Decoration, Filter, FilterType


@pytest.mark.parametrize(
    ("kind", "value", "decoration", "why"),
    [
        (FilterType.NAME, ("a",), Decoration.MATCHES, "one text"),
        (FilterType.TAG, ("a",), Decoration.MATCHES, "one text"),
        (FilterType.RESOURCE, ("image",), Decoration.MATCHES, "one text"),
        (FilterType.LABEL, "released", Decoration.MATCHES, "a list of labels"),
        (FilterType.NAME, "a[", Decoration.MATCHES, "class is not closed"),
        (FilterType.TAG, "{a", Decoration.EXCLUDES, "brace is not closed"),
        (FilterType.RESOURCE, "images", Decoration.MATCHES, "image, chart, artifact"),
        (FilterType.RESOURCE, "image", Decoration.EXCLUDES, "cannot exclude"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(
    kind: FilterType, value: str | tuple[str, ...], decoration: Decoration, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Filter(kind, value, decoration)


@pytest.mark.parametrize("kind", [FilterType.NAME, FilterType.TAG])
def test_names_and_tags_may_be_excluded(kind: FilterType) -> None:
    assert Filter(kind, "a*", Decoration.EXCLUDES).excludes
    assert not Filter(kind, "a*").excludes


def test_labels_are_a_list_and_no_patterns() -> None:
    assert Filter(FilterType.LABEL, ("a[",)).value == ("a[",)

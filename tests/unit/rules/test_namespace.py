import pytest

from replicator.oci import Repository
from replicator.rules import Destination, RegistryType, destination_repository


@pytest.mark.parametrize(
    ("repository", "namespace", "count", "landing"),
    [
        ("c", None, 0, "c"),
        ("a/b/c", None, -1, "a/b/c"),
        ("a/b/c", "", 2, "a/b/c"),
        ("c", "n", -1, "n/c"),
        ("b/c", "n", -1, "n/c"),
        ("a/b/c", "n", -1, "n/c"),
        ("a", "n", 0, "n/a"),
        ("a/b/c", "n", 0, "n/a/b/c"),
        ("a/b/c", "n", 1, "n/b/c"),
        ("a/b/c", "n", 2, "n/c"),
        ("a/b/c", "n/m", 1, "n/m/b/c"),
    ],
)
def test_a_namespace_takes_the_place_of_leading_components(
    repository: str, namespace: str | None, count: int, landing: str
) -> None:
    there = Destination("us", namespace, count)

    assert destination_repository(there, Repository(repository)) == landing


@pytest.mark.parametrize("count", [2, 3, -2])
def test_a_count_that_leaves_no_component_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=r"replace_count .* does not fit 'a/b'"):
        destination_repository(Destination("us", "n", count), Repository("a/b"))


def test_a_name_that_grows_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        destination_repository(Destination("us", "n", 0), Repository("a" * 255))


@pytest.mark.parametrize(
    ("kind", "repository", "fits"),
    [
        (RegistryType.DOCKERHUB, "n/c", True),
        (RegistryType.DOCKERHUB, "c", False),
        (RegistryType.DOCKERHUB, "n/b/c", False),
        (RegistryType.HARBOR, "c", False),
        (RegistryType.HARBOR, "n/b/c", True),
        (RegistryType.DISTRIBUTION, "c", True),
    ],
)
def test_some_registries_want_a_certain_depth(kind: RegistryType, repository: str, fits: bool) -> None:
    if fits:
        assert destination_repository(Destination("us"), Repository(repository), kind) == repository
    else:
        with pytest.raises(ValueError, match="wants"):
            destination_repository(Destination("us"), Repository(repository), kind)

"""Where a repository lands at a destination: Harbor's namespaces and flattening."""

from replicator.oci import Repository
from replicator.rules.registries import RegistryType
from replicator.rules.rule import Destination

KEEP_LAST = -1
"""The `replace_count` that keeps the last component alone."""


def destination_repository(
    destination: Destination, repository: Repository, registry_type: RegistryType | None = None
) -> Repository:
    """The name that `repository` of the source has at `destination`.

    Raises ValueError if it has too few components to replace, if the new name is too long, or if registries of
    `registry_type` cannot have a repository of that depth.
    """
    name = repository
    if destination.namespace:
        kept = _kept(repository, destination.replace_count)
        name = Repository("/".join((destination.namespace, *kept)))
    _check_depth(name, registry_type)
    return name


def _kept(repository: Repository, replace_count: int) -> list[str]:
    components = repository.split("/")
    if replace_count == KEEP_LAST:
        return components[-1:]
    if not 0 <= replace_count < len(components):
        raise ValueError(
            f"replace_count {replace_count} does not fit {repository!r}: "
            f"it has {len(components)} components, of which the last is always kept"
        )
    return components[replace_count:]


def _check_depth(name: Repository, registry_type: RegistryType | None) -> None:
    depth = name.count("/") + 1
    if registry_type is RegistryType.DOCKERHUB and depth != 2:
        raise ValueError(f"Docker Hub wants exactly two components, {name!r} has {depth}")
    if registry_type is RegistryType.HARBOR and depth < 2:
        raise ValueError(f"Harbor wants a project before the repository, {name!r} has none")

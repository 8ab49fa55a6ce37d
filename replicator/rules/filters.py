"""What a filter of a rule says: a pattern, labels or a kind of artifact, and whether to keep or drop those.

This module knows which filters make sense, not how they are judged: see `matching`.
"""

from dataclasses import dataclass
from enum import StrEnum

from replicator.rules.glob import check_glob


class FilterType(StrEnum):
    """What a filter looks at."""

    NAME = "name"
    TAG = "tag"
    LABEL = "label"
    RESOURCE = "resource"


class Decoration(StrEnum):
    """Whether a filter keeps what matches, or keeps what does not."""

    MATCHES = "matches"
    EXCLUDES = "excludes"


class Resource(StrEnum):
    """The kinds of artifact that a resource filter may name.

    `image` is a container image or an index of them, `chart` a Helm chart. `artifact` is anything, those included:
    that is what Harbor shows as an artifact, and rules written there must not lose their images here.
    """

    IMAGE = "image"
    CHART = "chart"
    ARTIFACT = "artifact"


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition of a rule: `value` is a tuple of labels, or a glob pattern, or the name of a `Resource`.

    An empty pattern and an empty tuple of labels filter nothing. Raises ValueError for a value that its type
    cannot have, a pattern that does not compile, or `excludes` on a resource.
    """

    type: FilterType
    value: str | tuple[str, ...]
    decoration: Decoration = Decoration.MATCHES

    def __post_init__(self) -> None:
        if isinstance(self.value, tuple) is not (self.type is FilterType.LABEL):
            wanted = "a list of labels" if self.type is FilterType.LABEL else "one text"
            raise ValueError(f"the value of a {self.type} filter is {wanted}")
        if self.type is FilterType.RESOURCE:
            self._check_resource()
        elif isinstance(self.value, str):
            check_glob(self.value)

    @property
    def excludes(self) -> bool:
        """True if what matches is dropped."""
        return self.decoration is Decoration.EXCLUDES

    def _check_resource(self) -> None:
        if self.value not in set(Resource):
            raise ValueError(f"no resource is called {self.value!r}; there are {', '.join(Resource)}")
        if self.excludes:
            raise ValueError("a resource filter cannot exclude")

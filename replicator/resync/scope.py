"""What a plan, resync or verification is about: which rules, destinations, repositories and tags. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass

from replicator.drift import Twins
from replicator.errors import ConfigError
from replicator.oci import Repository, Tag
from replicator.rules import (
    Destination,
    FilterType,
    Rule,
    RuleSet,
    destination_repository,
    glob_match,
    takes_name,
)
from replicator.rules.glob import check_asked_glob
from replicator.rules.samples import spelled_out

Lane = tuple[Rule, Destination]
"""A rule with one of its destinations."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of all rules that is meant; what is None is not narrowed down. `repository` (the source's) and `tag`
    are glob patterns. Raises ConfigError for a pattern that does not compile or is too long.
    """

    rule: str | None = None
    destination: str | None = None
    source: str | None = None
    repository: str | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        for name, pattern in (("repository", self.repository), ("tag", self.tag)):
            try:
                check_asked_glob(pattern or "")
            except ValueError as exc:
                raise ConfigError(f"--{name}: {exc}") from exc

    @property
    def is_whole(self) -> bool:
        """Whether of each lane in it everything is meant."""
        return self.repository is None and self.tag is None

    def lanes(self, rules: RuleSet) -> list[Lane]:
        """The enabled rules with their destinations that are meant. Raises ConfigError if there are none."""
        self._known(rules)
        found = [
            (rule, there)
            for rule, there in rules.lanes
            if (self.rule is None or self.rule in (rule.name, *rule.was))
            and self.destination in (None, there.registry)
            and self.source in (None, rule.source)
        ]
        if not found:
            raise ConfigError("no enabled rule has this source and destination")
        return found

    def takes(self, tag: Tag) -> bool:
        """Whether the tag is meant."""
        return self.tag is None or _matches(self.tag, tag)

    def takes_repository(self, repository: Repository) -> bool:
        """Whether the source's repository is meant."""
        return self.repository is None or _matches(self.repository, repository)

    def _known(self, rules: RuleSet) -> None:
        if self.rule is not None and rules.rule(self.rule) is None:
            names = ", ".join(sorted(rule.name for rule in rules.rules)) or "none"
            raise ConfigError(f"there is no rule {self.rule!r}; there are: {names}")
        for name in filter(None, (self.source, self.destination)):
            if name not in rules.registries:
                known = ", ".join(sorted(rules.registries)) or "none"
                raise ConfigError(f"there is no registry {name!r}; there are: {known}")


def by_source(lanes: Iterable[Lane]) -> dict[str, list[Lane]]:
    """The lanes of each source, so that it is read once for all of them."""
    found: dict[str, list[Lane]] = {}
    for rule, there in lanes:
        found.setdefault(rule.source, []).append((rule, there))
    return found


def named_repositories(lanes: Iterable[Lane], scope: Scope) -> list[Repository] | None:
    """The source's repositories that scope or rules spell out, sorted; None if its catalogue has to be read."""
    if scope.repository is not None:
        names = spelled_out(scope.repository)
        return None if names is None else _sorted(names)
    found: list[str] = []
    for rule, _ in lanes:
        # All name filters must hold, so that one which spells its names out is enough.
        patterns = [item for item in rule.filters if item.type is FilterType.NAME and not item.excludes]
        spelled = [names for item in patterns if (names := spelled_out(str(item.value))) is not None]
        if not spelled:
            return None
        found += spelled[0]
    return _sorted(found)


def landing(repository: Repository, lane: Lane, rules: RuleSet) -> Twins | None:
    """The repository and its twin in the lane; None if the rule does not take it. Raises ValueError if it fits nowhere
    there.
    """
    rule, there = lane
    if not takes_name(rule, repository):
        return None
    target = destination_repository(there, repository, rules.registries[there.registry].type)
    return Twins(rule, there.registry, repository, target)


def _sorted(names: Iterable[str]) -> list[Repository]:
    found = set()
    for name in names:
        try:
            found.add(Repository(name))
        except ValueError:
            continue  # no registry can have it
    return sorted(found)


def _matches(pattern: str, text: str) -> bool:
    try:
        return glob_match(pattern, text)
    except ValueError:
        return False

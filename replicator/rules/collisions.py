"""Rules that get in each other's way, found before any repository is looked at.

Everything is shown by a witness: a reference, made up from the rules' own patterns, that the real filters take. What
only the repositories decide is no mistake: `overlaps` tells of it, and at run time it becomes a conflict.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from replicator.oci import Repository, Tag
from replicator.rules.filters import Filter, FilterType, Resource
from replicator.rules.links import Place, connected, writes
from replicator.rules.matching import takes_name, takes_tag
from replicator.rules.namespace import destination_repository
from replicator.rules.rule import Destination, Rule, RuleSet
from replicator.rules.samples import samples

_COMMON_TAGS = ("latest", "v1.0.0", "1.0.0")
_COMMON_NAME = "x/x"
_TRIALS = 20_000
"""Names times lanes that are tried for overlaps, which are warnings only."""
_PLACES = 100
"""How many places a chain of copies is followed to."""
_ROUNDS = 3
"""How often one lane copies its own copy until we call it endless: filters such as `{*,*/*}` allow a second time."""


@dataclass(frozen=True, slots=True)
class Collision:
    """Rules that write one reference, or their own sources, and a sentence that says where and how."""

    rules: tuple[str, ...]
    destination: str
    message: str


@dataclass(frozen=True, slots=True)
class _Write:
    rule: Rule
    source: Place
    place: Place
    exact: bool
    """True if the rule's patterns spell the source repository out."""


def collisions(rules: RuleSet) -> list[Collision]:
    """Every mistake that the rules prove by themselves.

    These are: two sources whose names are spelled out and which land on one reference, unless a rule keeps the two
    in line anyway; a rule that copies a repository onto itself; and rules that copy their own copies without end.
    """
    lanes = rules.lanes
    writes = [write for rule, there in lanes for write in _writes(rule, there, names_to_try(rule))]
    exact = [write for write in writes if write.exact and not _filters(write.rule, FilterType.LABEL)]
    return list(dict.fromkeys([*_onto_itself(writes), *_endless(lanes), *_meetings(exact, rules)]))


def overlaps(rules: RuleSet) -> list[Collision]:
    """Two sources that may land on one reference, if both hold the repositories for it: worth a warning."""
    lanes = rules.lanes
    pool: dict[str, bool] = {_COMMON_NAME: False}
    for rule, _ in lanes:
        pool.update(dict.fromkeys(names_to_try(rule), False))
    names = dict(list(pool.items())[: 16 + _TRIALS // (len(lanes) + 1)])
    writes = [write for rule, there in lanes for write in _writes(rule, there, names)]
    certain = {(item.rules, item.destination) for item in collisions(rules)}
    return [
        replace(item, message=f"{item.message}, if both exist")
        for item in _meetings(writes, rules)
        if (item.rules, item.destination) not in certain
    ]


def returns(rules: RuleSet) -> list[Collision]:
    """Indexes that a rule rebuilds of some platforms and another rule brings back over the whole one: a warning.

    As long as the ledger knows which is which they rest; without it they do not.
    """
    found = []
    for rule, there in rules.lanes:
        for write in _writes(rule, there, names_to_try(rule)) if rule.platforms_rewrite else ():
            for other in rules.rules:
                tag = common_tag(rule, other)
                if other.source == write.place[0] and writes(other, write.place[1], tag, write.source):
                    message = (
                        f"the rule {other.name} may bring back to {_path(write.source)} what the rule {rule.name}"
                        f" rebuilt at {_path(write.place)} without some of its platforms"
                    )
                    found.append(Collision((rule.name, other.name), there.registry, message))
    return list(dict.fromkeys(found))


def _filters(rule: Rule, kind: FilterType) -> list[Filter]:
    return [item for item in rule.filters if item.type is kind and item.value]


def _patterns(rule: Rule, kind: FilterType) -> list[str]:
    return [str(item.value) for item in _filters(rule, kind) if not item.excludes]


def names_to_try(rule: Rule) -> dict[str, bool]:
    """Names to try, and whether a pattern of the rule spells them out."""
    names: dict[str, bool] = {}
    for pattern in _patterns(rule, FilterType.NAME):
        for sample in samples(pattern):
            names[sample.name] = names.get(sample.name, False) or sample.exact
    return names or {_COMMON_NAME: False}


def _writes(rule: Rule, there: Destination, names: dict[str, bool]) -> Iterator[_Write]:
    for name, exact in names.items():
        try:
            source = Repository(name)
            landing = destination_repository(there, source)
        except ValueError:
            continue
        if takes_name(rule, source):
            yield _Write(rule, (rule.source, source), (there.registry, landing), exact)


def _meetings(writes: Sequence[_Write], rules: RuleSet) -> Iterator[Collision]:
    by_place: dict[Place, list[_Write]] = defaultdict(list)
    for write in writes:
        by_place[write.place].append(write)
    seen = set()
    for place, meeting in by_place.items():
        for one, other in combinations(meeting, 2):
            names = tuple(dict.fromkeys((one.rule.name, other.rule.name)))
            tag = common_tag(one.rule, other.rule)
            if (names, place[0]) in seen or tag is None or not _may_meet(one, other, rules):
                continue
            seen.add((names, place[0]))
            who = (
                f"the rules {names[0]} and {names[1]} both write"
                if names[1:]
                else f"the rule {names[0]} writes"
            )
            message = f"{who} {_path(place)}:{tag}, from {_path(one.source)} and from {_path(other.source)}"
            yield Collision(names, place[0], message)


def _may_meet(one: _Write, other: _Write, rules: RuleSet) -> bool:
    kinds = [item.value for write in (one, other) for item in _filters(write.rule, FilterType.RESOURCE)]
    return len(set(kinds) - {Resource.ARTIFACT}) < 2 and not connected(rules, one.source, other.source)


def common_tag(one: Rule, other: Rule) -> Tag | None:
    """A tag that both rules take, if one was found."""
    for name in (*_tags(one), *_tags(other), *_COMMON_TAGS):
        try:
            tag = Tag(name)
        except ValueError:
            continue
        if takes_tag(one, tag) and takes_tag(other, tag):
            return tag
    return None


def _tags(rule: Rule) -> list[str]:
    return [sample.name for pattern in _patterns(rule, FilterType.TAG) for sample in samples(pattern)]


def _onto_itself(writes: Sequence[_Write]) -> Iterator[Collision]:
    for write in writes:
        there = write.rule.destination(write.place[0])
        # A wildcard that reaches into its own namespace (`**` to `mirror`) finds its copies in line: no harm.
        if write.place == write.source and there and (write.exact or not there.namespace):
            message = f"the rule {write.rule.name} copies {_path(write.source)} onto itself"
            yield Collision((write.rule.name,), write.place[0], message)


def _endless(lanes: Sequence[tuple[Rule, Destination]]) -> Iterator[Collision]:
    by_source: dict[str, list[tuple[Rule, Destination]]] = defaultdict(list)
    for rule, there in lanes:
        by_source[rule.source].append((rule, there))
    for rule, there in lanes:
        if not there.namespace or not 0 <= there.replace_count <= there.namespace.count("/"):
            continue
        tag = common_tag(rule, rule)
        for write in _writes(rule, there, names_to_try(rule)):
            chain = _chain(by_source, write.source, tag)
            if chain:
                names = tuple(sorted({each.rule.name for each in chain}))
                path = " to ".join([_path(chain[0].source), *(_path(each.place) for each in chain)])
                yield Collision(
                    names, there.registry, f"the copies are copied again without end: {path}, and on"
                )
                break


def _chain(
    by_source: Mapping[str, Sequence[tuple[Rule, Destination]]], start: Place, tag: Tag | None
) -> list[_Write]:
    """The writes from `start` on that come back to one lane for ever; nothing if they come to rest."""
    seen, waiting = {start}, deque([(start, list[_Write]())])
    while waiting and len(seen) < _PLACES:
        place, trail = waiting.popleft()
        for rule, there in by_source.get(place[0], ()):
            for write in _writes(rule, there, {place[1]: False}):
                if write.place in seen or not takes_tag(rule, tag):
                    continue
                seen.add(write.place)
                further = [*trail, write]
                rounds = [each for each in further if each.rule is rule and each.place[0] == there.registry]
                if len(rounds) == _ROUNDS:
                    return further
                waiting.append((write.place, further))
    return []


def _path(place: Place) -> str:
    return f"{place[0]}/{place[1]}"

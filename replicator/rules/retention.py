"""Retention: which of the references that we put at a destination have had their time.

It follows Amazon ECR's lifecycle policies. An image is a digest with all of its tags; clauses are judged in order:

    a clause looks at all images whose tags it selects, those that earlier clauses expired or kept included
    what it selects, it decides: later clauses can neither expire it nor save it
    `keep last` leaves the newest so many of them, `older than` those that are young enough

What is attached to an image (signatures, attestations, SBOMs, other referrers) is no image: it is not counted, no
clause selects it, and it expires with what it belongs to. There ECR is less kind.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import combinations

from replicator.oci import Digest, Reference, Tag, companion_subject

_DAY_S = 86_400.0
_WILDCARDS = 4
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_PATTERN = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9._*-]{0,127}\Z")


class TagStatus(StrEnum):
    """Which images a clause selects."""

    TAGGED = "tagged"
    """Those whose tags fit its prefixes or patterns."""
    UNTAGGED = "untagged"
    ANY = "any"


class Count(StrEnum):
    """What the number of a clause counts, by ECR's names."""

    IMAGES = "imageCountMoreThan"
    """The newest so many stay."""
    DAYS = "sinceImagePushed"
    """What is not older than so many days stays."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence of a retention. Each of `prefixes`, or each of `patterns`, must fit some tag of the image.

    Raises ValueError for what makes no sense.
    """

    status: TagStatus
    count: Count
    number: int
    prefixes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError("a clause keeps at least 1 image, or waits for at least 1 day")
        if bool(self.prefixes or self.patterns) is not (self.status is TagStatus.TAGGED):
            raise ValueError("prefixes or patterns are for tagged images, and those need some")
        if self.prefixes and self.patterns:
            raise ValueError("a clause has prefixes or patterns, not both; use two clauses")
        for prefix in self.prefixes:
            if not _PREFIX.match(prefix):
                raise ValueError(f"{prefix!r} is no beginning of a tag; * is for patterns")
        for pattern in self.patterns:
            if not _PATTERN.match(pattern) or pattern.count("*") > _WILDCARDS:
                raise ValueError(f"{pattern!r} is no pattern for tags: a tag with up to {_WILDCARDS} times *")

    def selects(self, tags: frozenset[Tag]) -> bool:
        """Whether this clause decides about an image with exactly these tags."""
        if self.status is TagStatus.UNTAGGED:
            return not tags
        return all(any(tag.startswith(prefix) for tag in tags) for prefix in self.prefixes) and all(
            any(fnmatchcase(tag, pattern) for tag in tags) for pattern in self.patterns
        )

    def __str__(self) -> str:
        word, texts = ("prefix", self.prefixes) if self.prefixes else ("pattern", self.patterns)
        tags = f" with {word} {' and '.join(texts)}" if texts else ""
        untagged = self.status is TagStatus.UNTAGGED
        if self.count is Count.IMAGES:
            return f"keep last {self.number}{' untagged' if untagged else tags}"
        return f"{'untagged ' if untagged else ''}older than {self.number} day{'' if self.number == 1 else 's'}{tags}"


@dataclass(frozen=True, slots=True)
class Retention:
    """Clauses, the most important first.

    Raises ValueError if one of them could never decide anything because of an earlier one.
    """

    clauses: tuple[Clause, ...]

    def __post_init__(self) -> None:
        for earlier, later in combinations(self.clauses, 2):
            if earlier.status is TagStatus.ANY:
                raise ValueError(
                    f"{str(later)!r} comes after {str(earlier)!r}, which decides about every image"
                )
            if _looks_at(earlier) == _looks_at(later):
                raise ValueError(
                    f"{str(later)!r} comes after {str(earlier)!r}, which decides about the same images"
                )


@dataclass(frozen=True, slots=True)
class Kept:
    """A reference that we put at a destination: a tag, or a digest for a manifest without one.

    `digest` is what it holds, `at` when we put it there. `subject` is what it is attached to, if it is and that is
    known; a companion tag says so by itself.
    """

    reference: Reference
    digest: Digest
    at: float
    subject: Digest | None = None

    @property
    def attached_to(self) -> Digest | None:
        """What it belongs to, or None for an image."""
        return self.subject or (
            companion_subject(self.reference) if isinstance(self.reference, Tag) else None
        )


@dataclass(frozen=True, slots=True)
class _Image:
    digest: Digest
    tags: frozenset[Tag]
    at: float
    """When we put it there last, under whatever name: what came late is not old."""


def expired(retention: Retention, images: Iterable[Kept], *, now: float) -> dict[Reference, str]:
    """The references that have had their time at `now`, each with the clause that says so, in words.

    All references of an image expire together, with all that is attached to it. The order of `images` means nothing.
    """
    kept = sorted(images, key=lambda item: (item.reference, item.digest))
    own = [item for item in kept if not item.attached_to]
    attached = [(item, subject) for item in kept if (subject := item.attached_to)]
    doomed = _doomed(retention, _newest_first(own), now)
    found: dict[Reference, str] = {
        item.reference: str(doomed[item.digest]) for item in own if item.digest in doomed
    }
    images_themselves = {item.digest for item in own}
    while doomed:
        gone = [
            (item, doomed[subject])
            for item, subject in attached
            if subject in doomed and item.reference not in found
        ]
        found |= {item.reference: str(clause) for item, clause in gone}
        # What is attached to these goes as well, in the next round.
        doomed = {item.digest: clause for item, clause in gone if item.digest not in images_themselves}
    return found


def _doomed(retention: Retention, images: list[_Image], now: float) -> dict[Digest, Clause]:
    doomed: dict[Digest, Clause] = {}
    decided: set[Digest] = set()
    for clause in retention.clauses:
        selected = [image for image in images if clause.selects(image.tags)]
        for image in _ended(clause, selected, now):
            if image.digest not in decided:
                doomed[image.digest] = clause
        decided.update(image.digest for image in selected)
    return doomed


def _ended(clause: Clause, selected: list[_Image], now: float) -> list[_Image]:
    if clause.count is Count.IMAGES:
        return selected[clause.number :]
    return [image for image in selected if now - image.at > clause.number * _DAY_S]


def _newest_first(own: list[Kept]) -> list[_Image]:
    found: dict[Digest, _Image] = {}
    for item in own:
        known = found.get(item.digest, _Image(item.digest, frozenset(), item.at))
        tags = known.tags | {item.reference} if isinstance(item.reference, Tag) else known.tags
        found[item.digest] = _Image(item.digest, tags, max(known.at, item.at))
    return sorted(found.values(), key=lambda image: (-image.at, image.digest))


def _looks_at(clause: Clause) -> tuple[TagStatus, frozenset[str], frozenset[str]]:
    return clause.status, frozenset(clause.prefixes), frozenset(clause.patterns)

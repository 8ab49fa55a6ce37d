"""What the fleet knows of registries and what it put there: facts that save requests, and facts that guard deletes.

All of it may be lost: the copies then look like somebody else's, which forbids deletes and costs requests, no more.
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import redis

from replicator.estimate import Measured
from replicator.ledger.claim import Claim
from replicator.ledger.companions import Companions
from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.copied import Copied
from replicator.ledger.deletions import STREAM as DELETED
from replicator.ledger.flights import LOCATION_TTL_S, Flights
from replicator.ledger.gate import Alone, Gate
from replicator.ledger.holdings import Holdings
from replicator.ledger.scripts import Scripts
from replicator.ledger.uploads import Uploads
from replicator.ledger.waiters import Waiters
from replicator.oci import Digest, Reference, Repository, Tag, parse_reference
from replicator.verdict import place

_CAPABILITY_TTL_S = 24 * 3600
_CAPABILITY_KNOWN_S = 60.0
_COPIED_FROM_KNOWN_S = 60.0
_DELETIONS_KEPT = 10_000
_SCANNED = 1000
_ABSENCE_TTL_S = 600


@dataclass(frozen=True, slots=True)
class Sighting:
    """A repository that was seen to hold a blob, and how long ago."""

    repository: Repository
    age_s: float


class Fleet:
    """Shared facts, read and written by every worker. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._capabilities: dict[tuple[str, str], tuple[bool, float]] = {}
        self._copied_from: dict[str, tuple[frozenset[Repository], float]] = {}
        self.companions = Companions(client)
        self.flights = Flights(client)
        self.holdings = Holdings(client)
        self.waiters = Waiters(client)
        self.uploads = Uploads(client)
        scripts = Scripts(client)
        self._note_copy = scripts.script("note_copy")
        self._confirm = scripts.script("confirm")
        self._spend_deletion = scripts.script("spend_deletion")
        self._note_untagged = scripts.script("note_untagged")
        self._note_absence = scripts.script("note_absence")
        self._gate = Gate(client)

    # What we put where

    def copied(self, destination: str, repository: Repository, reference: Reference) -> Copied | None:
        """What we put under that reference of the destination, if we did."""
        return self.records([(destination, repository, reference)])[0]

    def records(self, places: Sequence[tuple[str, Repository, Reference]]) -> list[Copied | None]:
        """`copied` for each of several places, in one question."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for registry, repository, reference in places:
                pipe.hget(_copies(registry, repository), reference)
            found = pipe.execute()
        return [Copied.from_json(str(text)) if text else None for text in found]

    def copies(self, destination: str, repository: Repository) -> dict[Reference, Copied]:
        """All we put into one repository of the destination."""
        with answering():
            found = self._redis.hgetall(_copies(destination, repository))
        return {parse_reference(str(name)): Copied.from_json(str(text)) for name, text in found.items()}

    def copied_from(self, source: str, *, most: int) -> frozenset[Repository]:
        """Up to `most` repositories of the source that something was copied from, as they were within a minute.

        Of each repository of each destination one record is read, whichever. It may take a look at every key.
        """
        known, until = self._copied_from.get(source, (frozenset(), 0.0))
        if time.monotonic() >= until:
            known = frozenset(islice(self._repositories(source), most))
            self._copied_from[source] = known, time.monotonic() + _COPIED_FROM_KNOWN_S
        return known

    def _repositories(self, source: str) -> Iterator[Repository]:
        met: set[Repository] = set()
        with answering():
            for key in self._redis.scan_iter(match=f"{PREFIX}copied:*", count=_SCANNED):
                found: Any = self._redis.hrandfield(key, 1, withvalues=True)
                for text in found[1:]:
                    record = Copied.from_json(str(text))
                    if record.source == source and record.repository not in met:
                        met.add(record.repository)
                        yield record.repository

    def intend(self, destination: str, repository: Repository, reference: Reference, record: Copied) -> None:
        """Notes what we are about to put there: all of `record` but its `digest`, which stays as it is.

        Its `platforms` are those of the intent, and count when that is confirmed.
        It must come before the write: the write's own event may arrive before the write's answer.
        """
        fields = {
            "rule": record.rule,
            "source": record.source,
            "repository": record.repository,
            "reference": record.reference,
            "intent": record.intent or "",
            "origins": " ".join(record.origins),
            "intended_platforms": " ".join(map(str, record.platforms)),
            "made_from": record.made_from or "",
        }
        with answering():
            self._note_copy(_copies(destination, repository), reference, json.dumps(fields))

    def confirm(
        self,
        destination: str,
        repository: Repository,
        written: Iterable[tuple[Reference, Digest]],
        *,
        manifests: Iterable[Digest] = (),
    ) -> None:
        """Notes what the destination holds under these references, and that the repository holds these manifests.

        Where there is no record of an intention nothing is noted of a reference.
        """
        pairs = [text for pair in written for text in pair]
        keys = [_blob(destination, digest) for digest in manifests]
        copies = _copies(destination, repository)
        with answering():
            self._confirm(copies, repository, LOCATION_TTL_S, len(pairs) // 2, *pairs, *keys)

    def forget(self, destination: str, repository: Repository, reference: Reference) -> None:
        """Forgets what we put there."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hdel(_copies(destination, repository), reference)
            pipe.zrem(_untagged(destination, repository), reference)
            pipe.hdel(_authors(destination, repository), reference)
            pipe.execute()

    def note_untagged(self, destination: str, repository: Repository, digest: Digest, rule: str) -> None:
        """Notes that a manifest of ours, from that rule, lost its tag just now. The latest 1000 are known."""
        with answering():
            self._note_untagged(f"{destination}|{repository}", digest, rule)

    def untagged(
        self, destination: str, repository: Repository, rules: Collection[str]
    ) -> dict[Digest, float]:
        """Manifests that these rules put there under a tag that holds something else now, or is gone: since when."""
        with answering(), self._redis.pipeline(transaction=True) as pipe:
            pipe.zrange(_untagged(destination, repository), 0, -1, withscores=True)
            pipe.hgetall(_authors(destination, repository))
            found, by = pipe.execute()
        return {Digest(str(name)): float(at) for name, at in found if by.get(name) in rules}

    # Where blobs are

    def sightings(
        self, destination: str, digests: Iterable[Digest], *, best: Repository | None = None
    ) -> dict[Digest, Sighting]:
        """Where at the destination these blobs were seen within the last week.

        The repository `best` counts before those that were seen later.
        """
        wanted = list(digests)
        if not wanted:
            return {}
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.mget([_blob(destination, digest) for digest in wanted])
            (seconds, micros), texts = pipe.execute()
        now = seconds + micros / 1e6
        return {
            digest: _sighting(str(text), now, best)
            for digest, text in zip(wanted, texts, strict=True)
            if text
        }

    def misremembered(self, destination: str, digest: Digest) -> None:
        """Forgets where the blob is: it was not there."""
        with answering():
            self._redis.delete(_blob(destination, digest))

    # What registries can do

    def capability(self, registry: str, name: str) -> bool | None:
        """Whether the registry was found able to do `name` within the last day; None if nobody tried.

        What was found is not asked for again for a minute.
        """
        value, until = self._capabilities.get((registry, name), (False, 0.0))
        if time.monotonic() < until:
            return value
        with answering():
            found = self._redis.get(f"{PREFIX}capability:{registry}|{name}")
        return None if found is None else self._know(registry, name, found == "1")

    def learn(self, registry: str, name: str, value: bool) -> None:
        """Notes whether the registry is able to do `name`."""
        with answering():
            self._redis.set(f"{PREFIX}capability:{registry}|{name}", int(value), ex=_CAPABILITY_TTL_S)
        self._know(registry, name, value)

    def _know(self, registry: str, name: str, value: bool) -> bool:
        self._capabilities[registry, name] = (value, time.monotonic() + _CAPABILITY_KNOWN_S)
        return value

    def expect_subjects(
        self,
        destination: str,
        repository: Repository,
        digests: Iterable[Digest],
        *,
        job_id: str,
        ttl_s: float,
    ) -> None:
        """Notes for `ttl_s` that the job is about to put the manifests `digests` there."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for digest in digests:
                key = _subject(destination, repository, digest)
                pipe.set(key, job_id, px=max(1, int(ttl_s * 1000)))
            pipe.execute()

    def subject_expected(
        self, destination: str, repository: Repository, digest: Digest, *, besides: str = ""
    ) -> bool:
        """Whether somebody is about to put that manifest there: a job that is open, and does not wait for a person.

        The job of the id `besides` is not meant.
        """
        with answering():
            job_id = self._redis.get(_subject(destination, repository, digest))
            if not job_id or str(job_id) == besides:
                return False
            generation, state = self._redis.hmget(f"{PREFIX}job:{job_id!s}", "gen", "state")
        return generation is not None and state is None

    def alone_with(self, destination: str, repository: Repository, tag: Tag) -> AbstractContextManager[Alone]:
        """Be the only one of the fleet who reads that tag to write it. Raises NotYet where others are for long."""
        return self._gate.passing(place(destination, repository, tag))

    # How fast copies are

    def measured(self, source: str, destination: str) -> Measured:
        """What copies from one to the other took so far, the latest counting most."""
        with answering():
            found: Any = self._redis.hgetall(_pace(source, destination))
        return Measured(**{name: float(value) for name, value in found.items()})

    # Deletes

    def absent_for(self, mark: str) -> float:
        """Seconds since the absence that `mark` stands for was first noted: 0 for the first time.

        Kept for ten minutes.
        """
        key = f"{PREFIX}absent:{mark}"
        with answering(), self._redis.pipeline(transaction=True) as pipe:
            pipe.set(key, 1, ex=_ABSENCE_TTL_S, nx=True)
            pipe.pttl(key)
            _, left_ms = pipe.execute()
        return _ABSENCE_TTL_S - int(left_ms) / 1000

    def gone_for(self, claim: Claim, sibling: str = "") -> float:
        """Seconds since the job first noted the source to lack what it is about, or a `sibling` of that: 0 for the
        first time. Kept with the job, until something is submitted, or the job was done in doubt.
        """
        with answering():
            return float(self._note_absence(claim.id, claim.generation, sibling))

    def spend_deletion(self, names: Sequence[str], destination: str, mark: str, *, cap: int) -> bool:
        """Takes one deletion from the rule's budget of `cap` in any hour. False, and nothing taken, if it is spent.

        `names` are the rule's, the current one first: what was spent under a former one is spent. `mark` names the
        deletion, so that all tries of it together take one.
        """
        keys = [f"{PREFIX}deletions:{name}|{destination}" for name in names]
        with answering():
            return bool(self._spend_deletion(cap, mark, *keys))

    def log_deletion(
        self,
        destination: str,
        repository: Repository,
        reference: Reference,
        *,
        digest: Digest,
        manifest_raw: bytes,
        media_type: str,
        rule: str = "",
    ) -> None:
        """Keeps what is about to be deleted, by which rule if it is one, to be put back while its blobs live."""
        entry = {
            "rule": rule,
            "destination": destination,
            "repository": repository,
            "reference": reference,
            "digest": digest,
            "media_type": media_type,
            "manifest": manifest_raw,
        }
        with answering():
            self._redis.xadd(DELETED, entry, maxlen=_DELETIONS_KEPT)  # type: ignore[arg-type]


def _copies(destination: str, repository: Repository) -> str:
    return f"{PREFIX}copied:{destination}|{repository}"


def _untagged(destination: str, repository: Repository) -> str:
    return f"{PREFIX}untagged:{destination}|{repository}"


def _authors(destination: str, repository: Repository) -> str:
    return f"{PREFIX}authors:{destination}|{repository}"


def _sighting(text: str, now: float, best: Repository | None) -> Sighting:
    lines = text.split("\n")
    line = next((line for line in lines if best and line.startswith(f"{best} ")), lines[0])
    repository, _, at = line.partition(" ")
    return Sighting(Repository(repository), now - float(at))


def _blob(destination: str, digest: Digest) -> str:
    return f"{PREFIX}blob:{destination}|{digest}"


def _subject(destination: str, repository: Repository, digest: Digest) -> str:
    return f"{PREFIX}subject:{destination}|{repository}|{digest}"


def _pace(source: str, destination: str) -> str:
    return f"{PREFIX}pace:{source}|{destination}"

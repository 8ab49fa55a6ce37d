"""What a difference would cost: the source's manifest is read, and the blobs counted that the destination would get.

Manifest in hand, the filters are judged that need it, so that a plan shows what a job would do.
"""

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from replicator.drift import Difference, Kind, Twins
from replicator.errors import ReplicatorError
from replicator.oci import (
    DOCKER_CONFIG,
    OCI_CONFIG,
    Descriptor,
    Digest,
    Manifest,
    Repository,
    companion_subject,
)
from replicator.platforms import LEFT_OUT, Choice, Standing
from replicator.registry import RegistryClient
from replicator.resync.flow import Later
from replicator.resync.tools import Tools, Trouble, trouble
from replicator.rules import Rule, needs_labels, needs_manifest, takes_manifest
from replicator.transfer.selection import Selection

MANIFESTS_AN_IMAGE = 200
"""More children than these are not weighed: their blobs count as nothing."""
CONFIG_BYTES = 1024 * 1024
_CREATED = "org.opencontainers.image.created"


@dataclass
class Scales:
    """Weighs differences. Each blob counts once a destination, and not where the ledger knows it to be there already.

    With `since` (seconds since the epoch) what was made before is left out. When an image was made is what its config
    or its annotation says; what does not say it is never left out. Safe for several threads.
    """

    tools: Tools
    since: float | None = None
    weighs: bool = True
    _counted: dict[str, set[int]] = field(default_factory=dict)
    _trusted: dict[tuple[str, Repository], bool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def examine(self, difference: Difference) -> Difference | Later[Difference | Trouble]:
        """The difference as it is, or where it asks for a copy, a step that reads what that would be."""
        return Later(partial(self.examined, difference)) if self.reads(difference) else difference

    def reads(self, difference: Difference) -> bool:
        """Whether it asks for a copy whose manifest is read."""
        return difference.kind in (Kind.ADD, Kind.UPDATE) and self.reads_any([difference.twins.rule])

    def reads_any(self, rules: Iterable[Rule]) -> bool:
        """Whether the manifests of what is to be copied by these rules are read."""
        return self.weighs or self.since is not None or any(needs_manifest(rule) for rule in rules)

    def examined(self, difference: Difference) -> Iterator[Difference | Trouble]:
        """The difference, weighed, or left out; a Trouble where its manifest cannot be read."""
        twins = difference.twins
        try:
            client = self.tools.client(twins.rule.source)
            manifest = self._manifest(client, twins, difference.wanted)
            if manifest is None:
                yield difference  # it moved since; its job will see
                return
            choice = self._choice(client, difference, manifest)
            if reason := self._left_out(client, difference, choice):
                yield replace(difference, kind=Kind.SKIPPED, detail=reason, is_drift=False)
            elif self.weighs:
                yield replace(difference, size_bytes=self._weight(client, twins, choice))
            else:
                yield difference
        except ReplicatorError as exc:
            yield trouble(exc, [twins])

    def _manifest(self, client: RegistryClient, twins: Twins, digest: Digest | None) -> Manifest | None:
        if digest is None:
            return None
        return self.tools.patience.read(client.name, partial(client.get_manifest, twins.repository, digest))

    def _choice(self, client: RegistryClient, difference: Difference, manifest: Manifest) -> Choice:
        if companion_subject(difference.reference) is not None:
            return Choice.whole(manifest)
        twins = difference.twins
        selection = Selection(client, twins.repository, twins.rule.platforms)
        return self.tools.patience.read(client.name, partial(selection.choice, manifest))

    def _left_out(self, client: RegistryClient, difference: Difference, choice: Choice) -> str:
        """Why the rule or `since` leaves it out, or nothing. A companion goes where its subject goes."""
        rule, repository, manifest = difference.twins.rule, difference.twins.repository, choice.manifest
        if companion_subject(difference.reference) is None:
            read = partial(client.labels, repository, manifest.digest)
            labels = self.tools.patience.read(client.name, read) if needs_labels(rule) else None
            if not takes_manifest(rule, manifest, labels):
                return "a resource or label filter leaves it out"
        if choice.standing is Standing.OTHER:
            return LEFT_OUT
        if self.since is not None:
            made = self._made_at(client, repository, choice)
            if made is not None and made < self.since:
                return f"made {datetime.fromtimestamp(made, UTC):%Y-%m-%d %H:%M:%S} UTC, before what was asked for"
        return ""

    def _made_at(self, client: RegistryClient, repository: Repository, choice: Choice) -> float | None:
        """When the image says that it was made; an index says what its first platform says."""
        manifest = choice.manifest
        if said := _time(manifest.annotations.get(_CREATED)):
            return said
        if choice.kept:
            read = partial(client.get_manifest, repository, choice.kept[0].digest)
            child = self.tools.patience.read(client.name, read)
            is_image = child is not None and not child.is_index
            return self._made_at(client, repository, Choice.whole(child)) if child and is_image else None
        config = next(
            (blob for blob in manifest.blobs if blob.media_type in {OCI_CONFIG, DOCKER_CONFIG}), None
        )
        if config is None or config.size_bytes > CONFIG_BYTES:
            return None
        return _created(self.tools.patience.read(client.name, partial(_content, client, repository, config)))

    def _weight(self, client: RegistryClient, twins: Twins, choice: Choice) -> int:
        blobs = {
            blob.digest: blob for blob in self._blobs(client, twins.repository, choice) if not blob.is_foreign
        }
        there = self._there(twins, blobs.values())
        with self._lock:
            counted = self._counted.setdefault(twins.destination, set())
            new = [
                blob
                for digest, blob in blobs.items()
                if digest not in there and _short(digest) not in counted
            ]
            counted.update(_short(blob.digest) for blob in new)
        return sum(blob.size_bytes for blob in new)

    def _blobs(self, client: RegistryClient, repository: Repository, choice: Choice) -> Iterator[Descriptor]:
        yield from choice.manifest.blobs
        for child in choice.kept[:MANIFESTS_AN_IMAGE]:
            read = partial(client.get_manifest, repository, child.digest)
            found = self.tools.patience.read(client.name, read)
            # An entry that is no manifest is a blob, as BuildKit's caches are; nobody nests indexes deeper.
            yield from found.blobs if found else [child]

    def _there(self, twins: Twins, blobs: Iterable[Descriptor]) -> set[Digest]:
        """What the ledger knows to be in the twin. It is asked for one blob of each repository whether that holds."""
        wanted = {blob.digest: blob for blob in blobs}
        seen = self.tools.ledger.fleet.sightings(twins.destination, wanted, best=twins.target)
        there = [wanted[digest] for digest, sighting in seen.items() if sighting.repository == twins.target]
        place = (twins.destination, twins.target)
        if there and place not in self._trusted:
            client = self.tools.client(twins.destination)
            read = partial(client.missing_blobs, twins.target, there[:1])
            self._trusted[place] = not self.tools.patience.read(twins.destination, read)
        return {blob.digest for blob in there} if self._trusted.get(place) else set()


def _short(digest: Digest) -> int:
    # Eight bytes instead of a hundred: there may be a million of them.
    return int(digest.hex[:16], 16)


def _content(client: RegistryClient, repository: Repository, blob: Descriptor) -> bytes:
    with client.open_blob(repository, blob) as pieces:
        return b"".join(pieces)


def _created(config: bytes) -> float | None:
    try:
        found = json.loads(config)
    except (ValueError, RecursionError):
        return None
    return _time(found.get("created")) if isinstance(found, dict) else None


def _time(text: object) -> float | None:
    """Seconds since the epoch of an RFC 3339 time; None for anything else, and for the zero times of reproducible
    builds, which say nothing."""
    try:
        said = datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
    return said if said > 0 else None

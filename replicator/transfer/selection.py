"""Finding out what a rule's platforms keep of a manifest: what its index does not say is read at the source.

Mostly an index says of each entry which platform it is for, and nothing is read. Indexes within it are; so is the
config of an image that is not in an index, or whose index says nothing of it.
"""

from dataclasses import dataclass, field

from replicator.errors import PermanentError
from replicator.oci import Descriptor, Manifest, Repository
from replicator.platforms import Choice, Platforms, choose, config_of, standing_of, unsaid
from replicator.registry import RegistryClient
from replicator.transfer.gather import DEPTH_LIMIT, MANIFEST_COUNT_LIMIT
from replicator.transfer.route import Route

CONFIG_LIMIT_BYTES = 1024 * 1024
"""A config that is larger says nothing of a platform: it is none that a container engine reads."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What `platforms` keep of the manifests of one repository. Safe for several threads."""

    client: RegistryClient
    repository: Repository
    platforms: Platforms

    @classmethod
    def of(cls, route: Route) -> "Selection":
        """What the route's rule keeps of its source."""
        return cls(route.source, route.repository, route.rule.platforms)

    def choice(self, manifest: Manifest) -> Choice:
        """What is kept of it. What refers to something else is kept whole: it goes where its subject goes.

        Raises the registry's errors, and PermanentError for indexes nested or numbered beyond all sense.
        """
        if not self.platforms or manifest.subject:
            return Choice.whole(manifest)
        return _Look(self).into(manifest, depth=0)


@dataclass
class _Look:
    """One look into a manifest, with bounds to what it can make us read."""

    selection: Selection
    read: int = field(default=0, init=False)

    def into(self, manifest: Manifest, *, depth: int) -> Choice:
        if not manifest.is_index:
            return self._image(manifest)
        if depth > DEPTH_LIMIT:
            raise PermanentError(f"{self._place}: {manifest.digest} is nested more than {DEPTH_LIMIT} deep")
        platforms = self.selection.platforms
        seen = {
            entry.digest: self.into(found, depth=depth + 1)
            for entry in unsaid(manifest, platforms)
            if (found := self._manifest(entry))
        }
        return choose(manifest, platforms, seen)

    def _image(self, manifest: Manifest) -> Choice:
        config = config_of(manifest)
        if config is None or config.size_bytes > CONFIG_LIMIT_BYTES:
            return Choice.whole(manifest)
        with self.selection.client.open_blob(self.selection.repository, config) as pieces:
            content = b"".join(pieces)
        return Choice.whole(manifest, standing_of(content, self.selection.platforms))

    def _manifest(self, entry: Descriptor) -> Manifest | None:
        self.read += 1
        if self.read > MANIFEST_COUNT_LIMIT:
            raise PermanentError(
                f"{self._place}: more than {MANIFEST_COUNT_LIMIT} entries without a platform"
            )
        return self.selection.client.get_manifest(self.selection.repository, entry.digest)

    @property
    def _place(self) -> str:
        return f"{self.selection.client.name}/{self.selection.repository}"

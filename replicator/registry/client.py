"""One registry as a set of verbs: what the rest of the product sees of the OCI distribution protocol."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import httpx

from replicator.errors import Denied
from replicator.oci import Descriptor, Digest, Manifest, Reference, Repository, Tag, referrers_tag
from replicator.registry import catalog, chunks, harbor, listings, manifests, uploads
from replicator.registry.blobs import BlobReader, blob_size, has_blob
from replicator.registry.exchange import Exchange, Observe, ignore
from replicator.registry.failures import Topic, failure
from replicator.registry.listings import Listing
from replicator.registry.manifests import Edition, ManifestHead
from replicator.registry.session import Call, Session
from replicator.registry.traffic import Gate
from replicator.registry.uploads import Upload
from replicator.rules.registries import Registry, RegistryType


class RegistryClient:
    """A registry. Safe for several threads; keeps connections and tokens until closed.

    Every method raises an error of `replicator.errors` for an answer that is not described here. Opening a client
    sends nothing.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        transport: httpx.BaseTransport | None = None,
        observe: Observe = ignore,
        gate: Gate | None = None,
    ) -> None:
        self.name = registry.name
        self.kind = registry.type
        self._has_credential = registry.credential is not None
        self._exchange = Exchange(registry, transport=transport, observe=observe, gate=gate)
        self._session = Session(self._exchange)

    @property
    def repeated_writes(self) -> int:
        """How many writes it sent again because the connection broke. The first of each may take effect later."""
        return self._exchange.repeated_writes

    def head_manifest(self, repository: Repository, reference: Reference) -> ManifestHead | None:
        """What `reference` is, or None where it is absent: a 404, and nothing else."""
        return manifests.head(self._session, repository, reference)

    def digest_of(
        self, repository: Repository, reference: Reference, *, known: Digest | None = None
    ) -> Digest | None:
        """The digest that `reference` holds, or None where it is absent: a 404, and nothing else.

        One HEAD. With the digest that a tag is `known` to have held, a registry that can answers only that it does.
        """
        return manifests.digest_of(self._session, repository, reference, known=known)

    def get_manifest(self, repository: Repository, reference: Reference) -> Manifest | None:
        """The manifest, its digest checked, or None where it is absent."""
        return manifests.get(self._session, repository, reference)

    def edition(self, repository: Repository, reference: Reference) -> Edition:
        """The same, with what makes sure that nobody changes it until it is replaced, where the registry compares."""
        return manifests.edition(self._session, repository, reference)

    def put_manifest(
        self,
        repository: Repository,
        reference: Reference,
        manifest: Manifest,
        *,
        replacing: Edition | None = None,
    ) -> bool | None:
        """Afterwards `reference` holds exactly these bytes. True if the registry keeps the list of referrers itself.

        None if it does not say, because it held them already and writes nothing twice.

        Raises MissingContent, TagImmutable, Overtaken if somebody changed what is to be replaced, or Corrupt if the
        registry says it stored something else.
        """
        return manifests.put(self._session, repository, reference, manifest, replacing=replacing)

    def delete_manifest(self, repository: Repository, reference: Reference) -> bool:
        """Deletes a tag, or a manifest with every tag of it; False if it was already gone.

        Raises Unsupported where the registry cannot delete in this way, InUse where it keeps what something needs.
        """
        if self.kind is RegistryType.HARBOR and isinstance(reference, Tag):
            return harbor.delete_tag(self._session, repository, reference)
        return manifests.delete(self._session, repository, reference)

    def has_blob(self, repository: Repository, descriptor: Descriptor) -> bool:
        """True if `repository` holds the blob at its size."""
        return has_blob(self._session, repository, descriptor)

    def missing_blobs(self, repository: Repository, descriptors: Iterable[Descriptor]) -> list[Descriptor]:
        """Those that `repository` does not hold at their size, one HEAD each. Foreign layers are nobody's to hold."""
        wanted = [item for item in dict.fromkeys(descriptors) if not item.is_foreign]
        return [item for item in wanted if not has_blob(self._session, repository, item)]

    def blob_size(self, repository: Repository, descriptor: Descriptor) -> int | None:
        """The size of the blob in `repository`, or None where it is absent. A registry that says none is believed."""
        return blob_size(self._session, repository, descriptor)

    def start_upload(
        self, repository: Repository, digest: Digest, *, mount_from: Repository | None = None
    ) -> Upload | None:
        """An open upload session, or None if the blob was mounted from `mount_from` and nothing is left to do."""
        upload = uploads.start(self._session, repository, digest, mount_from=mount_from)
        is_doubtful = upload is None and mount_from == repository and self.kind is RegistryType.HARBOR
        if is_doubtful and not harbor.keeps(self._session, repository, digest):
            return uploads.start(self._session, repository, digest, mount_from=None)
        return upload

    def finish_upload(self, upload: Upload, descriptor: Descriptor, rest: Iterable[bytes]) -> None:
        """Afterwards the registry holds the blob. What `rest` raises comes through, and then it does not.

        `rest` is what the upload lacks. Raises Unsupported where what came in parts does not make up the blob.
        """
        uploads.finish(self._session, upload, descriptor, self._session.carried(rest))

    def send_chunk(self, upload: Upload, chunk: Sequence[bytes]) -> Upload:
        """Where the upload stands afterwards, with all of `chunk` in it.

        Raises Unsupported where the registry takes no chunks, TooLarge where the first one is too large for it, and
        TemporaryError where it is not known what arrived: `look_up_upload` tells.
        """
        # The link's budget is waited for before the request, not within: one that is cut is lost in many registries.
        return chunks.send_chunk(self._session, upload, list(self._session.carried(chunk)))

    def look_up_upload(self, upload: Upload) -> Upload | None:
        """Where the upload stands; None where it is over, or not to be gone on with."""
        return chunks.look_up(self._session, upload)

    def cancel_upload(self, upload: Upload) -> None:
        """Gives up an upload session. Never fails."""
        uploads.cancel(self._session, upload)

    @contextmanager
    def open_blob(
        self, repository: Repository, descriptor: Descriptor, *, start: int = 0
    ) -> Iterator[Iterator[bytes]]:
        """The pieces of a blob, 512 KiB or less. Wrong bytes raise Corrupt before the last piece is handed out.

        From another `start` than 0 on, only their number is checked.
        """
        reader = BlobReader(self._session, repository, descriptor)
        with reader.open_rest(start) if start else reader.open() as pieces:
            yield self._session.carried(pieces)

    def repositories(self, *, last: str = "") -> Iterator[Repository]:
        """The registry's repositories that we may see, after `last`, each once; all of them where `last` is gone.

        A page is read when the one before it is used up, and raises then: a listing that ends was whole. Raises
        Unsupported at the start where the registry does not list its repositories, or not to us.
        """
        if self.kind is RegistryType.HARBOR:
            return harbor.repositories(self._session, last=last)
        return catalog.repositories(self._session, last=last)

    def listing(self, repository: Repository) -> Listing | None:
        """Every tag of `repository` with its digest, or with None where the listing does not tell that.

        None where the repository is absent. Costs one request for each page of the listing.
        """
        if self.kind is RegistryType.HARBOR:
            return harbor.listing(self._session, repository)
        return listings.listing(self._session, repository)

    def tags(self, repository: Repository) -> list[Tag] | None:
        """Every tag of `repository`; None where it is absent."""
        return listings.tags(self._session, repository)

    def referrers(self, repository: Repository, digest: Digest) -> list[Descriptor] | None:
        """What refers to `digest`; None where the registry has no referrers API."""
        return listings.referrers(self._session, repository, digest)

    def serves_referrers(self, repository: Repository, digest: Digest) -> bool | None:
        """Whether the registry has the referrers API; None where it does not know what it was asked about."""
        return listings.serves_referrers(self._session, repository, digest)

    def tagged_referrers(self, repository: Repository, digest: Digest) -> list[Descriptor]:
        """What refers to `digest` where the registry has no referrers API: its clients keep an index under a tag."""
        index = self.get_manifest(repository, referrers_tag(digest))
        return list(index.children) if index else []

    def labels(self, repository: Repository, digest: Digest) -> frozenset[str] | None:
        """The registry's own labels of an artifact; None where the registry's type has none."""
        if self.kind is not RegistryType.HARBOR:
            return None
        return harbor.labels(self._session, repository, digest)

    def ping(self) -> None:
        """Raises if the registry does not answer as one, or refuses our credential."""
        topic = Topic("reaching", self.name)
        try:
            answer = self._session.send(Call("GET", self._session.url("/v2/"), topic))
        except Denied:
            # An anonymous client without a repository to name may be refused a token; it was an answer all the same.
            if self._has_credential:
                raise
            return
        if not answer.is_success and (answer.status != 401 or self._has_credential):
            raise failure(answer, topic)

    def close(self) -> None:
        """Closes every connection."""
        self._session.close()


def connect(
    registry: Registry,
    *,
    transport: httpx.BaseTransport | None = None,
    observe: Observe = ignore,
    gate: Gate | None = None,
) -> RegistryClient:
    """A client of `registry`, whose requests pass `gate`, if there is one.

    Raises ConfigError for a URL, proxy or TLS file that cannot be used.
    """
    return RegistryClient(registry, transport=transport, observe=observe, gate=gate)

"""A registry of a few scripted answers behind httpx.MockTransport, and the log of what it was asked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from replicator.oci import OCI_MANIFEST, Descriptor, Digest, Manifest, Repository, Tag, parse_manifest
from replicator.registry import RegistryClient, connect
from replicator.rules.registries import Credential, Registry, RegistryType

HOST = "registry.example.com"
API = Repository("payments/api")
V1 = Tag("v1")
RAW = (
    b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"mediaType": '
    b'"application/vnd.oci.image.config.v1+json", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e83'
    b'10c060f61caaff8a", "size": 2}, "layers": []}\n'
)
MANIFEST: Manifest = parse_manifest(RAW, OCI_MANIFEST)

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@dataclass
class Script:
    """Answers by `METHOD path`, with or without host; several are given in turn, and the last of them for ever."""

    answers: Mapping[str, Answer | list[Answer]]
    log: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.log.append(request)
        path = f"{request.method} {request.url.path}"
        found = self.answers.get(
            f"{request.method} {request.url.host}{request.url.path}", self.answers.get(path)
        )
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if found is None:
            return httpx.Response(404)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, httpx.Response) else found(request)

    @property
    def lines(self) -> list[str]:
        """The log as `METHOD path?query`."""
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.log]


class Pieces(httpx.SyncByteStream):
    """A body in pieces; one that is an exception breaks off there."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


def registry(
    *,
    kind: RegistryType = RegistryType.DISTRIBUTION,
    url: str = f"https://{HOST}",
    credential: Credential | None = None,
) -> Registry:
    return Registry("eu", kind, url, credential=credential)


def client_of(script: Script, described: Registry | None = None) -> RegistryClient:
    return connect(described or registry(), transport=httpx.MockTransport(script))


def blob(content: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(content), len(content))


def refusal(status: int, code: str, message: str = "") -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"code": code, "message": message}]})

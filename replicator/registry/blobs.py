"""Reads blobs out of a registry, verified on the way, and asks whether one is there.

A blob is never held in memory. The reader keeps back the last piece until size and digest are right, so whoever
passes the pieces on with the blob's size as `Content-Length` can't complete an upload of wrong bytes: the connection
breaks off before the last one.
"""

import hashlib
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from replicator.errors import Corrupt, ReplicatorError, TemporaryError, Unavailable
from replicator.oci import Descriptor, Repository
from replicator.registry.exchange import pieces, read_start
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.pace import Pace
from replicator.registry.session import Call, Session
from replicator.registry.transport import Response

_RESUMPTIONS = 5
_WORTHWHILE_BYTES = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes[ =](\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z")
_LENGTH = re.compile(r"bytes \*/(\d{1,18})\Z")


class BlobReader:
    """Reads one blob from one registry, taking up a broken transfer where it ended."""

    def __init__(self, session: Session, repository: Repository, descriptor: Descriptor) -> None:
        self._session = session
        self._descriptor = descriptor
        self._topic = Topic("reading", session.name, repository, descriptor.digest)
        self._url = session.url(f"/v2/{repository}/blobs/{descriptor.digest}")
        self._scopes = session.scopes(repository, "pull")
        self._pace = Pace(self._topic, descriptor.size_bytes)
        self._received = 0

    @contextmanager
    def open_rest(self, start: int) -> Iterator[Iterator[bytes]]:
        """The pieces from byte `start` on, exactly as many as there should be, and not verified."""
        self._received = start
        with self._session.stream(self._call(start)) as response:
            yield self._pieces(response, self._rest(response, start))

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        """The verified pieces of the blob. Raises at once if the registry does not offer it at its size."""
        with self._session.stream(self._call()) as response:
            if response.status != 200:
                raise self._failure(response)
            length = response.headers.get("content-length", "")
            if length.isascii() and length.isdigit() and int(length[:18]) != self._descriptor.size_bytes:
                raise Corrupt(
                    f"{self._topic}: is {length[:18]} bytes long, expected {self._descriptor.size_bytes}"
                )
            yield self._verified(response)

    def _verified(self, response: Response) -> Iterator[bytes]:
        hasher = hashlib.new(self._descriptor.digest.algorithm)
        held = b""
        for piece in self._pieces(response, self._paced(response)):
            hasher.update(piece)
            if held:
                yield held
            held = piece
        found = f"{self._descriptor.digest.algorithm}:{hasher.hexdigest()}"
        if found != self._descriptor.digest:
            raise Corrupt(f"{self._topic}: the bytes hash to {found}")
        if held:
            yield held

    def _pieces(self, response: Response, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Exactly as many bytes as the descriptor says, over as many connections as it takes."""
        size = self._descriptor.size_bytes
        cause = yield from self._until_broken(chunks)
        left = _RESUMPTIONS
        while self._received < size and left:
            response.close()
            before = self._received
            with self._session.stream(self._call(start=before)) as again:
                cause = yield from self._until_broken(self._rest(again, before))
            if self._received == before:
                # The registry answers, but has no more: what it stores is shorter than what it promises.
                raise Corrupt(f"{self._topic}: has only {before} of {size} bytes") from cause
            # However bad the line: as long as it brings something, a large blob is not begun anew.
            left -= self._received - before < _WORTHWHILE_BYTES
        if self._received != size:
            # It answered every time, so that it is not away: other blobs may come through.
            raise TemporaryError(
                f"{self._topic}: broke off after {self._received} of {size} bytes"
            ) from cause

    def _until_broken(self, chunks: Iterator[bytes]) -> Generator[bytes, None, Unavailable | None]:
        try:
            for chunk in chunks:
                self._received += len(chunk)
                if self._received > self._descriptor.size_bytes:
                    raise Corrupt(f"{self._topic}: is longer than {self._descriptor.size_bytes} bytes")
                if chunk:
                    yield chunk
        except Unavailable as exc:
            return exc
        return None

    def _paced(self, response: Response) -> Iterator[bytes]:
        return self._pace.timed(pieces(response, self._topic))

    def _rest(self, response: Response, start: int) -> Iterator[bytes]:
        if response.status == 200:
            # The whole blob comes again (RFC 9110 14.2): what we have is passed over.
            return _without(self._paced(response), start)
        if response.status == 416:
            self._check_length(response.headers.get("content-range", ""), start)
        if response.status != 206:
            raise self._failure(response)
        found = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
        if not found or int(found[1]) != start or found[3] not in {"*", str(self._descriptor.size_bytes)}:
            raise TemporaryError(f"{self._topic}: asked for the rest from byte {start}, got another part")
        return self._paced(response)

    def _check_length(self, unsatisfied: str, start: int) -> None:
        # "Range Not Satisfiable" says how long the whole is (RFC 9110 14.4): often as long as what came, and no more.
        found = _LENGTH.match(unsatisfied)
        if found and int(found[1]) != self._descriptor.size_bytes:
            raise Corrupt(
                f"{self._topic}: has only {found[1]} of {self._descriptor.size_bytes} bytes, {start} came"
            )

    def _call(self, start: int = 0) -> Call:
        headers = {"Range": f"bytes={start}-"} if start else {}
        return Call("GET", self._url, self._topic, self._scopes, headers)

    def _failure(self, response: Response) -> ReplicatorError:
        if response.status == 404:
            return Corrupt(f"{self._topic}: the registry does not have this blob, though a manifest names it")
        body = read_start(response, self._topic)
        return failure(Answer(response.status, response.headers, body, self._url), self._topic)


def _without(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count = max(0, count - len(chunk))


def has_blob(session: Session, repository: Repository, descriptor: Descriptor) -> bool:
    """True if `repository` holds the blob, False on 404 and where the size is another. Raises on any other answer."""
    return blob_size(session, repository, descriptor) == descriptor.size_bytes


def blob_size(session: Session, repository: Repository, descriptor: Descriptor) -> int | None:
    """How many bytes the blob has in `repository`, None on 404. Where the registry does not say, it is believed."""
    topic = Topic("looking for", session.name, repository, descriptor.digest)
    url = session.url(f"/v2/{repository}/blobs/{descriptor.digest}")
    answer = session.send(Call("HEAD", url, topic, session.scopes(repository, "pull")))
    if answer.status == 404:
        return None
    if not answer.is_success:
        raise failure(answer, topic)
    length = answer.headers.get("content-length", "")
    return int(length[:18]) if length.isascii() and length.isdigit() else descriptor.size_bytes

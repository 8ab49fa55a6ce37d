"""Whether a destination holds what it should: every manifest byte for byte, every blob with its size."""

from collections.abc import Iterable, Iterator

from benchmarks.workloads import Wanted
from tests.fakes import images
from tests.fakes.raw import RawClient


def faults(url: str, found: Iterable[Wanted]) -> list[str]:
    """What is wrong there, a phrase each; nothing if all of it is whole."""
    with RawClient(url) as client:
        return [fault for one in found for fault in _faults(client, one)]


def _faults(client: RawClient, one: Wanted) -> Iterator[str]:
    for reference, raw in one.manifests.items():
        answer = client.call("GET", f"/v2/{one.repository}/manifests/{reference}", headers=images.ACCEPT)
        if answer.status != 200:
            yield f"{one.repository}:{one.tag}: {reference} answers {answer.status}"
        elif answer.body != raw:
            yield f"{one.repository}:{one.tag}: {reference} is another manifest"
    for digest, size_bytes in one.blobs.items():
        answer = client.call("HEAD", f"/v2/{one.repository}/blobs/{digest}")
        if answer.status != 200 or int(answer.headers["content-length"]) != size_bytes:
            yield f"{one.repository}:{one.tag}: blob {digest} answers {answer.status}"

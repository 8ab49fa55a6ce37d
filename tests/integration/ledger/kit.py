"""Jobs and short cuts that the tests of the ledger share."""

import asyncio
import time
from collections.abc import Callable, Iterable

from replicator.jobs import Job
from replicator.ledger import Claim, Inbox, Ledger, Notification, Recorder, Submission, connect_async
from replicator.oci import Digest, Repository, Tag

DIGEST = Digest.of(b"one")
OTHER = Digest.of(b"two")
HASTY_S = 0.3


def job(tag: str = "v1", *, rule: str = "prod", destination: str = "us", repository: str = "team/api") -> Job:
    return Job(rule, destination, Repository(repository), Tag(tag))


def wanted(
    this: Job, since: float = 100.0, *, digest: Digest | None = DIGEST, delay_s: float = 0.0
) -> Submission:
    return Submission(this, since, "push", digest, "trace-1", delay_s)


def claimed(ledger: Ledger, this: Job, *locks: str) -> Claim:
    """The claim on a job that must be free."""
    claim = ledger.claim(this.id, locks)
    assert isinstance(claim, Claim), claim
    return claim


def notify(url: str, body: bytes = b"{}", trace: str | None = None) -> str:
    """Records a notification as the receiver does."""

    async def once() -> str:
        client = connect_async(url)
        try:
            return await Recorder(client).record(
                registry="eu", content_type="application/json", body=body, trace=trace
            )
        finally:
            await client.aclose()

    return asyncio.run(once())


def read_one(inbox: Inbox) -> Notification:
    """The one notification in the inbox; the first read may only create the group."""
    found = inbox.read(block_s=0.01) or inbox.read(block_s=0.01)
    assert len(found) == 1
    return found[0]


def eventually(holds: Callable[[], object], within_s: float = 5.0) -> None:
    """Returns when the condition holds, and fails if it does not in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def rings(ledger: Ledger, destination: str, cap: int) -> list[str]:
    """The jobs of the doorbells that a dispatcher rings now, where each is rung for alone."""
    return [job_id for doorbell in ledger.dispatch(destination, cap) for job_id in doorbell]


def located(ledger: Ledger, destination: str, digests: Iterable[Digest]) -> dict[Digest, Repository]:
    """Where the fleet saw these blobs last."""
    seen = ledger.fleet.sightings(destination, digests)
    return {digest: sighting.repository for digest, sighting in seen.items()}

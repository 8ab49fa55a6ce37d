"""Jobs that hold back an image until it is signed: which they are, and since when.

The first thing that is attached to the image at the source wakes them, so that nobody has to ask the source again and
again. If all of this is lost, a job that looks again begins to wait anew.
"""

from dataclasses import dataclass

import redis

from replicator.jobs import Job
from replicator.ledger.connect import PREFIX, answering
from replicator.oci import Digest, Repository

_TTL_S = 30 * 24 * 3600  # longer than anybody leaves a parked job alone
_NEWS = "news"


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a job has waited, and for how long nothing has been attached to its image."""

    waited_s: float
    quiet_s: float


class Waiters:
    """The jobs that wait for the signature of a manifest at one repository of a destination. Thread-safe."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def wait(self, repository: Repository, digest: Digest, job: Job) -> Patience:
        """Notes that the job waits, if that is not noted yet; how long it has."""
        key = _key(job.destination, repository, digest)
        with answering():
            seconds, micros = self._redis.time()
            now = seconds + micros / 1e6
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.hsetnx(key, job.key, now)
                pipe.expire(key, _TTL_S)
                pipe.hmget(key, job.key, _NEWS)
                _, _, (since, news) = pipe.execute()
        begun = float(since)
        return Patience(now - begun, now - max(begun, float(news or 0)))

    def wake(self, destination: str, repository: Repository, digest: Digest) -> list[Job]:
        """The jobs that wait for the signature of `digest`, to which something was attached just now."""
        key = _key(destination, repository, digest)
        with answering():
            found = [str(name) for name in self._redis.hkeys(key)]
            jobs = [Job.from_key(name) for name in found if name != _NEWS]
            if jobs:
                seconds, micros = self._redis.time()
                self._redis.hset(key, _NEWS, str(seconds + micros / 1e6))
        return jobs

    def leave(self, repository: Repository, digest: Digest, job: Job) -> None:
        """Notes that the job waits no longer."""
        with answering():
            self._redis.hdel(_key(job.destination, repository, digest), job.key)


def _key(destination: str, repository: Repository, digest: Digest) -> str:
    return f"{PREFIX}unsigned:{destination}|{repository}|{digest}"

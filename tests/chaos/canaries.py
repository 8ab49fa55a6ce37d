"""Where a secret must never be: in Redis, a log, a trace, a command line, an answer.

Every secret of a `ChaosWorld` is a word that occurs nowhere else, and is looked for as it stands and as base64.
"""

import base64
import contextlib
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.world import API_TOKEN, SECRETS, ChaosWorld
from tests.fakes.raw import RawClient
from tests.integration.processes import PASSWORD, USER

ANSWERS = (
    "/",
    "/metrics",
    "/readyz",
    "/api/v1/status",
    "/api/v1/rules",
    "/api/v1/jobs?limit=1000",
    "/api/v1/jobs?state=done&limit=1000",
    "/api/v1/failures",
    "/api/v1/nothing",
)


def needles() -> dict[bytes, str]:
    """What to look for, and which secret each is."""
    login = f"{USER}:{PASSWORD}"
    plain = {secret.encode(): secret for secret in SECRETS}
    coded = {_inner(secret): secret for secret in SECRETS}
    return {**plain, **coded, base64.b64encode(login.encode()).rstrip(b"="): login}


Places = Iterable[tuple[str, bytes]]
"""What was looked through, by name."""


def leaks(places: Places) -> list[str]:
    """Each secret that is in one of the places, a sentence each."""
    return [
        f"{name} holds the secret {secret!r}"
        for name, content in places
        for needle, secret in needles().items()
        if needle in content
    ]


def stored(world: ChaosWorld) -> Places:
    """All that Redis holds, and the files that it wrote; it must run."""
    for path in sorted(world.redis.directory.rglob("*")):
        if path.is_file():
            yield f"Redis' file {path.name}", path.read_bytes()
    with contextlib.closing(world.redis.client()) as redis:
        keys = [*redis.scan_iter(count=1000)]
        with redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.dump(key)
            for key, content in zip(keys, pipe.execute(), strict=True):
                yield f"the key {key.decode(errors='replace')}", key + (content or b"")


def told(world: ChaosWorld) -> Places:
    """What the roles logged (spans too, where they are printed), how they were called, and what they answer."""
    yield from ((f"the log of {log.parent.name}", log.read_bytes()) for log in world.logs())
    yield from _command_lines(world)
    yield from _answers(world)


def _command_lines(world: ChaosWorld) -> Places:
    for name in (*world.processes, "child"):
        for pid in world.pids(name):
            with contextlib.suppress(OSError):
                yield f"the command line of {name}", Path(f"/proc/{pid}/cmdline").read_bytes()


def _answers(world: ChaosWorld) -> Places:
    with RawClient(world.url) as client:
        for path in ANSWERS:
            for token in (API_TOKEN, "another"):
                answer = client.call("GET", path, headers={"Authorization": f"Bearer {token}"})
                head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
                yield f"the answer to {path}", head.encode() + answer.body


def _inner(secret: str) -> bytes:
    """What every base64 of something that begins with the secret has in common."""
    whole = len(secret) // 3 * 3
    return base64.b64encode(secret[:whole].encode())

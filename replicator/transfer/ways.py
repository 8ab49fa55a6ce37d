"""How a blob is sent: in one request or in chunks, and of what size. Decided from values alone.

One PUT costs the fewest requests, and is what every registry takes. Chunks make a large upload one that can be taken
up where it broke off, and get past a proxy that limits the size of a request. They cost a request each, and many
registries keep nothing of a request that broke off: CNCF Distribution 2.8 answers 404 for the whole session once a
PATCH or PUT was cut, because the state in the Location no longer fits what it stored (seen with the filesystem store),
and Harbor and GitLab descend from it. What breaks off between two requests is taken up there, over a restart as well.

So chunks are for where most of the time passes between requests: where the source is slow. A chunk is read into memory
whole, then sent at once; it is small, so that this takes little time and little memory. A blob that a fast source gives
in a few seconds goes in one request, unless it is so large that its loss would hurt all the same. How fast the source
is shows in the first piece of the very blob. A slow destination is no reason: the time passes within requests there.

    size               from a source that gives       it is sent
    below 16 MiB       any                            in one request
    16 to 512 MiB      32 MiB a second or more        in one request
    16 to 512 MiB      less                           in chunks of 4 MiB
    512 MiB or more    any                            in chunks of 4 MiB
    16 MiB or more     any, after a try broke off     in chunks of 4 MiB
    above the largest request that was taken          in chunks of that size
"""

import re
from dataclasses import dataclass

from replicator.ledger import Habit
from replicator.rules import RegistryType

MIB = 1024 * 1024
CHUNK_BYTES = 4 * MIB
"""GHCR takes no larger ones."""
RESUMABLE_BYTES = 16 * MIB
"""From this size on it is worth a write to Redis to know where an upload stood."""
PRECIOUS_BYTES = 512 * MIB
SLOW_BYTES_PER_S = 32 * MIB
_MOST_BYTES = 16 * MIB
"""A registry that wants larger chunks than this gets blobs whole: chunks are held in memory."""
_LIMITS = (CHUNK_BYTES, MIB, MIB // 4)
# ECR stores the first of several chunks only, or says so; Artifact Registry documents that it takes none.
_WHOLE_ONLY = frozenset({RegistryType.ECR, RegistryType.ECR_PUBLIC, RegistryType.GAR})
_SIGNED = re.compile(r"(?i)(?:signature|credential|token|password|secret|[?&]sig)=")


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of a blob before it is sent: its size, and what the registry that it goes to wants.

    `least_bytes` is the smallest chunk that the registry takes in this session. `was_cut` says that an earlier try to
    send it broke off.
    """

    size_bytes: int
    kind: RegistryType
    habit: Habit
    least_bytes: int = 0
    was_cut: bool = False


def chunk_bytes(blob: Blob, bytes_per_s: float | None = None) -> int | None:
    """The size of the chunks, or None where the blob goes in one request. `bytes_per_s` is how fast the source is."""
    if blob.kind in _WHOLE_ONLY or blob.habit.is_whole_only:
        return None
    limit = blob.habit.body_limit_bytes
    if limit and blob.size_bytes > limit:
        wanted = limit
    elif _is_worth_chunks(blob, bytes_per_s):
        wanted = CHUNK_BYTES
    else:
        return None
    wanted = max(wanted, blob.least_bytes)
    return wanted if wanted <= _MOST_BYTES and wanted < blob.size_bytes else None


def _is_worth_chunks(blob: Blob, bytes_per_s: float | None) -> bool:
    if blob.size_bytes < RESUMABLE_BYTES:
        return False
    is_slow = bytes_per_s is not None and bytes_per_s < SLOW_BYTES_PER_S
    return is_slow or blob.was_cut or blob.size_bytes >= PRECIOUS_BYTES


def after_too_large(habit: Habit, tried_bytes: int) -> Habit | None:
    """What to believe of a registry that refused a request of this size for its size; None where nothing smaller is
    worth a try.
    """
    known = tried_bytes if habit.body_limit_bytes is None else min(tried_bytes, habit.body_limit_bytes)
    smaller = next((limit for limit in _LIMITS if limit < known), None)
    return None if smaller is None or habit.is_whole_only else Habit(body_limit_bytes=smaller)


def is_keepable(location: str) -> bool:
    """Whether a Location may be kept: not where it holds what lets its bearer in."""
    return not _SIGNED.search(location)

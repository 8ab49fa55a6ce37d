"""The last sound revision, kept beside the rule files so that a role can start again while they are broken.

What is kept are the files as they were read: no variable is filled in and no secret file is looked into. Only the
owner may read it, because a rule file may hold a secret of its own.
"""

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from replicator.rulefiles.directory import Snapshot

log = logging.getLogger(__name__)


class _Kept(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        hide_input_in_errors=True,
    )

    directory: str
    files: dict[str, bytes]


def store(place: Path, snapshot: Snapshot) -> None:
    """Afterwards the file `place` holds the snapshot, whole. If it cannot be written that is logged, no more."""
    kept = _Kept(directory=_full(snapshot.directory), files=snapshot.files)
    raw = kept.model_dump_json().encode()
    try:
        if not place.exists() or place.read_bytes() != raw:
            place.parent.mkdir(parents=True, exist_ok=True)
            _replace(place, raw)
    except OSError as exc:
        log.warning("rules not kept", extra={"place": str(place), "why": exc.strerror})


def recall(place: Path, directory: Path) -> Snapshot | None:
    """What `store` wrote of this rules directory last; None if there is nothing, or nothing that can be read."""
    try:
        kept = _Kept.model_validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None
    return Snapshot(directory, kept.files) if kept.directory == _full(directory) else None


def _full(directory: Path) -> str:
    # Links are not followed: a release may be a link that was set anew.
    return str(directory.absolute()).encode(errors="backslashreplace").decode()


def _replace(place: Path, raw: bytes) -> None:
    # Several processes keep the same revision at once: each writes a file of its own, which only the owner can read.
    number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise

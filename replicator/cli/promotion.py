"""The command `promote`: carry an order out while somebody looks on, or show those that were carried out."""

import getpass
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from replicator.cli.tables import print_table
from replicator.errors import ConfigError
from replicator.ledger import Promoted, Promotion
from replicator.oci import Digest
from replicator.operate import clock
from replicator.rules import Signatures
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.transfer.moved import Moved
from replicator.transfer.promote import HEAD_START_S, Order, digest_expected, resolve, see_through, submit


def order_of(
    start: str | None,
    end: str | None,
    *,
    expect: str | None,
    override: bool,
    signatures: Signatures,
    by: str | None,
) -> Order:
    """The order that the arguments word. Raises ConfigError for what is missing or no digest."""
    if not start or not end:
        raise ConfigError("promote wants a SOURCE and a DESTINATION (or --history)")
    return Order(start, end, digest_expected(expect), override, signatures, by or _user())


def promote(settings: Settings, order: Order, *, as_json: bool) -> None:
    """Promote now, in this process, and print what came of it. Raises what kept it from being done."""
    logging.getLogger("replicator").addHandler(logging.NullHandler())  # what matters is printed
    runtime = Runtime(settings)
    started = time.monotonic()
    promotion = resolve(order, runtime.rules, runtime.client)
    moved = Moved()
    job_id = submit(runtime.ledger, promotion, delay_s=HEAD_START_S)
    try:
        with _progress(promotion, moved) as progress:
            done = see_through(promotion, runtime.tools, moved=moved, tell=progress.tell)
    except KeyboardInterrupt:
        typer.echo(f"interrupted: job {job_id} stays in the ledger, and a worker carries it out", err=True)
        raise
    finally:
        runtime.close()
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps(_document(done) | _figures(moved, seconds) | {"job": job_id}, indent=2))
        return
    typer.echo(_summary(done))
    typer.echo(_told(moved, seconds))


def history(settings: Settings, *, limit: int, as_json: bool) -> None:
    """Print the promotions that were carried out, the latest first."""
    runtime = Runtime(settings)
    found = runtime.ledger.promotions.history(limit)
    if as_json:
        typer.echo(json.dumps([_document(item) for item in found], indent=2))
        return
    if not found:
        typer.echo("nothing was promoted yet")
        return
    print_table(["when", "by", "from", "to", "digest", "before"], map(_row, found))


def _row(item: Promoted) -> tuple[str, ...]:
    order = item.promotion
    return clock(item.at), order.by, order.start, order.end, _short(order.digest), _short(item.previous)


class _Progress:
    """Says how far it is, to whoever waits: on a terminal in one line that changes, elsewhere only what is new."""

    def __init__(self, promotion: Promotion, moved: Moved) -> None:
        self._name = f"{promotion.start} ({_short(promotion.digest)}) -> {promotion.end}"
        self._moved = moved
        self._said = ""
        self._console = Console(stderr=True)
        self._status = self._console.status(self._name) if self._console.is_terminal else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        if self._status:
            self._status.start()
            self._thread.start()
        else:
            typer.echo(f"promoting {self._name}", err=True)

    def stop(self) -> None:
        self._stop.set()
        if self._status:
            self._thread.join()
            self._status.stop()

    def tell(self, reason: str) -> None:
        """Say once why nothing goes on."""
        if reason != self._said:
            self._said = reason
            typer.echo(f"waiting: {reason}", err=True)

    def _run(self) -> None:
        while self._status and not self._stop.wait(0.2):
            counts = f"{self._moved.sent} blobs sent, {self._moved.mounted} mounted"
            self._status.update(f"{self._name}: {counts}, {self._moved.size_bytes} bytes")


@contextmanager
def _progress(promotion: Promotion, moved: Moved) -> Iterator[_Progress]:
    progress = _Progress(promotion, moved)
    progress.start()
    try:
        yield progress
    finally:
        progress.stop()


def _summary(done: Promoted) -> str:
    order = done.promotion
    if done.previous == order.digest:
        extra = "" if done.outcome == "unchanged" else ", and is whole again"
        return f"{order.end} was {order.digest} already{extra}"
    before = f" (before: {done.previous})" if done.previous else ""
    return f"{order.end} is {order.digest}{before}"


def _told(moved: Moved, seconds: float) -> str:
    blobs = f"{moved.sent} blobs sent, {moved.mounted} mounted, {moved.present} there already"
    signed = f"signatures and referrers: {moved.followers}"
    return f"{blobs}; {moved.size_bytes} bytes; {signed}; {seconds:.1f} s"


def _figures(moved: Moved, seconds: float) -> dict[str, object]:
    return {
        "blobs": {
            "copied": moved.copied,
            "resumed": moved.resumed,
            "mounted": moved.mounted,
            "present": moved.present,
        },
        "bytes": moved.size_bytes,
        "signatures": moved.followers,
        "seconds": round(seconds, 3),
    }


def _document(item: Promoted) -> dict[str, object]:
    order = item.promotion
    return {
        "from": order.start,
        "to": order.end,
        "digest": order.digest,
        "previous": item.previous,
        "outcome": item.outcome,
        "by": order.by,
        "at": item.at,
    }


def _short(digest: Digest | None) -> str:
    return f"{digest.algorithm}:{digest.hex[:12]}" if digest else "-"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

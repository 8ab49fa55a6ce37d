"""What a long command shows while it runs: one line that is written over on a terminal, plain lines elsewhere.

All of it goes to stderr, so that what a script reads stays clean.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

PLAIN_EVERY_S = 10.0
LIVE_EVERY_S = 0.2

Show = Callable[[str], None]
"""Called as often as the caller likes; shows what is worth a look."""


@contextmanager
def progress() -> Iterator[Show]:
    """Shows a line of text that changes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _every(PLAIN_EVERY_S, lambda text: typer.echo(text, err=True))
        return
    with console.status("") as status:
        yield _every(LIVE_EVERY_S, status.update)


def _every(pause_s: float, show: Show) -> Show:
    shown_at = time.monotonic() if pause_s >= PLAIN_EVERY_S else 0.0

    def sometimes(text: str) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at >= pause_s:
            shown_at = now
            show(text)

    return sometimes


def size(count: float) -> str:
    """A number of bytes for people, in units of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def count(number: int, word: str, plural: str = "") -> str:
    """A number with its word in the singular or plural."""
    return f"{number:,} {word if number == 1 else plural or f'{word}s'}"

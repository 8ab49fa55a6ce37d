"""Fuzzing without a coverage guide: makers that know the grammar of what they spoil, and many inputs.

Each input follows from the seed, the target's name and its own number, so that one that was found is made again by
these three. What must hold of every input: nothing but our own errors comes out, no more than `SLOW_S` of CPU goes in,
and nobody is looked up or connected to.
"""

import logging
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SLOW_S = 0.1
FINDINGS_KEPT = 20
_SHOWN = 300
_REACHING_OUT = frozenset({"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"})


class Reached(AssertionError):
    """What was read made somebody reach out."""


@dataclass(frozen=True)
class Target:
    """What is fed: `check` takes what `make` makes, and raises for a finding."""

    name: str
    make: Callable[[random.Random], Any]
    check: Callable[[Any], object]
    inputs: int
    """How many the full form takes."""


@dataclass
class Result:
    """What came of a run."""

    target: str
    seed: int
    inputs: int = 0
    slowest_s: float = 0.0
    slowest: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        """Takes in another part of the same run."""
        self.inputs += other.inputs
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest
        self.findings += other.findings

    def __str__(self) -> str:
        return (
            f"{self.target}: {self.inputs:,} inputs, {len(self.findings)} findings,"
            f" slowest {1000 * self.slowest_s:.1f} ms of CPU (seed {self.seed}, input {self.slowest})"
        )


def made(target: Target, seed: int, number: int) -> Any:
    """The input of that number."""
    return target.make(random.Random(f"{seed}/{target.name}/{number}"))


def run(target: Target, seed: int, numbers: range, *, until: float = float("inf")) -> Result:
    """Feeds the inputs of these numbers, as many as fit until then by the monotonic clock."""
    result = Result(target.name, seed)
    with _silence():
        _feed(target, numbers, until, result)
    return result


@contextmanager
def _silence() -> Iterator[None]:
    # The warnings that registries send would fill the screen.
    log = logging.getLogger("replicator")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _feed(target: Target, numbers: range, until: float, result: Result) -> None:
    for number in numbers:
        if time.monotonic() > until or len(result.findings) >= FINDINGS_KEPT:
            break
        fed = made(target, result.seed, number)
        result.inputs += 1
        seconds, wrong = _fed(target, fed)
        if seconds > SLOW_S:
            # Once may be the machine's doing, or a collection of garbage.
            seconds = min(seconds, _fed(target, fed)[0], _fed(target, fed)[0])
        if seconds > SLOW_S:
            wrong = wrong or f"{1000 * seconds:.0f} ms of CPU"
        if seconds > result.slowest_s:
            result.slowest_s, result.slowest = seconds, number
        if wrong:
            result.findings.append(
                f"{target.name}, seed {result.seed}, input {number}: {wrong}\n{_shown(fed)}"
            )


def _fed(target: Target, fed: Any) -> tuple[float, str]:
    began = time.thread_time()
    try:
        with _guard:
            target.check(fed)
    except Exception as exc:  # noqa: BLE001 - whatever comes out is the finding
        last = traceback.extract_tb(exc.__traceback__)[-1]
        return (
            time.thread_time() - began,
            f"{type(exc).__name__}: {exc!s:.200} ({last.filename}:{last.lineno})",
        )
    return time.thread_time() - began, ""


def _shown(fed: Any) -> str:
    text = repr(fed)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


class _Guard:
    """While it is up, whoever looks a name up, connects or starts a program is stopped. Audit hooks stay for ever."""

    def __init__(self) -> None:
        self._is_up = False
        self._is_hooked = False

    def __enter__(self) -> None:
        if not self._is_hooked:
            sys.addaudithook(self._hook)
            self._is_hooked = True
        self._is_up = True

    def __exit__(self, *_: object) -> None:
        self._is_up = False

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._is_up and event in _REACHING_OUT:
            raise Reached(f"{event} {arguments[-1]!r}")


_guard = _Guard()

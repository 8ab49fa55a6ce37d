"""Comparisons that were asked for and not made by whoever asked: by a schedule, by a new rule, through the API.

Each is taken by one process, and no two of the same subject run at once. What each lane was found to lack is kept.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from replicator.ledger.claim import TEXT_LIMIT
from replicator.ledger.connect import PREFIX, answering, bounded_wait_s
from replicator.ledger.scripts import Scripts

LEASE_S = 30.0
"""How long a sweep stays with a process that does not say that it lives."""


class SweepKind(StrEnum):
    """What becomes of the differences: shown, or brought in line."""

    PLAN = "plan"
    RESYNC = "resync"


class SweepState(StrEnum):
    """Where a sweep is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SweepView:
    """A sweep. `request` and `result` are JSON, `by` says who asked, `error` why it failed, or was postponed the last
    of `postponed` times. Times are Redis time.
    """

    id: str
    kind: SweepKind
    state: SweepState
    request: str
    by: str
    asked_at: float
    started_at: float | None = None
    ended_at: float | None = None
    result: str | None = None
    error: str | None = None
    is_owed: bool = False
    postponed: int = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """When a lane was compared last, as a whole, and how many of its references were not in line."""

    at: float
    drift: int


class Sweeps:
    """Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        scripts = Scripts(client)
        self._ask = scripts.script("ask_sweep")
        self._take = scripts.script("take_sweep")
        self._renew = scripts.script("renew_sweep")
        self._postpone = scripts.script("postpone_sweep")
        self._end = scripts.script("end_sweep")

    def ask(
        self,
        kind: SweepKind,
        request: str,
        *,
        subject: str = "",
        by: str,
        mark: tuple[str, float] | None = None,
        is_owed: bool = False,
        delay_s: float = 0.0,
    ) -> str | None:
        """Asks for a sweep; its id. With a `mark`, a name and a number, it is asked for once for each higher number,
        and not while the same still waits: None if somebody else did. Sweeps of one subject run one after another. One
        that `is_owed` is to be made again as long as something of it cannot be read. It begins `delay_s` from now, or
        later.
        """
        sweep_id = secrets.token_hex(8)
        name, value = mark or ("", 0.0)
        with answering():
            is_new = self._ask(
                sweep_id, kind, subject or sweep_id, request, by, name, value, int(is_owed), delay_s
            )
        return sweep_id if is_new else None

    def mark(self, name: str, value: float) -> None:
        """Sets a mark as if a sweep had been asked for."""
        with answering():
            self._ask("", "", "", "", "", name, value, 0, 0)

    def marks(self) -> dict[str, float]:
        """Every mark."""
        with answering():
            found: Any = self._redis.hgetall(f"{PREFIX}asked")
        return {name: float(value) for name, value in found.items()}

    def take(self) -> SweepView | None:
        """The sweep that waits longest, ours for `LEASE_S`; None if there is none."""
        with answering():
            sweep_id = self._take(LEASE_S)
        return self.view(sweep_id) if sweep_id else None

    def wait(self, timeout_s: float) -> None:
        """Returns as soon as a sweep is asked for, at the latest after `timeout_s`, or 4 s."""
        with answering():
            self._redis.blpop([f"{PREFIX}summons"], timeout=bounded_wait_s(timeout_s))

    def renew(self, sweep_id: str) -> bool:
        """Keeps it ours for another `LEASE_S`. False if it is not ours any more."""
        with answering():
            return bool(self._renew(sweep_id, LEASE_S))

    def give_back(self, sweep_id: str) -> None:
        """Lets somebody else take it, as if it had not been ours."""
        with answering():
            self._renew(sweep_id, 0)

    def postpone(self, sweep_id: str, delay_s: float, error: str) -> bool:
        """Has it made again `delay_s` from now, and says why. False if it is not ours any more."""
        with answering():
            return bool(self._postpone(sweep_id, delay_s, error[:TEXT_LIMIT]))

    def end(self, sweep_id: str, *, result: str = "", error: str = "") -> None:
        """The sweep is done, or with an error failed."""
        with answering():
            self._end(sweep_id, SweepState.FAILED if error else SweepState.DONE, result, error)

    def view(self, sweep_id: str) -> SweepView | None:
        """The sweep of that id, for a week after its end."""
        with answering():
            found: Any = self._redis.hgetall(f"{PREFIX}sweep:{sweep_id}")
        return _view(sweep_id, found) if found else None

    def open(self) -> list[SweepView]:
        """Those that wait or run, in the order in which they were asked for."""
        with answering():
            ids = [str(name) for name in self._redis.zrange(f"{PREFIX}sweeps", 0, -1)]
        return [view for name in ids if (view := self.view(name))]

    def note(self, rule: str, destination: str, *, drift: int) -> None:
        """Notes what a comparison of everything that the rule wants there found."""
        with answering():
            seconds, micros = self._redis.time()
            at = f"{seconds}.{micros:06d}"
            self._redis.hset(f"{PREFIX}swept", f"{rule}|{destination}", f"{at} {drift}")

    def swept(self, lanes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Swept]:
        """What was found of each of these lanes last; those that were never compared are missing."""
        with answering():
            found: Any = self._redis.hgetall(f"{PREFIX}swept")
        known = {
            lane: found[f"{lane[0]}|{lane[1]}"].split() for lane in lanes if f"{lane[0]}|{lane[1]}" in found
        }
        return {lane: Swept(float(at), int(drift)) for lane, (at, drift) in known.items()}


def _view(sweep_id: str, found: dict[str, str]) -> SweepView:
    def moment(name: str) -> float | None:
        return float(found[name]) if found.get(name) else None

    return SweepView(
        id=sweep_id,
        kind=SweepKind(found["kind"]),
        state=SweepState(found["state"]),
        request=found["request"],
        by=found["by"],
        asked_at=float(found["asked_at"]),
        started_at=moment("started_at"),
        ended_at=moment("ended_at"),
        result=found.get("result") or None,
        error=found.get("error") or None,
        is_owed=found.get("owed") == "1",
        postponed=int(found.get("postponed", 0)),
    )

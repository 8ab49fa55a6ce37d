"""What the web application stands on, in memory: rules that stay, an inbox that is a list, a ledger that was told."""

import asyncio
import json
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp

from replicator.errors import LedgerUnavailable, PermanentError
from replicator.ledger import (
    DeadLetter,
    Decided,
    Deletion,
    JobView,
    Lane,
    Pause,
    PauseKind,
    Selection,
    State,
    SweepKind,
    SweepView,
    Swept,
)
from replicator.operate import Desk
from replicator.registry import RegistryClient
from replicator.rules import (
    Destination,
    Filter,
    FilterType,
    Limits,
    Registry,
    RegistryType,
    Rule,
    RuleSet,
    Webhook,
)
from replicator.web.app import create_app
from replicator.web.authentication import Tokens
from replicator.web.receiver import Bounds

TOKEN = "api-canary"
READ_TOKEN = "read-canary"
SECRET = "hook-canary"
OLD_SECRET = "olduser:old-canary"


def registry(name: str, webhook: Webhook | None = None) -> Registry:
    return Registry(name, RegistryType.DISTRIBUTION, f"https://{name}.example.com", webhook=webhook)


def a_rule(name: str, source: str, *destinations: str, enabled: bool = True) -> Rule:
    return Rule(
        name,
        source,
        tuple(Destination(there) for there in destinations),
        filters=(Filter(FilterType.NAME, "team/**"),),
        enabled=enabled,
    )


RULES = RuleSet(
    registries={
        "eu": registry("eu", Webhook((SecretStr(SECRET), SecretStr(OLD_SECRET)))),
        "open": registry("open", Webhook(anonymous=True)),
        "us": registry("us"),
    },
    rules=(a_rule("prod", "eu", "us", "open"), a_rule("off", "eu", "us", enabled=False)),
    revision="revision-1",
)


@dataclass
class FixedRules:
    """A rule book whose files never change."""

    current: RuleSet = RULES
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    loaded_at: float = 1.0


@dataclass
class MemoryInbox:
    """Keeps what the receiver records; `away` makes it fail, `delay_s` makes it slow."""

    entries: list[dict[str, object]] = field(default_factory=list)
    away: bool = False
    delay_s: float = 0.0

    async def record(self, **entry: object) -> str:
        await asyncio.sleep(self.delay_s)
        if self.away:
            raise LedgerUnavailable("Redis is away")
        self.entries.append(entry)
        return f"{len(self.entries)}-0"


@dataclass
class ToldPauses:
    """The pauses in force, in memory."""

    found: dict[tuple[PauseKind, str], Pause] = field(default_factory=dict)

    def all(self) -> list[Pause]:
        return list(self.found.values())

    def pause(self, kind: PauseKind, name: str, reason: str = "") -> bool:
        is_new = (kind, name) not in self.found
        self.found[kind, name] = Pause(kind, name, 990.0, reason)
        return is_new

    def resume(self, kind: PauseKind, name: str) -> bool:
        return self.found.pop((kind, name), None) is not None


@dataclass
class ToldSweeps:
    """Comparisons: what they found, those that it was told of, and those that were asked for."""

    found: Mapping[tuple[str, str], Swept] = field(default_factory=dict)
    told: Mapping[str, SweepView] = field(default_factory=dict)
    asked: list[tuple[SweepKind, str]] = field(default_factory=list)

    def swept(self, lanes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Swept]:
        return {lane: self.found[lane] for lane in lanes if lane in self.found}

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
        if mark and (kind, request) in self.asked:
            return None  # it waits still
        self.asked.append((kind, request))
        return f"asked-{len(self.asked)}"

    def marks(self) -> dict[str, float]:
        return {}

    def view(self, sweep_id: str) -> SweepView | None:
        return self.told.get(sweep_id)

    def open(self) -> list[SweepView]:
        return [view for view in self.told.values() if view.ended_at is None]


@dataclass
class ToldLedger:
    """Answers what it was told; it is its own view, fleet and inbox."""

    told_lanes: Mapping[tuple[str, str], Lane] = field(default_factory=dict)
    told_jobs: list[JobView] = field(default_factory=list)
    told_letters: list[DeadLetter] = field(default_factory=list)
    told_deletions: list[Deletion] = field(default_factory=list)
    told_conflicts: list[Decided] = field(default_factory=list)
    pauses: ToldPauses = field(default_factory=ToldPauses)
    settled: list[tuple[str, str]] = field(default_factory=list)
    sweeps: ToldSweeps = field(default_factory=ToldSweeps)
    down: frozenset[str] = frozenset()
    told_windows: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    clock: float = 1000.0
    away: bool = False

    @property
    def view(self) -> "ToldLedger":
        return self

    @property
    def fleet(self) -> "ToldLedger":
        return self

    @property
    def availability(self) -> "ToldLedger":
        return self

    def inbox(self, consumer: str) -> "ToldLedger":
        return self

    def ping(self) -> None:
        if self.away:
            raise LedgerUnavailable("Redis is away")

    def now(self) -> float:
        self.ping()
        return self.clock

    def lanes(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Lane]:
        self.ping()
        return {pair: self.told_lanes.get(pair, Lane(0, 0, 0, None)) for pair in pairs}

    def unreachable(self, names: Iterable[str]) -> frozenset[str]:
        self.ping()
        return self.down & frozenset(names)

    @property
    def budgets(self) -> "ToldLedger":
        return self

    def windows(self, limits: Mapping[str, Limits]) -> dict[str, int]:
        self.ping()
        return {name: size for name, size in self.told_windows.items() if name in limits}

    def length(self) -> int:
        self.ping()
        return self.waiting

    def oldest_age_s(self) -> float:
        self.ping()
        return 2.0 if self.waiting else 0.0

    def each(self, *, state: State | None = None, selection: Selection) -> Iterator[JobView]:
        self.ping()
        found = (job for job in self.told_jobs if state in (None, job.state))
        return (job for job in found if selection.takes(job.job))

    def lane_names(self) -> list[tuple[str, str]]:
        self.ping()
        return sorted({(job.rule, job.destination) for job in self.told_jobs})

    def job_view(self, job_id: str) -> JobView | None:
        self.ping()
        return next((job for job in self.told_jobs if job.id == job_id), None)

    def each_dead_letter(self) -> Iterator[DeadLetter]:
        self.ping()
        return iter(self.told_letters)

    def dead_letters_named(self, prefix: str) -> list[DeadLetter]:
        self.ping()
        return [letter for letter in self.told_letters if letter.id.startswith(prefix)]

    @property
    def conflicts(self) -> list[Decided]:
        self.ping()
        return self.told_conflicts

    @property
    def deletions(self) -> "ToldDeletions":
        self.ping()
        return ToldDeletions(self.told_deletions)

    # What is done to it, which it only notes

    def reopen_all(self, ids: Sequence[str]) -> list[bool]:
        self.settled += [("retry", job_id) for job_id in ids]
        return [True] * len(ids)

    def drop_all(self, ids: Sequence[str]) -> list[bool]:
        self.settled += [("drop", job_id) for job_id in ids]
        return [True] * len(ids)

    def approve_all(self, jobs: Sequence[tuple[str, str]]) -> list[bool]:
        self.settled += [(f"approve {reason}", job_id) for job_id, reason in jobs]
        return [True] * len(jobs)

    def revive(self, letter_id: str) -> bool:
        self.settled.append(("retry", letter_id))
        return True

    def discard(self, letter_id: str) -> bool:
        self.settled.append(("drop", letter_id))
        return True


class ToldDeletions(list[Deletion]):
    """The log of deletions."""

    def named(self, prefix: str) -> list[Deletion]:
        return [deletion for deletion in self if deletion.id.startswith(prefix)]


@dataclass
class Site:
    """A web application over fakes, asked through ASGI: no socket."""

    rules: FixedRules = field(default_factory=FixedRules)
    ledger: ToldLedger = field(default_factory=ToldLedger)
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def app(self) -> ASGIApp:
        return create_app(
            rules=self.rules,
            desk=Desk(self.ledger, lambda: self.rules.current, no_client),
            record=self.inbox.record,
            tokens=Tokens(SecretStr(TOKEN), SecretStr(READ_TOKEN)),
            bounds=self.bounds,
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: bytes | AsyncIterable[bytes] = b"",
    ) -> httpx.Response:
        """One request."""

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://replicator") as client:
                return await client.request(method, path, headers=headers, content=body)

        return asyncio.run(once())

    def post(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] = b"{}",
    ) -> httpx.Response:
        """A notification, authenticated as `eu` unless `headers` say something else."""
        return self.ask("POST", path, headers=bearer(SECRET) if headers is None else headers, body=body)

    def get(self, path: str, token: str = TOKEN) -> httpx.Response:
        """A question to the API."""
        return self.ask("GET", path, headers=bearer(token))

    def act(self, path: str, document: object = None, *, token: str = TOKEN) -> httpx.Response:
        """A call of the API that changes something."""
        headers = {**bearer(token), "Content-Type": "application/json"}
        return self.ask(
            "POST", path, headers=headers, body=b"" if document is None else json.dumps(document).encode()
        )


def no_client(name: str) -> RegistryClient:
    raise PermanentError(f"no rule file describes the registry {name}")


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}

"""What the web application stands on, in memory: rules that stay, an inbox that is a list, a ledger that was told."""

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp

from replicator.errors import LedgerUnavailable
from replicator.ledger import DeadLetter, JobView, Lane, State
from replicator.rules import Destination, Filter, FilterType, Registry, RegistryType, Rule, RuleSet, Webhook
from replicator.web.app import create_app
from replicator.web.receiver import Bounds

TOKEN = "api-canary"
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
class ToldLedger:
    """Answers what it was told; it is its own view, fleet and inbox."""

    told_lanes: Mapping[tuple[str, str], Lane] = field(default_factory=dict)
    told_jobs: list[JobView] = field(default_factory=list)
    told_letters: list[DeadLetter] = field(default_factory=list)
    down: frozenset[str] = frozenset()
    waiting: int = 0
    clock: float = 1000.0
    away: bool = False

    @property
    def view(self) -> "ToldLedger":
        return self

    @property
    def fleet(self) -> "ToldLedger":
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

    def length(self) -> int:
        self.ping()
        return self.waiting

    def oldest_age_s(self) -> float:
        self.ping()
        return 2.0 if self.waiting else 0.0

    def jobs(self, *, state: State | None = None, limit: int = 100) -> list[JobView]:
        self.ping()
        return [job for job in self.told_jobs if state in (None, job.state)][:limit]

    def job_view(self, job_id: str) -> JobView | None:
        self.ping()
        return next((job for job in self.told_jobs if job.id == job_id), None)

    def failures(self, limit: int = 100) -> list[JobView]:
        self.ping()
        return [job for job in self.told_jobs if job.state in (State.PARKED, State.BLOCKED)][:limit]

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        self.ping()
        return self.told_letters[:limit]


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
            ledger=self.ledger,
            record=self.inbox.record,
            token=SecretStr(TOKEN),
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


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}

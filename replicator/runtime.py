"""The composition root: from settings to a ledger, rules and registry clients that work together.

Every process builds one `Runtime` for itself; nothing else in the package builds these parts.
"""

import hashlib
import logging
import tempfile
import threading
from functools import cached_property
from pathlib import Path

from pydantic import SecretStr

from replicator.broker import Bell, make_app
from replicator.errors import ConfigError, PermanentError, TemporaryError
from replicator.ledger import Ledger
from replicator.operate import Desk
from replicator.registry import RegistryClient, connect
from replicator.rulefiles import RuleBook
from replicator.rules import Registry, RuleSet
from replicator.settings import Settings, environment
from replicator.telemetry import observe_request
from replicator.transfer import Leases, Tools

log = logging.getLogger(__name__)

_SOCKET_PATH_LIMIT = 100
"""The kernel's limit is 108 bytes, and Redis writes a temporary name beside it."""


def embedded_socket(data: Path) -> Path:
    """Where the Redis that `up` runs on `data` listens: below `data`, unless that path is too long for a socket."""
    path = data.resolve() / "redis.sock"
    if len(str(path).encode()) <= _SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"replicator-{name}" / "redis.sock"


def redis_url(settings: Settings) -> str:
    """The Redis that was configured, or else the one that `up` runs on the same data directory."""
    if settings.redis_url:
        return settings.redis_url.get_secret_value()
    return f"unix://{embedded_socket(settings.data)}"


class Runtime:
    """The parts of one process, each built when it is first asked for."""

    def __init__(
        self, settings: Settings, *, book: RuleBook | None = None, keeps_rules: bool = False
    ) -> None:
        """`book` are rules that are loaded already, as after a fork.

        What `keeps_rules` may start while the rule files are broken, with the last revision that was not. That is for
        what is restarted unasked; a person who starts something is told of the mistakes instead.
        """
        self.settings = settings
        self.redis_url = redis_url(settings)
        self._book = book
        self._kept = settings.data / "rules-kept.json" if keeps_rules else None
        self._clients: dict[str, tuple[Registry, RegistryClient]] = {}
        self._lock = threading.Lock()

    @cached_property
    def book(self) -> RuleBook:
        """The rule files. The first use may raise RulesError; later revisions may be wrong."""
        return self._book or RuleBook(self.settings.rules, environment(), keep=self._kept)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger in Redis."""
        return Ledger.connect(
            self.redis_url, lease_s=self.settings.lease_s, redispatch_s=self.settings.redispatch_s
        )

    @cached_property
    def bell(self) -> Bell:
        """What rings the workers."""
        return Bell(make_app(self.redis_url))

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self.book.current

    @cached_property
    def tools(self) -> Tools:
        """What a worker needs to run jobs."""
        leases = Leases(self.ledger, lease_s=self.settings.lease_s)
        return Tools(self.ledger, lambda: self.rules, self.client, leases)

    @property
    def desk(self) -> Desk:
        """What an operator needs to see and settle jobs."""
        return Desk(self.ledger, lambda: self.rules, self.client)

    def client(self, name: str) -> RegistryClient:
        """The client of the registry that the rules name so; a changed registry gets a new one."""
        registry = self.rules.registries.get(name)
        if registry is None:
            raise PermanentError(f"no rule file describes the registry {name}")
        with self._lock:
            known = self._clients.get(name)
            if known and known[0] == registry:
                return known[1]
            client = connect(
                registry, observe=observe_request, gate=self.ledger.budgets.of(name, registry.limits)
            )
            self._clients[name] = (registry, client)
        return client

    def warm(self) -> None:
        """Load once, before a fork, what every child would load for itself: rules, and what TLS trusts."""
        for name in self.rules.registries:
            try:
                self.client(name)
            except ConfigError as exc:
                log.warning("registry", extra={"warning": str(exc)})

    def warn_of_rules(self) -> None:
        """Log what a person should know of the rules in force."""
        for problem in self.book.warnings:
            log.warning("rules", extra={"warning": str(problem)})

    def warn_of_redis(self) -> None:
        """Log what a person should know of a Redis that may forget."""
        try:
            problems = self.ledger.durability_problems()
        except TemporaryError as exc:
            problems = [str(exc)]
        for sentence in problems:
            log.warning("redis", extra={"warning": sentence})

    def close(self) -> None:
        """Close every connection that this process opened."""
        for _, client in self._clients.values():
            client.close()
        self.ledger.close()


def api_token(settings: Settings) -> SecretStr:
    """The API's bearer token. Raises ConfigError if none is configured."""
    token = settings.read_api_token()
    if token is None:
        raise ConfigError(
            "REPLICATOR_API_TOKEN (or REPLICATOR_API_TOKEN_FILE) must be set: the API needs a token"
        )
    return token


def api_read_token(settings: Settings) -> SecretStr | None:
    """The token that may only read, if one is configured. Raises ConfigError if it is the other one."""
    token = settings.read_api_read_token()
    if token is not None and token == settings.read_api_token():
        raise ConfigError("REPLICATOR_API_READ_TOKEN: is the same as REPLICATOR_API_TOKEN, which may write")
    return token

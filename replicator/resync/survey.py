"""A survey: both sides of every lane in a scope, listed and compared, as a stream.

Each repository is listed once a side, however many rules and destinations want it: see `compare`. A listing that fails
is never an empty one: what it would have told is missing from the result, and said to be.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from replicator.drift import Difference
from replicator.errors import LedgerUnavailable, ReplicatorError
from replicator.oci import Repository
from replicator.resync.compare import Comparison
from replicator.resync.flow import Later, flow
from replicator.resync.scope import Lane, Scope, by_source, landing, named_repositories
from replicator.resync.tools import Tools, Trouble

THREADS = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Survey(Generic[T]):
    """A comparison of everything in `scope`.

    `examine` makes something of each difference: a result at once, or a step that reads more. With `prune`, what only
    a destination has may be deleted (see `drift`). `recheck` is the share of the references whose digest at the
    destination is read although the ledger knows it: 1 trusts nothing. Without `reads_new` the source is not asked what
    it is that no destination has.
    """

    tools: Tools
    scope: Scope
    examine: Callable[[Difference], T | Later[T | Trouble]]
    prune: bool = False
    recheck: float = 1.0
    reads_new: bool = True
    threads: int = THREADS

    def run(self) -> Iterator[T | Trouble]:
        """Every result, in no order; a Trouble for what cannot be read, while the rest goes on.

        Raises ConfigError for a scope without lanes, LedgerUnavailable if Redis does not serve.
        """
        lanes = self.scope.lanes(self.tools.rules)
        return flow(self._steps(by_source(lanes)), threads=self.threads)

    def _steps(self, sources: Mapping[str, list[Lane]]) -> Iterator[Later[T | Trouble]]:
        for source, lanes in sources.items():
            named = named_repositories(lanes, self.scope)
            try:
                seen: set[Repository] = set()
                for repository in self._catalogue(source) if named is None else named:
                    # A catalogue that had to be begun anew names again what it named before.
                    if repository not in seen:
                        seen.add(repository)
                        yield from self._repository(source, repository, lanes)
                for repository in sorted(self._remembered(lanes) - seen) if self.prune else ():
                    yield from self._repository(source, repository, lanes)
            except LedgerUnavailable:
                raise
            except ReplicatorError as exc:
                yield from _told(str(exc), lanes)

    def _repository(
        self, source: str, repository: Repository, lanes: list[Lane]
    ) -> Iterator[Later[T | Trouble]]:
        if not self.scope.takes_repository(repository):
            return
        twins = []
        for rule, there in lanes:
            try:
                pair = landing(repository, (rule, there), self.tools.rules)
            except ValueError as exc:
                yield from _told(
                    f"{source}/{repository} has no place at {there.registry}: {exc}", [(rule, there)]
                )
                continue
            twins += [pair] if pair else []
        if twins:
            comparison = Comparison(
                self.tools, self.scope, self.examine, self.prune, self.recheck, self.reads_new
            )
            yield Later(partial(comparison.run, source, repository, twins))

    def _remembered(self, lanes: list[Lane]) -> set[Repository]:
        """The source's repositories that something was copied from: one that is gone is in no catalogue."""
        places = {(name, rule.source, there.registry) for rule, there in lanes for name in rule.names}
        return {
            copy.record.repository
            for copy in self.tools.ledger.inventory.copies()
            if (copy.record.rule, copy.record.source, copy.destination) in places
        }

    def _catalogue(self, source: str) -> Iterator[Repository]:
        client, last = self.tools.client(source), ""
        pages = client.repositories()

        def following() -> Repository | None:
            nonlocal pages
            try:
                return next(pages, None)
            except ReplicatorError:
                # A generator that failed once looks like one that came to its end.
                pages = client.repositories(last=last)
                raise

        while name := self.tools.patience.read(source, following):
            yield name
            last = name


def _told(message: str, lanes: list[Lane]) -> Iterator[Later[T | Trouble]]:
    told = Trouble(message, tuple((rule.name, there.registry) for rule, there in lanes))
    yield Later(lambda: [told])

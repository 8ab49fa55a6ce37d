"""A sweep: a survey with its sums, as plan, resync and schedules ask for it. The metrics show what it found last."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from pydantic import TypeAdapter, ValidationError

from replicator.drift import Difference
from replicator.errors import ConfigError
from replicator.jobs import doorbells_at_once
from replicator.ledger import REPAIR
from replicator.resync.document import LaneSum
from replicator.resync.scope import Scope
from replicator.resync.survey import Survey
from replicator.resync.tally import Lane, LaneName, Tally
from replicator.resync.tools import Tools
from replicator.resync.weigh import Scales
from replicator.transfer.tools import JOBS_AT_ONCE


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be compared.

    `since` leaves out what was made before (seconds since the epoch), `prune` wants what only a destination has to go,
    `recheck` is the share of what the ledger knows that is read all the same, `everything` gives a job to what is in
    sync, too, and has it trust nothing. With `plan`, the id of a plan in the ledger, that is carried out instead.
    `repairs` says that nobody asked, and that what differs was lost on its way: see `repairs`.
    """

    scope: Scope = field(default_factory=Scope)
    since: float | None = None
    prune: bool = False
    recheck: float = 1.0
    everything: bool = False
    plan: str | None = None
    repairs: bool = False

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The request that `text` was made from by `json`. Raises ConfigError for anything else."""
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as exc:
            raise ConfigError(f"not a request: {exc.errors(include_input=False)[0]['msg']}") from exc

    @property
    def action(self) -> str | None:
        """What its jobs are to do beyond their usual."""
        return REPAIR if self.everything else None

    @property
    def json(self) -> str:
        """The request as text."""
        return TypeAdapter(type(self)).dump_json(self).decode()


class Sweep:
    """One comparison of everything that `request` means. `tally` has its sums as far as it got.

    With `weighs`, what would be copied is read at the source, for its size and the filters that need its manifest.
    Raises ConfigError for a scope without lanes.
    """

    def __init__(self, tools: Tools, request: Request, *, weighs: bool) -> None:
        self.request = request
        self._tools = tools
        self._scales = Scales(tools, request.since, weighs)
        self._lanes = request.scope.lanes(tools.rules)
        self.tally = Tally({(rule.name, there.registry): Lane(rule.source) for rule, there in self._lanes})

    def differences(self) -> Iterator[Difference]:
        """Every reference that was compared, in no order. At the end the ledger knows what each lane lacked."""
        request = self.request
        survey = Survey(
            self._tools,
            request.scope,
            self._scales.examine,
            prune=request.prune,
            recheck=request.recheck,
            reads_new=request.everything or self._scales.reads_any(rule for rule, _ in self._lanes),
        )
        yield from self.tally.counted(survey.run())
        for rule, destination in self.compared_lanes:
            drift = self.tally.lanes[rule, destination].drift
            self._tools.ledger.sweeps.note(rule, destination, drift=drift)

    @property
    def compared_lanes(self) -> list[LaneName]:
        """The lanes of which everything was to be compared, and was, if all differences have been taken."""
        if not self.request.scope.is_whole or self.request.since is not None:
            return []
        return [name for name in self.tally.lanes if self.tally.is_whole(name)]

    @property
    def troubles(self) -> list[str]:
        """What could not be read, each sentence once."""
        return list(dict.fromkeys(trouble.message for trouble in self.tally.troubles))

    def sums(self) -> list[LaneSum]:
        """The sums of each lane, with what measurements so far say of the time."""
        return [self._sum(name, lane) for name, lane in sorted(self.tally.lanes.items())]

    def _sum(self, name: tuple[str, str], lane: Lane) -> LaneSum:
        rule, destination = name
        ledger, rules = self._tools.ledger, self._tools.rules
        registry = rules.registries[destination]
        at_once = doorbells_at_once(
            destination,
            crews=ledger.crews(),
            destinations=rules.destinations,
            limit=registry.limits.concurrency,
        )
        measured = ledger.fleet.measured(lane.source, destination)
        return LaneSum(
            rule=rule,
            source=lane.source,
            destination=destination,
            compared=lane.compared,
            kinds=dict(lane.kinds),
            drift=lane.drift,
            bytes=lane.size_bytes,
            seconds=measured.estimate_s(lane.copies, lane.size_bytes, at_once=at_once * JOBS_AT_ONCE),
            complete=self.tally.is_whole(name),
        )

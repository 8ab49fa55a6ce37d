"""Sweeps that nobody waits for: asking for one, carrying it out, and what is kept of it."""

import json
from collections.abc import Collection, Iterable

from replicator.errors import ConfigError
from replicator.ledger import Ledger, SweepKind, Sweeps, SweepView
from replicator.resync.agenda import Errand, Loss, after_loss
from replicator.resync.document import Change, changes_of, read, written
from replicator.resync.enqueue import Wanted, enqueue, jobs_of, jobs_of_plan
from replicator.resync.repairs import Repairs
from replicator.resync.sweep import Request, Sweep
from replicator.resync.tally import LaneName
from replicator.resync.tools import Tools
from replicator.rules import RuleSet, TriggerType

_CAUGHT_UP = "caught-up|{}|{}"
PLAN_LIMIT_CHARACTERS = 16 * 1024 * 1024
"""The longest plan that the ledger keeps: some 40,000 changes. The command line knows no limit."""


def ask(errand: Errand, sweeps: Sweeps) -> str | None:
    """Afterwards it was asked for, once for its mark's value; the id of its sweep if that was now."""
    if errand.request is None:
        sweeps.mark(errand.mark, errand.value)
        return None
    return sweeps.ask(
        SweepKind.RESYNC,
        errand.request.json,
        subject=errand.subject,
        by=errand.by,
        mark=(errand.mark, errand.value),
        is_owed=errand.is_owed,
        delay_s=errand.delay_s,
    )


def make_up_for(loss: Loss, sources: Collection[str], ledger: Ledger, rules: RuleSet) -> list[str]:
    """Afterwards all is asked for that events of these registries may have been about; the ids of what is new of it."""
    if loss is Loss.LEDGER:
        # Forgotten with the rest. What differs now was in line before, or on its way.
        for rule, there in rules.lanes:
            if rule.trigger is TriggerType.EVENT_BASED:
                ledger.sweeps.mark(_CAUGHT_UP.format(rule.name, there.registry), 1.0)
    errands = after_loss(rules, sources, loss, marks=ledger.sweeps.marks(), now=ledger.view.now())
    return [asked for errand in errands if (asked := ask(errand, ledger.sweeps))]


def carry_out(view: SweepView, tools: Tools) -> str:
    """What came of it, as JSON: a plan, or the number of jobs that were submitted.

    Raises what keeps it from being done. What could not be read of it is in the result.
    """
    request = Request.from_json(view.request)
    if view.kind is SweepKind.PLAN:
        return _plan(Sweep(tools, request, weighs=True), tools)
    if request.plan:
        submitted = _submitted(jobs_of_plan(_kept(request.plan, tools), tools), tools, action=None)
        return json.dumps({"submitted": submitted, "lanes": [], "troubles": []})
    sweep = Sweep(tools, request, weighs=False)
    differences = sweep.differences()
    repairs = Repairs(sweep.tally, _caught_up(tools))
    jobs = (
        repairs.jobs(differences) if request.repairs else jobs_of(differences, everything=request.everything)
    )
    submitted = _submitted(jobs, tools, action=request.action)
    _note_caught_up(sweep, tools.ledger)
    lanes = [lane.model_dump(mode="json") for lane in sweep.sums()]
    troubles, held_back = sweep.troubles, repairs.held_back
    return json.dumps({"submitted": submitted, "lanes": lanes, "troubles": troubles, "held_back": held_back})


def troubles_of(result: str) -> list[str]:
    """What could not be read, from what `carry_out` gave."""
    found: list[str] = json.loads(result)["troubles"]
    return found


def held_back_of(result: str) -> list[str]:
    """Which deletes wait for a person to look, from what `carry_out` gave."""
    found: list[str] = json.loads(result).get("held_back", [])
    return found


def _caught_up(tools: Tools) -> set[LaneName]:
    """The lanes that were compared and brought in line as a whole before, under whatever name."""
    marks = tools.ledger.sweeps.marks()
    return {
        (rule.name, there.registry)
        for rule, there in tools.rules.lanes
        if any(_CAUGHT_UP.format(name, there.registry) in marks for name in rule.names)
    }


def _note_caught_up(sweep: Sweep, ledger: Ledger) -> None:
    for rule, destination in sweep.compared_lanes:
        ledger.sweeps.mark(_CAUGHT_UP.format(rule, destination), 1.0)


def _submitted(jobs: Iterable[Wanted], tools: Tools, *, action: str | None) -> int:
    return sum(len(portion) for portion in enqueue(jobs, tools.ledger, action=action))


def _plan(sweep: Sweep, tools: Tools) -> str:
    pieces = written(
        changes_of(sweep.differences()),
        revision=tools.rules.revision,
        ending=lambda: (sweep.sums(), sweep.troubles),
    )
    parts, length = [], 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length > PLAN_LIMIT_CHARACTERS:
            raise ConfigError("the plan is too long to be kept: narrow it down, or use `replicator plan`")
    return "\n".join(parts)


def _kept(plan_id: str, tools: Tools) -> list[Change]:
    view = tools.ledger.sweeps.view(plan_id)
    if view is None or view.kind is not SweepKind.PLAN or view.result is None:
        raise ConfigError(f"there is no plan {plan_id}, or not yet")
    return read(view.result, f"plan {plan_id}").changes

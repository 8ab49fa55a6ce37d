"""What `replicator jobs` and `replicator failures` do: they print, and settle, what `replicator.operate` finds."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import typer

from replicator import operate
from replicator.errors import ConfigError
from replicator.ledger import DeadLetter, JobView, State
from replicator.operate import Description, Desk, Filters, Item, Settled, Verb, clock, span
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.web.answers import DeadLetterAnswer, Failures, JobAnswer, Jobs, SettledAnswer, SettledAnswers

_PORTION = 100
_REASONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line names: by id, or `everything` that the filters leave in."""

    ids: tuple[str, ...]
    filters: Filters
    of_failures: bool
    as_json: bool
    everything: bool = False


def show_list(settings: Settings, asked: Asked, *, limit: int) -> None:
    """Print up to `limit` jobs, and as many dead letters where failures are asked for. Raises ConfigError."""
    desk = Runtime(settings).desk
    jobs = list(islice(_jobs(desk, asked), limit + 1))
    letters = list(islice(_letters(desk, asked), limit + 1))
    found = operate.describe(desk, jobs[:limit])
    if asked.as_json:
        answers = [JobAnswer.of(one) for one in found]
        dead = [DeadLetterAnswer.of(letter) for letter in letters[:limit]]
        document = Failures(jobs=answers, dead_letters=dead) if asked.of_failures else Jobs(jobs=answers)
        typer.echo(document.model_dump_json(indent=2))
        return
    now = desk.ledger.view.now()
    for one in found:
        typer.echo(_lines(one, now))
    for letter in letters[:limit]:
        typer.echo(_letter_lines(letter, now))
    if not found and not letters:
        typer.echo(_nothing(asked))
    if len(jobs) > limit or len(letters) > limit:
        typer.echo("there are more: --limit N lists more", err=True)


def show(settings: Settings, asked: Asked) -> int:
    """Print everything of each; 1 if an id is unknown."""
    desk = Runtime(settings).desk
    items, problems = _items(desk, asked)
    if asked.as_json:
        typer.echo(json.dumps([_answer(item).model_dump() for item in _described(desk, items)], indent=2))
    else:
        for number, item in enumerate(_described(desk, items)):
            if number:
                typer.echo()
            now = desk.ledger.view.now()
            typer.echo(_letter_card(item, now) if isinstance(item, DeadLetter) else _card(item, now))
    return _complain(problems)


def settle(settings: Settings, verb: Verb, asked: Asked, *, yes: bool) -> int:
    """Do it to each and print what came of it; 1 if an id is unknown or something could not be done."""
    desk = Runtime(settings).desk
    if verb is Verb.APPROVE and asked.everything and asked.filters.state is None:
        asked = replace(asked, filters=replace(asked.filters, state=State.BLOCKED))
    found, problems = _items(desk, asked)
    items = list(found)
    jobs = operate.describe(desk, [item for item in items if isinstance(item, JobView)])
    names = {one.job.id: one.end for one in jobs}
    if asked.everything and verb is not Verb.RETRY and items and not yes:
        _ask(verb, items)
    answers: list[SettledAnswer] = []
    done = 0
    for settled in operate.settle(desk.ledger, verb, items):
        done += settled.is_done
        if asked.as_json:
            answers.append(SettledAnswer.of(settled))
        else:
            typer.echo(_outcome(settled, names), err=not settled.is_done)
    if asked.as_json:
        typer.echo(SettledAnswers(settled=answers).model_dump_json(indent=2))
    elif asked.everything:
        typer.echo(f"{done} of {len(items)}: {verb}" if items else _nothing(asked))
    return max(_complain(problems), int(done < len(items)))


def _items(desk: Desk, asked: Asked) -> tuple[Iterable[Item], list[str]]:
    """The jobs and letters that are meant, and what is wrong with ids that mean none."""
    if asked.everything == bool(asked.ids):
        raise ConfigError("name what you mean by id, or say --all")
    if asked.everything:
        return {item.id: item for item in _all(desk, asked)}.values(), []
    if asked.filters != Filters():
        raise ConfigError("filters belong to --all: an id needs none")
    items: dict[str, Item] = {}
    problems: list[str] = []
    for prefix in asked.ids:
        try:
            item = operate.find(desk, prefix, with_letters=asked.of_failures)
        except ConfigError as exc:
            problems.append(str(exc))
            continue
        if (
            asked.of_failures
            and isinstance(item, JobView)
            and item.state not in (State.PARKED, State.BLOCKED)
        ):
            problems.append(f"{item.id}: is {item.state}, which is no failure: see `replicator jobs`")
        else:
            items[item.id] = item
    return items.values(), problems


def _all(desk: Desk, asked: Asked) -> Iterator[Item]:
    yield from _jobs(desk, asked)
    yield from _letters(desk, asked)


def _jobs(desk: Desk, asked: Asked) -> Iterator[JobView]:
    return operate.failures(desk, asked.filters) if asked.of_failures else operate.jobs(desk, asked.filters)


def _letters(desk: Desk, asked: Asked) -> Iterator[DeadLetter]:
    return operate.letters(desk, asked.filters) if asked.of_failures else iter(())


def _described(desk: Desk, items: Iterable[Item]) -> Iterator[Description | DeadLetter]:
    rest = iter(items)
    while portion := list(islice(rest, _PORTION)):
        jobs = iter(operate.describe(desk, [item for item in portion if isinstance(item, JobView)]))
        for item in portion:
            yield item if isinstance(item, DeadLetter) else next(jobs)


def _answer(item: Description | DeadLetter) -> JobAnswer | DeadLetterAnswer:
    return DeadLetterAnswer.of(item) if isinstance(item, DeadLetter) else JobAnswer.of(item)


def _ask(verb: Verb, items: list[Item]) -> None:
    """On a terminal, return only if the person agrees. Raises ConfigError if not."""
    if not sys.stdin.isatty():
        return
    reasons = Counter(item.reason or "no reason yet" for item in items)
    for reason, count in reasons.most_common(_REASONS_SHOWN):
        typer.echo(f"{count}: {reason}")
    if len(reasons) > _REASONS_SHOWN:
        typer.echo(f"and {len(reasons) - _REASONS_SHOWN} more reasons")
    try:
        agreed = typer.confirm(f"{verb} {'all ' if len(items) > 1 else ''}{len(items)}?")
    except typer.Abort as exc:
        raise KeyboardInterrupt from exc
    if not agreed:
        raise ConfigError("nothing was done")


def _nothing(asked: Asked) -> str:
    if asked.of_failures and asked.filters == Filters():
        return "nothing waits for a person"
    return f"there are no such {'failures' if asked.of_failures else 'jobs'}"


def _complain(problems: Iterable[str]) -> int:
    status = 0
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
        status = 1
    return status


def _outcome(settled: Settled, names: Mapping[str, str]) -> str:
    item = settled.item
    name = f"dead letter of {item.registry}" if isinstance(item, DeadLetter) else names[item.id]
    return f"{item.id}  {name}: {settled.said}"


# What is printed


def _lines(found: Description, now: float) -> str:
    job = found.job
    head = f"{job.id}  {job.state}  rule {job.rule}  {found.start} -> {found.end}"
    since = f" (since {span(now - job.since)})" if job.state is not State.DONE else ""
    return f"{head}\n    {found.sentence}{since}"


def _letter_lines(letter: DeadLetter, now: float) -> str:
    age = span(now - letter.received_at)
    return f"{letter.id}  dead letter  from {letter.registry}\n    {letter.reason} (received {age} ago)"


def _card(found: Description, now: float) -> str:
    job = found.job
    rows = {
        "job": job.id,
        "rule": job.rule,
        "source": found.start,
        "destination": found.end,
        "state": f"{job.state}{', paused' if job.is_paused else ''}{'' if job.is_urgent else ', gives way to events'}",
        "tries": str(job.attempts),
        "last error" if job.state is not State.DONE else "detail": job.reason,
        "in words": found.sentence if job.is_paused or not job.reason else None,
        "wanted since": _moment(job.since, now),
        "next try": _next_try(found),
        "ended": job.finished_at and _moment(job.finished_at, now),
        "outcome": job.outcome,
        "digest": job.digest,
        "approving it": found.approving,
        "trace id": found.trace_id or "none",
    }
    return _table({name: value for name, value in rows.items() if value})


def _letter_card(letter: DeadLetter, now: float) -> str:
    return _table(
        {
            "dead letter": letter.id,
            "from": letter.registry,
            "reason": letter.reason,
            "content type": letter.content_type or "none",
            "size": f"{letter.size_bytes} bytes{'' if letter.is_whole else ', of which only the beginning was kept'}",
            "received": _moment(letter.received_at, now),
            "trace": letter.trace or "none",
        }
    )


def _next_try(found: Description) -> str | None:
    job = found.job
    match job.state:
        case State.DONE:
            return None
        case State.RUNNING:
            return "under way"
        case State.BLOCKED | State.PARKED:
            decision = "approved, retried" if job.state is State.BLOCKED else "retried"
            return f"when it is {decision} or asked for by a new event"
        case _ if found.next_try_s is None:
            return "when its pause ends"
        case _:
            return f"in {span(found.next_try_s)}" if found.next_try_s else "as soon as a worker is free"


def _moment(at: float, now: float) -> str:
    return f"{clock(at)} ({span(now - at)} ago)"


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in rows.items())

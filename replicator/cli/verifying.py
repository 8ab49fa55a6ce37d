"""`verify`: prove that destinations hold what they should, down to the last blob."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import typer

from replicator.cli.comparing import DRIFT, tools_of
from replicator.cli.progress import count, progress, size
from replicator.cli.watching import wait_for
from replicator.ledger import REPAIR
from replicator.oci import named
from replicator.resync import Checked, Request, Tools, Trouble, Verification, Wanted, Watch, enqueue
from replicator.runtime import Runtime
from replicator.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """How thoroughly to verify, and what to do about what is wrong."""

    deep: bool = False
    sample: float = 1.0
    repair: bool = False
    as_json: bool = False


@dataclass
class _Sums:
    """What was proved of one rule at one destination."""

    references: int = 0
    numbers: Counter[str] = field(default_factory=Counter)

    def add(self, checked: Checked) -> None:
        """Count one reference in."""
        self.references += 1
        self.numbers["defects"] += len(checked.defects)
        if proof := checked.proof:
            self.numbers.update(
                proved=not checked.defects,
                manifests=proof.manifests,
                blobs=proof.blobs,
                bytes=proof.size_bytes,
                signatures=proof.signatures,
            )

    def __str__(self) -> str:
        numbers = self.numbers
        below = [count(numbers[f"{word}s"], word) for word in ("manifest", "blob", "signature")]
        what = f"{numbers['proved']:,} proved by {', '.join(below)} ({size(numbers['bytes'])})"
        return f"{count(self.references, 'reference')}, {what}, {count(numbers['defects'], 'defect')}"


@dataclass
class _Report:
    """What a verification found, as it goes on. `damaged` are the references with something wrong."""

    lanes: dict[tuple[str, str], _Sums]
    damaged: list[Checked] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    mended: int = 0

    def taken(self, stream: Iterable[Checked | Trouble]) -> Iterator[Checked]:
        """What is wrong, one reference after another, everything counted."""
        for item in stream:
            if isinstance(item, Trouble):
                self.troubles.append(item.message)
                continue
            self.lanes.setdefault(item.difference.lane, _Sums()).add(item)
            if item.defects:
                self.damaged.append(item)
            yield item

    @property
    def references(self) -> int:
        """How many references were looked at."""
        return sum(sums.references for sums in self.lanes.values())

    @property
    def status(self) -> int:
        """The exit status that this means."""
        return 1 if self.troubles else DRIFT if self.damaged else 0


def verify(settings: Settings, request: Request, options: Options) -> int:
    """Check everything in `request` and print what is wrong: 0 if nothing is, 2 if something is, 1 if something could
    not be read. With `repair`, have it mended, wait, and check that again.
    """
    tools = tools_of(Runtime(settings))
    lanes = request.scope.lanes(tools.rules)
    verification = Verification(tools, request, options.deep, options.sample)
    report = _run(verification.run(), [(rule.name, there.registry) for rule, there in lanes], options)
    if options.repair and report.damaged:
        failures = _repair(tools, report.damaged)
        left = _run(verification.again(report.damaged), [], options)
        report.mended = len(report.damaged) - len(left.damaged)
        report.damaged, report.troubles = left.damaged, [*report.troubles, *failures, *left.troubles]
    if request.scope.is_whole and request.since is None and not report.troubles:
        _note(tools, report)
    _print(report, options)
    return report.status


def _note(tools: Tools, report: _Report) -> None:
    """Have status and metrics show what is wrong now, instead of what an earlier comparison found."""
    wrong = Counter(checked.difference.lane for checked in report.damaged)
    for rule, destination in report.lanes:
        tools.ledger.sweeps.note(rule, destination, drift=wrong[rule, destination])


def _run(stream: Iterable[Checked | Trouble], lanes: list[tuple[str, str]], options: Options) -> _Report:
    report = _Report({lane: _Sums() for lane in lanes})
    with progress() as show:
        for checked in report.taken(stream):
            show(f"checked {count(report.references, 'reference')}, {len(report.damaged):,} with defects")
            for sentence in checked.defects:
                if not options.as_json:
                    typer.echo(sentence)
    return report


def _repair(tools: Tools, damaged: list[Checked]) -> list[str]:
    """Have these references mended, and wait; what could not be."""
    typer.echo(f"repairing {count(len(damaged), 'reference')}", err=True)
    watch = Watch(tools.ledger)
    jobs = [Wanted(checked.difference.job) for checked in damaged]
    for portion in enqueue(watch.during(jobs), tools.ledger, action=REPAIR):
        watch.add(portion)
    wait_for(tools.ledger, watch)
    return [
        f"{named(view.repository, view.reference)} to {view.destination}: {view.reason}"
        for view in watch.halted.values()
    ]


def _print(report: _Report, options: Options) -> None:
    if options.as_json:
        typer.echo(json.dumps(_document(report, options), indent=2))
    else:
        for (rule, destination), sums in sorted(report.lanes.items()):
            typer.echo(f"{rule}: {destination}: {sums}")
        if report.mended:
            typer.echo(f"mended: {count(report.mended, 'reference')}")
    for message in dict.fromkeys(report.troubles):
        typer.echo(f"error: {message}", err=True)


def _document(report: _Report, options: Options) -> dict[str, object]:
    return {
        "version": 1,
        "deep": options.deep,
        "sample": options.sample,
        "lanes": [
            {"rule": rule, "destination": destination, "references": sums.references, **sums.numbers}
            for (rule, destination), sums in sorted(report.lanes.items())
        ],
        "damaged": [
            {
                "rule": checked.difference.twins.rule.name,
                "source": checked.difference.source_name,
                "destination": checked.difference.destination_name,
                "wanted": checked.difference.wanted,
                "found": checked.difference.found,
                "kind": checked.difference.kind,
                "defects": list(checked.defects),
            }
            for checked in report.damaged
        ],
        "mended": report.mended,
        "troubles": list(dict.fromkeys(report.troubles)),
    }

"""`python -m tests.chaos --seed 1 --events 10000 ...`: long chaos runs. `make chaos` makes five."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.nemesis import Mix
from tests.chaos.run import Plan, Report, chaos
from tests.chaos.world import Tuning


def main() -> int:
    """0 if nothing was wrong in any run."""
    options = _options()
    failed = 0
    for seed in options.seeds or [options.seed]:
        failed += not _run(seed, options)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="*", help="several, one run each")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--per-second", type=float, default=25.0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--freezes", type=int, default=60)
    parser.add_argument("--links", type=int, default=40, help="bad links")
    parser.add_argument(
        "--longest", type=float, default=15.0, help="seconds that a freeze or a bad link lasts"
    )
    parser.add_argument("--lease", type=float, default=10.0, help="REPLICATOR_LEASE_S")
    parser.add_argument("--redispatch", type=float, default=8.0, help="REPLICATOR_REDISPATCH_S")
    parser.add_argument("--grace", type=float, default=5.0, help="delete_grace of the rule")
    parser.add_argument("--kill-sources", action="store_true", help="sources die too, and a resync repairs")
    parser.add_argument(
        "--patience", type=float, default=600.0, help="seconds in which all has to be in line afterwards"
    )
    parser.add_argument("--log-level", default="info")
    return parser.parse_args()


def _run(seed: int, options: argparse.Namespace) -> bool:
    mix = Mix(
        kills=options.kills,
        freezes=options.freezes,
        links=options.links,
        within_s=options.events / options.per_second,
        longest_s=options.longest,
        kills_sources=options.kill_sources,
    )
    tuning = Tuning(
        lease_s=options.lease,
        redispatch_s=options.redispatch,
        grace_s=options.grace,
        settings={"REPLICATOR_LOG_LEVEL": options.log_level},
    )
    directory = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    began = time.monotonic()
    plan = Plan(seed, options.events, options.per_second, mix, tuning, quiesces_within_s=options.patience)
    report = chaos(directory, plan)
    _tell(report, directory, time.monotonic() - began)
    return not report.wrong


def _tell(report: Report, directory: Path, seconds: float) -> None:
    for line in report.lines():
        print(line, flush=True)  # noqa: T201 - this is its output
    print(f"  {seconds:.0f} s in all; logs in {directory}", flush=True)  # noqa: T201 - likewise


if __name__ == "__main__":
    sys.exit(main())

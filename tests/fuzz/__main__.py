"""`make fuzz`: every target in full, or as far as its time goes, on all cores; prints seeds, counts and findings.

`python -m tests.fuzz bodies --seed 5 --number 17` feeds one input again.
"""

import argparse
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.fuzz import TARGETS
from tests.fuzz.engine import Result, Target, made, run

CHUNK = 2_000


def main() -> int:
    """Runs what the command line asks for; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Feeds hostile inputs.")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="all, if none is named")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--number", type=int, help="this one input alone")
    parser.add_argument("--inputs", type=int, help="so many for each target")
    parser.add_argument("--seconds", type=float, default=900.0, help="at most, for each target")
    asked = parser.parse_args()
    chosen = [TARGETS[name] for name in asked.targets or TARGETS]
    if asked.number is not None:
        numbers = range(asked.number, asked.number + 1)
        for target in chosen:
            print(repr(made(target, asked.seed, asked.number))[:20_000])
        return _told([run(target, asked.seed, numbers) for target in chosen])
    return max(
        _told([_in_full(target, asked.seed, asked.inputs or target.inputs, asked.seconds)])
        for target in chosen
    )


def _in_full(target: Target, seed: int, inputs: int, seconds: float) -> Result:
    until, whole = time.monotonic() + seconds, Result(target.name, seed)
    chunks = [range(start, min(start + CHUNK, inputs)) for start in range(0, inputs, CHUNK)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(_chunk, [(target.name, seed, chunk, until) for chunk in chunks]):
            whole.add(part)
    return whole


def _chunk(asked: tuple[str, int, range, float]) -> Result:
    name, seed, numbers, until = asked
    return run(TARGETS[name], seed, numbers, until=until)


def _told(results: list[Result]) -> int:
    for result in results:
        for finding in result.findings:
            print(finding)
    for result in results:
        print(result, flush=True)
    return 1 if any(result.findings for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())

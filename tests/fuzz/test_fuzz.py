"""A few thousand inputs for each target; `make fuzz` feeds the rest."""

import random
import socket
import time

import pytest

from tests.fuzz import TARGETS
from tests.fuzz.engine import SLOW_S, Reached, Target, made, run

SHORT = {"bodies": 5000, "rule files": 800, "globs": 2500, "answers": 1200, "manifests": 2000, "heads": 4000}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_our_own_errors_comes_of_hostile_input(name: str) -> None:
    seed = random.SystemRandom().getrandbits(32)

    result = run(TARGETS[name], seed, range(SHORT[name]))

    assert result.inputs == SHORT[name]
    assert not result.findings, "\n".join(result.findings)


def fed(check: object) -> list[str]:
    return run(Target("probe", lambda rng: rng.random(), check, 1), 5, range(3)).findings  # type: ignore[arg-type]


def test_a_finding_names_the_input_and_can_be_made_again() -> None:
    def fail(_value: float) -> None:
        raise KeyError("x")

    findings = fed(fail)

    assert findings[2].startswith("probe, seed 5, input 2: KeyError: 'x'")
    assert repr(made(Target("probe", lambda rng: rng.random(), fail, 1), 5, 2)) in findings[2]


def test_slowness_is_a_finding() -> None:
    def dawdle(_value: float) -> None:
        began = time.thread_time()
        while time.thread_time() - began < 1.1 * SLOW_S:
            pass

    assert "ms of CPU" in fed(dawdle)[0]


def test_reaching_out_is_a_finding() -> None:
    def look_up(_value: float) -> None:
        socket.getaddrinfo("localhost", 80)

    assert Reached.__name__ in fed(look_up)[0]
    assert socket.getaddrinfo("localhost", 80)

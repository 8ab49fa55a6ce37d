"""What a worker makes of `--destinations`, before it needs a Redis."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.rulefiles.kit import rule, write


@pytest.mark.parametrize(
    ("destinations", "said"),
    [
        ("us, pa ,eu", "--destinations: no rule file describes 'pa'"),
        ("a,us,b c", "--destinations: no rule file describes 'a', 'b c'"),
        (" , ", "--destinations: names no destination"),
    ],
)
def test_a_destination_that_nobody_knows_is_named(tmp_path: Path, destinations: str, said: str) -> None:
    write(tmp_path / "rules", {"r.yaml": rule()})
    settings = {"RULES": tmp_path / "rules", "DATA": tmp_path / "data", "REDIS_URL": "unix:///nowhere/redis"}

    ended = subprocess.run(
        [sys.executable, "-m", "replicator", "worker", "--destinations", destinations],
        env={**os.environ, **{f"REPLICATOR_{name}": str(value) for name, value in settings.items()}},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"{said}\n")

"""The scripts of the ledger, as a process knows them."""

import shutil
import subprocess
import sys
from pathlib import Path

import replicator

TELL = """
import shutil, sys
from replicator.ledger import scripts
shutil.rmtree(sys.argv[1])
print("CLAIM" in scripts.source("claim"))
"""


def test_a_process_keeps_to_the_scripts_that_it_began_with(tmp_path: Path) -> None:
    # An upgrade in place changes the files below a process that runs.
    package = shutil.copytree(Path(replicator.__file__).parent, tmp_path / "replicator")

    told = subprocess.run(
        [sys.executable, "-c", TELL, str(package / "ledger" / "lua")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (told.stdout, told.stderr) == ("True\n", "")

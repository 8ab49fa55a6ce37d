"""What `pip install` gives is the whole product: built as a wheel, installed apart from this checkout, and run."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.product import Done, run

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
SECRETS = (
    "EU_REGISTRY_SECRET",
    "EU_WEBHOOK_SECRET",
    "US_REGISTRY_SECRET",
    "US_WEBHOOK_SECRET",
    "AP_REGISTRY_SECRET",
    "HARBOR_WEBHOOK_SECRET",
    "DR_REGISTRY_SECRET",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without a network."""
    directory = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable)
    subprocess.run([UV, "build", *options, "--out-dir", directory, ROOT], check=True)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `replicator` that was installed from the wheel, and sees the libraries of this environment."""
    environment = tmp_path_factory.mktemp("installed")
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A path that is added so is searched, but its own .pth files, the editable checkout among them, are not read.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = environment / "bin" / "python"
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel], check=True
    )
    return environment / "bin" / "replicator"


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in ("replicator", "workers")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".lua"}
    }

    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == expected


def test_it_runs_from_where_it_was_installed(installed: Path) -> None:
    code = "import replicator, workers; print(replicator.__file__, workers.__file__)"
    shown = subprocess.run(
        [installed.with_name("python"), "-c", code], cwd="/", check=True, capture_output=True, text=True
    )

    assert shown.stdout.count(str(installed.parents[1])) == 2
    assert _run(installed, "--version").out.startswith("replicator ")


def test_it_checks_the_example_rules(installed: Path) -> None:
    done = _run(installed, "check", str(ROOT / "rules"))

    assert done.status == 0, done
    assert done.out.rstrip().endswith("ok")


def test_its_demo_verifies_the_copies(installed: Path) -> None:
    done = _run(installed, "demo")

    assert done.status == 0, done
    for region in ("us", "ap"):
        assert f"verified {region}" in done.out
    assert "Traceback" not in done.err


def _run(program: Path, *arguments: str) -> Done:
    environment = dict.fromkeys(SECRETS, "a secret")
    return run(*arguments, program=program, environment=environment, timeout_s=90)

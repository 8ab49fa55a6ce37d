"""The tools that ours is measured against, each run as its documentation recommends, digests preserved.

A peer is a program on the PATH and the commands that copy repositories with all their tags, some of which run side by
side. A program that is absent is left out, and the table says so.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

Command = list[str]

_SKOPEO_CACHES = (Path("/var/lib/containers/cache"), Path("~/.local/share/containers/cache").expanduser())


@dataclass(frozen=True, slots=True)
class Road:
    """From where to where peers copy: hosts with ports. `ca_file` is whom to trust, None for plain HTTP.

    Below `directory` they keep what they are told in files.
    """

    source: str
    destination: str
    directory: Path
    ca_file: Path | None = None

    @property
    def has_tls(self) -> bool:
        """Whether both registries speak TLS."""
        return self.ca_file is not None


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to run a program: `commands` for these repositories, `at_once` of them at the same time."""

    name: str
    program: str
    at_once: int
    commands: Callable[[Road, Sequence[str]], list[Command]]

    @property
    def is_here(self) -> bool:
        """Whether the program is on the PATH."""
        return shutil.which(self.program) is not None

    def copy(self, road: Road, repositories: Sequence[str]) -> None:
        """Copy these repositories. Ends the benchmark if the program fails: there is nothing to compare then."""
        trust = {"SSL_CERT_FILE": str(road.ca_file)} if road.ca_file else {}
        environment = dict(os.environ) | trust
        with ThreadPoolExecutor(self.at_once) as pool:
            ended = list(
                pool.map(lambda command: _run(command, environment), self.commands(road, repositories))
            )
        for done in ended:
            if done.returncode:
                sys.exit(
                    f"{self.name}: {' '.join(done.args)} ended with {done.returncode}:\n{done.stderr[-2000:]}"
                )


def _run(command: Command, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def crane(road: Road, repositories: Sequence[str]) -> list[Command]:
    """A process for each repository: crane copies one with all its tags, four at once."""
    insecure = [] if road.has_tls else ["--insecure"]
    return [
        [
            "crane",
            "copy",
            *insecure,
            "--all-tags",
            "--jobs",
            "4",
            f"{road.source}/{name}",
            f"{road.destination}/{name}",
        ]
        for name in repositories
    ]


def skopeo(road: Road, repositories: Sequence[str]) -> list[Command]:
    """One process for all, from a file that names them."""
    return [_skopeo_sync(road, "all", repositories)]


def skopeo_each(road: Road, repositories: Sequence[str]) -> list[Command]:
    """A process for each repository."""
    return [_skopeo_sync(road, name, [name]) for name in repositories]


def _skopeo_sync(road: Road, name: str, repositories: Sequence[str]) -> Command:
    path = road.directory / f"skopeo-{name.replace('/', '-')}.yaml"
    # No tags means all of them. The last part of a repository's name is kept, the first must be said again.
    wish = {"tls-verify": road.has_tls, "images": {repository: [] for repository in repositories}}
    path.write_text(yaml.safe_dump({road.source: wish}))
    namespace = repositories[0].partition("/")[0]
    return [
        *("skopeo", "--insecure-policy", "sync", "--all", "--preserve-digests"),
        *("--src", "yaml", "--dest", "docker", f"--dest-tls-verify={str(road.has_tls).lower()}"),
        *(str(path), f"{road.destination}/{namespace}"),
    ]


def regsync(road: Road, repositories: Sequence[str]) -> list[Command]:
    """One process for all, eight repositories at once."""
    path = road.directory / "regsync.yaml"
    tls = "enabled" if road.has_tls else "disabled"
    document = {
        "version": 1,
        "creds": [
            {"registry": host, "tls": tls, "reqConcurrent": 8} for host in (road.source, road.destination)
        ],
        "defaults": {"parallel": 8, "skipDockerConfig": True},
        "sync": [
            {"source": f"{road.source}/{name}", "target": f"{road.destination}/{name}", "type": "repository"}
            for name in repositories
        ],
    }
    path.write_text(yaml.safe_dump(document))
    return [["regsync", "once", "--config", str(path), "--verbosity", "error"]]


def image_syncer(road: Road, repositories: Sequence[str]) -> list[Command]:
    """One process for all, ten copies at once."""
    logins, wish = road.directory / "syncer-auth.yaml", road.directory / "syncer-images.yaml"
    insecure = {"insecure": not road.has_tls}
    logins.write_text(yaml.safe_dump({road.source: insecure, road.destination: insecure}))
    pairs = {f"{road.source}/{name}": f"{road.destination}/{name}" for name in repositories}
    wish.write_text(yaml.safe_dump(pairs))
    return [["image-syncer", "--auth", str(logins), "--images", str(wish), "--proc", "10"]]


PEERS = (
    Peer("crane copy -a, -P 4", "crane", 4, crane),
    Peer("skopeo sync", "skopeo", 1, skopeo),
    Peer("skopeo sync, -P 2", "skopeo", 2, skopeo_each),
    Peer("regsync", "regsync", 1, regsync),
    Peer("image-syncer", "image-syncer", 1, image_syncer),
)
_VERSION = {
    "crane": ["version"],
    "skopeo": ["--version"],
    "regsync": ["version"],
    "image-syncer": ["--version"],
}
NEEDED = ("crane", "skopeo")
"""Those that a table without them is not worth publishing."""


def versions() -> str:
    """What the programs that are here say of themselves; Debian's crane says nothing of its version."""
    here = dict.fromkeys(peer.program for peer in PEERS if peer.is_here)
    said = {name: _run([name, *_VERSION.get(name, ["version"])], dict(os.environ)).stdout for name in here}
    return ", ".join(f"{name}: {text.strip().partition(chr(10))[0]}" for name, text in said.items())


@contextlib.contextmanager
def fresh_caches() -> Iterator[None]:
    """Meanwhile skopeo has no cache of where blobs lie: what it knows of a destination that was emptied is wrong."""
    held = [
        (found, found.with_name(f"{found.name}.benchmark"))
        for cache in _SKOPEO_CACHES
        for found in _files(cache)
    ]
    for found, aside in held:
        found.rename(aside)
    try:
        yield
    finally:
        for cache in _SKOPEO_CACHES:
            for made in _files(cache):
                made.unlink()
        for found, aside in held:
            aside.rename(found)


def _files(cache: Path) -> list[Path]:
    return list(cache.glob("blob-info-cache-v1.boltdb"))

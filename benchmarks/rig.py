"""What the benchmarks stand on: `replicator up` as users run it, and what work costs servers and tools.

Nothing here ends a process that it did not start.
"""

import contextlib
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from replicator import __version__
from tests.integration.processes import DockerRegistry, wait_until

REPLICATOR = str(Path(sys.executable).with_name("replicator"))
_REQUEST = re.compile(
    rb'"(GET|HEAD|POST|PUT|PATCH|DELETE) (/v2/[^ "]*) HTTP/[12]\.[01]" \d+ (\d+) "[^"]*" "([^"]*)"'
)
_KINDS = (
    ("catalogue", re.compile(r"/v2/_catalog")),
    ("listing", re.compile(r"/v2/.+/tags/list")),
    ("manifest", re.compile(r"/v2/.+/manifests/[^/]+$")),
    ("upload", re.compile(r"/v2/.+/blobs/uploads/")),
    ("blob", re.compile(r"/v2/.+/blobs/[^/]+$")),
    ("referrers", re.compile(r"/v2/.+/referrers/")),
)
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def need(*programs: str) -> None:
    """End the benchmark with a word of help if a program is absent. From now on a SIGTERM ends what it started, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    absent = [name for name in programs if shutil.which(name) is None]
    if absent:
        sys.exit(f"this needs {' and '.join(absent)} (on Debian: apt-get install {' '.join(absent)})")


def machine() -> str:
    """What the figures depend on, in a line."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = f"replicator {__version__}, Python {platform.python_version()}, {skopeo_version()}"
    return f"{versions}\n{os.cpu_count()} cores, load average {load}"


def skopeo_version() -> str:
    """Which skopeo there is."""
    return subprocess.run(["skopeo", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def environment(**settings: str) -> dict[str, str]:
    """This process's environment, without any setting of replicator's but these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REPLICATOR_")}
    return clean | settings


class Up:
    """A context manager: `replicator up` with every setting at its default, its Redis data on an ordinary disk."""

    def __init__(self, directory: Path, rules: Path, port: int) -> None:
        self.data = directory / "data"
        self._log = directory / "up.log"
        self._command = [REPLICATOR, "up", "--rules", str(rules), "--data", str(self.data)]
        self._command += ["--port", str(port)]

    def __enter__(self) -> "Up":
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, env=environment(), stdout=output, stderr=output, start_new_session=True
            )
        try:
            wait_until(lambda: b"is ready" in self._log.read_bytes() or self._has_ended, 40.0)
            if self._has_ended:
                sys.exit(f"replicator up ended at once:\n{self._log.read_text()}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    @property
    def pids(self) -> list[int]:
        """The whole tree: it has one process group."""
        return [pid for pid, group in _groups() if group == self._process.pid]

    @property
    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def _end(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            # The whole tree has one process group, so nothing of it can stay behind.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of CPU that these processes, and those of their children that ended, have taken so far."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, come state, and as the 14th and 15th what ended children took.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[13:15]) / _TICKS_A_SECOND
            total += time.clock_gettime(_cpu_clock(pid))
    return total


def _cpu_clock(pid: int) -> int:
    # clock_getcpuclockid(3), as Linux defines it: nanoseconds, where /proc/PID/stat counts hundredths of a second.
    return (~pid << 3) | 2


def children_cpu_s() -> float:
    """Seconds of CPU that children of this process took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class AccessLog:
    """What a registry answered since this was made, from its access log."""

    def __init__(self, registry: DockerRegistry) -> None:
        self._log = registry.log
        self._start = self._log.stat().st_size

    def counted(self, agent: str = "") -> Counter[str]:
        """How many requests there were, by method and kind; those alone of clients whose names begin so."""
        return counted(self._since(), agent)

    def answered_bytes(self) -> int:
        """The bytes of all answers' bodies."""
        return answered_bytes(self._since())

    def _since(self) -> bytes:
        with self._log.open("rb") as lines:
            lines.seek(self._start)
            return lines.read()


def counted(log: bytes, agent: str = "") -> Counter[str]:
    """The requests in docker-registry's access log, by method and kind; those alone of clients whose names begin so."""
    return Counter(
        f"{method.decode()} {_kind(target.decode())}"
        for method, target, _, who in _REQUEST.findall(log)
        if who.decode(errors="replace").startswith(agent)
    )


def answered_bytes(log: bytes) -> int:
    """The bytes of all bodies in docker-registry's access log."""
    return sum(int(size) for _, _, size, _ in _REQUEST.findall(log))


def _kind(target: str) -> str:
    path = target.partition("?")[0]
    return next((name for name, pattern in _KINDS if pattern.match(path)), "other")


def _groups() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                yield int(entry.name), os.getpgid(int(entry.name))

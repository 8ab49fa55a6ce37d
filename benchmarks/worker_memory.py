"""How much memory a worker takes while it copies a blob: the same, whatever the blob's size.

`replicator up` runs as users run it and copies images of one layer each, of 1 MiB first, then larger ones. After each
the peak of the memory of every worker child (`VmHWM` in /proc, pages that they share with their parent included) is
read; so is the digest at the destination, which hashed what it got.

    .venv/bin/python -m benchmarks.worker_memory [--mib 2048]

It needs `docker-registry` and twice the largest blob's size in memory, ends by itself, and ends no process but its own.
"""

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ours import running
from benchmarks.rig import machine, need
from benchmarks.workloads import MIB
from replicator.oci import OCI_CONFIG, OCI_MANIFEST, Digest
from tests.fakes import images
from tests.fakes.images import OCI_LAYER, Image
from tests.fakes.raw import RawClient
from tests.integration.processes import DockerRegistry

RULE = "everything"
AIM_MIB = 120
SIZES_MIB = (1, 64, 512)
"""Before the largest."""


def main() -> None:
    """Measure, and print a line for each size."""
    options = _options()
    need("docker-registry")
    sizes = [size for size in SIZES_MIB if size < options.mib] + [options.mib]
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-memory-")))
        source, destination = (
            stack.enter_context(DockerRegistry(directory / name)) for name in ("source", "destination")
        )
        tree = stack.enter_context(
            running(directory / "ours", source, destination, rules={RULE: "memory/**"})
        )
        print(f"{machine()}\n\nlayer MiB  peak of a worker child, MiB")
        for size in sizes:
            digest = _push(source.url, f"memory/of{size}", size)
            tree.resync(RULE, repository=f"memory/of{size}")
            assert images.head(destination.url, f"memory/of{size}", "v1") == digest, "it did not arrive"
            peak_mib = max(_peaks_mib(tree.up.pids))
            print(f"{size:9} {peak_mib:28.0f}")
    missed = peak_mib >= AIM_MIB
    print(f"\nthe aim, below {AIM_MIB} MiB, is {'missed' if missed else 'reached'}")
    sys.exit(missed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker_memory")
    parser.add_argument("--mib", type=int, default=2048, help="of the largest layer (default: 2,048)")
    return parser.parse_args()


def _push(url: str, repository: str, size_mib: int) -> Digest:
    """Push an image of one layer that is never in memory as a whole."""
    hashed = hashlib.sha256()
    for piece in _pieces(size_mib):
        hashed.update(piece)
    layer = {
        "mediaType": OCI_LAYER,
        "digest": f"sha256:{hashed.hexdigest()}",
        "size": size_mib * MIB,
    }
    with RawClient(url) as client:
        location = client.call("POST", f"/v2/{repository}/blobs/uploads/").headers["location"]
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_mib * MIB)}
        ended = client.call(
            "PUT", f"{location}&digest={layer['digest']}", headers=headers, body=_pieces(size_mib)
        )
        assert ended.status == 201, ended
        config = images.push_blob(client, repository, b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 2},
            "layers": [layer],
        }
        return images.push_manifest(
            client, repository, "v1", Image(json.dumps(document).encode(), OCI_MANIFEST)
        )


def _pieces(size_mib: int) -> Iterator[bytes]:
    block = images.layer_bytes("memory", MIB - 8)
    for number in range(size_mib):
        yield block + number.to_bytes(8)


def _peaks_mib(pids: list[int]) -> Iterator[float]:
    """The most that each worker child ever held: a process whose parent runs the same command."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    for pid, command in commands.items():
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        if b"workers\0worker" in command and commands.get(int(status["PPid"])) == command:
            yield int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main()

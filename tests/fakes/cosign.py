"""Signatures that cosign made, kept as test data, and cosign itself where it is on the PATH.

`python -m tests.fakes.cosign > tests/fakes/cosign.json` makes the data anew, with cosign 3 and docker-registry: for
each kind of key one image, signed with `cosign sign --key` in both formats, and attested once with `cosign attest`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from replicator.oci import Digest, referrers_tag
from tests.fakes.images import ACCEPT, Image, image, push, signature_tag
from tests.fakes.raw import RawClient

DATA = Path(__file__).with_suffix(".json")
SIGNED = image([b"signed by cosign"])
"""The image that all signatures of the data are for."""
_OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "--yes")


@dataclass(frozen=True, slots=True)
class Made:
    """What cosign made with one key for `SIGNED`: its public key as PEM, and the manifests with their blobs."""

    pem: str
    simple: Image
    """What lies under the tag `.sig`."""
    bundle: Image
    """A referrer that signs."""
    attestation: Image
    """A referrer that attests something, and signs nothing."""

    @classmethod
    def of(cls, kind: str) -> Self:
        """The data of a kind of key: `p256`, `p384`, `rsa`."""
        found = json.loads(DATA.read_text())[kind]
        return cls(found["key"], *(_image(found[name]) for name in ("simple", "bundle", "attestation")))


class Cosign:
    """The program, with keys of its own in a directory."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.directory = directory

    def make_key(self, kind: str) -> str:
        """A pair of keys of that name; the public one as PEM."""
        pem = _KINDS[kind]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / f"{kind}.pem").write_bytes(pem)
        self._run("import-key-pair", "--key", f"{kind}.pem", "--output-key-prefix", kind, "--yes")
        return (self.directory / f"{kind}.pub").read_text()

    def sign(self, name: str, kind: str, *, as_bundle: bool) -> None:
        """Sign HOST/REPOSITORY@DIGEST: a referrer, or the tag `.sig`."""
        self._run(
            "sign", "--key", f"{kind}.key", *_OFFLINE, f"--new-bundle-format={str(as_bundle).lower()}", name
        )

    def attest(self, name: str, kind: str) -> None:
        """Attest something of HOST/REPOSITORY@DIGEST: a referrer."""
        (self.directory / "predicate").write_text("{}")
        self._run("attest", "--key", f"{kind}.key", "--predicate", "predicate", *_OFFLINE, name)

    def verify(self, name: str, kind: str) -> bool:
        """Whether cosign itself finds a good signature there."""
        options = ("--insecure-ignore-tlog", "--allow-http-registry")
        return self._call("verify", "--key", f"{kind}.pub", *options, name).returncode == 0

    def _run(self, *arguments: str) -> None:
        done = self._call(*arguments)
        assert done.returncode == 0, done.stderr

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.directory,
            env={**os.environ, "COSIGN_PASSWORD": "", "HOME": str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


_KINDS: Mapping[str, Any] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def _image(kept: Mapping[str, Any]) -> Image:
    raw = kept["manifest"].encode()
    blobs = [text.encode() for text in kept["blobs"]]
    return Image(raw, json.loads(raw)["mediaType"], {Digest.of(blob): blob for blob in blobs})


def _kept(client: RawClient, repository: str, reference: str) -> dict[str, object]:
    raw = client.call("GET", f"/v2/{repository}/manifests/{reference}", headers=ACCEPT).body
    found = json.loads(raw)
    digests = dict.fromkeys(item["digest"] for item in [found["config"], *found["layers"]])
    blobs = [client.call("GET", f"/v2/{repository}/blobs/{digest}").body.decode() for digest in digests]
    return {"manifest": raw.decode(), "blobs": blobs}


def _listed(client: RawClient, repository: str) -> list[str]:
    path = f"/v2/{repository}/manifests/{referrers_tag(SIGNED.digest)}"
    return [item["digest"] for item in client.call("GET", path, headers=ACCEPT).json()["manifests"]]


def _make(cosign: Cosign, host: str) -> dict[str, object]:
    made: dict[str, object] = {}
    with RawClient(f"http://{host}") as client:
        for kind in ("p256", "p384", "rsa"):
            repository = f"made/{kind}"
            name = f"{host}/{repository}@{push(client, repository, 'v1', SIGNED)}"
            key = cosign.make_key(kind)
            cosign.sign(name, kind, as_bundle=False)
            cosign.sign(name, kind, as_bundle=True)
            bundle = _listed(client, repository)
            cosign.attest(name, kind)
            attestation = set(_listed(client, repository)).difference(bundle)
            made[kind] = {
                "key": key,
                "simple": _kept(client, repository, signature_tag(SIGNED)),
                "bundle": _kept(client, repository, bundle[0]),
                "attestation": _kept(client, repository, attestation.pop()),
            }
    return made


if __name__ == "__main__":
    from tests import judges
    from tests.integration.processes import DockerRegistry

    with tempfile.TemporaryDirectory() as place, DockerRegistry(Path(place) / "registry") as registry:
        program = Cosign(judges.need("cosign"), Path(place))
        made = _make(program, registry.url.removeprefix("http://"))
        sys.stdout.write(json.dumps(made, indent=1) + "\n")

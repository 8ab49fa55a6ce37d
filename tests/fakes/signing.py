"""Signers for tests: simple signing and bundles as cosign writes them, good ones, and any that are wrong in one way."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from replicator.oci import OCI_CONFIG, OCI_MANIFEST, Digest
from replicator.signing import BUNDLE, SIMPLE_SIGNING, PublicKey
from tests.fakes.images import EMPTY, EMPTY_TYPE, Image

Document = dict[str, Any]
Change = Callable[[Document], object]

SIGNED = "https://sigstore.dev/cosign/sign/v1"
IN_TOTO = "application/vnd.in-toto+json"


class Signer:
    """A private key of some kind, and how it signs."""

    def __init__(self, kind: str = "p256") -> None:
        self._key: Any = {
            "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "p384 of cosign 2": lambda: ec.generate_private_key(ec.SECP384R1()),
            "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
            "rsa": lambda: rsa.generate_private_key(65537, 2048),
            "rsa 1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - to be refused
            "ed25519": ed25519.Ed25519PrivateKey.generate,
        }[kind]()
        self._kind = kind

    @property
    def pem(self) -> str:
        """The public key."""
        raw: bytes = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return raw.decode()

    @property
    def key(self) -> PublicKey:
        """The public key, as rules have it."""
        return PublicKey.from_pem(self.pem.encode())

    def sign(self, data: bytes) -> bytes:
        """A signature over `data`."""
        made: bytes
        match self._key:
            case rsa.RSAPrivateKey():
                made = self._key.sign(data, padding.PKCS1v15(), SHA256())
            case ec.EllipticCurvePrivateKey():
                made = self._key.sign(data, ec.ECDSA(SHA384() if self._kind == "p384" else SHA256()))
            case _:
                made = self._key.sign(data)
        return made


def unchanged(_: Document) -> None:
    """No change."""


def payload(subject: Image, change: Change = unchanged) -> bytes:
    """What simple signing signs, after a change."""
    document: Document = {
        "critical": {
            "identity": {"docker-reference": "eu.test/team/api"},
            "image": {"docker-manifest-digest": subject.digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    change(document)
    return json.dumps(document).encode()


def simple(signer: Signer, subject: Image, change: Change = unchanged) -> Image:
    """A signature to be pushed under the tag `.sig`. What is changed is changed before it is signed."""
    return simples([(payload(subject, change), signer)])


def simples(signed: list[tuple[bytes, Signer]]) -> Image:
    """Several signatures in one manifest, as cosign keeps them."""
    layers = []
    for content, signer in signed:
        beside = {"dev.cosignproject.cosign/signature": _text(signer.sign(content))}
        layers.append((content, SIMPLE_SIGNING, beside))
    return _manifest((b"{}", OCI_CONFIG), layers)


def statement(subject: Image, change: Change = unchanged) -> bytes:
    """What a bundle's envelope holds, after a change."""
    document: Document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": subject.digest.hex}, "annotations": {}}],
        "predicateType": SIGNED,
        "predicate": {},
    }
    change(document)
    return json.dumps(document).encode()


def envelope(signer: Signer, content: bytes) -> Document:
    """A bundle around a signed statement."""
    encoded = b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(content), content)
    return {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": {
            "payload": _text(content),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": _text(signer.sign(encoded))}],
        },
    }


def message_signatures(signer: Signer, content: bytes) -> list[Document]:
    """The signatures of an envelope by somebody who signs the content alone, without its type."""
    return [{"sig": _text(signer.sign(content))}]


def message(signer: Signer, subject: Image) -> Document:
    """A bundle that signs the bytes of the manifest itself."""
    return {"mediaType": BUNDLE, "messageSignature": {"signature": _text(signer.sign(subject.raw))}}


def bundled(document: Document, subject: Image, *, annotations: Mapping[str, str] | None = None) -> Image:
    """A referrer of `subject` that holds a bundle."""
    extra = {
        "artifactType": BUNDLE,
        "subject": subject.descriptor(),
        "annotations": dict(annotations or {"dev.sigstore.bundle.predicateType": SIGNED}),
    }
    return _manifest((EMPTY, EMPTY_TYPE), [(json.dumps(document).encode(), BUNDLE, {})], extra)


def bundle(signer: Signer, subject: Image) -> Image:
    """A referrer that signs `subject`."""
    return bundled(envelope(signer, statement(subject)), subject)


def _manifest(
    config: tuple[bytes, str],
    layers: Sequence[tuple[bytes, str, Mapping[str, str]]],
    extra: Mapping[str, object] | None = None,
) -> Image:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _described(*config),
        "layers": [
            _described(content, kind) | ({"annotations": dict(beside)} if beside else {})
            for content, kind, beside in layers
        ],
        **(extra or {}),
    }
    blobs = {Digest.of(content): content for content in (config[0], *(layer[0] for layer in layers))}
    return Image(json.dumps(document).encode(), OCI_MANIFEST, blobs)


def _described(content: bytes, media_type: str) -> Document:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

"""Signatures of images: what counts as one, and whether it was made over an image by one of the keys that are trusted.

Bytes in, verdict out. Two formats are verified, both with public keys alone, without certificates or a transparency
log: cosign's simple signing (a payload that names the image, its signature in an annotation beside it) and the Sigstore
bundle. What is not understood is not verified.
"""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from replicator.oci import Descriptor, Digest, Manifest, layers_of

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
COSIGN_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
NOTATION = "application/vnd.cncf.notary.signature"
PAYLOAD_LIMIT_BYTES = 128 * 1024
"""The largest payload or bundle that is read: they have hundreds of bytes, a few thousand with a certificate."""
SEALS_LIMIT = 64
"""How many signatures of one image are looked at."""

_SIGNATURE = "dev.cosignproject.cosign/signature"
_PREDICATE = "dev.sigstore.bundle.predicateType"
_SIGNED_BY_COSIGN = "https://sigstore.dev/cosign/sign/v1"
_SIMPLE_TYPE = "cosign container image signature"
_IN_TOTO = "application/vnd.in-toto+json"
_STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
# cosign 2 hashes with SHA-256 whatever the curve, cosign 3 as the curve wants it.
_CURVES: dict[str, tuple[HashAlgorithm, ...]] = {
    "secp256r1": (SHA256(),),
    "secp384r1": (SHA384(), SHA256()),
}
_RSA_BITS = range(2048, 8192 + 1)

_Object = dict[str, Any]  # JSON of somebody else's: every value is looked at before it is used
_Key = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class _Flaw(Exception):
    """Why a signature is not good, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key whose signatures are trusted: ECDSA on P-256 or P-384, RSA from 2048 bits on, or Ed25519."""

    der: bytes
    _key: _Key = field(compare=False, repr=False)

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """The key that a PEM text holds. Raises ValueError for anything else, a private key and a certificate too."""
        if pem.count(b"-----BEGIN ") != 1 or b"-----BEGIN PUBLIC KEY-----" not in pem:
            raise ValueError("is not one public key in PEM form (BEGIN PUBLIC KEY)")
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise ValueError("holds no public key that can be read") from exc
        return cls(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), _supported(key))

    def made(self, signature: bytes, data: bytes) -> bool:
        """Whether this key signed `data`."""
        match self._key:
            case rsa.RSAPublicKey() as key:
                checks = [partial(key.verify, signature, data, padding.PKCS1v15(), SHA256())]
            case ec.EllipticCurvePublicKey() as key:
                checks = [
                    partial(key.verify, signature, data, ec.ECDSA(hashed))
                    for hashed in _CURVES[key.curve.name]
                ]
            case key:
                checks = [partial(key.verify, signature, data)]
        return any(_passes(check) for check in checks)


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True


def _supported(key: object) -> _Key:
    match key:
        case rsa.RSAPublicKey() if key.key_size in _RSA_BITS:
            return key
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return key
        case ed25519.Ed25519PublicKey():
            return key
    raise ValueError(
        "is of a kind that is not taken; take ECDSA P-256 or P-384, RSA from 2048 bits on, or Ed25519"
    )


def is_signature(manifest: Manifest) -> bool:
    """Whether an artifact that refers to an image says of itself that it signs it. An attestation does not."""
    if manifest.artifact_type == BUNDLE:
        return manifest.annotations.get(_PREDICATE, _SIGNED_BY_COSIGN) == _SIGNED_BY_COSIGN
    return manifest.artifact_type in (COSIGN_ARTIFACT, NOTATION)


@dataclass(frozen=True, slots=True)
class Seal:
    """One signature as a manifest names it: the blob to read, and what is written beside it."""

    blob: Descriptor
    signature: str | None = None


def seals(manifest: Manifest) -> tuple[Seal, ...]:
    """The signatures in `manifest` that can be verified, in its order."""
    return tuple(
        Seal(layer, layer.annotations.get(_SIGNATURE))
        for layer in layers_of(manifest)
        if layer.media_type in (SIMPLE_SIGNING, BUNDLE)
    )


def flaw(seal: Seal, content: bytes, subject: Manifest, keys: Iterable[PublicKey]) -> str | None:
    """None if one of `keys` signed exactly `subject` with what the blob holds, else why not, as the end of a sentence.

    Never raises, whatever the bytes are.
    """
    if len(content) > PAYLOAD_LIMIT_BYTES:
        return f"it has more than {PAYLOAD_LIMIT_BYTES} bytes"
    try:
        if seal.blob.media_type == BUNDLE:
            _check_bundle(_object(content, "the bundle"), subject, tuple(keys))
        else:
            _check_simple(content, seal.signature, subject.digest, tuple(keys))
    except _Flaw as found:
        return str(found)
    return None


def _check_simple(payload: bytes, signature: str | None, digest: Digest, keys: tuple[PublicKey, ...]) -> None:
    _check_made(_decoded(signature, "the signature"), payload, keys)
    critical = _inner(_object(payload, "the payload"), "critical")
    if critical.get("type") != _SIMPLE_TYPE:
        raise _Flaw(f"its payload is not of the type {_SIMPLE_TYPE!r}")
    said = _inner(critical, "image").get("docker-manifest-digest")
    if said != digest:
        raise _Flaw(f"it is for {_shown(said)}")


def _check_bundle(bundle: _Object, subject: Manifest, keys: tuple[PublicKey, ...]) -> None:
    if bundle.get("mediaType") != BUNDLE:
        raise _Flaw(f"the bundle is not of the type {BUNDLE}")
    if "dsseEnvelope" in bundle:
        _check_envelope(_inner(bundle, "dsseEnvelope"), subject.digest, keys)
    else:
        signed = _inner(bundle, "messageSignature")
        _check_made(_decoded(signed.get("signature"), "the signature"), subject.raw, keys)


def _check_envelope(envelope: _Object, digest: Digest, keys: tuple[PublicKey, ...]) -> None:
    payload = _decoded(envelope.get("payload"), "the payload")
    signatures = envelope.get("signatures")
    # The bundle format allows one, so that nobody has to say which of several counts.
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise _Flaw("its envelope does not have exactly one signature")
    if envelope.get("payloadType") != _IN_TOTO:
        raise _Flaw(f"its payload is not of the type {_IN_TOTO}")
    # DSSE, "Pre-Authentication Encoding": what is signed is the payload with its type.
    encoded = b"DSSEv1 %d %s %d %s" % (len(_IN_TOTO), _IN_TOTO.encode(), len(payload), payload)
    _check_made(_decoded(signatures[0].get("sig"), "the signature"), encoded, keys)
    _check_statement(_object(payload, "the payload"), digest)


def _check_statement(statement: _Object, digest: Digest) -> None:
    if statement.get("_type") not in _STATEMENTS:
        raise _Flaw("its payload is no in-toto statement")
    if statement.get("predicateType") != _SIGNED_BY_COSIGN:
        raise _Flaw(f"it attests {_shown(statement.get('predicateType'))}, and signs nothing")
    subjects = statement.get("subject")
    said = (
        [item.get("digest") for item in subjects if isinstance(item, dict)]
        if isinstance(subjects, list)
        else []
    )
    if not any(isinstance(item, dict) and item.get(digest.algorithm) == digest.hex for item in said):
        raise _Flaw(f"it is for {_shown(said)}")


def _check_made(signature: bytes, data: bytes, keys: tuple[PublicKey, ...]) -> None:
    if not any(key.made(signature, data) for key in keys):
        raise _Flaw("none of the rule's keys made it")


def _object(raw: bytes, name: str) -> _Object:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise _Flaw(f"{name} is not JSON") from exc
    if not isinstance(found, dict):
        raise _Flaw(f"{name} is not a JSON object")
    return found


def _inner(outer: _Object, key: str) -> _Object:
    found = outer.get(key)
    if not isinstance(found, dict):
        raise _Flaw(f"it has no {key!r}")
    return found


def _decoded(text: object, name: str) -> bytes:
    if not isinstance(text, str) or not text:
        raise _Flaw(f"{name} is missing")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise _Flaw(f"{name} is not base64") from exc


def _shown(said: object) -> str:
    return repr(said)[:100]

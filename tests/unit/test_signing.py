"""Signatures: those that cosign made are verified, and every way to be wrong is told from every other."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.oci import Manifest, parse_manifest
from replicator.signing import (
    BUNDLE,
    COSIGN_ARTIFACT,
    NOTATION,
    PAYLOAD_LIMIT_BYTES,
    SIMPLE_SIGNING,
    PublicKey,
    Seal,
    flaw,
    is_signature,
    seals,
)
from tests.fakes import cosign, signing
from tests.fakes.images import Image, artifact, image, index, signature
from tests.fakes.signing import Document, Signer

SUBJECT = image([b"the subject"])
OTHER = image([b"another image"])
SIGNER, STRANGER = Signer(), Signer()


def parsed(made: Image) -> Manifest:
    return parse_manifest(made.raw, made.media_type)


def flaws(
    made: Image, subject: Image = SUBJECT, keys: Iterable[PublicKey] = (SIGNER.key,)
) -> list[str | None]:
    """What is wrong with each signature in a manifest."""
    return [flaw(seal, made.blobs[seal.blob.digest], parsed(subject), keys) for seal in seals(parsed(made))]


def flaw_of(document: Document, subject: Image = SUBJECT) -> str | None:
    """What is wrong with a bundle."""
    (found,) = flaws(signing.bundled(document, SUBJECT), subject)
    return found


def without(*path: str) -> Callable[[Document], object]:
    """The change that takes out what is there."""

    def change(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


def having(*path: str, value: Any) -> Callable[[Document], object]:
    """The change that puts another value there."""

    def change(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


# What cosign made


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa"])
@pytest.mark.parametrize("form", ["simple", "bundle"])
def test_what_cosign_signed_is_verified(kind: str, form: str) -> None:
    made = cosign.Made.of(kind)
    signed: Image = getattr(made, form)

    assert flaws(signed, cosign.SIGNED, [SIGNER.key, PublicKey.from_pem(made.pem.encode())]) == [None]
    assert flaws(signed, cosign.SIGNED) == ["none of the rule's keys made it"]
    assert flaws(signed, OTHER, [PublicKey.from_pem(made.pem.encode())]) != [None]


def test_what_cosign_attested_is_no_signature() -> None:
    made = cosign.Made.of("p256")

    (found,) = flaws(made.attestation, cosign.SIGNED, [PublicKey.from_pem(made.pem.encode())])

    assert found == "it attests 'https://cosign.sigstore.dev/attestation/v1', and signs nothing"
    assert is_signature(parsed(made.bundle))
    assert not is_signature(parsed(made.attestation))


# Keys


@pytest.mark.parametrize("kind", ["p256", "p384", "p384 of cosign 2", "rsa", "ed25519"])
def test_every_kind_of_key_verifies_every_form(kind: str) -> None:
    signer = Signer(kind)
    forms = [
        signing.simple(signer, SUBJECT),
        signing.bundle(signer, SUBJECT),
        signing.bundled(signing.message(signer, SUBJECT), SUBJECT),
    ]

    assert [flaws(made, SUBJECT, [STRANGER.key, signer.key]) for made in forms] == [[None]] * 3
    assert [flaws(made, SUBJECT, [Signer(kind).key, STRANGER.key]) for made in forms] == [
        ["none of the rule's keys made it"]
    ] * 3


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        ("", "is not one public key"),
        ("key", "is not one public key"),
        (SIGNER.pem * 2, "is not one public key"),
        (SIGNER.pem.replace("PUBLIC", "PRIVATE"), "is not one public key"),
        (SIGNER.pem.replace("PUBLIC KEY", "CERTIFICATE"), "is not one public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key that can be read"),
        (Signer("p521").pem, "is of a kind that is not taken"),
        (Signer("rsa 1024").pem, "is of a kind that is not taken"),
    ],
    ids=["empty", "text", "two", "private", "certificate", "unreadable", "p521", "rsa 1024"],
)
def test_what_is_no_key_to_trust_is_refused(pem: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PublicKey.from_pem(pem.encode())


def test_a_key_is_what_it_holds() -> None:
    again = SIGNER.pem.replace("\n", "\r\n")

    assert PublicKey.from_pem(again.encode()) == SIGNER.key
    assert SIGNER.key != STRANGER.key


# Simple signing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("critical"), "it has no 'critical'"),
        (having("critical", value=[]), "it has no 'critical'"),
        (without("critical", "type"), "its payload is not of the type 'cosign container image signature'"),
        (having("critical", "type", value="atomic"), "its payload is not of the type 'cosign container"),
        (without("critical", "image"), "it has no 'image'"),
        (without("critical", "image", "docker-manifest-digest"), "it is for None"),
        (
            having("critical", "image", "docker-manifest-digest", value=OTHER.digest),
            f"it is for '{OTHER.digest}'",
        ),
        (having("critical", "image", "docker-manifest-digest", value=[SUBJECT.digest]), "it is for ["),
    ],
)
def test_a_payload_that_says_something_else_signs_nothing(
    change: Callable[[Document], object], message: str
) -> None:
    (found,) = flaws(signing.simple(SIGNER, SUBJECT, change))

    assert found
    assert found.startswith(message)


def test_the_name_that_was_signed_is_not_compared() -> None:
    renamed = having("critical", "identity", "docker-reference", value="elsewhere.test/other")

    assert flaws(signing.simple(SIGNER, SUBJECT, renamed)) == [None]
    assert flaws(signing.simple(SIGNER, SUBJECT, without("critical", "identity"))) == [None]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"1" * 10_000])
def test_a_payload_that_is_no_object_signs_nothing(raw: bytes) -> None:
    (found,) = flaws(signing.simples([(raw, SIGNER)]))

    assert found in ("the payload is not JSON", "the payload is not a JSON object")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the signature is missing"),
        ("", "the signature is missing"),
        ("no base64", "the signature is not base64"),
        ("ümläut", "the signature is not base64"),
        ("AAAA", "none of the rule's keys made it"),
    ],
)
@pytest.mark.parametrize("signer", [SIGNER, Signer("rsa"), Signer("ed25519")])
def test_what_is_beside_the_payload_must_be_its_signature(
    text: str | None, message: str, signer: Signer
) -> None:
    made = signing.simple(signer, SUBJECT)
    (seal,) = seals(parsed(made))

    found = flaw(replace(seal, signature=text), made.blobs[seal.blob.digest], parsed(SUBJECT), [signer.key])

    assert found == message


def test_a_payload_that_was_tampered_with_is_not_verified() -> None:
    made = signing.simple(SIGNER, SUBJECT)
    (seal,) = seals(parsed(made))
    content = made.blobs[seal.blob.digest]

    assert flaw(seal, content + b" ", parsed(SUBJECT), [SIGNER.key]) == "none of the rule's keys made it"
    assert flaw(seal, content, parsed(SUBJECT), []) == "none of the rule's keys made it"


def test_two_signatures_over_one_payload_are_two() -> None:
    content = signing.payload(SUBJECT)
    made = signing.simples([(content, SIGNER), (content, STRANGER)])

    assert flaws(made) == [None, "none of the rule's keys made it"]
    assert flaws(made, SUBJECT, [STRANGER.key]) == ["none of the rule's keys made it", None]


# Bundles


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (having("_type", value="https://in-toto.io/Statement/v2"), "its payload is no in-toto statement"),
        (having("_type", value=[]), "its payload is no in-toto statement"),
        (having("predicateType", value="https://slsa.dev/provenance/v1"), "it attests 'https://slsa.dev"),
        (without("predicateType"), "it attests None"),
        (without("subject"), "it is for []"),
        (having("subject", value={}), "it is for []"),
        (
            having("subject", value=[1, {"digest": []}, {"digest": {"sha256": OTHER.digest.hex}}]),
            "it is for [",
        ),
        (having("subject", value=[{"digest": {"sha512": SUBJECT.digest.hex}}]), "it is for ["),
    ],
)
def test_a_statement_about_something_else_signs_nothing(
    change: Callable[[Document], object], message: str
) -> None:
    found = flaw_of(signing.envelope(SIGNER, signing.statement(SUBJECT, change)))

    assert found
    assert found.startswith(message)


def test_one_subject_of_several_is_enough() -> None:
    both = [{"digest": {"sha256": item.digest.hex}} for item in (OTHER, SUBJECT)]
    content = signing.statement(SUBJECT, having("subject", value=both))

    assert flaw_of(signing.envelope(SIGNER, content)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            having("mediaType", value="application/vnd.dev.sigstore.bundle.v9+json"),
            "the bundle is not of the type",
        ),
        (without("mediaType"), "the bundle is not of the type"),
        (without("dsseEnvelope"), "it has no 'messageSignature'"),
        (having("dsseEnvelope", value=1), "it has no 'dsseEnvelope'"),
        (without("dsseEnvelope", "payload"), "the payload is missing"),
        (having("dsseEnvelope", "payload", value="?"), "the payload is not base64"),
        (having("dsseEnvelope", "payloadType", value="text/plain"), "its payload is not of the type"),
        (without("dsseEnvelope", "signatures"), "its envelope does not have exactly one signature"),
        (having("dsseEnvelope", "signatures", value=[]), "its envelope does not have exactly one"),
        (having("dsseEnvelope", "signatures", value=[1]), "its envelope does not have exactly one"),
        (having("dsseEnvelope", "signatures", value=[{}, {}]), "its envelope does not have exactly one"),
        (having("dsseEnvelope", "signatures", value=[{}]), "the signature is missing"),
        (having("dsseEnvelope", "signatures", value=[{"sig": 1}]), "the signature is missing"),
        (having("dsseEnvelope", "signatures", value=[{"sig": "AAAA"}]), "none of the rule's keys made it"),
    ],
)
def test_a_bundle_that_is_wrong_signs_nothing(change: Callable[[Document], object], message: str) -> None:
    document = signing.envelope(SIGNER, signing.statement(SUBJECT))
    change(document)

    found = flaw_of(document)

    assert found
    assert found.startswith(message)


def test_a_signature_without_the_type_of_its_payload_is_none() -> None:
    content = signing.statement(SUBJECT)
    document = signing.envelope(SIGNER, content)
    document["dsseEnvelope"]["signatures"] = signing.message_signatures(SIGNER, content)

    assert flaw_of(document) == "none of the rule's keys made it"


def test_a_signed_message_is_the_manifest_itself() -> None:
    assert flaw_of(signing.message(SIGNER, SUBJECT)) is None
    assert flaw_of(signing.message(SIGNER, OTHER)) == "none of the rule's keys made it"
    assert flaw_of(signing.message(STRANGER, SUBJECT)) == "none of the rule's keys made it"


@pytest.mark.parametrize("raw", [b"", b"[]", b"null"])
def test_a_bundle_that_is_no_object_signs_nothing(raw: bytes) -> None:
    (seal,) = seals(parsed(signing.bundle(SIGNER, SUBJECT)))

    assert str(flaw(seal, raw, parsed(SUBJECT), [SIGNER.key])).startswith("the bundle is not")


# What counts


def test_what_is_too_large_is_not_read() -> None:
    content = signing.payload(SUBJECT, having("optional", value="x" * PAYLOAD_LIMIT_BYTES))

    assert flaws(signing.simples([(content, SIGNER)])) == [f"it has more than {PAYLOAD_LIMIT_BYTES} bytes"]


def test_only_the_forms_that_can_be_verified_are_looked_at() -> None:
    assert [seal.blob.media_type for seal in seals(parsed(signature(SUBJECT)))] == [SIMPLE_SIGNING]
    assert [seal.blob.media_type for seal in seals(parsed(signing.bundle(SIGNER, SUBJECT)))] == [BUNDLE]
    assert seals(parsed(artifact(NOTATION, subject=SUBJECT))) == ()
    assert seals(parsed(index([SUBJECT]))) == ()


@pytest.mark.parametrize(
    ("made", "signs"),
    [
        (artifact(BUNDLE, subject=SUBJECT), True),
        (artifact(NOTATION, subject=SUBJECT), True),
        (artifact(COSIGN_ARTIFACT, subject=SUBJECT), True),
        (artifact(subject=SUBJECT), False),
        (image(subject=SUBJECT), False),
        (signing.bundle(SIGNER, SUBJECT), True),
        (
            signing.bundled(
                {},
                SUBJECT,
                annotations={"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"},
            ),
            False,
        ),
    ],
)
def test_a_referrer_says_whether_it_signs(made: Image, signs: bool) -> None:
    assert is_signature(parsed(made)) is signs


_NAMES = st.sampled_from(
    [
        "critical",
        "type",
        "image",
        "mediaType",
        "dsseEnvelope",
        "messageSignature",
        "payload",
        "signatures",
        "sig",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from([SIMPLE_SIGNING, BUNDLE]), st.none() | st.text(max_size=8))
def test_no_bytes_make_it_raise(document: object, media_type: str, beside: str | None) -> None:
    blob = replace(seals(parsed(signature(SUBJECT)))[0].blob, media_type=media_type)
    content = json.dumps(document if not isinstance(document, dict) else {"mediaType": BUNDLE} | document)

    assert flaw(Seal(blob, beside), content.encode(), parsed(SUBJECT), [SIGNER.key])

"""Required signatures in rule files: keys as text or as files, and what contradicts them."""

from pathlib import Path

import pytest

from replicator.rulefiles import RuleBook
from replicator.rules import Rule, Signatures
from tests.fakes.signing import Signer
from tests.unit.rulefiles.kit import Clock, assert_mistake, loaded, mistakes, names, rule, write

ONE, TWO = Signer(), Signer("ed25519")


def the_rule(directory: Path, files: dict[str, str]) -> Rule:
    (found,) = loaded(directory, files).rules.rules
    return found


def block(pem: str) -> str:
    """A PEM text as an item of a list in a rule."""
    return "\n      - |\n" + "".join(f"        {line}\n" for line in pem.splitlines())


def test_signatures_may_be_required_without_keys(tmp_path: Path) -> None:
    found = the_rule(tmp_path, {"r.yaml": rule(signatures="require", signature_wait="2m")})

    assert (found.signatures, found.keys, found.signature_wait_s) == (Signatures.REQUIRE, (), 120)


def test_keys_are_text_or_files_beside_the_rules_and_require_signatures(tmp_path: Path) -> None:
    files = {
        "rules/r.yaml": rule(
            keys=block(ONE.pem) + "      - two.pub\n      - ../keys/one.pub", signature_wait="1h"
        ),
        "rules/two.pub": TWO.pem,
        "keys/one.pub": ONE.pem,
    }

    found = the_rule(tmp_path, files)

    assert (found.signatures, found.signature_wait_s) == (Signatures.REQUIRE, 3600)
    assert found.keys == (ONE.key, TWO.key)


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        (
            rule(keys="[two.pub, §three.pub]"),
            "there is no key file three.pub: it ends in .pub, and its way from this file leads to somewhere in the "
            "rules directory",
        ),
        (
            rule(keys="[§wrong.pub]"),
            "the file wrong.pub is not one public key in PEM form (BEGIN PUBLIC KEY)",
        ),
        (
            rule(keys='[§"-----BEGIN RSA PRIVATE KEY-----"]'),
            "the key is not one public key in PEM form (BEGIN PUBLIC KEY)",
        ),
        (rule(keys="§[]"), "keys: must not be empty"),
        (rule(keys="§two.pub"), "keys: must be a list"),
        (
            rule(keys="[two.pub]", signatures="§follow"),
            "signatures: follow contradicts keys, with which signatures are required",
        ),
        (
            rule(keys="[two.pub]", signatures="§ignore"),
            "signatures: ignore contradicts keys, with which signatures are required",
        ),
        (rule(signature_wait="§5m"), "signature_wait: is for rules with signatures: require"),
        (
            rule(signatures="require", signature_wait="§5 m"),
            "signature_wait: a duration is a number and its unit: 500ms, 5s, 1m or 2h",
        ),
    ],
)
def test_what_is_wrong_with_keys_is_told_at_its_place(tmp_path: Path, marked: str, message: str) -> None:
    write(tmp_path, {"two.pub": TWO.pem, "wrong.pub": "no key"})

    assert_mistake(tmp_path, marked, message)


def test_a_rule_with_another_mistake_tells_both(tmp_path: Path) -> None:
    found = mistakes(tmp_path, {"r.yaml": rule(keys="[gone.pub]", override="maybe")})

    assert [text.partition(": ")[2].split(" ")[0] for text in found] == ["there", "override:"]


def test_a_key_that_is_exchanged_is_a_new_revision(tmp_path: Path) -> None:
    clock = Clock()
    files = {"r.yaml": rule(keys="[one.pub]"), "one.pub": ONE.pem}
    book = RuleBook(write(tmp_path / "rules", files), {}, keep=tmp_path / "kept", clock=clock)

    write(tmp_path / "rules", {"one.pub": TWO.pem})
    clock.pass_(1)

    assert book.current.rules[0].keys == (TWO.key,)

    (tmp_path / "rules" / "one.pub").unlink()
    clock.pass_(1)

    assert book.current.rules[0].keys == (TWO.key,)
    assert "there is no key file one.pub" in (book.error or "")
    again = RuleBook(tmp_path / "rules", {}, keep=tmp_path / "kept", clock=clock)
    assert again.current.rules[0].keys == (TWO.key,)


def test_keys_alone_are_no_rule_files(tmp_path: Path) -> None:
    clock = Clock()
    book = RuleBook(write(tmp_path, {"r.yaml": rule(name="one"), "one.pub": ONE.pem}), {}, clock=clock)

    (tmp_path / "r.yaml").unlink()
    clock.pass_(1)

    assert names(book) == ["one"]
    assert "all rule files are gone" in (book.error or "")

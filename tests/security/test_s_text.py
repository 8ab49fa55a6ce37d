"""Text from outside commands nobody: no terminal, no log, no header, no URL: S10, S11, S29."""

import json
import logging
import random
from contextlib import closing, suppress

import pytest

from replicator.errors import ReplicatorError
from replicator.oci import Repository, Tag, parse_reference
from replicator.registry import RegistryClient
from replicator.telemetry.logs import JSONFormatter, TextFormatter
from tests.fakes.web import Site
from tests.fakes.wire import Wire, answer
from tests.unit.registry.scripted import API, V1, Script, client_of, registry

ELSEWHERE = {
    "S11": "tests/unit/registry/test_heads.py::test_a_request_that_would_become_another_is_not_written"
}

ANSI = "\x1b[2J\x1b]0;owned\x07\r\n2030-01-01T00:00:00.000Z ERROR   replicator: forged\u202e\u2028\x9b31m"

# S10: a name is a name, or it never becomes part of a URL

PIECES = [
    *(
        "a",
        "team",
        "api",
        "x1",
        "0",
        "Z",
        "..",
        ".",
        "...",
        "/",
        "//",
        "_",
        "__",
        "-",
        "---",
        ":",
        "@",
        "%2e%2e",
    ),
    *(
        "%2f",
        "%00",
        "\\",
        "?",
        "#",
        ";",
        "&",
        "=",
        "\n",
        "\r\n",
        "\t",
        "\x00",
        " ",
        "é",
        "\u2024",
        "。",
        "\ud800",
    ),
    *("v1", "latest", "sha256:", "a" * 64, "f" * 63, "blobs", "manifests", "/v2/", "~", "$", "*", "a" * 255),
]
CASES = 100_000


def made(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 6)))


def test_s10_no_name_leaves_the_path_that_it_belongs_in() -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng, taken, asked = random.Random(seed), 0, 0
    script = Script({})
    with closing(client_of(script)) as client:
        for _ in range(CASES):
            text, other = made(rng), made(rng)
            try:
                repository, reference = Repository(text), parse_reference(other)
            except ValueError:
                continue
            taken += 1
            if taken % 50 == 0:
                asked += 1
                client.head_manifest(repository, reference)
                assert_within(script, repository, str(reference)), f"seed {seed}"
                script.log.clear()

    assert taken > 100
    assert asked > 2


def assert_within(script: Script, repository: Repository, reference: str) -> None:
    sent = script.log[-1].url.raw_path.decode()
    assert sent == f"/v2/{repository}/manifests/{reference}"
    assert not {"..", ".", ""} & set(sent[1:].split("/"))
    assert len(repository) <= 255


# S29: what a registry, a pusher or a caller of the API says


def reasons(client: RegistryClient) -> list[str]:
    found = []
    for call in (lambda: client.get_manifest(API, V1), lambda: client.tags(API), client.ping):
        try:
            call()
        except ReplicatorError as exc:
            found.append(str(exc))
    return found


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 429, 500, 503])
def test_s29_what_a_registry_says_is_quoted_short_and_in_one_line(status: int) -> None:
    body = json.dumps({"errors": [{"code": ANSI, "message": ANSI * 500, "detail": ANSI}] * 9}).encode()
    headers = {"Content-Length": str(len(body)), "Warning": f'299 - "{ANSI[3:6]}"'}
    with Wire(answer(status, headers, body)) as wire, closing(client_of_wire(wire)) as client:
        said = reasons(client)

    assert said
    assert all(text.isprintable() and len(text) < 1000 for text in said)


def client_of_wire(wire: Wire) -> RegistryClient:
    return RegistryClient(registry(url=wire.url))


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()], ids=["text", "json"])
def test_s29_a_log_line_begins_only_where_we_begin_one(formatter: logging.Formatter) -> None:
    caught = (ValueError, ValueError(ANSI), None)
    record = logging.LogRecord("replicator", logging.ERROR, "f.py", 1, ANSI, (), caught)
    record.tag = ANSI

    lines = formatter.format(record).split("\n")

    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines[1:] if not line.startswith("  ")]
    assert "forged" in "".join(lines)


@pytest.mark.parametrize("field", ["reason", "by"])
def test_s29_an_operators_words_are_one_printable_line(field: str) -> None:
    site = Site()
    calls = {
        "reason": ("/api/v1/pause", {"rule": "prod"}),
        "by": ("/api/v1/promote", {"source": "eu/a:v1", "destination": "us/a"}),
    }
    path, document = calls[field]

    for words in (ANSI, "x" * 501):
        answered = site.act(path, {**document, field: words})
        assert answered.status_code == 422
        assert answered.text.isprintable()
    assert site.ledger.pauses.all() == []


def test_s29_no_tag_or_repository_holds_anything_but_its_grammar() -> None:
    for text in (ANSI, "v1\n", "v1\x1b[0m", "v1\u202e"):
        for kind in (Tag, Repository):
            with suppress(ValueError):
                assert not kind(text)
                pytest.fail(f"{kind.__name__} took {text!r}")

"""Secrets are planted where one may be given, and looked for where something is kept, said or shown: S5, S12, S13.

The same is done over a whole run of faults in `make chaos`; here it is one `replicator up` that has seen every kind of
trouble with credentials.
"""

import base64
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.product import Done
from tests.e2e.world import PATH_SECRET, SECRET, World
from tests.fakes import images
from tests.integration.processes import PASSWORD, USER, wait_until
from tests.security.strangers import STRANGERS_HOST, Listener, answer

API_TOKEN, READ_TOKEN, OLD_SECRET, WRONG = (
    f"{name}-canary-{secrets.token_hex(8)}" for name in ("api", "read", "old", "wrong")
)
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PLANTED = (SECRET, PATH_SECRET, PASSWORD, PAIR, API_TOKEN, READ_TOKEN, OLD_SECRET, WRONG)
RULES = """\
rules:
  - {name: all, source: eu, destinations: [us], filters: [{type: name, value: "production/**"}], deletion: true}
  - {name: back, source: ap, destinations: [us], filters: [{type: name, value: "charts/**"}]}
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Listener]:
    """Takes spans, as OTLP over HTTP sends them."""
    listener = Listener(lambda _: answer(200))
    with listener.peer:
        yield listener


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, collector: Listener) -> Iterator[World]:
    """Regions with passwords, secrets in files, in variables and in paths, spans collected, everything logged."""
    environment = {
        "REPLICATOR_API_TOKEN": API_TOKEN,
        "REPLICATOR_API_READ_TOKEN": READ_TOKEN,
        "REPLICATOR_LOG_LEVEL": "debug",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.peer.url,
        "EU_PASSWORD": PASSWORD,
        "OLD_SECRET": OLD_SECRET,
    }
    directory = tmp_path_factory.mktemp("canaries")
    made = World(directory, RULES, guarded=("eu", "us"), environment=environment)
    text = yaml.safe_load((made.replicator.rules / "registries.yaml").read_text())
    text["registries"]["eu"]["credential"] = {
        "type": "basic",
        "access_key": USER,
        "access_secret": "${EU_PASSWORD}",
    }
    text["registries"]["eu"]["webhook"] = {"secret": [SECRET, "${OLD_SECRET}"]}
    made.replicator.write_rules("registries.yaml", yaml.safe_dump(text))
    made.secret.write_text(WRONG)
    with made as running:
        yield running


def asked(world: World, method: str, path: str, secret: str, body: bytes = b"{}") -> int:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    return world.replicator.call(method, path, headers=headers, body=body).status


def api(world: World, path: str) -> str:
    headers = {"Authorization": f"Bearer {READ_TOKEN}"}
    answer = world.replicator.call("GET", path, headers=headers)
    assert answer.status in {200, 404}, (path, answer)
    return f"{answer.headers} {answer.body!r}"


def push(world: World, region: str, repository: str, tag: str, content: bytes) -> images.Image:
    registry = world.registries[region]
    url = (
        registry.url.replace("://", f"://{USER}:{PASSWORD.replace(' ', '%20')}@")
        if region != "ap"
        else registry.url
    )
    pushed = images.image([content])
    images.push(url, repository, tag, pushed)
    return pushed


def done(world: World) -> str:
    return api(world, "/api/v1/jobs?state=done")


@pytest.fixture(scope="module")
def seen(world: World) -> World:
    """Copies, refusals of every kind, a wrong password at a destination, dead letters, and what operators did."""
    push(world, "eu", "production/web", "v1", b"one")
    push(world, "ap", "charts/web", "v1", b"two")
    refused = lambda: "answered 401" in api(world, "/api/v1/jobs")  # noqa: E731 - a condition with a name
    wait_until(refused, 30, what="the destination refuses the password", poll_s=0.2)
    world.secret.write_text(PASSWORD)
    copied = lambda: all(name in done(world) for name in ("production/web", "charts/web"))  # noqa: E731
    wait_until(copied, 60, what="the right one is read", poll_s=0.2)
    for secret in (WRONG, PATH_SECRET, API_TOKEN):
        assert asked(world, "POST", "/webhooks/eu", secret) == 401
        assert asked(world, "POST", f"/webhooks/eu/{secret}", WRONG) == 401
    for secret in (SECRET, OLD_SECRET):
        assert asked(world, "POST", "/webhooks/eu", secret, f'{{"events": "{WRONG}"}}'.encode()[:9]) == 202
    for secret in (WRONG, SECRET, READ_TOKEN):
        assert asked(world, "POST", "/api/v1/pause", secret, b'{"rule": "all"}') in {401, 403}
        assert asked(world, "GET", f"/api/v1/status?token={WRONG}", WRONG) == 401
    assert asked(world, "POST", "/api/v1/failures/retry", API_TOKEN) == 200
    return world


def without_canaries(text: str, where: str) -> None:
    found = [secret for secret in PLANTED if secret in text]
    assert not found, f"{where} holds {found}"


def test_s12_redis_holds_no_secret(seen: World) -> None:
    files = [
        path for path in seen.replicator.data.rglob("*") if path.is_file() and "redis" in str(path).lower()
    ]
    aof = [path for path in files if path.suffix in (".aof", ".rdb")]

    assert sum(path.stat().st_size for path in aof) > 1000
    assert any(b"production/web" in path.read_bytes() for path in aof)
    for path in files:
        without_canaries(path.read_bytes().decode("latin-1"), str(path))


def test_s12_no_command_line_holds_a_secret(seen: World) -> None:
    pids = seen.replicator.group()

    assert len(pids) > 4
    for pid in pids:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode("latin-1")
        without_canaries(line, line)


def test_s12_what_must_hold_secrets_is_the_owners_alone(seen: World) -> None:
    holding = [
        path
        for path in seen.replicator.data.rglob("*")
        if path.is_file() and any(is_in(secret, path.read_bytes()) for secret in PLANTED)
    ]

    # The last sound rule files, as they were read: a secret that was written into one is in there.
    assert [path.name for path in holding] == ["rules-kept.json"]
    assert {path.stat().st_mode & 0o077 for path in holding} == {0}


def is_in(secret: str, content: bytes) -> bool:
    """Whether it is there as it stands, or in base64 of any alignment."""
    cores = [base64.b64encode(b"x" * shift + secret.encode())[4 * (shift > 0) : -4] for shift in range(3)]
    return secret.encode() in content or any(len(core) > 12 and core in content for core in cores)


def test_s13_the_log_holds_no_secret(seen: World) -> None:
    said = seen.replicator.said

    assert re.search(r"job ended .*production/web", said)
    assert "not authenticated" in said
    assert "/webhooks/ap/***" in said
    without_canaries(said, "the log")


def test_s13_no_span_holds_a_secret(seen: World, collector: Listener) -> None:
    names = (b"receive notification", b"replicator.job", b"replicator.write", b"production/web")
    wait_until(
        lambda: all(name in b"".join(collector.bodies) for name in names), 30, what="spans", poll_s=0.2
    )

    without_canaries(b"".join(collector.bodies).decode("latin-1"), "a span")
    without_canaries("".join(collector.heads), "a request with spans")


def test_s13_neither_api_nor_metrics_nor_errors_hold_a_secret(seen: World) -> None:
    paths = (
        "status",
        "rules",
        "jobs",
        "jobs?state=done",
        "jobs/x",
        "failures",
        "deletions",
        "resyncs",
        "plans/x",
    )
    told = [api(seen, f"/api/v1/{path}") for path in paths]
    told += [
        api(seen, path) for path in ("/metrics", "/healthz", "/readyz", "/api/openapi.json", f"/{WRONG[:5]}")
    ]

    assert any("production/web" in text for text in told)
    for text in told:
        without_canaries(text, "an answer")


def test_s13_no_command_prints_a_secret(seen: World) -> None:
    replicator = seen.replicator
    commands = [
        ["status"],
        ["failures", "show", "--all"],
        ["jobs", "list", "--state", "done", "--json"],
        ["export", "--output", str(replicator.log.with_name("export.json"))],
        ["check", str(replicator.rules)],
        ["verify"],
    ]
    for command in commands:
        told = said_by(replicator.command(*command))
        assert told.strip(), command
        assert "EU_PASSWORD" not in told
        without_canaries(told, " ".join(command))
    without_canaries(replicator.log.with_name("export.json").read_text(), "the export")


def said_by(ended: Done) -> str:
    return ended.out + ended.err


def test_s5_no_address_in_a_notification_is_ever_asked(seen: World) -> None:
    stranger = Listener(host=STRANGERS_HOST)
    with stranger.peer:
        there = f"{STRANGERS_HOST}:{stranger.port}"
        urls = [
            f"http://{there}/v2/production/web/manifests/v1",
            f"//{there}/x",
            f"http://{there}@127.0.0.1/",
        ]
        urls += ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", f"gopher://{there}/_x"]
        events = [
            {
                "action": action,
                "target": {
                    "repository": "production/web",
                    "tag": "v1",
                    "url": url,
                    "urls": [url],
                    "fromRepository": url,
                },
                "request": {"host": there, "addr": there},
                "source": {"addr": there, "url": url},
            }
            for url in urls
            for action in ("push", "delete", "pull", "mount")
        ]
        before = done(seen).count("production/web")
        assert asked(seen, "POST", "/webhooks/eu", SECRET, json.dumps({"events": events}).encode()) == 202
        wait_until(
            lambda: done(seen).count("production/web") > before, 30, what="the notification was acted on"
        )

        assert stranger.peer.connections == 0

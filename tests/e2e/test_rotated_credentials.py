"""The runbook's fourth drill: a password, a webhook secret and the API token are changed."""

from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.runbook import do
from tests.e2e.world import SECRET, World
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import USER, wait_until

RULES = """\
rules:
  - name: prod-to-dr
    source: eu
    destinations: [us]
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
"""
CHANGED = "changed"
HTPASSWD = f"{USER}:$2b$04$AE7Kby6fUf5GY7pGJH.Ds.nO/R9NBF6rusFG1hZ1zAuU.cHqwHZci\n"
"""The htpasswd file in which USER has the password CHANGED."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world where `us` wants a password, shared by the tests of this file."""
    directory = tmp_path_factory.mktemp("credentials")
    with World(directory, RULES, regions=("eu", "us"), guarded=["us"]) as running:
        yield running


def push(world: World, tag: str) -> Image:
    return world.push("eu", "production/web", tag, images.image([f"pushed as {tag}".encode()]))


def has(world: World, tag: str, image: Image, password: str) -> None:
    """Wait until `us` shows the image to who has the password."""
    url = world.url("us").replace("://", f"://{USER}:{password.replace(' ', '%20')}@")
    wait_until(lambda: images.is_whole(url, "production/web", tag, image), 20, what=f"us has {tag}")


def test_a_password_that_was_changed_parks_jobs_until_it_is_told(world: World) -> None:
    has(world, "v1", push(world, "v1"), "open sesame")
    world.registries["us"].users.write_text(HTPASSWD)
    world.registries["us"].stop()
    world.registries["us"].start()
    waiting = {tag: push(world, tag) for tag in ("v2", "v3")}
    wait_until(lambda: len(world.replicator.api("failures")["jobs"]) == 2, 60, what="both are parked")

    assert "answered 401" in do(world.replicator, "failures --destination us").out
    world.secret.write_text(CHANGED)
    assert "2 of 2: retry" in do(world.replicator, "failures retry --all --destination us").out

    for tag, image in waiting.items():
        has(world, tag, image, CHANGED)
    assert "3 in sync" in do(world.replicator, "plan --destination us").out


def test_two_webhook_secrets_hold_while_one_replaces_the_other(world: World) -> None:
    def answer(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return world.replicator.call("POST", "/webhooks/eu", headers=headers, body=b'{"events": []}').status

    def change(*secrets: str) -> None:
        path = world.replicator.rules / "registries.yaml"
        document = yaml.safe_load(path.read_text())
        document["registries"]["eu"]["webhook"]["secret"] = list(secrets)
        world.replicator.write_rules("registries.yaml", yaml.safe_dump(document))

    assert (answer(SECRET), answer("the new one")) == (202, 401)

    change("the new one", SECRET)
    do(world.replicator, "check")
    wait_until(lambda: answer("the new one") == 202, what="both hold")
    assert answer(SECRET) == 202
    change("the new one")
    wait_until(lambda: answer(SECRET) == 401, what="the old one is refused")

    assert answer("the new one") == 202
    change(SECRET)


def test_the_api_token_is_made_anew_where_it_was_removed(world: World) -> None:
    old = world.replicator.token
    (world.replicator.data / "api-token").unlink()
    world.replicator.stop()
    world.replicator.start()

    assert world.replicator.token != old
    assert world.replicator.api("status")["lanes"]
    refused = world.replicator.call("GET", "/api/v1/status", headers={"Authorization": f"Bearer {old}"})
    assert refused.status == 401

"""The export holds everything that the ledger knows, and no secret."""

import json
from dataclasses import replace

from replicator.ledger import PauseKind, Submission
from replicator.operate import export
from tests.fakes.images import image
from tests.integration.ledger.kit import notify, read_one
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, a_rule

ONE, TWO = image([b"one"]), image([b"two"])
SECTIONS = {
    "lanes", "pauses", "registries", "jobs", "history", "dead_letters", "copied", "deletions",
    "promotions", "sweeps", "compared", "capabilities",
}  # fmt: skip


def test_an_empty_ledger_is_a_whole_document(make_world: MakeWorld) -> None:
    world = make_world(a_rule())

    document = json.loads("".join(export(world.desk())))

    assert document["version"] == 1
    assert {name for name, value in document.items() if isinstance(value, list)} == SECTIONS
    assert [lane["rule"] for lane in document["lanes"]] == ["prod"]
    assert [document[name] for name in ("jobs", "history", "copied")] == [[], [], []]


def test_everything_is_in_it_but_bodies_and_bytes(make_world: MakeWorld, redis_url: str) -> None:
    world = make_world(replace(a_rule(), deletion=True))
    for tag, pushed in (("v1", ONE), ("v2", TWO)):
        world.push("eu", tag, pushed)
        world.run(world.job(tag))
    world.delete("eu", "v1")
    world.remove(world.job())
    notify(redis_url, b"body-canary")
    inbox = world.ledger.inbox("router")
    inbox.bury(read_one(inbox), "no JSON")
    world.ledger.pauses.pause(PauseKind.DESTINATION, "us", "disk")
    world.ledger.fleet.learn("us", "referrers", True)
    world.ledger.availability.mark_down("eu")
    world.ledger.submit([Submission(world.job("v3"), since=5.0, is_urgent=False)])

    text = "".join(export(world.desk()))

    document = json.loads(text)
    assert [(job["reference"], job["is_urgent"], job["is_paused"]) for job in document["jobs"]] == [
        ("v3", False, True)
    ]
    assert [job["outcome"] for job in document["history"]] == ["deleted", "copied", "copied"]
    (copy,) = document["copied"]
    assert (copy["destination"], copy["repository"], copy["reference"]) == ("us", API, "v2")
    assert (copy["record"]["rule"], copy["record"]["digest"]) == ("prod", TWO.digest)
    (deletion,) = document["deletions"]
    assert (deletion["digest"], deletion["rule"], deletion["size_bytes"]) == (
        ONE.digest,
        "prod",
        len(ONE.raw),
    )
    assert [(letter["reason"], letter["size_bytes"]) for letter in document["dead_letters"]] == [
        ("no JSON", 11)
    ]
    assert [(pause["kind"], pause["name"], pause["reason"]) for pause in document["pauses"]] == [
        ("destination", "us", "disk")
    ]
    assert {"registry": "us", "name": "referrers", "is_there": True} in document["capabilities"]
    assert document["registries"] == [{"name": "eu", "available": False}, {"name": "us", "available": True}]
    assert [(lane["rule"], lane["destination"], lane["pending"]) for lane in document["lanes"]] == [
        ("prod", "us", 1)
    ]
    assert "body-canary" not in text
    assert ONE.raw.decode() not in text

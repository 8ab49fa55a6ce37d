"""What a script does through the API: a plan is read, carried out exactly, and an image promoted."""

import json
from typing import Any

from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until


def asked(world: World, path: str, **wish: object) -> str:
    """Ask for something that takes a while; its id."""
    headers = {"Authorization": f"Bearer {world.replicator.token}", "Content-Type": "application/json"}
    answer = world.replicator.call("POST", f"/api/v1/{path}", headers=headers, body=json.dumps(wish).encode())
    assert answer.status == 202, answer
    return str(answer.json()["id"])


def ended(world: World, sweep_id: str) -> dict[str, Any]:
    wait_until(
        lambda: world.replicator.api(f"sweeps/{sweep_id}")["ended_at"], 30, what="the comparison ended"
    )
    found: dict[str, Any] = world.replicator.api(f"sweeps/{sweep_id}")
    return found


def test_a_plan_is_made_read_and_carried_out(world: World) -> None:
    image = images.multi_arch("by the api")
    world.push("eu", "manual/api", "v1", image)
    world.replicator.settle()

    plan_id = asked(world, "plan", rule="manual", repository="manual/api")
    assert ended(world, plan_id)["state"] == "done"
    plan = world.replicator.api(f"plans/{plan_id}")
    (change,) = [change for change in plan["changes"] if change["kind"] == "add"]
    assert (change["repository"], change["wanted"]) == ("manual/api", image.digest)
    assert world.head("us", "manual/api", "v1") is None

    done = ended(world, asked(world, "resync", plan=plan_id))

    assert (done["state"], done["submitted"]) == ("done", 1)
    world.await_copy("us", "manual/api", "v1", image)
    again = ended(world, asked(world, "resync", plan=plan_id))
    assert (again["state"], again["submitted"]) == ("failed", None)
    assert "the world moved since the plan was made" in again["error"]


def test_an_image_is_promoted_without_a_rule(world: World) -> None:
    image = images.image([b"promoted by the api"])
    world.push("ap", "staging/web", "v1", image)

    job_id = asked(world, "promote", source="ap/staging/web:v1", destination="us/promoted/web:stable")

    world.await_copy("us", "promoted/web", "stable", image)
    wait_until(lambda: world.replicator.api(f"jobs/{job_id}")["outcome"] == "copied", 10)

"""The HTTP face of a running tree: who gets in, what the API and the metrics tell."""

import json

from replicator.oci import MANIFEST_TYPES
from tests.e2e.world import PATH_SECRET, SECRET, World
from tests.fakes import images
from tests.integration.processes import wait_until

LANES = {
    ("production", "eu", "us"),
    ("production", "eu", "ap"),
    ("deleting", "eu", "us"),
    ("there", "eu", "us"),
    ("back", "us", "eu"),
    ("careful", "eu", "us"),
    ("moved", "eu", "us"),
    ("moved", "eu", "ap"),
    ("charts", "ap", "us"),
    ("idle", "ap", "eu"),
    ("manual", "eu", "us"),
}


def test_every_lane_has_its_gauges_from_the_start(world: World) -> None:
    lag = world.replicator.metrics("replicator_lag_seconds")

    assert {
        tuple(dict(labels)[name] for name in ("rule", "source", "destination")) for labels in lag
    } == LANES
    assert (
        world.replicator.metric("replicator_lag_seconds", rule="idle", source="ap", destination="eu") == 0.0
    )
    for name in ("pending", "failed", "blocked"):
        assert len(world.replicator.metrics(f"replicator_{name}_jobs")) == len(LANES)
        assert world.replicator.metric(f"replicator_{name}_jobs", rule="idle", destination="eu") == 0.0
    assert world.replicator.metric("replicator_rules_reload_failed") == 0.0


def test_what_a_job_did_is_counted(world: World) -> None:
    image = world.push(
        "eu", "production/counted", "v1", images.image([images.layer_bytes("counted", 100_000)])
    )
    for region in ("us", "ap"):
        world.await_copy(region, "production/counted", "v1", image)
    world.replicator.settle()

    replicator = world.replicator
    assert (replicator.metric("replicator_bytes_total", source="eu", destination="us") or 0) > 100_000
    for name, labels in {
        "replicator_jobs_total": {"rule": "production", "destination": "us", "outcome": "copied"},
        "replicator_blobs_total": {"destination": "us", "how": "copied"},
        "replicator_events_total": {"registry": "eu", "action": "push", "result": "accepted"},
        "replicator_propagation_seconds_count": {"rule": "production", "destination": "ap"},
        "replicator_registry_available": {"registry": "us"},
    }.items():
        assert (replicator.metric(name, **labels) or 0) >= 1, name
    puts = [
        value
        for labels, value in replicator.metrics("replicator_registry_requests_total").items()
        if {("registry", "us"), ("method", "PUT")} <= labels
    ]
    assert sum(puts) >= 1


def test_only_those_who_know_the_secret_are_heard(world: World) -> None:
    refused = {
        "/webhooks/eu": {},
        "/webhooks/us": {"Authorization": "Bearer wrong"},
        "/webhooks/ap": {"Authorization": f"Bearer {SECRET}"},
        f"/webhooks/us/{PATH_SECRET}": {},
        "/webhooks/ap/wrong": {},
    }
    for path, headers in refused.items():
        assert world.replicator.call("POST", path, headers=headers, body=b"{}").status == 401, path

    assert world.replicator.call("POST", "/webhooks/nobody", body=b"{}").status == 404


def test_a_notification_may_prove_itself_by_its_path_and_the_log_does_not_tell(world: World) -> None:
    chart = images.chart("path", "1.0.0")

    world.push("ap", "charts/path", "1.0.0", chart)

    world.await_copy("us", "charts/path", "1.0.0", chart)
    assert "/webhooks/ap" in world.replicator.said
    for secret in (PATH_SECRET, SECRET, world.replicator.token):
        assert secret not in world.replicator.said.replace(f"API token: {secret}", "")


def test_the_api_wants_its_token(world: World) -> None:
    for path in ("status", "rules", "jobs", "jobs/0", "failures"):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert world.replicator.call("GET", f"/api/v1/{path}", headers=headers).status == 401


def test_the_api_tells_the_whole_story_of_a_job(world: World) -> None:
    image = world.push("eu", "production/story", "v1", images.image([b"a story"]))
    world.await_copy("us", "production/story", "v1", image)
    wait_until(lambda: len(world.replicator.jobs("production/story", state="done")) == 2)

    (job,) = [
        job for job in world.replicator.jobs("production/story", state="done") if job["destination"] == "us"
    ]
    assert (job["rule"], job["reference"], job["outcome"], job["digest"]) == (
        "production",
        "v1",
        "copied",
        image.digest,
    )
    assert world.replicator.api(f"jobs/{job['id']}") == job
    assert job["since"] <= job["finished_at"]


def test_authentic_nonsense_is_taken_kept_and_shown(world: World) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    before = len(world.replicator.api("failures")["dead_letters"])

    answer = world.replicator.call("POST", "/webhooks/eu", headers=headers, body=b'{"events": ')

    assert answer.status == 202
    wait_until(lambda: len(world.replicator.api("failures")["dead_letters"]) == before + 1)
    assert world.replicator.api("failures")["dead_letters"][0]["registry"] == "eu"


def test_a_notification_that_lies_about_hosts_and_digests_changes_nothing(world: World) -> None:
    image = world.push("eu", "production/truth", "v1", images.image([b"the truth"]))
    world.await_copy("us", "production/truth", "v1", image)
    target = {
        "mediaType": MANIFEST_TYPES[0],
        "digest": f"sha256:{'0' * 64}",
        "repository": "production/truth",
        "tag": "v1",
        "url": "http://127.0.0.1:1/v2/production/truth/manifests/v1",
    }
    body = json.dumps({"events": [{"id": "a lie", "action": "push", "target": target}]}).encode()

    answer = world.replicator.call(
        "POST", "/webhooks/eu", headers={"Authorization": f"Bearer {SECRET}"}, body=body
    )

    assert answer.status == 202
    wait_until(lambda: world.replicator.outcomes("production/truth", "v1").count("unchanged") == 2)
    world.await_copy("us", "production/truth", "v1", image)

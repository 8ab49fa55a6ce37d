"""Repositories that ECR misses, created through its API, which here is a fake behind a real socket."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from replicator.errors import Denied
from replicator.ledger import State
from replicator.oci import Repository
from replicator.registry import connect
from replicator.rules import Registry, RegistryType
from tests.fakes.ecr import ECRAPI, ENVIRONMENT, serve
from tests.fakes.images import image, is_whole
from tests.fakes.registry import FakeRegistry
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, ECR_HOST, World, a_rule

ONE = image([b"one", b"two", b"three"])
MISSING = b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]}'
ECR = Registry("us", RegistryType.ECR, f"https://{ECR_HOST}")
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ECRAPI]:
    # The environment's proxies are not ours: nobody is there.
    for name, value in {**ENVIRONMENT, "HTTP_PROXY": NOBODY, "HTTPS_PROXY": NOBODY}.items():
        monkeypatch.setenv(name, value)
    with serve(ECRAPI()) as serving:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", serving.url)
        yield serving


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """The destination is ECR and misses the repository."""
    made = make_world(a_rule(), kinds={"us": RegistryType.ECR})
    made.push("eu", "v1", ONE)
    made["us"].fail("*", "^/v2/team/api/", times=float("inf"), status=404, body=MISSING)
    return made


def test_a_missing_repository_is_created_and_the_job_goes_on(world: World, api: ECRAPI) -> None:
    api.on_create = world["us"].heal

    view = world.run(world.job())

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, "v1", ONE)
    assert api.asked[0] == {"registryId": ECR_HOST.partition(".")[0], "repositoryName": API}
    assert re.fullmatch(r"AKIDEXAMPLE/\d{8}/eu-west-1/ecr/aws4_request", api.signed_for[0])


def test_a_repository_that_somebody_else_created_just_now_will_do(world: World, api: ECRAPI) -> None:
    world["us"].heal()
    world["us"].fail("POST", "uploads", times=1, status=404, body=MISSING)
    api.refusal = (400, "RepositoryAlreadyExistsException", "The repository exists already")

    assert world.run(world.job()).outcome == "copied"
    assert len(api.asked) == 1


def test_blobs_are_mounted_into_a_repository_that_was_just_created(
    make_world: MakeWorld, api: ECRAPI
) -> None:
    world = make_world(a_rule(), kinds={"us": RegistryType.ECR})
    for repository in ("team/web", API):
        world.push("eu", "v1", ONE, repository=repository)
    assert world.run(world.job(repository="team/web")).outcome == "copied"
    world["us"].fail("*", "^/v2/team/api/", times=float("inf"), status=404, body=MISSING)
    api.on_create = world["us"].heal

    assert world.run(world.job()).outcome == "copied"
    assert world["us"].requests("PUT", "/blobs/") == []


def test_an_api_behind_the_proxy_of_the_registry_is_asked_through_it(
    api: ECRAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://ecr.test")
    fake = FakeRegistry()
    fake.fail("POST", "uploads", status=404, body=MISSING)

    with closing(connect(replace(ECR, proxy=api.url), transport=fake.transport())) as client:
        client.start_upload(Repository(API), ONE.digest)

    assert len(api.asked) == 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException"])
def test_who_may_not_create_is_denied(api: ECRAPI, code: str) -> None:
    fake = FakeRegistry()
    fake.fail("POST", "uploads", status=404, body=MISSING)
    api.refusal = (400, code, "no")

    with (
        closing(connect(ECR, transport=fake.transport())) as client,
        pytest.raises(Denied),
    ):
        client.start_upload(Repository(API), ONE.digest)


def test_a_manifest_that_finds_the_repository_gone_has_it_created(world: World, api: ECRAPI) -> None:
    world["us"].heal()
    world["us"].fail("PUT", "manifests/", times=1, status=404, body=MISSING)

    assert world.run(world.job()).outcome == "copied"
    assert len(api.asked) == 1


def test_a_repository_that_exists_is_not_asked_for(world: World, api: ECRAPI) -> None:
    world["us"].heal()

    assert world.run(world.job()).outcome == "copied"
    assert api.asked == []


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        # A refusal for who we are is tried a few times, as the registry's own are.
        ((400, "AccessDeniedException", "not authorized to perform: ecr:CreateRepository"), State.PENDING),
        ((400, "UnrecognizedClientException", "The security token is invalid"), State.PENDING),
        ((400, "LimitExceededException", "Too many repositories"), State.PARKED),
        ((400, "InvalidParameterException", "Invalid repository name"), State.PARKED),
        ((400, "ThrottlingException", "Rate exceeded"), State.PENDING),
        ((500, "ServerException", "Something broke"), State.PENDING),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else str(value),
)
def test_what_the_api_refuses_is_said(
    world: World, api: ECRAPI, refusal: tuple[int, str, str], state: State
) -> None:
    api.refusal = refusal

    view = world.run(world.job())

    status, code, words = refusal
    assert view.state is state
    assert view.reason == (
        f"creating {API} at us: the repository does not exist, and AWS answered {status} ({code}: {words})"
    )


def test_a_repository_that_does_not_show_yet_is_waited_for(world: World, api: ECRAPI) -> None:
    view = world.run(world.job())

    assert view.state is State.PENDING
    assert "was created, and does not show yet" in (view.reason or "")

    world["us"].heal()

    assert world.hurried(world.job()).outcome == "copied"


def test_an_api_that_is_away_is_asked_again_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", NOBODY)

    view = world.run(world.job())

    assert view.state is State.PENDING
    assert f"creating {API} at us: AWS did not answer" in (view.reason or "")


def test_keys_that_are_nowhere_are_an_error_that_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert view.reason == f"creating {API} at us: AWS could not be asked (Unable to locate credentials)"


def test_nothing_is_created_at_a_source(make_world: MakeWorld, api: ECRAPI) -> None:
    world = make_world(a_rule(), kinds={"eu": RegistryType.ECR})
    world["eu"].fail("*", "^/v2/team/api/", times=float("inf"), status=404, body=MISSING)

    world.run(world.job())

    assert api.asked == []

import base64
from collections.abc import Sequence

import httpx
import pytest
from pydantic import SecretStr

from replicator.demo.logins import TokenLogin
from replicator.errors import PermanentError, Unavailable, Unsupported
from replicator.oci import Digest, Repository, Tag, companion_tags
from replicator.registry import RegistryClient, connect
from replicator.rules.registries import Credential, RegistryType
from tests.fakes import images
from tests.fakes.harbor import FakeHarbor
from tests.unit.registry.scripted import API, Answer, Script, client_of, registry

HARBOR = registry(kind=RegistryType.HARBOR)
REPOSITORIES = "/api/v2.0/repositories"
ARTIFACTS = "/api/v2.0/projects/payments/repositories/api/artifacts"
TAGS = "/v2/payments/api/tags/list"
CATALOG = "/v2/_catalog"
FIRST, SECOND = Digest.of(b"first"), Digest.of(b"second")


def harbor(fake: FakeHarbor) -> RegistryClient:
    return connect(HARBOR, transport=fake.transport())


def scripted(**answers: Answer | list[Answer]) -> tuple[RegistryClient, Script]:
    paths = {"repositories": REPOSITORIES, "artifacts": ARTIFACTS, "tags": TAGS, "catalog": CATALOG}
    script = Script({f"GET {paths[name]}": answer for name, answer in answers.items()})
    return client_of(script, HARBOR), script


def page(items: Sequence[object], total: int | None = None) -> httpx.Response:
    return httpx.Response(200, json=items, headers={} if total is None else {"X-Total-Count": str(total)})


def names(*numbers: int) -> list[dict[str, str]]:
    return [{"name": f"p/r{number}"} for number in numbers]


def artifact(digest: Digest, *tags: str) -> dict[str, object]:
    return {"digest": digest, "tags": [{"name": tag} for tag in tags] or None}


def test_repositories_are_listed_over_all_pages() -> None:
    fake = FakeHarbor()
    for number in range(250):
        images.push(fake, f"p/r{number:03}", "v1", images.image())
    fake.log.clear()

    found = list(harbor(fake).repositories())

    assert found == [f"p/r{number:03}" for number in range(250)]
    assert [entry.query["page"] for entry in fake.requests("GET", "/api/v2.0/repositories")] == [
        "1",
        "2",
        "3",
    ]


def test_a_page_is_read_when_the_one_before_is_used_up() -> None:
    client, script = scripted(repositories=[page(names(1, 2), 4), page(names(3, 4), 4)])
    repositories = client.repositories()

    assert [next(repositories), next(repositories)] == ["p/r1", "p/r2"]
    assert len(script.log) == 1


def test_a_listing_goes_on_after_a_repository() -> None:
    answers: list[Answer] = [page(names(1, 2), 4), page(names(3, 4), 4)]

    assert list(scripted(repositories=answers)[0].repositories(last="p/r2")) == ["p/r3", "p/r4"]
    again = list(scripted(repositories=page(names(1, 2), 2))[0].repositories(last="p/r9"))
    assert again == ["p/r1", "p/r2"]


def test_the_api_gets_the_password_where_the_registry_gets_tokens() -> None:
    fake = FakeHarbor(login=TokenLogin({"robot$eu": "sesame"}))
    described = registry(kind=RegistryType.HARBOR, credential=Credential("robot$eu", SecretStr("sesame")))

    assert list(connect(described, transport=fake.transport()).repositories()) == []
    sent = fake.requests("GET", "/api/")[0].headers["authorization"]
    assert sent == "Basic " + base64.b64encode(b"robot$eu:sesame").decode()


def test_a_repository_that_slipped_to_a_page_read_before_is_found() -> None:
    pages: list[Answer] = [
        page(names(1, 2), 5),
        page(names(3, 4), 5),
        page([], 4),  # r1 was deleted: r5 is on page 2 now
        page(names(4, 5), 4),
    ]
    client, script = scripted(repositories=pages)

    assert list(client.repositories()) == ["p/r1", "p/r2", "p/r3", "p/r4", "p/r5"]
    assert [line.split("page=")[1][0] for line in script.lines] == ["1", "2", "3", "2"]


@pytest.mark.parametrize(
    "pages",
    [
        [page(names(1, 2)), page(names(3)), page([])],
        [page(names(1, 2), 3), page(names(3), 3)],
        [page([*names(1, 2), {"name": "NO/Name"}, {"id": 5}], 5), page(names(3), 5)],
        [page(names(1, 2), 3), page(names(2, 3), 4)],
    ],
)
def test_repositories_are_listed_to_the_end(pages: list[Answer]) -> None:
    assert list(scripted(repositories=pages)[0].repositories()) == ["p/r1", "p/r2", "p/r3"]


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_without_the_api_the_catalog_is_read(status: int) -> None:
    catalog = httpx.Response(200, json={"repositories": ["p/a"]})

    assert list(scripted(repositories=httpx.Response(status), catalog=catalog)[0].repositories()) == ["p/a"]
    with pytest.raises(Unsupported, match="name the repositories in the rule or with --repository"):
        list(scripted(repositories=httpx.Response(status), catalog=httpx.Response(401))[0].repositories())


def endless(request: httpx.Request) -> httpx.Response:
    return page(names(int(request.url.params["page"])), 10**9)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([httpx.Response(503)], Unavailable),
        ([page(names(1), 2), httpx.Response(503)], Unavailable),
        ([page(names(1), 2), httpx.Response(404)], PermanentError),
        ([httpx.Response(200, content=b"<html>")], PermanentError),
        ([page(names(1), 2), httpx.Response(200, json={"repositories": []})], PermanentError),
        ([page([5])], PermanentError),
        ([endless], PermanentError),
    ],
)
def test_a_listing_that_cannot_be_had_whole_fails(answers: list[Answer], expected: type[Exception]) -> None:
    with pytest.raises(expected, match="listing the repositories of eu"):
        list(scripted(repositories=answers)[0].repositories())


def test_tags_are_listed_with_their_digests() -> None:
    fake = FakeHarbor()
    expected = {}
    for number in range(130):
        image = images.image([str(number).encode()])
        images.push(fake, "payments/team/api", f"v{number}", image)
        expected[f"v{number}"] = image.digest
    images.push(fake, "payments/team/api", "latest", image)
    fake.log.clear()

    found = harbor(fake).listing(Repository("payments/team/api"))

    assert found == {**expected, "latest": image.digest}
    assert len(fake.log) == 2


def test_tags_of_signatures_are_listed_too() -> None:
    fake = FakeHarbor()
    image = images.image()
    images.push(fake, API, "v1", image)
    signature = companion_tags(image.digest)[0]
    images.push(fake, API, signature, images.image([b"a signature"]))

    assert set(harbor(fake).listing(API) or ()) == {"v1", signature}


def test_a_repository_without_artifacts_is_looked_up() -> None:
    assert harbor(FakeHarbor()).listing(API) is None

    client, _ = scripted(artifacts=page([], 0), tags=httpx.Response(200, json={"tags": []}))
    assert client.listing(API) == {}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_without_the_api_tags_are_listed_alone(status: int) -> None:
    client, _ = scripted(
        artifacts=httpx.Response(status), tags=httpx.Response(200, json={"tags": ["v1", "v2"]})
    )

    assert client.listing(API) == {"v1": None, "v2": None}


def test_a_tag_that_moved_while_it_was_read_has_no_digest() -> None:
    pages: list[Answer] = [page([artifact(FIRST, "v1", "v2")], 2), page([artifact(SECOND, "v2", "v3")], 2)]
    client, _ = scripted(artifacts=pages)

    assert client.listing(API) == {"v1": FIRST, Tag("v2"): None, "v3": SECOND}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([httpx.Response(502)], Unavailable),
        ([page([artifact(FIRST, "v1")], 2), httpx.Response(502)], Unavailable),
        ([page([{"digest": "md5:0", "tags": [{"name": "v1"}]}], 1)], PermanentError),
        ([page([{"tags": [{"name": "v1"}]}], 1)], PermanentError),
        ([page([{"digest": FIRST, "tags": 5}], 1)], PermanentError),
    ],
)
def test_artifacts_that_cannot_be_had_whole_fail(answers: list[Answer], expected: type[Exception]) -> None:
    client, _ = scripted(artifacts=answers, tags=httpx.Response(200, json={"tags": ["v1"]}))

    with pytest.raises(expected, match="listing the artifacts of payments/api at eu"):
        client.listing(API)

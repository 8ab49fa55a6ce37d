"""Tags, catalogues and their pages (protocol cases H): a listing is whole, or it is an error, whatever the pages do."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.demo.features import Features
from replicator.demo.server import serve
from replicator.errors import Denied, PermanentError, ReplicatorError, TemporaryError, Unavailable
from replicator.oci import Repository, Tag
from replicator.registry import connect
from replicator.rules import Registry, RegistryType, glob_match
from tests.fakes.images import image, push, push_manifest
from tests.fakes.registry import FakeRegistry
from tests.fakes.wire import Wire, answer
from tests.integration.processes import DockerRegistry
from tests.integration.resync.kit import swept
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import a_rule
from tests.unit.registry.scripted import API, HOST, Script, client_of, registry

NOT_OURS = {
    "H15": "Rules choose tags by Harbor's globs, which order no versions; semver ranges of other tools are told to be "
    "beyond a rule when their configuration is imported.",
}

TAGS = "/v2/payments/api/tags/list"
CATALOG = "/v2/_catalog"
NAMES = [f"v{number:04}" for number in range(2500)]


def page(tags: Sequence[object] | None, *, link: str = "", key: str = "tags") -> httpx.Response:
    return httpx.Response(200, json={"name": API, key: tags}, headers={"Link": link} if link else {})


def at(url: str) -> Registry:
    return Registry("eu", RegistryType.DISTRIBUTION, url)


def fill(url: str, tags: Sequence[str]) -> None:
    """A repository with all these tags of one image."""
    pushed = image()
    push(url, API, tags[0], pushed)
    for tag in tags[1:]:
        push_manifest(url, API, tag, pushed)


class Shelf:
    """A list of tags served as some registry does: by its own order, page size and idea of links."""

    def __init__(self, names: Sequence[str], *, links: bool = True, limit: int = 1000) -> None:
        self.names = list(names)
        self.links = links
        self.limit = limit
        self.requests: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.query.decode())
        last = request.url.params.get("last")
        start = self.names.index(last) + 1 if last else 0
        size = min(int(request.url.params.get("n", self.limit)), self.limit)
        part = self.names[start : start + size]
        more = self.links and start + size < len(self.names)
        return page(part, link=f'<{TAGS}?last={part[-1]}&n={size}>; rel="next"' if more else "")

    def read(self) -> list[Tag] | None:
        return client_of(Script({f"GET {TAGS}": self})).tags(API)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_h2_a_short_page_with_a_link_is_not_the_last(limit: int) -> None:
    names = NAMES[: 20 * limit]
    shelf = Shelf(names, limit=limit)

    assert shelf.read() == names
    assert len(shelf.requests) == 20


def test_h2_an_empty_page_with_a_link_is_not_the_last_either() -> None:
    script = Script({f"GET {TAGS}": [page([], link=f"<{TAGS}?last=a>; rel=next"), page(["v1"])]})

    assert client_of(script).tags(API) == ["v1"]


def test_h2_pages_of_our_own_registry_are_followed(stack: ExitStack) -> None:
    fake = FakeRegistry(Features(page_limit=10))
    url = stack.enter_context(serve(fake)).url
    fill(url, NAMES[:95])
    client = connect(at(url))

    assert client.tags(API) == NAMES[:95]
    client.close()


def test_h3_a_full_page_without_a_link_is_followed_by_its_last_tag() -> None:
    shelf = Shelf(NAMES, links=False)

    assert shelf.read() == NAMES
    assert [parse_qs(query).get("last") for query in shelf.requests] == [None, ["v0999"], ["v1999"]]


@pytest.mark.parametrize("following", [page([]), page(None), page(NAMES[:1000])])
def test_h3_the_last_full_page_is_known_by_what_follows(following: httpx.Response) -> None:
    script = Script({f"GET {TAGS}": [page(NAMES[:1000]), following]})

    assert client_of(script).tags(API) == NAMES[:1000]
    assert len(script.log) == 2


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_h3_a_further_page_that_fails_is_not_the_end(status: int) -> None:
    script = Script({f"GET {TAGS}": [page(NAMES[:1000]), httpx.Response(status)]})

    with pytest.raises(ReplicatorError):
        client_of(script).tags(API)


def test_h3_a_real_registry_lists_more_than_one_page(docker_registry: DockerRegistry) -> None:
    fill(docker_registry.url, NAMES[:1100])
    client = connect(at(docker_registry.url))

    assert sorted(client.tags(API) or ()) == NAMES[:1100]
    client.close()


@pytest.mark.parametrize(
    "link",
    [
        f'<{TAGS}?p=2>; rel="next"',
        f"<{TAGS}?p=2>;rel=next",
        f'<{TAGS}?p=2>; title="a, <b>; rel=prev"; REL="Next"',
        f'<{TAGS}?p=9>; rel="prev", <{TAGS}?p=2>; rel="next", <{TAGS}?p=7>; rel="last"',
        f'<{TAGS}?p=2>; rel="last next"',
        f'<https://{HOST}{TAGS}?p=2>; rel="next"',
        f'<https://{HOST}:443{TAGS}?p=2>; rel="next"',
        '<?p=2>; rel="next"',
        '<list?p=2>; rel="next"',
        f'<//{HOST}{TAGS}?p=2>; rel="next"',
        f'<{TAGS}?p=2#fragment>; rel="next"',
    ],
)
def test_h5_the_next_page_is_found_however_it_is_written(link: str) -> None:
    script = Script({f"GET {TAGS}": [page(["v1"], link=link), page(["v2"])]})

    assert client_of(script).tags(API) == ["v1", "v2"]
    assert script.lines[1] == f"GET {TAGS}?p=2"


@pytest.mark.parametrize(
    "link", ["", "next", f"<{TAGS}?p=2>", f'<{TAGS}?p=2>; rel="nextish"', "<>; title=next"]
)
def test_h5_other_relations_are_no_next_page(link: str) -> None:
    script = Script({f"GET {TAGS}": [page(["v1"], link=link), page(["v2"])]})

    assert client_of(script).tags(API) == ["v1"]


def test_h5_links_in_several_headers_are_one_list() -> None:
    body = json.dumps({"tags": ["v1"]}).encode()
    head = answer(200, {"Link": f'<{TAGS}?p=9>; rel="prev"', "Content-Length": str(len(body))})
    first = head.replace(b"\r\nContent", f'\r\nlink: <{TAGS}?p=2>; rel="next"\r\nContent'.encode()) + body
    with Wire(first, answer(200, {"Content-Length": "16"}, b'{"tags": ["v2"]}')) as wire:
        client = connect(at(wire.url))
        assert client.tags(API) == ["v1", "v2"]
        client.close()


def test_h5_a_next_page_elsewhere_is_an_error_and_never_asked_for() -> None:
    script = Script({f"GET {TAGS}": page(["v1"], link="<https://evil.example.net/v2/>; rel=next")})

    with pytest.raises(PermanentError, match="evil"):
        client_of(script).tags(API)
    assert len(script.log) == 1


@pytest.mark.parametrize("said", [{"tags": None}, {"tags": []}, {"name": "payments/api", "tags": []}])
def test_h6_a_repository_without_tags_is_empty(said: object) -> None:
    assert client_of(Script({f"GET {TAGS}": httpx.Response(200, json=said)})).tags(API) == []


@pytest.mark.parametrize(
    "said",
    ["v1", {"v1": {}}, 5, True, False, 0, "", {}],
    ids=["text", "map", "5", "true", "false", "0", "''", "{}"],
)
@pytest.mark.parametrize("key", ["tags", "repositories"])
def test_h6_what_is_neither_a_list_nor_null_is_an_error_and_never_an_empty_list(
    said: object, key: str
) -> None:
    client = client_of(
        Script({f"GET {path}": httpx.Response(200, json={key: said}) for path in (TAGS, CATALOG)})
    )

    with pytest.raises(PermanentError, match=f"no list of {key}"):
        client.tags(API) if key == "tags" else list(client.repositories())


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, Denied), (403, Denied), (400, PermanentError), (500, TemporaryError), (503, Unavailable)],
)
def test_h6_a_refusal_is_told_from_an_absent_repository(status: int, expected: type[ReplicatorError]) -> None:
    assert client_of(Script({f"GET {TAGS}": httpx.Response(404)})).tags(API) is None

    with pytest.raises(expected):
        client_of(Script({f"GET {TAGS}": httpx.Response(status)})).tags(API)


def test_h6_a_repository_that_lost_its_last_tag_is_empty_or_absent(docker_registry: DockerRegistry) -> None:
    push(docker_registry.url, API, "v1", image())
    client = connect(at(docker_registry.url))
    client.delete_manifest(API, image().digest)

    assert not client.tags(API)
    assert client.tags(Repository("never/heard/of")) is None
    client.close()


def test_h7_what_is_no_tag_is_left_out() -> None:
    listed = [
        "",
        f"sha256:{'a' * 64}",
        "v1",
        ".v2",
        "-v3",
        "a" * 129,
        "v 4",
        "v5\n",
        6,
        None,
        {},
        "_6",
        "a" * 128,
    ]

    assert client_of(Script({f"GET {TAGS}": page(listed)})).tags(API) == ["v1", "_6", "a" * 128]


@pytest.mark.parametrize("links", [True, False])
def test_h8_tags_come_in_any_order(links: bool) -> None:
    shuffled = NAMES[::2] + NAMES[1::2][::-1]
    shelf = Shelf(shuffled, links=links)

    found = shelf.read()

    assert set(found or ()) == set(NAMES)
    assert len(found or ()) == len(NAMES)


@given(
    names=st.lists(st.from_regex(r"[a-z0-9_]{1,6}", fullmatch=True), unique=True, max_size=30),
    limit=st.integers(1, 9),
)
def test_h8_whatever_the_order_and_the_size_of_its_pages_a_list_is_read_whole(
    names: list[str], limit: int
) -> None:
    assert Shelf(names, limit=limit).read() == names


def test_h8_a_registry_that_forgets_where_it_was_is_asked_no_more() -> None:
    script = Script({f"GET {TAGS}": page(NAMES[999::-1])})

    assert set(client_of(script).tags(API) or ()) == set(NAMES[:1000])
    assert len(script.log) == 2


@pytest.mark.parametrize("status", [400, 405])
def test_h9_who_refuses_so_large_a_page_is_asked_for_as_many_as_he_likes(status: int) -> None:
    linked = page(NAMES[:10], link=f'<{TAGS}?page=2>; rel="next"')
    script = Script({f"GET {TAGS}": [httpx.Response(status), linked, page(NAMES[10:30])]})

    assert client_of(script).tags(API) == NAMES[:30]
    assert script.lines == [f"GET {TAGS}?n=1000", f"GET {TAGS}", f"GET {TAGS}?page=2"]


def test_h9_the_same_holds_for_the_catalogue() -> None:
    refused = httpx.Response(400, json={"errors": [{"code": "PAGINATION_NUMBER_INVALID"}]})
    script = Script({f"GET {CATALOG}": [refused, page(["a", "b"], key="repositories")]})

    assert list(client_of(script).repositories()) == ["a", "b"]


@pytest.mark.parametrize("path", [TAGS, CATALOG])
def test_h9_no_page_is_asked_for_that_ecr_would_refuse(path: str) -> None:
    script = Script({f"GET {path}": page([], key="tags" if path == TAGS else "repositories")})

    if path == TAGS:
        client_of(script).tags(API)
    else:
        list(client_of(script).repositories())
    assert [int(parse_qs(urlsplit(line).query)["n"][0]) <= 1000 for line in script.lines] == [True]


def harbors_catalogue(names: list[str], request: httpx.Request) -> httpx.Response:
    """As Harbor does: `last` must be there, and without `n` everything comes."""
    last, size = request.url.params.get("last", ""), request.url.params.get("n")
    if size is None:
        return page(names, key="repositories")
    if last and last not in names:
        return httpx.Response(400, json={"errors": [{"code": "BAD_REQUEST"}]})
    rest = names[names.index(last) + 1 :] if last else names
    part = rest[:2]
    more = f'<{CATALOG}?n=2&last={part[-1]}>; rel="next"' if len(rest) > 2 else ""
    return page(part, link=more, key="repositories")


def test_h10_a_listing_that_cannot_go_on_after_what_was_deleted_is_begun_anew() -> None:
    names = ["a", "b", "c", "d"]
    client = client_of(Script({f"GET {CATALOG}": lambda request: harbors_catalogue(names, request)}))
    repositories = client.repositories()
    assert [next(repositories), next(repositories)] == ["a", "b"]
    names.remove("b")

    with pytest.raises(TemporaryError):
        next(repositories)

    # What was listed before comes again: better twice than not at all.
    assert list(client.repositories(last="b")) == ["a", "c", "d"]


def test_h10_harbors_own_api_is_begun_anew_too() -> None:
    path = "/api/v2.0/repositories"
    listed = [{"name": "p/a"}, {"name": "p/c"}]
    script = Script({f"GET {path}": httpx.Response(200, json=listed, headers={"X-Total-Count": "2"})})
    client = client_of(script, registry(kind=RegistryType.HARBOR))

    assert list(client.repositories(last="p/b")) == ["p/a", "p/c"]


def test_h10_a_comparison_survives_it_and_compares_nothing_twice(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    names = [f"team/r{number}" for number in range(5)]
    for name in names:
        world.push("eu", "v1", image(), repository=name)
    listing = {"repositories": names[:2]}
    link = {"Link": f'<{CATALOG}?n=2&last={names[1]}>; rel="next"'}
    world["eu"].fail("GET", "_catalog", status=200, headers=link, body=json.dumps(listing).encode())
    world["eu"].fail("GET", "_catalog", times=2, status=400)

    sweep, found = swept(world)

    assert not sweep.troubles
    assert [item.destination_name for item in found] == [f"us/{name}:v1" for name in names]


@pytest.mark.parametrize("pattern", ["{v1,v2}", "v[12]"])
@pytest.mark.parametrize("tag", ["v10", "av1", "v1-rc", "v2.0", "xv2"])
def test_h14_an_alternative_matches_whole_tags_alone(pattern: str, tag: str) -> None:
    assert glob_match(pattern, "v1")
    assert glob_match(pattern, "v2")
    assert not glob_match(pattern, tag)

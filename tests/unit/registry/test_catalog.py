import httpx
import pytest
from pydantic import SecretStr

from replicator.errors import Denied, PermanentError, TemporaryError, Unavailable, Unsupported
from replicator.oci import Repository
from replicator.registry import RegistryClient
from replicator.rules.registries import Credential, RegistryType
from tests.unit.registry.scripted import HOST, Answer, Script, client_of, registry

CATALOG = "/v2/_catalog"
ADVICE = "listing the repositories of eu: .*; name the repositories in the rule or with --repository"


def page(*names: object, link: str = "") -> httpx.Response:
    return httpx.Response(200, json={"repositories": list(names)}, headers={"Link": link} if link else {})


def listed(script: Script) -> list[Repository]:
    return list(client_of(script).repositories())


def test_repositories_are_listed_over_all_pages() -> None:
    pages = [
        page("a", "b/c", link=f'<{CATALOG}?last=b%2Fc&n=1000>; rel="next"'),
        page("d", link=f'<https://{HOST}{CATALOG}?next_page=opaque>; rel="next"'),
        page("b/c", "e"),
    ]
    script = Script({f"GET {CATALOG}": list(pages)})

    assert listed(script) == ["a", "b/c", "d", "e"]
    assert script.lines == [
        f"GET {CATALOG}?n=1000",
        f"GET {CATALOG}?last=b%2Fc&n=1000",
        f"GET {CATALOG}?next_page=opaque",
    ]


def test_a_page_is_read_when_the_one_before_is_used_up() -> None:
    script = Script({f"GET {CATALOG}": [page("a", "b", link="<?page=2>; rel=next"), page("c")]})
    repositories = client_of(script).repositories()

    assert script.log == []
    assert [next(repositories), next(repositories)] == ["a", "b"]
    assert len(script.log) == 1
    assert next(repositories) == "c"


def test_a_listing_goes_on_after_a_repository() -> None:
    script = Script({f"GET {CATALOG}": page("b")})

    assert list(client_of(script).repositories(last="a/a")) == ["b"]
    assert script.lines == [f"GET {CATALOG}?n=1000&last=a%2Fa"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (page(), []),
        (httpx.Response(200, json={"repositories": None}), []),
        (page("a", "", "UPPER", "-x", 5, None, "a/../b", "x" * 256, "a", "b"), ["a", "b"]),
    ],
)
def test_a_listing_may_be_odd(answer: httpx.Response, expected: list[str]) -> None:
    assert listed(Script({f"GET {CATALOG}": answer})) == expected


def test_a_full_page_without_a_link_is_followed_by_its_last_name() -> None:
    first = [f"r{number}" for number in range(1000)]
    script = Script({f"GET {CATALOG}": [page(*first), page("s1", "s2")]})

    assert listed(script) == [*first, "s1", "s2"]
    assert script.lines[1] == f"GET {CATALOG}?n=1000&last=r999"


def test_a_registry_that_knows_no_pages_is_asked_twice_at_most() -> None:
    script = Script({f"GET {CATALOG}": page(*(f"r{number}" for number in range(1500)))})

    assert len(listed(script)) == 1500
    assert len(script.log) == 2


def test_a_registry_may_allow_smaller_pages_only() -> None:
    script = Script(
        {
            f"GET {CATALOG}": [
                httpx.Response(400, json={"errors": [{"code": "PAGINATION_NUMBER_INVALID"}]}),
                page("a", link=f"<{CATALOG}?n=20&last=a>; rel=next"),
                page("b"),
            ]
        }
    )

    assert list(client_of(script).repositories(last="0")) == ["a", "b"]
    assert script.lines[1:] == [f"GET {CATALOG}?last=0", f"GET {CATALOG}?n=20&last=a"]


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
def test_a_registry_that_lists_nothing_says_what_to_do(status: int) -> None:
    with pytest.raises(Unsupported, match=ADVICE):
        listed(Script({f"GET {CATALOG}": httpx.Response(status)}))


def test_a_token_that_is_refused_for_a_list_of_everything_says_what_to_do() -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="https://{HOST}/token"'}
    script = Script({"GET /v2/": httpx.Response(401, headers=challenge), "GET /token": httpx.Response(403)})
    described = registry(credential=Credential("robot", SecretStr("sesame")))

    with pytest.raises(Unsupported, match=ADVICE):
        next(client_of(script, described).repositories())
    assert script.lines[-1] == "GET /token?scope=registry%3Acatalog%3A%2A"


@pytest.mark.parametrize("kind", [RegistryType.DOCKERHUB, RegistryType.GHCR, RegistryType.ECR_PUBLIC])
def test_a_product_without_a_list_is_not_asked(kind: RegistryType) -> None:
    script = Script({})

    with pytest.raises(Unsupported, match=ADVICE):
        next(client_of(script, registry(kind=kind)).repositories())
    assert script.log == []


LINKED = page("a", link="<?page=2>; rel=next")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([httpx.Response(400)], PermanentError),
        ([httpx.Response(503)], Unavailable),
        ([httpx.Response(200, content=b"<html>")], PermanentError),
        ([httpx.Response(200, json={"repositories": 5})], PermanentError),
        ([page("a", link="<https://evil.example.net/>; rel=next")], PermanentError),
        ([page("a", link=f"<{CATALOG}?n=1000>; rel=next")], PermanentError),
        ([LINKED, httpx.Response(404)], TemporaryError),
        ([LINKED, httpx.Response(403)], Denied),
        ([LINKED, httpx.Response(200, content=b"[]")], PermanentError),
        ([page(*(f"r{number}" for number in range(1000))), httpx.Response(403)], Denied),
    ],
)
def test_a_listing_that_cannot_be_had_whole_fails(answers: list[Answer], expected: type[Exception]) -> None:
    script = Script({f"GET {CATALOG}": answers})

    with pytest.raises(expected, match="listing the repositories of eu") as caught:
        listed(script)
    assert not isinstance(caught.value, Unsupported)
    assert all(item.url.host == HOST for item in script.log)


def test_an_endless_listing_is_given_up() -> None:
    count = 0

    def endless(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return page(f"r{count}", link=f"<?page={count}>; rel=next")

    client: RegistryClient = client_of(Script({f"GET {CATALOG}": endless}))
    with pytest.raises(PermanentError, match="does not end"):
        list(client.repositories())
    assert count == 1000

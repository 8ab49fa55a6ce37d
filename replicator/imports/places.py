"""Image references as Docker's tools write them, the registries they name, and where a copy lands.

`alpine` is `docker.io/library/alpine`; what precedes the first slash is a registry if it has a dot or a colon in it or
is `localhost`.
"""

from dataclasses import dataclass

from replicator.imports.draft import VARIABLE, Draft, Line, RegistryDraft, Value, fresh_name, registry_type
from replicator.oci import Digest, Repository, Tag
from replicator.rulefiles import grammar
from replicator.rules import RegistryType

_DOCKER_HUB = frozenset({"docker.io", "index.docker.io"})
DOCKER_HUB = "docker.io"


@dataclass(frozen=True, slots=True)
class Image:
    """A repository of a registry; a tag or a digest of it, if one is named."""

    host: str
    repository: Repository
    tag: Tag | None = None
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """How a registry is reached. User and secret are as a rule file may hold them: `${NAME}` for what is secret."""

    user: str = ""
    secret: str = ""
    secret_file: str = ""
    scheme: str = "https"
    any_certificate: bool = False
    remarks: tuple[str, ...] = ()


_ANONYMOUS = Login()


def image(text: str) -> Image:
    """The image or repository that a reference names; raises ValueError, which does not echo it."""
    rest, at, digest = text.partition("@")
    name, tag = rest, ""
    if ":" in rest.rpartition("/")[2]:
        name, _, tag = rest.rpartition(":")
    host, path = split_host(name)
    return Image(host, path, Tag(tag) if tag else None, Digest(digest) if at else None)


def split_host(name: str) -> tuple[str, Repository]:
    """Registry and repository of a name without a tag; raises ValueError."""
    first, slash, path = name.partition("/")
    if not slash or not is_host(first):
        first, path = DOCKER_HUB, name
    host = normal_host(first)
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return host, Repository(path)


def is_host(text: str) -> bool:
    """Whether the first component of a reference is a registry and not part of a repository on Docker Hub."""
    return "." in text or ":" in text or text == "localhost"


def normal_host(host: str) -> str:
    """The host by its one name; raises ValueError if it is none."""
    grammar.url(f"https://{host}")
    return DOCKER_HUB if host in _DOCKER_HUB else host


def add_host(draft: Draft, host: str, login: Login = _ANONYMOUS) -> str:
    """The name of the registry at `host` with that login, which is described in the draft from now on."""
    kind = registry_type(host)
    guess = "a guess: set harbor, gitlab, ... if it is one" if kind is RegistryType.DISTRIBUTION else ""
    url = f"{login.scheme}://{host}"
    return add_registry(draft, host, url=url, kind=Line("type", kind.value, guess), login=login).name


def add_registry(draft: Draft, wanted: str, *, url: str, kind: Line, login: Login) -> RegistryDraft:
    """The registry at `url` with that login, called nearly `wanted`, which is described in the draft from now on."""
    lines = [kind, Line("url", url)]
    if login.any_certificate or grammar.is_clear_text(url):
        lines.append(Line("insecure", True))
    credential = _credential(draft, wanted, login)
    if credential:
        lines.append(Line("credential", credential))
    others = [known for known in draft.registries.values() if Line("url", url) in known.lines]
    for known in others:
        if [line for line in known.lines if line.key != "webhook"] == lines:
            return known
    name = fresh_name(wanted, draft.registries)
    remarks = [f"the same registry as {known.name}, with another login" for known in others[:1]]
    found = draft.registries[name] = RegistryDraft(name, lines, [*login.remarks, *remarks])
    return found


def _credential(draft: Draft, name: str, login: Login) -> dict[str, Value] | None:
    """What a registry's `credential` says; None for an anonymous login."""
    if not (login.user or login.secret or login.secret_file):
        return None
    # A rule file has no way to say `${` itself: what is no variable in spite of it becomes one.
    is_sayable = login.user and "${" not in VARIABLE.sub("", login.user)
    user = (
        draft.known(login.user) if is_sayable else draft.variable(f"{name}_USER", f"the user name at {name}")
    )
    found: dict[str, Value] = {"type": "basic", "access_key": user}
    if login.secret_file:
        found["access_secret_file"] = login.secret_file
        draft.files.add(login.secret_file)
    else:
        secret = login.secret or draft.variable(f"{name}_SECRET", f"the password or token for {name}")
        found["access_secret"] = draft.known(secret)
    return found


def secret_variable(draft: Draft, name: str, *, of: str = "in the original's file") -> str:
    """`${NAME}` in the place of a secret that must not be copied."""
    return draft.variable(f"{name}_SECRET", f"the password or token for {name}, which stands {of}")


def plain_user(draft: Draft, name: str, user: str) -> str:
    """A user name as a rule file may hold it: what would be taken for a variable there becomes one."""
    return draft.variable(f"{name}_USER", f"the user name at {name}") if "${" in user else user


def landing(source: Image, wanted: Image) -> dict[str, Value]:
    """What a destination says for `source` to land at `wanted`; raises ValueError if no rule can put it there."""
    if (source.host, source.repository) == (wanted.host, wanted.repository):
        raise ValueError("it would be copied onto itself")
    if source.repository == wanted.repository:
        return {}
    change = f"{source.repository} becomes {wanted.repository}"
    parent, _, last = wanted.repository.rpartition("/")
    if last != source.repository.rpartition("/")[2]:
        raise ValueError(f"{change}, and a rule keeps the last component of a name")
    if not parent:
        raise ValueError(f"{change}, and a rule cannot take all components before the last away")
    return {"namespace": parent, "replace_count": source.repository.count("/")}


def destination(registry: str, where: dict[str, Value]) -> Value:
    """A rule's destination: a registry, and what `landing` said."""
    return {"registry": registry, **where} if where else registry

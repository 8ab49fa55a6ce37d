"""Reads `WWW-Authenticate` headers (RFC 9110 11.6.1) and judges where a token may be asked for.

What it reads comes from a stranger before any login: a realm decides where a credential would be sent to, so it is
believed only for the registry's own host and for hosts known to belong to its type.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from replicator.errors import PermanentError
from replicator.registry.addresses import URL, is_reachable, url_of
from replicator.registry.heads import Headers
from replicator.rules.registries import Registry, RegistryType

_PARAMETER = re.compile(r'([A-Za-z0-9_.-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)(?=[ \t,]|\Z)")
# A word that is neither is passed over whole: to look for a parameter at each of its characters would take its square.
_SKIPPED = re.compile(r"[\s,]+|[A-Za-z0-9_.-]+")
_HEADER_CHARACTERS = 8192

_KNOWN_REALM_HOSTS: Mapping[RegistryType, frozenset[str]] = {
    RegistryType.DOCKERHUB: frozenset({"auth.docker.io"}),
    RegistryType.GAR: frozenset({"gcr.io"}),
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a registry offers: its scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def challenges(headers: Headers) -> list[Challenge]:
    """Every challenge of an answer: there may be several headers, and several challenges in one header."""
    return [item for text in headers.get_list("www-authenticate") for item in _parse(text)]


def _parse(text: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    text, position = text[:_HEADER_CHARACTERS], 0
    while position < len(text):
        parameter = _PARAMETER.match(text, position)
        scheme = None if parameter else _SCHEME.match(text, position)
        if parameter and found:
            quoted, plain = parameter[2], parameter[3]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            found[-1][1].setdefault(parameter[1].lower(), value)
        elif scheme:
            found.append((scheme[1].lower(), {}))
        taken = parameter or scheme or _SKIPPED.match(text, position)
        position = taken.end() if taken and taken.end() > position else position + 1
    return [Challenge(name, parameters) for name, parameters in found]


def realm_url(registry: Registry, base: URL, realm: str) -> URL:
    """Where to ask for a token. Raises PermanentError for a realm that the credential must not be sent to."""
    refusal = f"logging in at {registry.name}: its token server is not to be trusted with a credential"
    try:
        url = httpx.URL(realm)
    except httpx.InvalidURL as exc:
        raise PermanentError(f"{refusal}: its address is no URL") from exc
    if url.userinfo or not is_reachable(url):
        raise PermanentError(f"{refusal}: its address is malformed")
    # Plain http only where the registry itself is spoken to that way.
    if url.scheme != "https" and not (url.scheme == "http" and base.origin.scheme == "http"):
        raise PermanentError(f"{refusal}: it is not reached by https")
    there = url_of(url)
    host = there.origin.host
    if host != base.origin.host and not _is_known(registry.type, base.origin.host, host):
        raise PermanentError(f"{refusal}: {host[:100]!r} is not {base.origin.host!r}")
    return there


def _is_known(kind: RegistryType, registry_host: str, realm_host: str) -> bool:
    if realm_host in _KNOWN_REALM_HOSTS.get(kind, frozenset()):
        return True
    if kind is not RegistryType.GITLAB:
        return False
    # GitLab's tokens come from GitLab itself, usually a sibling: registry.example.com and gitlab.example.com.
    parent = registry_host.partition(".")[2]
    is_name = "." in parent and not parent.rpartition(".")[2].isdigit()
    return is_name and (realm_host == parent or realm_host.endswith(f".{parent}"))

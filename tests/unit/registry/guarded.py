"""A registry behind a token server, scripted, and what logs in to it."""

import base64
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr

from replicator.registry import RegistryClient
from replicator.rules.registries import Credential, Registry
from tests.unit.registry.scripted import API, HOST, V1, registry

ROBOT = Credential("robot$eu", SecretStr("sesame"))
WITH_ROBOT = registry(credential=ROBOT)
BASIC = "Basic " + base64.b64encode(b"robot$eu:sesame").decode()
TOKEN_PATH = f"GET {HOST}/token"


@dataclass
class Guarded:
    """A registry that lets tokens of its own in, with an empty manifest at every reference."""

    life_s: object = 300
    password: str = "sesame"
    challenge: str = f'Bearer realm="https://{HOST}/token?x=1",service="the registry"'
    anonymous: bool = False
    given: list[httpx.Request] = field(default_factory=list)
    log: list[httpx.Request] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return self.token(request)
        self.log.append(request)
        if request.headers.get("authorization") in self.valid:
            return httpx.Response(200 if request.url.path == "/v2/" else 404)
        return httpx.Response(401, headers={"WWW-Authenticate": self.challenge})

    def token(self, request: httpx.Request) -> httpx.Response:
        self.given.append(request)
        expected = "Basic " + base64.b64encode(f"robot$eu:{self.password}".encode()).decode()
        if request.headers.get("authorization") != (None if self.anonymous else expected):
            return httpx.Response(401)
        text = f"token-{len(self.given)}"
        self.valid.add(f"Bearer {text}")
        return httpx.Response(200, json={"access_token": text, "expires_in": self.life_s})


def reading(guarded: Guarded, described: Registry = WITH_ROBOT) -> RegistryClient:
    client = RegistryClient(described, transport=httpx.MockTransport(guarded))
    assert client.head_manifest(API, V1) is None
    return client

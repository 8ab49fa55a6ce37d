"""A registry that would like our credential elsewhere, and the stranger there who notes what he is sent."""

import base64
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from replicator.registry import RegistryClient, connect
from replicator.rules import Credential, Registry, RegistryType
from tests.fakes.peer import Peer, Talk

KEY, SECRET = "robot$replicator", "secret-canary"
BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
TOKEN = "token-canary"
STRANGERS_HOST = "127.0.0.2"
CANARIES = (SECRET, BASIC, TOKEN)
"""What must not be found with anybody but the registry."""

Said = Callable[[str], bytes]
"""The answer to the head of a request."""


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Listener:
    """A server that says what it is told to and keeps every head and body that it gets."""

    said: Said = lambda _: answer(404)
    host: str = "127.0.0.1"
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    peer: Peer = field(init=False)

    def __post_init__(self) -> None:
        self.peer = Peer(self._play, host=self.host)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.peer.address[1]

    def knows(self, *secrets: str) -> bool:
        """Whether any of them came in."""
        return any(secret in head for head in self.heads for secret in secrets)

    def _play(self, talk: Talk) -> None:
        while head := talk.head().decode("latin-1"):
            self.heads.append(head)
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
            self.bodies.append(talk.body(length))
            talk.say(self.said(head))


@dataclass
class Guarded:
    """Answers by request line to who shows the credential or its token, and sends all others to `challenge`."""

    challenge: str = 'Basic realm="here"'
    answers: dict[str, bytes] = field(default_factory=dict)

    def __call__(self, head: str) -> bytes:
        line = head.partition(" HTTP/1.1")[0]
        if line.startswith("GET /token"):
            body = json.dumps({"token": TOKEN}).encode()
            return self.answers.get("GET /token") or answer(200, body=body)
        if BASIC not in head and TOKEN not in head:
            return answer(401, f"WWW-Authenticate: {self.challenge}")
        found = (said for begin, said in self.answers.items() if line.startswith(begin))
        return next(found, answer(200 if line == "GET /v2/" else 404))


def client_at(url: str) -> RegistryClient:
    """A client with the credential, for the registry at `url`."""
    credential = Credential(KEY, SecretStr(SECRET))
    return connect(Registry("eu", RegistryType.DISTRIBUTION, url, credential=credential))


class Names:
    """What names mean: `known` ones of `.test` their address. All others are the stranger's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **known: str) -> None:
        self.known = {f"{name}.test": address for name, address in known.items()}
        self.asked: list[str] = []
        self._lock = threading.Lock()
        self._resolve = socket.getaddrinfo
        # The resolver is the machine's: there is no other way to own a name.
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, *args: object, **options: object) -> object:
        if host.replace(".", "").isdigit() or ":" in host:
            return self._resolve(host, *args, **options)  # type: ignore[arg-type]
        with self._lock:
            self.asked.append(host)
        address = self.known.get(host.rstrip("."), STRANGERS_HOST)
        return self._resolve(address, *args, **options)  # type: ignore[arg-type]

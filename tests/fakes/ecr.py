"""The one call of ECR's own API that we make, in AWS's JSON 1.1, behind a real socket."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}
"""Keys that are nobody's, and no others to be found on this machine."""

_TARGET = "AmazonEC2ContainerRegistry_V20150921.CreateRepository"


@dataclass
class ECRAPI:
    """Creates repositories for whoever signs, and calls `on_create` for each; `refusal` is status, code and words."""

    on_create: Callable[[], object] = lambda: None
    refusal: tuple[int, str, str] | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    signed_for: list[str] = field(default_factory=list)
    url: str = ""
    _names: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, target: str, authorization: str, body: bytes) -> tuple[int, dict[str, object]]:
        """Status and document of the answer."""
        if target != _TARGET:
            return 400, {"__type": "UnknownOperationException"}
        if not authorization.startswith("AWS4-HMAC-SHA256 Credential="):
            return 400, {"__type": "MissingAuthenticationTokenException"}
        asked = json.loads(body)
        with self._lock:
            self.asked.append(asked)
            self.signed_for.append(authorization.partition("Credential=")[2].partition(",")[0])
            if self.refusal:
                status, code, words = self.refusal
                return status, {"__type": code, "message": words}
            name = asked["repositoryName"]
            if name in self._names:
                return 400, {"__type": "RepositoryAlreadyExistsException", "message": "it is there"}
            self._names.add(name)
            self.on_create()
        return 200, {"repository": {"repositoryName": name, "registryId": asked["registryId"]}}


@contextmanager
def serve(api: ECRAPI) -> Iterator[ECRAPI]:
    """The API at `api.url` until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, document = api.answer(
                self.headers.get("X-Amz-Target", ""), self.headers.get("Authorization", ""), body
            )
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A small Harbor: the scripted registry, and those parts of Harbor's API v2.0 that list repositories and artifacts.

As in Harbor a page has 100 items at most, signatures are left out of the artifacts unless `base=*` is asked for, and
an unknown repository has no artifacts.
"""

import re

from replicator.demo.messages import Refusal, Request, Response, json_response
from replicator.demo.registry import Registry
from replicator.demo.storage import Shelf
from replicator.oci import Digest, Repository, companion_subject
from tests.fakes.registry import FakeRegistry

_ARTIFACTS = re.compile(r"/api/v2\.0/projects/([^/]+)/repositories/([^/]+)/artifacts\Z")
_PAGE_LIMIT = 100


class _Harbor(Registry):
    """A registry that answers below `/api/v2.0/` as Harbor does."""

    def handle(self, request: Request) -> Response:
        """The answer of the API, or of the registry."""
        if not request.path.startswith("/api/v2.0/"):
            return super().handle(request)
        try:
            return self._api(request)
        except Refusal as exc:
            return exc.response

    def _api(self, request: Request) -> Response:
        if self.login and not request.header("authorization").startswith("Basic "):
            raise Refusal(401, "UNAUTHORIZED", "unauthorized")
        found = _ARTIFACTS.match(request.path)
        with self.storage.lock:
            if found:
                name = Repository(f"{found[1]}/{found[2].replace('%2F', '/')}")
                return _page(request, _artifacts(self.storage.find(name) or Shelf(), request))
            if request.path == "/api/v2.0/repositories":
                names = sorted(self.storage.shelves)
                return _page(request, [{"id": number, "name": name} for number, name in enumerate(names)])
        raise Refusal(404, "NOT_FOUND", "no such path")


class FakeHarbor(FakeRegistry, _Harbor):
    """Harbor with a log and faults by script."""


def _artifacts(shelf: Shelf, request: Request) -> list[object]:
    wanted = (request.parameter("q") or "").split(",")
    found: list[object] = []
    for digest in shelf.manifests:
        tags = sorted(tag for tag, held in shelf.tags.items() if held == digest)
        is_left_out = "base=*" not in wanted and _is_accessory(shelf, digest, tags)
        if not is_left_out and (tags or "tags=*" not in wanted):
            found.append({"digest": digest, "tags": [{"name": tag} for tag in tags] or None})
    return found


def _is_accessory(shelf: Shelf, digest: Digest, tags: list[str]) -> bool:
    return shelf.manifests[digest].subject is not None or any(companion_subject(tag) for tag in tags)


def _page(request: Request, items: list[object]) -> Response:
    number = int(request.parameter("page") or "1")
    size = min(int(request.parameter("page_size") or "10"), _PAGE_LIMIT)
    start = (number - 1) * size
    return json_response(200, items[start : start + size], {"X-Total-Count": str(len(items))})

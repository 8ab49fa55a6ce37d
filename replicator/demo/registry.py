"""A small OCI distribution registry in this process: `Registry.handle` answers requests, sockets are not its business.

It keeps the OCI distribution spec 1.1 with the additions that clients expect of CNCF Distribution (`_catalog`, upload
status and cancel). Content is gone with the process. This module knows routes, names, manifests, tags and referrers;
blobs are in `blobs`, logins in `logins`, webhooks in `notifications`.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from replicator.demo.blobs import Call, parse_digest, serve_blob, serve_upload, start_upload
from replicator.demo.features import Features
from replicator.demo.logins import Login, Scope
from replicator.demo.messages import Refusal, Request, Response, json_response
from replicator.demo.notifications import Endpoint, Notifier
from replicator.demo.storage import Shelf, Storage
from replicator.errors import Corrupt, Unsupported
from replicator.oci import (
    OCI_INDEX,
    Digest,
    Manifest,
    Reference,
    Repository,
    Tag,
    index_of,
    parse_manifest,
)

# In this order: the greedy name makes the last "manifests" or "blobs" of a path the separator.
_ROUTES = (
    ("start", re.compile(r"/v2/(.+)/blobs/uploads/?()\Z"), {"POST"}),
    ("upload", re.compile(r"/v2/(.+)/blobs/uploads/([^/]+)\Z"), {"GET", "PATCH", "PUT", "DELETE"}),
    ("blob", re.compile(r"/v2/(.+)/blobs/([^/]+)\Z"), {"GET", "HEAD", "DELETE"}),
    ("manifest", re.compile(r"/v2/(.+)/manifests/([^/]+)\Z"), {"GET", "HEAD", "PUT", "DELETE"}),
    ("tags", re.compile(r"/v2/(.+)/tags/(list)\Z"), {"GET", "HEAD"}),
    ("referrers", re.compile(r"/v2/(.+)/referrers/([^/]+)\Z"), {"GET", "HEAD"}),
)
_ACTIONS = {"GET": {"pull"}, "HEAD": {"pull"}, "DELETE": {"delete"}}


class Registry:
    """A registry. May be called from any number of threads."""

    def __init__(
        self,
        features: Features | None = None,
        *,
        login: Login | None = None,
        notify: Sequence[Endpoint] = (),
    ) -> None:
        self.features = features or Features()
        self.login = login
        self.storage = Storage()
        self._notifier = Notifier(notify)

    def handle(self, request: Request) -> Response:
        """The answer to a request. Raises ConnectionError if the client is lost while its body is read."""
        try:
            response = self._answer(request)
        except Refusal as exc:
            response = exc.response
        headers = {"Docker-Distribution-API-Version": "registry/2.0", **response.headers}
        if request.method == "HEAD":
            return Response(response.status, headers, b"", response.content_length)
        return replace(response, headers=headers)

    def lose_everything(self) -> None:
        """Be as empty as a registry whose disk is new."""
        self.storage = Storage()

    def close(self) -> None:
        """Stop posting notifications."""
        self._notifier.close()

    def _answer(self, request: Request) -> Response:
        if request.path in {"/v2", "/v2/"}:
            self._admit(request, [])
            return json_response(200, {})
        if request.path == "/token" and self.login:
            return self.login.token(request)
        if request.path == "/v2/_catalog":
            self._admit(request, [Scope("catalog", frozenset({"*"}), "registry")])
            return self._catalog(request)
        for route, pattern, methods in _ROUTES:
            if found := pattern.match(request.path):
                return self._dispatch(request, route, found, methods)
        raise Refusal(404, "UNSUPPORTED", "no such path")

    def _dispatch(self, request: Request, route: str, found: re.Match[str], methods: set[str]) -> Response:
        if request.method not in methods:
            headers = {"Allow": ", ".join(sorted(methods))}
            raise Refusal(405, "UNSUPPORTED", "the operation is unsupported", headers=headers)
        repository = _parse_repository(found[1])
        actor = self._admit(request, _scopes(request, repository))
        call = Call(request, repository, found[2], actor)
        match route:
            case "start":
                return start_upload(self.storage, self.features, call)
            case "upload":
                return serve_upload(self.storage, self.features, call)
            case "blob":
                return serve_blob(self.storage, self.features, call)
            case "tags":
                return self._tags(call)
            case "referrers":
                return self._referrers(call)
        return self._manifest(call, _parse_reference(call.rest))

    def _admit(self, request: Request, scopes: list[Scope]) -> str:
        return self.login.admit(request, scopes) if self.login else ""

    def _manifest(self, call: Call, reference: Reference) -> Response:
        if call.request.method == "PUT":
            return self._put(call, reference)
        if call.request.method == "DELETE":
            return self._delete(call, reference)
        with self.storage.lock:
            manifest = _lookup(self.storage.find(call.repository), reference)
        accept = call.request.header("accept")
        if accept and "*/*" not in accept and manifest.media_type not in accept:
            message = f"the manifest is of type {manifest.media_type}, which the request does not accept"
            raise Refusal(404, "MANIFEST_UNKNOWN", message)
        headers = self._digest_headers(manifest.digest) | {"ETag": f'"{manifest.digest}"'}
        if manifest.digest in call.request.header("if-none-match"):
            return Response(304, headers)
        return Response(200, headers | {"Content-Type": manifest.media_type}, manifest.raw)

    def _digest_headers(self, digest: Digest) -> dict[str, str]:
        return {"Docker-Content-Digest": digest} if self.features.digest_header else {}

    def _put(self, call: Call, reference: Reference) -> Response:
        manifest = self._receive(call.request, reference)
        mark = call.request.header("if-match") if self.features.compares else ""
        early_s = self.features.early_events_s
        if early_s and isinstance(reference, Tag):
            self._keep(call.repository, manifest, None)
            self._tell_push(call, reference, manifest)
            time.sleep(early_s)
            self._keep(call.repository, manifest, reference, mark=mark)
        else:
            self._keep(call.repository, manifest, reference, mark=mark)
            self._tell_push(call, reference, manifest)
        headers = {"Location": f"/v2/{call.repository}/manifests/{manifest.digest}"}
        if manifest.subject and self.features.referrers and self.features.says_subject:
            headers["OCI-Subject"] = manifest.subject
        return Response(201, headers | self._digest_headers(manifest.digest))

    def _keep(
        self, repository: Repository, manifest: Manifest, reference: Reference | None, *, mark: str = ""
    ) -> None:
        """Store the manifest, and move the tag to it at the same moment, if it still has the ETag `mark`."""
        with self.storage.lock:
            shelf = self.storage.shelf(repository)
            if mark and mark != f'"{shelf.tags.get(reference) if isinstance(reference, Tag) else reference}"':
                raise Refusal(412, "PRECONDITION_FAILED", "the tag holds something else by now")
            is_checked = self.features.content_checks and not (
                self.features.sparse_indexes and manifest.is_index
            )
            missing = shelf.missing(manifest) if is_checked else []
            if missing:
                details = [{"digest": digest} for digest in missing]
                raise Refusal(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", details=details)
            shelf.add(manifest)
            if isinstance(reference, Tag):
                shelf.tags[reference] = manifest.digest

    def _receive(self, request: Request, reference: Reference) -> Manifest:
        raw = request.content(self.features.manifest_limit_bytes)
        if isinstance(reference, Digest) and Digest.of(raw, reference.algorithm) != reference:
            raise Refusal(400, "DIGEST_INVALID", "the manifest has another digest than its path says")
        expected = reference if isinstance(reference, Digest) else None
        try:
            return parse_manifest(raw, request.header("content-type"), expected=expected)
        except (Corrupt, Unsupported) as exc:
            raise Refusal(400, "MANIFEST_INVALID", str(exc)) from exc

    def _tell_push(self, call: Call, reference: Reference, manifest: Manifest) -> None:
        target: dict[str, object] = {
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": len(manifest.raw),
            "length": len(manifest.raw),
            "repository": call.repository,
            "url": f"{call.request.base_url}/v2/{call.repository}/manifests/{manifest.digest}",
        }
        if not isinstance(reference, Digest):
            target["tag"] = reference
        self._notifier.tell(call.request, "push", [target], actor=call.actor)

    def _delete(self, call: Call, reference: Reference) -> Response:
        if not self.features.deletes:
            raise Refusal(405, "UNSUPPORTED", "this registry deletes nothing")
        if not isinstance(reference, Digest) and not self.features.tag_delete:
            # What CNCF Distribution 2.8 says, word for word: no code tells that it cannot.
            raise Refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        gone: list[dict[str, object]] = []
        with self.storage.lock:
            _lookup(self.storage.find(call.repository), reference)
            shelf = self.storage.shelf(call.repository)
            if isinstance(reference, Digest):
                tags = shelf.remove(reference)
                gone = [{"digest": reference}]
                gone += [{"tag": tag} for tag in tags]
            else:
                del shelf.tags[reference]
                gone = [{"tag": reference}]
        targets = [{"repository": call.repository, **what} for what in gone]
        self._notifier.tell(call.request, "delete", targets, actor=call.actor)
        return Response(202)

    def _tags(self, call: Call) -> Response:
        with self.storage.lock:
            shelf = self.storage.find(call.repository)
            if shelf is None or not shelf.has_had_manifests:
                raise Refusal(404, "NAME_UNKNOWN", "repository name not known to registry")
            names = sorted(shelf.tags)
        page, headers = self._page(call.request, names)
        return json_response(200, {"name": call.repository, "tags": page}, headers)

    def _catalog(self, request: Request) -> Response:
        with self.storage.lock:
            names = sorted(name for name, shelf in self.storage.shelves.items() if shelf.has_had_manifests)
        page, headers = self._page(request, names)
        return json_response(200, {"repositories": page}, headers)

    def _referrers(self, call: Call) -> Response:
        if not self.features.referrers:
            raise Refusal(404, "UNSUPPORTED", "no such path")
        subject = parse_digest(call.rest)
        wanted = call.request.parameter("artifactType")
        with self.storage.lock:
            shelf = self.storage.find(call.repository) or Shelf()
            manifests = shelf.manifests.values() if self.features.says_subject else ()
            found = {str(m.digest): m.descriptor for m in manifests if m.subject == subject}
        names = sorted(name for name, item in found.items() if wanted in {None, item.artifact_type})
        page, headers = self._page(call.request, names)
        if wanted:
            headers["OCI-Filters-Applied"] = "artifactType"
        return Response(200, {"Content-Type": OCI_INDEX, **headers}, index_of([found[name] for name in page]))

    def _page(self, request: Request, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The names that `n` and `last` ask for, and a Link to the next ones if there are more."""
        text = request.parameter("n") or str(self.features.page_limit)
        if not text.isdecimal():
            raise Refusal(400, "PAGINATION_NUMBER_INVALID", "n is not a number")
        size = min(int(text), self.features.page_limit)
        after = request.parameter("last") or ""
        rest = [name for name in names if name > after]
        page: list[str] = rest[:size]
        if not page or len(rest) <= size:
            return page, {}
        others = "".join(f"&{key}={quote(value)}" for key, value in request.query if key not in {"n", "last"})
        return page, {"Link": f'<{quote(request.path)}?n={size}&last={quote(page[-1])}{others}>; rel="next"'}


def _scopes(request: Request, repository: Repository) -> list[Scope]:
    actions = frozenset(_ACTIONS.get(request.method, {"pull", "push"}))
    scopes = [Scope(repository, actions)]
    if request.parameter("mount") and (origin := request.parameter("from")):
        scopes.append(Scope(origin, frozenset({"pull"})))
    return scopes


def _parse_repository(text: str) -> Repository:
    try:
        return Repository(text)
    except ValueError as exc:
        raise Refusal(400, "NAME_INVALID", "invalid repository name") from exc


def _parse_reference(text: str) -> Reference:
    if ":" in text:
        return parse_digest(text)
    try:
        return Tag(text)
    except ValueError as exc:
        raise Refusal(400, "TAG_INVALID", "invalid tag") from exc


def _lookup(shelf: Shelf | None, reference: Reference) -> Manifest:
    digest = reference if isinstance(reference, Digest) else shelf.tags.get(reference) if shelf else None
    manifest = shelf.manifests.get(digest) if shelf and digest else None
    if manifest is None:
        detail = {"tag": reference} if isinstance(reference, Tag) else {"digest": reference}
        raise Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown", details=[detail])
    return manifest

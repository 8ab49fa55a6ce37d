"""What Harbor offers only through its own API v2.0: labels of an artifact, and the deletion of one tag.

That API takes Basic credentials, no registry tokens, and wants the slashes of a repository escaped twice.
"""

import json
from urllib.parse import quote

from replicator.errors import PermanentError, TemporaryError, Unsupported
from replicator.oci import Digest, Repository, Tag
from replicator.registry import manifests
from replicator.registry.failures import Topic, failure
from replicator.registry.session import Call, Session

_ARTIFACT_BYTES = 4 * 1024 * 1024


def labels(session: Session, repository: Repository, digest: Digest) -> frozenset[str]:
    """The names of the labels that the artifact carries."""
    topic = Topic("reading the labels of", session.name, repository, digest)
    url = session.url(_artifact(repository, digest), "with_label=true&with_tag=false")
    answer = session.send(Call("GET", url, topic, limit_bytes=_ARTIFACT_BYTES, is_basic=True))
    if answer.status == 404:
        raise TemporaryError(f"{topic}: the registry knows no such artifact, or not yet")
    if not answer.is_success:
        raise failure(answer, topic)
    try:
        found = json.loads(answer.body).get("labels") or []
        return frozenset(str(item["name"]) for item in found)
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as exc:
        raise PermanentError(f"{topic}: the answer is not what Harbor's API sends") from exc


def delete_tag(session: Session, repository: Repository, tag: Tag) -> bool:
    """Deletes the tag and leaves its artifact; False if it was already gone."""
    topic = Topic("deleting", session.name, repository, tag)
    url = session.url(f"{_artifact(repository, tag)}/tags/{tag}")
    answer = session.send(Call("DELETE", url, topic, is_basic=True))
    if answer.is_success:
        return True
    if answer.status != 404:
        raise failure(answer, topic)
    # 404 is also what something that is no Harbor says; a tag that is still there was not deleted.
    if manifests.head(session, repository, tag):
        raise Unsupported(f"{topic}: Harbor's API is not offered there")
    return False


def _artifact(repository: Repository, reference: str) -> str:
    project, _, rest = repository.partition("/")
    name = quote(quote(rest, safe=""), safe="")
    return f"/api/v2.0/projects/{project}/repositories/{name}/artifacts/{reference}"

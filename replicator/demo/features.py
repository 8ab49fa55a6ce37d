"""What a demo registry offers, so that it can behave like older or poorer ones."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Features:
    """Switches; the defaults are a registry that keeps OCI distribution spec 1.1 whole."""

    referrers: bool = True
    """Serves the referrers API and says OCI-Subject; off, that API is 404 as before version 1.1."""
    says_subject: bool = True
    """Off: it serves that API and finds nothing for it, so that clients have to keep the referrers tag."""
    compares: bool = True
    """Writes under `If-Match` only what replaces the ETag that is named; off, that header is ignored."""
    deletes: bool = True
    tag_delete: bool = True
    """Off: only digests can be deleted, as with CNCF Distribution 2.8."""
    mounts: bool = True
    single_post: bool = True
    """Off: the body of `POST ?digest=` is ignored and the answer is 202."""
    digest_header: bool = True
    """Off: manifests come without Docker-Content-Digest."""
    content_checks: bool = True
    """Off: manifests are taken although what they name is not there."""
    sparse_indexes: bool = False
    """Takes an index although children of it are not there; off, it checks them like CNCF Distribution."""
    absolute_locations: bool = False
    page_limit: int = 1000
    manifest_limit_bytes: int = 4 * 1024 * 1024
    blob_limit_bytes: int | None = None
    early_events_s: float = 0.0
    """How long before a tag is written its event goes out: CNCF Distribution posts events first."""

"""What can go wrong, as one tree. It answers the only question a caller has: would a retry help?

ReplicatorError
├── ConfigError              the user's settings or rule files are wrong; says what and where
├── PermanentError           a retry cannot help until somebody changes something
│   ├── Untrusted            the registry's certificate proves nothing: no request was sent (its breaker counts these)
│   ├── Denied               the registry knows us and says no, or does not know our credential
│   ├── Corrupt              bytes do not match their digest, size or declared type
│   ├── Unsupported          the registry does not offer this operation
│   ├── TooLarge             the registry, or a proxy before it, takes no request of that size
│   ├── MissingContent       a destination misses blobs or children that a manifest names
│   ├── ManifestInvalid      a destination refused a manifest for what it says
│   ├── SparseRefused        a destination takes no index that names what is left out
│   ├── TagImmutable         the destination refuses to move a tag
│   └── InUse                the destination refuses to delete what something there needs
└── TemporaryError           a later try may succeed; `retry_after` seconds if the other side said so
    ├── NotYet               nothing failed: it is too early to decide, and costs no attempt
    ├── Overtaken            somebody else changed it since it was read: read it again
    ├── Unavailable          the registry did not answer, or answered that it cannot now (its breaker counts these)
    ├── RateLimited          the registry asked the whole fleet to wait
    └── LedgerUnavailable    Redis, which holds ledger and queues, did not serve us

Messages name registry, repository and reference, and never hold a secret.
"""


class ReplicatorError(Exception):
    """Everything this package raises on purpose."""


class ConfigError(ReplicatorError):
    """The user's settings or rule files are wrong."""


class PermanentError(ReplicatorError):
    """A retry cannot help until somebody changes something."""


class Untrusted(PermanentError):
    """A registry showed a certificate that is not trusted, because it expired, say: it is as good as away."""

    def __init__(self, message: str, *, registry: str) -> None:
        super().__init__(message)
        self.registry = registry


class Denied(PermanentError):
    """The registry refused our credential, or what it wanted to do."""


class Corrupt(PermanentError):
    """Bytes do not match their digest, their size or their declared type."""


class Unsupported(PermanentError):
    """The registry does not offer this operation."""


class TooLarge(PermanentError):
    """A request has a larger body than the registry, or a proxy before it, takes."""


class MissingContent(PermanentError):
    """A destination refused a manifest because content that it names is not there: `missing`, as far as it said."""

    def __init__(self, message: str, *, missing: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.missing = missing


class ManifestInvalid(PermanentError):
    """A destination refused a manifest for what it says; some call it so if a child of an index is not there."""


class SparseRefused(PermanentError):
    """A destination refused an index because of the children that a rule's platforms leave out."""


class TagImmutable(PermanentError):
    """The destination refuses to move a tag that exists."""


class InUse(PermanentError):
    """The destination keeps what was to be deleted: something there needs it, or a rule of its own."""


class TemporaryError(ReplicatorError):
    """A later try may succeed."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotYet(TemporaryError):
    """Nothing failed: it is too early to decide. Ask again after `retry_after` seconds."""


class Overtaken(TemporaryError):
    """A registry kept what it holds, because that is no longer what we read."""


class Unavailable(TemporaryError):
    """A registry did not answer, or answered that it cannot serve anyone now."""

    def __init__(self, message: str, *, registry: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.registry = registry


class RateLimited(TemporaryError):
    """A registry asked its clients to slow down; everybody waits `retry_after` seconds."""

    def __init__(self, message: str, *, registry: str, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after)
        self.registry = registry
        self.wait_s = retry_after


class LedgerUnavailable(TemporaryError):
    """Redis did not serve us: nothing can be recorded, claimed or rung until it does."""

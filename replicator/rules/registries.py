"""What a rule file says of a registry: where it is, how we log in to it, how it authenticates to us, what it bears."""

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import SecretStr


class RegistryType(StrEnum):
    """The products whose ways we know."""

    DISTRIBUTION = "distribution"
    HARBOR = "harbor"
    DOCKERHUB = "dockerhub"
    QUAY = "quay"
    GHCR = "ghcr"
    GITLAB = "gitlab"
    ECR = "ecr"
    ECR_PUBLIC = "ecr-public"
    GAR = "gar"
    ACR = "acr"
    ZOT = "zot"
    ARTIFACTORY = "artifactory"
    NEXUS = "nexus"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and password. `secret_file`, if any, is read anew when the registry answers 401 (rotation)."""

    access_key: str
    access_secret: SecretStr
    secret_file: str | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """How the registry's notifications prove who sent them: any of `secrets`, or not at all if `anonymous`."""

    secrets: tuple[SecretStr, ...] = ()
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class TLS:
    """Files and choices of the TLS connection; `verify` False accepts any certificate."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What the registry bears from all of us together. None means no limit of ours."""

    concurrency: int | None = None
    """Requests at once; no more jobs than that write to it at once."""
    requests_per_second: int | None = None
    bandwidth: int | None = None
    """Bytes in a second, read and written together."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A container registry that rules may name as source or destination."""

    name: str
    type: RegistryType
    url: str
    """Scheme, host, optional port and path prefix; no user info, no trailing slash."""
    credential: Credential | None = None
    webhook: Webhook | None = None
    tls: TLS = field(default_factory=TLS)
    limits: Limits = field(default_factory=Limits)
    insecure: bool = False
    """Plain http beyond loopback, or unverified TLS, was asked for."""
    proxy: str | None = None

    @property
    def has_labels(self) -> bool:
        """True where artifacts carry labels of the registry's own: Harbor alone."""
        return self.type is RegistryType.HARBOR

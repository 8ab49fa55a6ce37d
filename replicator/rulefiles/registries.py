"""What a rule file says of registries: where each is, how we log in, how it is trusted, and what it bears."""

from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from replicator.rulefiles import grammar
from replicator.rulefiles.mapping import FileModel, number_or_text, text_or_list
from replicator.rules import RegistryType

URL = Annotated[str, AfterValidator(grammar.url), Field(json_schema_extra={"pattern": grammar.URL_PATTERN})]
Filename = Annotated[str, Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Secrets = Annotated[
    Annotated[Secret, Tag("#text")] | Annotated[list[Secret], Field(min_length=1), Tag("#list")],
    Discriminator(text_or_list),
]
BANDWIDTH_MIN_BYTES = 64 * 1024


def _bandwidth(text: str) -> str:
    if grammar.size_bytes(text) < BANDWIDTH_MIN_BYTES:
        raise ValueError("must be at least 64KiB")
    return text


Bandwidth = Annotated[
    Annotated[int, Field(ge=BANDWIDTH_MIN_BYTES), Tag("#number")]
    | Annotated[
        str,
        AfterValidator(_bandwidth),
        Field(json_schema_extra={"pattern": grammar.SIZE_PATTERN}),
        Tag("#text"),
    ],
    Discriminator(number_or_text),
]


class CredentialFile(FileModel):
    """How we log in to a registry. Without a credential we are anonymous. ${NAME} is taken from the environment."""

    later_values: ClassVar = {
        "type": frozenset({"docker-config", "helper", "ecr", "google", "azure", "token"})
    }

    type: Literal["basic"] = Field(
        description="The way to log in: basic is a user name and a password or token."
    )
    access_key: Annotated[str, Field(min_length=1)] = Field(description="The user name.")
    access_secret: Secret | None = Field(default=None, description="The password or token; best ${NAME}.")
    access_secret_file: Filename | None = Field(
        default=None, description="A file that holds the password or token."
    )

    @model_validator(mode="after")
    def _has_one_secret(self) -> "CredentialFile":
        if (self.access_secret is None) is (self.access_secret_file is None):
            raise ValueError("a credential needs either access_secret or access_secret_file")
        return self


class WebhookFile(FileModel):
    """How the registry's notifications prove that they come from it."""

    secret: Secrets | None = Field(
        default=None, description="What the registry sends along, best ${NAME}; a list during rotation."
    )
    secret_file: Filename | None = Field(default=None, description="A file that holds the secret.")
    anonymous: bool = Field(default=False, description="Take notifications from anybody.")

    @model_validator(mode="after")
    def _has_one_way(self) -> "WebhookFile":
        ways = [self.secret is not None, self.secret_file is not None, self.anonymous]
        if sum(ways) != 1:
            raise ValueError("a webhook needs one of secret, secret_file and anonymous: true")
        return self


class TLSFile(FileModel):
    """Files and choices of the TLS connection."""

    ca_file: Filename | None = Field(
        default=None, description="Certificates that may sign the registry's, as PEM."
    )
    cert_file: Filename | None = Field(default=None, description="Our client certificate, as PEM.")
    key_file: Filename | None = Field(default=None, description="The key of our client certificate, as PEM.")
    verify: bool = Field(default=True, description="false takes any certificate; warned of at each start.")

    @model_validator(mode="after")
    def _key_has_certificate(self) -> "TLSFile":
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        return self


class LimitsFile(FileModel):
    """What the registry bears, from everything of ours together."""

    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Requests to the registry at once."
    )
    requests_per_second: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Requests to the registry in a second."
    )
    bandwidth: Bandwidth | None = Field(
        default=None,
        description="Bytes in a second, read and written together: 50MiB, 1.5 GiB, 800KB or a plain number.",
    )


class RegistryFile(FileModel):
    """A registry: where it is, how we log in to it, how its notifications are authenticated, what it bears."""

    later_keys = frozenset({"near"})

    type: Annotated[RegistryType, Field(strict=False)] = Field(description="The product.")
    # Before url and tls, which are judged by it.
    insecure: bool = Field(
        default=False,
        description="Allow plain http beyond this machine, or https with any certificate; warned of.",
    )
    url: URL = Field(description="Scheme, host, optional port and path prefix: https://registry.example.com")
    credential: CredentialFile | None = None
    webhook: WebhookFile | None = None
    tls: TLSFile | None = None
    limits: LimitsFile | None = None
    proxy: URL | None = Field(default=None, description="An HTTP proxy for every request to this registry.")

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str, info: ValidationInfo) -> str:
        if grammar.is_clear_text(url) and not info.data.get("insecure", True):
            raise ValueError("plain http beyond this machine needs insecure: true")
        return url

    @field_validator("tls")
    @classmethod
    def _agrees(cls, tls: TLSFile | None, info: ValidationInfo) -> TLSFile | None:
        asked = tls is not None and tls.verify and "verify" in tls.model_fields_set
        if asked and info.data.get("insecure") and str(info.data.get("url")).startswith("https:"):
            raise ValueError("insecure: true and verify: true contradict each other")
        return tls

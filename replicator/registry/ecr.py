"""What Amazon ECR wants before a first push: the repository, created through AWS's own API.

The keys for that are found by botocore, where AWS's tools look for them (environment, shared files, the role of the
machine): the registry's credential is good for the registry alone. Account and region are what the registry's host
says. Nothing is created for a read.
"""

import contextlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from replicator.errors import Denied, PermanentError, ReplicatorError, TemporaryError
from replicator.oci import Repository
from replicator.registry.failures import Answer, Topic, clean
from replicator.registry.session import Call, Session
from replicator.rules.registries import RegistryType

log = logging.getLogger(__name__)

_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?:amazonaws\.com(?:\.cn)?|(?P<dual>on\.aws|on\.amazonwebservices\.com\.cn)|sc2s\.sgov\.gov|c2s\.ic\.gov)"
)
_EXISTS = "RepositoryAlreadyExistsException"
# The API answers 400 to nearly everything: the code tells.
_DENIED = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "UnrecognizedClientException",
    }
)
_BUSY = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})
_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Home:
    """The account and region that a registry of ECR's is of, and by which kind of endpoint it is reached."""

    account: str
    region: str
    is_fips: bool = False
    is_dual_stack: bool = False


def home_of(host: str) -> Home | None:
    """What a host such as `123456789012.dkr.ecr.eu-west-1.amazonaws.com` says, None for any other name."""
    found = _HOST.fullmatch(host)
    if not found:
        return None
    return Home(found["account"], found["region"], found["fips"] is not None, found["dual"] is not None)


def with_repository(session: Session, call: Call, *, answer: Answer, repository: Repository) -> Answer:
    """`answer`, or where that says that ECR misses the repository, what the same call gets once it is created.

    Raises Denied, PermanentError or TemporaryError where it is not created.
    """
    if session.kind is not RegistryType.ECR or not _is_missing(answer):
        return answer
    topic = Topic("creating", session.name, repository)
    host = session.url("/").origin.host
    home = home_of(host)
    if home is None:
        raise PermanentError(
            f"{topic}: the repository does not exist, and {host} names no account and region of ECR to create it in"
        )
    _create(repository, home, proxy=session.proxy, topic=topic)
    answer = session.send(call)
    if _is_missing(answer):
        raise TemporaryError(f"{call.topic}: the repository was created, and does not show yet")
    return answer


def _is_missing(answer: Answer) -> bool:
    return answer.status == 404 and "NAME_UNKNOWN" in answer.codes


def _create(repository: Repository, home: Home, *, proxy: str | None, topic: Topic) -> None:
    botocore = _botocore(topic)
    failures = botocore.exceptions
    config = botocore.config.Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"total_max_attempts": 1},
        # The registry's own proxy or none; None would mean the environment's.
        proxies={"http": proxy, "https": proxy} if proxy else {},
        use_fips_endpoint=home.is_fips,
        use_dualstack_endpoint=home.is_dual_stack,
    )
    try:
        api = botocore.session.Session().create_client("ecr", region_name=home.region, config=config)
        with contextlib.closing(api):
            api.create_repository(registryId=home.account, repositoryName=str(repository))
    except failures.ClientError as exc:
        if exc.response["Error"]["Code"] == _EXISTS:
            return
        raise _refusal(exc.response, topic) from exc
    except (
        failures.HTTPClientError,
        failures.ConnectionError,
        failures.MetadataRetrievalError,
        failures.CredentialRetrievalError,
    ) as exc:
        raise TemporaryError(f"{topic}: AWS did not answer ({clean(str(exc))})") from exc
    except failures.BotoCoreError as exc:
        raise PermanentError(f"{topic}: AWS could not be asked ({clean(str(exc))})") from exc
    log.info("a repository was created", extra={"registry": topic.registry, "repository": repository})


def _botocore(topic: Topic) -> ModuleType:
    try:
        # An extra, which takes a tenth of a second to import: at the top, every process would need it or pay for it.
        import botocore  # noqa: PLC0415
        import botocore.config  # noqa: PLC0415
        import botocore.exceptions  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415
    except ImportError as exc:
        raise PermanentError(
            f"{topic}: the repository does not exist, and creating it needs the extra `aws`"
            " (pip install replicator[aws])"
        ) from exc
    module: ModuleType = botocore
    return module


def _refusal(response: Mapping[str, Any], topic: Topic) -> ReplicatorError:
    code, status = response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
    said = clean(f"{code}: {response['Error'].get('Message', '')}")
    message = f"{topic}: the repository does not exist, and AWS answered {status} ({said})"
    if code in _DENIED or status in {401, 403}:
        return Denied(message)
    if code in _BUSY or status == 429 or status >= 500:
        return TemporaryError(message)
    return PermanentError(message)

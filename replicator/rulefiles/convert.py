"""From entries of rule files to registries and rules: expands ${NAME}, reads secret files, fills in defaults.

An entry here is sound by itself. What depends on other entries is `lint`'s.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from pydantic import SecretStr

from replicator.platforms import parse_platform
from replicator.rulefiles import grammar
from replicator.rulefiles.conflict import conflict
from replicator.rulefiles.document import Document, Path
from replicator.rulefiles.files import DestinationFile, FilterFile, RuleFile
from replicator.rulefiles.harbor import PolicyFile
from replicator.rulefiles.problems import Problem
from replicator.rulefiles.registries import CredentialFile, LimitsFile, RegistryFile, TLSFile, WebhookFile
from replicator.rulefiles.retention import retention
from replicator.rulefiles.trigger import TriggerFile
from replicator.rules import (
    TLS,
    Conflict,
    Credential,
    Destination,
    Filter,
    Limits,
    Registry,
    Rule,
    Schedule,
    Signatures,
    TriggerType,
    Webhook,
)
from replicator.signing import PublicKey

_SECRET_LIMIT_BYTES = 64 * 1024
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a registry or a rule stands: the document and the way to it."""

    document: Document
    path: Path

    @property
    def place(self) -> str:
        """File and line, for messages about other entries."""
        found = self.problem("", of_key=True)
        return f"{found.file}:{found.line}"

    def problem(self, message: str, *path: str | int, of_key: bool = False) -> Problem:
        """A problem at the place that `path` leads to from here."""
        return self.document.problem((*self.path, *path), message, of_key=of_key)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Gives the texts of credentials and webhook secrets, and collects what cannot be had as problems."""

    environ: Mapping[str, str]
    problems: list[Problem]

    def expanded(self, text: str, entry: Entry, *path: str | int) -> str:
        """`text` with each ${NAME} replaced; what is missing from the environment becomes a problem."""
        return self._got(lambda: _expanded(text, self.environ), entry, path)

    def read(self, filename: str, entry: Entry, *path: str | int) -> str:
        """What the secret file holds, without the newline at its end."""
        return self._got(lambda: secret_file(filename), entry, path)

    def _got(self, get: Callable[[], str], entry: Entry, path: Path) -> str:
        try:
            return get()
        except ValueError as exc:
            self.problems.append(entry.problem(str(exc), *path))
            return ""


def secret_file(filename: str) -> str:
    """The text of a secret file, without surrounding newlines; ValueError if there is none to be had."""
    try:
        with FilePath(filename).open("rb") as file:
            raw = file.read(_SECRET_LIMIT_BYTES + 1)
        text = raw.decode().strip("\r\n")
    except OSError as exc:
        raise ValueError(f"cannot read the secret file {filename}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"the secret file {filename} is not UTF-8 text") from exc
    if not text or len(raw) > _SECRET_LIMIT_BYTES:
        raise ValueError(f"the secret file {filename} is {'too large' if text else 'empty'}")
    return text


def registry(name: str, read: RegistryFile, entry: Entry, secrets: Secrets) -> Registry:
    """The registry that an entry describes; whatever its secrets lack is among `secrets.problems` afterwards."""
    any_certificate = read.url.startswith("https:") and (read.insecure or _refuses_checks(read.tls))
    return Registry(
        name=name,
        type=read.type,
        url=read.url,
        credential=_credential(read.credential, entry, secrets) if read.credential else None,
        webhook=_webhook(read.webhook, entry, secrets) if read.webhook else None,
        tls=_tls(read.tls or TLSFile(), verify=not any_certificate),
        limits=_limits(read.limits) if read.limits else Limits(),
        insecure=any_certificate or grammar.is_clear_text(read.url),
        proxy=read.proxy,
    )


def inline_name(read: RegistryFile) -> str:
    """The name of a registry that a Harbor policy describes inline: its host, and the port if there is one."""
    host, port = grammar.host_of(read.url)
    return f"{host}:{port}" if port else host


def rule(read: RuleFile, keys: tuple[PublicKey, ...] = ()) -> Rule:
    """The rule that an entry describes, with the keys that it names."""
    return Rule(
        name=read.name,
        source=read.source,
        destinations=tuple(_destination(item) for item in read.destinations),
        trigger=_trigger(read.trigger),
        schedule=_schedule(read.trigger),
        backfill=read.backfill,
        sweep_interval_s=grammar.interval_s(str(read.sweep_interval)) if read.sweep_interval else None,
        filters=_filters(read.filters),
        platforms=tuple(parse_platform(text) for text in read.platforms or ()),
        platforms_rewrite=read.platforms_rewrite,
        signatures=Signatures.REQUIRE if read.keys else read.signatures,
        keys=keys,
        signature_wait_s=grammar.seconds(read.signature_wait),
        deletion=read.deletion,
        delete_grace_s=grammar.seconds(read.delete_grace),
        delete_cap=read.delete_cap,
        override=read.override,
        conflict=_conflict(read),
        enabled=read.enabled,
        was=(read.was,) if isinstance(read.was, str) else tuple(read.was),
    )


def policy_rule(read: PolicyFile) -> Rule:
    """The rule that a Harbor policy describes."""
    namespace = read.dest_namespace or None
    there = Destination(
        inline_name(read.dest_registry), namespace, read.dest_namespace_replace_count if namespace else 0
    )
    return Rule(
        name=read.name,
        source=inline_name(read.src_registry),
        destinations=(there,),
        trigger=_trigger(read.trigger),
        schedule=_schedule(read.trigger),
        filters=_filters(read.filters),
        deletion=bool(read.deletion or read.replicate_deletion),
        override=read.override,
        enabled=read.enabled,
    )


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    if "${" in _VARIABLE.sub("", text):
        raise ValueError("a variable is written ${NAME}")
    for name in _VARIABLE.findall(text):
        if not environ.get(name):
            state = "empty" if name in environ else "not set"
            raise ValueError(f"the environment variable {name} is {state}")
    return _VARIABLE.sub(lambda found: environ[found[1]], text)


def _credential(read: CredentialFile, entry: Entry, secrets: Secrets) -> Credential:
    key = secrets.expanded(read.access_key, entry, "credential", "access_key")
    if read.access_secret is not None:
        text = secrets.expanded(read.access_secret.get_secret_value(), entry, "credential", "access_secret")
    else:
        text = secrets.read(str(read.access_secret_file), entry, "credential", "access_secret_file")
    return Credential(key, SecretStr(text), read.access_secret_file)


def _webhook(read: WebhookFile, entry: Entry, secrets: Secrets) -> Webhook:
    if read.secret_file is not None:
        texts = [secrets.read(read.secret_file, entry, "webhook", "secret_file")]
    else:
        given = read.secret if isinstance(read.secret, list) else [read.secret] if read.secret else []
        texts = [
            secrets.expanded(item.get_secret_value(), entry, "webhook", "secret", index)
            for index, item in enumerate(given)
        ]
    return Webhook(tuple(SecretStr(text) for text in texts), read.anonymous)


def _refuses_checks(read: TLSFile | None) -> bool:
    return read is not None and not read.verify


def _tls(read: TLSFile, *, verify: bool) -> TLS:
    return TLS(ca_file=read.ca_file, cert_file=read.cert_file, key_file=read.key_file, verify=verify)


def _limits(read: LimitsFile) -> Limits:
    rate = read.bandwidth
    return Limits(
        read.concurrency,
        read.requests_per_second,
        grammar.size_bytes(rate) if isinstance(rate, str) else rate,
    )


def _destination(read: str | DestinationFile) -> Destination:
    if isinstance(read, str):
        return Destination(read)
    return Destination(
        read.registry,
        read.namespace,
        read.replace_count or 0,
        retention(read.retention) if read.retention else None,
    )


def _conflict(read: RuleFile) -> Conflict | None:
    if read.conflict is None:
        return None
    there = [item if isinstance(item, str) else item.registry for item in read.destinations]
    return conflict(read.conflict, [read.source, *there])


def _filters(read: list[FilterFile]) -> tuple[Filter, ...]:
    return tuple(
        Filter(item.type, item.value if isinstance(item.value, str) else tuple(item.value), item.decoration)
        for item in read
    )


def _trigger(read: TriggerFile) -> TriggerType:
    # "push" is how Harbor's users say it.
    return TriggerType.EVENT_BASED if read.type == "push" else TriggerType(read.type)


def _schedule(read: TriggerFile) -> Schedule | None:
    if not read.schedule:
        return None
    return Schedule(read.schedule, read.timezone or "UTC", grammar.seconds(read.jitter or "0s"))

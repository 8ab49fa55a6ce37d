"""What an import comes to: registries and rules to be written down, and a remark for whatever is not as it was.

A rule that would copy more or less than the original did is written with `enabled: false`; what cannot be said by a
rule at all is left out, with its reason. A secret that the original holds never gets here: it becomes a variable.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from replicator.rules import RegistryType

Value = str | int | bool | list["Value"] | dict[str, "Value"]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A variable as rule files write it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A key of a registry or a rule, and what a person should know of it. Several values are several lines."""

    key: str
    value: Value
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a list, and what a person should know of it."""

    value: Value
    remark: str = ""


@dataclass(slots=True)
class RegistryDraft:
    """A registry to be written down."""

    name: str
    lines: list[Line]
    remarks: list[str] = field(default_factory=list)

    def named(self, key: str) -> Line | None:
        """The line of that key."""
        return next((line for line in self.lines if line.key == key), None)


@dataclass(slots=True)
class RuleDraft:
    """A rule to be written down. `doubts` say in what it is not the original: with any of them it is not enabled."""

    name: str
    origin: str
    source: str
    destination: Value
    filters: list[Item] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """A rule file in the making."""

    tool: str
    file: str
    registries: dict[str, RegistryDraft] = field(default_factory=dict)
    rules: list[RuleDraft] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """What each environment variable holds that the rules want."""
    files: set[str] = field(default_factory=set)
    """Files with secrets that the rules want."""

    def variable(self, wanted: str, meaning: str) -> str:
        """`${NAME}` for a variable of nearly that name that nothing else uses; the user is told to set it."""
        base = re.sub(r"[^A-Z0-9]+", "_", wanted.upper()).strip("_")
        base = base if base[:1].isalpha() else f"REGISTRY_{base}"
        name, number = base, 1
        while self.variables.get(name, meaning) != meaning:
            number += 1
            name = f"{base}_{number}"
        self.variables[name] = meaning
        return f"${{{name}}}"

    def known(self, text: str) -> str:
        """`text`, which names variables that the original took from its environment; the user is told to set them."""
        for name in VARIABLE.findall(text):
            self.variables.setdefault(name, "as the original takes it from its environment")
        return text

    def rule_name(self, wanted: str) -> str:
        """A name for a rule, like the one that is wanted and unlike all others."""
        return fresh_name(wanted, {rule.name for rule in self.rules})


def fresh_name(wanted: str, taken: Iterable[str]) -> str:
    """A name that rule files allow, like the one that is wanted and unlike those that are taken."""
    used = set(taken)
    base = re.sub(r"[^A-Za-z0-9._:-]+", "-", wanted).strip("-._:")[:120].rstrip("-._:") or "imported"
    name, number = base, 1
    while name in used:
        number += 1
        name = f"{base}-{number}"
    return name


def registry_type(host: str) -> RegistryType:
    """The product that a host is known for; any other speaks at least the distribution protocol."""
    for pattern, kind in _KNOWN_HOSTS:
        if re.fullmatch(pattern, host):
            return kind
    return RegistryType.DISTRIBUTION


_KNOWN_HOSTS = (
    (r"docker\.io|index\.docker\.io|registry-1\.docker\.io|hub\.docker\.com", RegistryType.DOCKERHUB),
    (r"quay\.io", RegistryType.QUAY),
    (r"ghcr\.io", RegistryType.GHCR),
    (r"registry\.gitlab\.com", RegistryType.GITLAB),
    (r"public\.ecr\.aws", RegistryType.ECR_PUBLIC),
    (r"\d+\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?", RegistryType.ECR),
    (r"(.+\.)?gcr\.io|.+-docker\.pkg\.dev", RegistryType.GAR),
    (r".+\.azurecr\.io", RegistryType.ACR),
)

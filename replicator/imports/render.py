"""A draft as the text of a rule file: YAML whose comments say what is not as it was.

Whatever came from outside is quoted, or stripped of everything that could end a comment's line.
"""

import re
import textwrap

import yaml

from replicator.imports.draft import Draft, Item, RegistryDraft, RuleDraft, Value
from replicator.imports.given import printable

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*\Z")
# What YAML 1.1 takes for something else than text.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_WIDTH = 110


def render(draft: Draft) -> str:
    """The rule file."""
    lines = _head(draft)
    if draft.registries:
        lines += ["", "registries:"]
        for registry in draft.registries.values():
            lines += _registry(registry)
    if draft.rules:
        lines += ["", "rules:"]
        for index, rule in enumerate(draft.rules):
            lines += [""] * (index > 0) + _rule(rule)
    if draft.left_out:
        lines += ["", "# Left out, because no rule can say it:"]
        for reason in draft.left_out:
            lines += _comment(reason, "", bullet="* ")
    return "\n".join(lines) + "\n"


def _head(draft: Draft) -> list[str]:
    lines = _comment(f"Imported from {draft.tool}: {draft.file}", "")
    lines += _comment(
        "Comments tell what is not as it was there. Read them, then run `replicator check`.", ""
    )
    for remark in draft.remarks:
        lines += _comment(remark, "", bullet="* ")
    if draft.variables:
        lines += ["#", "# Environment variables to set:"]
        for name in sorted(draft.variables):
            lines += _comment(f"{name}: {draft.variables[name]}", "", bullet="* ")
    if draft.files:
        lines += ["#", "# Files with secrets that must be there:"]
        for name in sorted(draft.files):
            lines += _comment(name, "", bullet="* ")
    return lines


def _registry(draft: RegistryDraft) -> list[str]:
    lines = [line for remark in draft.remarks for line in _comment(remark, "  ")]
    lines.append(f"  {_scalar(draft.name)}:")
    return lines + [
        _remarked(f"    {line.key}: {_flow(line.value, block=True)}", line.remark) for line in draft.lines
    ]


def _rule(draft: RuleDraft) -> list[str]:
    lines = _comment(draft.origin, "  ")
    for remark in draft.remarks:
        lines += _comment(remark, "  ", bullet="* ")
    lines += [
        f"  - name: {_scalar(draft.name)}",
        f"    source: {_scalar(draft.source)}",
        f"    destinations: [{_flow(draft.destination)}]",
    ]
    if draft.filters:
        lines += ["    filters:", *(_filter(item) for item in draft.filters)]
    shown = [line for line in draft.lines if not draft.doubts or line.key != "enabled"]
    lines += [_remarked(f"    {line.key}: {_flow(line.value, block=True)}", line.remark) for line in shown]
    for doubt in draft.doubts:
        lines += _comment(f"not enabled: {doubt}", "    ")
    return [*lines, "    enabled: false"] if draft.doubts else lines


def _filter(item: Item) -> str:
    return _remarked(f"      - {_flow(item.value)}", item.remark)


def _remarked(line: str, remark: str) -> str:
    return f"{line}  # {printable(remark)}" if remark else line


def _comment(text: str, indent: str, *, bullet: str = "") -> list[str]:
    return textwrap.wrap(
        printable(text),
        width=_WIDTH,
        initial_indent=f"{indent}# {bullet}",
        subsequent_indent=f"{indent}# {' ' * len(bullet)}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _flow(value: Value, *, block: bool = False) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    # A URL needs quotes within braces only.
    return (
        value if block and re.fullmatch(r"https?://[A-Za-z0-9._:/-]+[A-Za-z0-9]", value) else _scalar(value)
    )


def _scalar(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    return yaml.safe_dump(str(text), default_style='"', allow_unicode=True, width=2**20).rstrip("\n")

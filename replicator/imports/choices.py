"""Which tags a rule takes, as filters: from tags that are spelled out, or from regular expressions."""

from collections.abc import Sequence

from replicator.imports.draft import Item, RuleDraft
from replicator.imports.globs import joined, name_globs, tag_globs
from replicator.oci import Repository, Tag

ALL_TAGS = "?*"
"""Every tag, but no artifact without one."""


def name_filter(repository: Repository) -> Item:
    """The filter that takes one repository."""
    return Item({"type": "name", "value": str(repository)})


def exact_tags(tags: Sequence[Tag]) -> Item:
    """The filter that takes these tags and no other."""
    return tag_filter(joined(tags)[0])


def tag_filter(pattern: str, *, excludes: bool = False, remark: str = "") -> Item:
    """A filter by tag."""
    more: dict[str, str] = {"decoration": "excludes"} if excludes else {}
    return Item({"type": "tag", "value": pattern, **more}, remark)


def choose_tags(rule: RuleDraft, allow: Sequence[str], deny: Sequence[str] = ()) -> None:
    """Gives the rule filters for tags in which one of `allow` and none of `deny` is found, as Go's MatchString does.

    What no patterns can say exactly becomes a doubt.
    """
    found = tag_globs(allow, deny)
    rule.filters += [tag_filter(joined(found.patterns)[0])]
    rule.filters += [tag_filter(pattern, excludes=True) for pattern in found.excludes]
    if found.flaw:
        rule.doubts.append(f"the tag filters are not exactly {_said(allow, deny)}: {found.flaw}")
    elif found.excludes:
        rule.remarks.append(f"the tag filters together are exactly {_said(allow, deny)}")


def choose_names(allow: Sequence[str], deny: Sequence[str]) -> tuple[list[list[Item]], str]:
    """Filters for the repositories' names, as `choose_tags` does for tags, and a doubt if there is one.

    Alternatives that one pattern cannot hold together are several lists: a rule for each.
    """
    found = name_globs(allow, deny)
    excludes = [
        Item({"type": "name", "value": pattern, "decoration": "excludes"}) for pattern in found.excludes
    ]
    rules = [[Item({"type": "name", "value": pattern}), *excludes] for pattern in joined(found.patterns)]
    return rules, f"the name filters are not exactly {_said(allow, deny)}: {found.flaw}" if found.flaw else ""


def _said(allow: Sequence[str], deny: Sequence[str]) -> str:
    parts = [" or ".join(f"/{each}/" for each in allow)] if allow else []
    parts += ["without " + " and ".join(f"/{each}/" for each in deny)] if deny else []
    return ", ".join(parts) or "what was wanted"

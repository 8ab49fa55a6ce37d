"""The last look at a draft: what `replicator check` would refuse is not left in it.

Other tools let one copy overwrite another in silence: here two sources for one reference are a mistake, and the later
rule is not enabled. And they know lists of tags of any length: here a pattern has its limit, and a long list becomes
several rules.
"""

from collections.abc import Iterator
from dataclasses import replace

from replicator.imports.draft import Draft, Item, RuleDraft, Value, fresh_name
from replicator.rulefiles.convert import rule as convert
from replicator.rulefiles.files import PATTERN_LIMIT, RuleFile
from replicator.rules import Rule, RuleSet, collisions


def settle(draft: Draft) -> None:
    """Splits rules with too long lists of tags, and gives a doubt to rules that get in the way of earlier ones."""
    names = {rule.name for rule in draft.rules}
    draft.rules = [part for rule in draft.rules for part in _split(rule, names)]
    while True:
        found = collisions(RuleSet(rules=tuple(_rule(each) for each in draft.rules)))
        if not found:
            return
        for collision in found:
            last = [each for each in draft.rules if each.name in collision.rules][-1]
            last.doubts.append(collision.message)


def _split(rule: RuleDraft, names: set[str]) -> Iterator[RuleDraft]:
    for index, item in enumerate(rule.filters):
        lists = list(_parts(item))
        if len(lists) > 1:
            for part in lists:
                name = rule.name if part is lists[0] else fresh_name(rule.name, names)
                names.add(name)
                filters = [*rule.filters[:index], part, *rule.filters[index + 1 :]]
                yield replace(rule, name=name, filters=filters, doubts=list(rule.doubts))
            return
    yield rule


def _parts(item: Item) -> Iterator[Item]:
    value = item.value if isinstance(item.value, dict) else {}
    pattern = value.get("value")
    # Our own lists alone are that long: patterns of others with such a length were refused.
    if not isinstance(pattern, str) or len(pattern) <= PATTERN_LIMIT:
        yield item
        return
    part: list[str] = []
    for alternative in pattern.strip("{}").split(","):
        if len(",".join([*part, alternative])) > PATTERN_LIMIT - 2:
            yield Item({**value, "value": "{" + ",".join(part) + "}"}, item.remark)
            part = []
        part.append(alternative)
    yield Item({**value, "value": "{" + ",".join(part) + "}"}, item.remark)


def _rule(draft: RuleDraft) -> Rule:
    # What starts a rule has no part in where it writes.
    keys: dict[str, Value] = {line.key: line.value for line in draft.lines if line.key != "trigger"}
    keys |= {"name": draft.name, "source": draft.source, "destinations": [draft.destination]}
    keys["filters"] = [item.value for item in draft.filters]
    keys["enabled"] = not draft.doubts and keys.get("enabled", True)
    return convert(RuleFile.model_validate(keys))

"""The last look at a draft: rules that `replicator check` would refuse together are not enabled.

Other tools let one copy overwrite another in silence. Here two sources for one reference are a mistake.
"""

from replicator.imports.draft import Draft, RuleDraft, Value
from replicator.rulefiles.convert import rule as convert
from replicator.rulefiles.files import RuleFile
from replicator.rules import Rule, RuleSet, collisions


def settle(draft: Draft) -> None:
    """Gives a doubt to the later one of rules that get in each other's way, until none do."""
    while True:
        found = collisions(RuleSet(rules=tuple(_rule(each) for each in draft.rules)))
        if not found:
            return
        for collision in found:
            last = [each for each in draft.rules if each.name in collision.rules][-1]
            last.doubts.append(collision.message)


def _rule(draft: RuleDraft) -> Rule:
    # What starts a rule has no part in where it writes.
    keys: dict[str, Value] = {line.key: line.value for line in draft.lines if line.key != "trigger"}
    keys |= {"name": draft.name, "source": draft.source, "destinations": [draft.destination]}
    keys["filters"] = [item.value for item in draft.filters]
    keys["enabled"] = not draft.doubts and keys.get("enabled", True)
    return convert(RuleFile.model_validate(keys))

"""Inputs made to do harm, by the thousand in `make test` and by the million in `make fuzz`."""

from tests.fuzz import answers, bodies, globs, heads, manifests, rulefiles
from tests.fuzz.engine import Target

TARGETS: dict[str, Target] = {
    module.TARGET.name: module.TARGET for module in (bodies, rulefiles, globs, answers, manifests, heads)
}
"""What is fed, by name."""

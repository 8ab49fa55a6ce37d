"""Rule files: the YAML that users keep in git, read strictly, checked as a whole, reloaded when it changes."""

from replicator.rulefiles.book import RuleBook
from replicator.rulefiles.load import Loaded, load
from replicator.rulefiles.problems import Problem, RulesError
from replicator.rulefiles.schema import schema, schema_text

__all__ = ["Loaded", "Problem", "RuleBook", "RulesError", "load", "schema", "schema_text"]

"""`python -m replicator.rulefiles` writes the JSON Schema of rule files to standard output."""

import json
import sys

from replicator.rulefiles.schema import schema

sys.stdout.write(json.dumps(schema(), indent=2) + "\n")

"""`python -m replicator.rulefiles` writes the JSON Schema of rule files to standard output."""

import sys

from replicator.rulefiles.schema import schema_text

sys.stdout.write(schema_text())

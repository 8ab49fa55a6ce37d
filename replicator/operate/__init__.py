"""What an operator does with the ledger, on the command line and through the API alike."""

from replicator.operate.describing import Description, clock, describe, span
from replicator.operate.desk import Desk
from replicator.operate.exporting import export
from replicator.operate.pausing import pause, resume
from replicator.operate.selecting import Filters, failures, find, find_deletion, jobs, letters
from replicator.operate.settling import Item, Settled, Verb, settle
from replicator.operate.undeleting import Undeleted, undelete

__all__ = [
    "Description",
    "Desk",
    "Filters",
    "Item",
    "Settled",
    "Undeleted",
    "Verb",
    "clock",
    "describe",
    "export",
    "failures",
    "find",
    "find_deletion",
    "jobs",
    "letters",
    "pause",
    "resume",
    "settle",
    "span",
    "undelete",
]

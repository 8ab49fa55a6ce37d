"""Resync: compare what rules want with what destinations hold, and bring in line what differs.

scope       which part of all rules is meant
survey      both sides of every lane, repository by repository
compare     one repository: listings, digests, differences
memory      what the ledger knows of it
patience    reading registries that hiccup
flow        many small steps in a few threads
weigh       what a copy would cost, and the filters that need a manifest
tally       sums
sweep       a survey with its sums
repairs     what becomes of differences that nobody asked for
document    a plan as JSON
enqueue     from differences, or a plan, to jobs
verify      what should be there, proved
watch       jobs to their end
agenda      what schedules, new rules, lost events and time ask for
errand      asking for what nobody waits for, and carrying it out
"""

from replicator.resync.agenda import Errand, Loss, after_loss, agenda
from replicator.resync.document import Change, Document, LaneSum, changes_of, read, written
from replicator.resync.enqueue import Wanted, enqueue, jobs_of, jobs_of_plan
from replicator.resync.errand import ask, carry_out, held_back_of, make_up_for, troubles_of
from replicator.resync.scope import Scope
from replicator.resync.sweep import Request, Sweep
from replicator.resync.tally import Tally
from replicator.resync.tools import Tools, Trouble
from replicator.resync.verify import Checked, Verification
from replicator.resync.watch import Arrivals, Watch

__all__ = [
    "Arrivals",
    "Change",
    "Checked",
    "Document",
    "Errand",
    "LaneSum",
    "Loss",
    "Request",
    "Scope",
    "Sweep",
    "Tally",
    "Tools",
    "Trouble",
    "Verification",
    "Wanted",
    "Watch",
    "after_loss",
    "agenda",
    "ask",
    "carry_out",
    "changes_of",
    "enqueue",
    "held_back_of",
    "jobs_of",
    "jobs_of_plan",
    "make_up_for",
    "read",
    "troubles_of",
    "written",
]

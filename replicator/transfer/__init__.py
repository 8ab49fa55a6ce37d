"""Transfer: bring one reference at one destination in line with the source, and prove it.

attempt     claim, and what the ledger hears of the end
converge    read, cross over or remove, read the source again
crossing    decide, copy
reading     when to believe the source
gather      what belongs to an artifact
writing     the steps of a plan, the tag last
deletion    the guards of a delete
proof       that a destination holds what it should
defects     what a proof says
doubts      repair
promote     what a person asks for without a rule
"""

from replicator.transfer.attempt import Tools, bring_in_line

__all__ = ["Tools", "bring_in_line"]

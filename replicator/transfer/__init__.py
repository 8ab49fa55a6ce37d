"""Transfer: bring one reference at one destination in line with the source, and prove it.

doorbell    claim the jobs of a doorbell, and try each
attempt     one try, and what the ledger hears of its end
tools       what a worker works with
lease       until when a job is ours
converge    read, cross over or remove, read the source again
crossing    decide, copy
reading     when to believe the source
gather      what belongs to an artifact
writing     the steps of a plan, the tag last
blobs       each once for the whole fleet: who brings it, who waits
sending     one blob to the destination, from where an earlier try stood
ways        whole or in chunks
moved       what that comes to, in numbers
deletion    the guards of a delete
proof       that a destination holds what it should
defects     what a proof says
doubts      repair
promote     what a person asks for without a rule
"""

from replicator.transfer.doorbell import answer, bring_in_line
from replicator.transfer.lease import Leases
from replicator.transfer.tools import Tools

__all__ = ["Leases", "Tools", "answer", "bring_in_line"]

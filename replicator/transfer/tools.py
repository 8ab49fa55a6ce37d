"""What a worker works with."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from replicator.ledger import Ledger
from replicator.registry import RegistryClient
from replicator.rules import RuleSet
from replicator.transfer.blobs import new_hands
from replicator.transfer.lease import Leases

JOBS_AT_ONCE = 4
"""How many jobs of one doorbell run side by side, as threads of the process that heard it."""


def new_desks() -> ThreadPoolExecutor:
    """Threads that run the jobs of a doorbell side by side. They are started when first needed, and kept."""
    return ThreadPoolExecutor(JOBS_AT_ONCE, thread_name_prefix="job")


@dataclass(frozen=True, slots=True)
class Tools:
    """A worker's ledger, rules and registries, and its threads: for jobs, and for the blobs of a job."""

    ledger: Ledger
    rules: Callable[[], RuleSet]
    client: Callable[[str], RegistryClient]
    """The client of a configured registry, by its name."""
    leases: Leases
    desks: ThreadPoolExecutor = field(default_factory=new_desks)
    hands: ThreadPoolExecutor = field(default_factory=new_hands)
    begins_within_s: float = 30.0
    """What a doorbell has not begun by then is rung for anew: others may be free, or something more urgent."""

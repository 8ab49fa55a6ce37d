"""The ledger: what is to be done, who is doing it, what came of it, and what the fleet knows. All of it in Redis.

Other packages see values and verbs; keys, scripts and the client's exceptions stay in here.
"""

from replicator.ledger.availability import Availability, Down, Footing, Standing
from replicator.ledger.budgets import Budget, Budgets
from replicator.ledger.claim import REPAIR, Claim, Cost, Finish, Refusal, Submission
from replicator.ledger.connect import connect, connect_async
from replicator.ledger.copied import Copied
from replicator.ledger.decided import Conflicts, Decided
from replicator.ledger.deletions import Deletion, Deletions
from replicator.ledger.epoch import Epoch, Pulse
from replicator.ledger.fleet import Fleet, Sighting
from replicator.ledger.flights import Boarding, Flights
from replicator.ledger.holdings import Holdings, Noted
from replicator.ledger.inbox import Inbox, Notification
from replicator.ledger.inventory import Capability, Copy, Inventory
from replicator.ledger.keeper import Keeper
from replicator.ledger.ledger import Ledger
from replicator.ledger.letters import DeadLetter
from replicator.ledger.pauses import Pause, PauseKind, Pauses
from replicator.ledger.promotions import Promoted, Promotion, Promotions
from replicator.ledger.recorder import Recorder
from replicator.ledger.selection import Selection
from replicator.ledger.suspects import Suspect, Suspects, Suspicion
from replicator.ledger.sweeps import SweepKind, Sweeps, SweepState, SweepView, Swept
from replicator.ledger.uploads import Habit, Place, Uploads
from replicator.ledger.view import JobView, Lane, State, View, lanes_of
from replicator.ledger.work import Work

__all__ = [
    "REPAIR",
    "Availability",
    "Boarding",
    "Budget",
    "Budgets",
    "Capability",
    "Claim",
    "Conflicts",
    "Copied",
    "Copy",
    "Cost",
    "DeadLetter",
    "Decided",
    "Deletion",
    "Deletions",
    "Down",
    "Epoch",
    "Finish",
    "Fleet",
    "Flights",
    "Footing",
    "Habit",
    "Holdings",
    "Inbox",
    "Inventory",
    "JobView",
    "Keeper",
    "Lane",
    "Ledger",
    "Noted",
    "Notification",
    "Pause",
    "PauseKind",
    "Pauses",
    "Place",
    "Promoted",
    "Promotion",
    "Promotions",
    "Pulse",
    "Recorder",
    "Refusal",
    "Selection",
    "Sighting",
    "Standing",
    "State",
    "Submission",
    "Suspect",
    "Suspects",
    "Suspicion",
    "SweepKind",
    "SweepState",
    "SweepView",
    "Sweeps",
    "Swept",
    "Uploads",
    "View",
    "Work",
    "connect",
    "connect_async",
    "lanes_of",
]

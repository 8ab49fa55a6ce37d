"""The ledger: what is to be done, who is doing it, what came of it, and what the fleet knows. All of it in Redis.

Other packages see values and verbs; keys, scripts and the client's exceptions stay in here.
"""

from replicator.ledger.claim import REPAIR, Claim, Finish, Refusal, Submission
from replicator.ledger.connect import connect, connect_async
from replicator.ledger.fleet import Copied, Down, Fleet
from replicator.ledger.inbox import Inbox, Notification, record
from replicator.ledger.ledger import Ledger
from replicator.ledger.promotions import Promoted, Promotion, Promotions
from replicator.ledger.view import DeadLetter, JobView, Lane, State, View
from replicator.ledger.work import Work

__all__ = [
    "REPAIR",
    "Claim",
    "Copied",
    "DeadLetter",
    "Down",
    "Finish",
    "Fleet",
    "Inbox",
    "JobView",
    "Lane",
    "Ledger",
    "Notification",
    "Promoted",
    "Promotion",
    "Promotions",
    "Refusal",
    "State",
    "Submission",
    "View",
    "Work",
    "connect",
    "connect_async",
    "record",
]

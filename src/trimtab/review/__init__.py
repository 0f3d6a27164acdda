"""Review by people: queues for experts, blind to judges and to each other, and how far the experts may be relied on."""

from .assigning import assign
from .gathering import Gathering
from .queue import BAD, GOOD, Criterion, Expert, Item, Mark, Plan, Queue
from .records import ReviewLog
from .report import (
    FEW_PLANTED,
    LEAST_CATCH,
    CriterionAgreement,
    Oversight,
    PairAgreement,
    Report,
    disputes,
    report,
)
from .reviews import Dispute, Ended, Reviews, Turn
from .routes import WORDS, routes, signed_in

__all__ = [
    "BAD",
    "FEW_PLANTED",
    "GOOD",
    "LEAST_CATCH",
    "WORDS",
    "Criterion",
    "CriterionAgreement",
    "Dispute",
    "Ended",
    "Expert",
    "Gathering",
    "Item",
    "Mark",
    "Oversight",
    "PairAgreement",
    "Plan",
    "Queue",
    "Report",
    "ReviewLog",
    "Reviews",
    "Turn",
    "assign",
    "disputes",
    "report",
    "routes",
    "signed_in",
]

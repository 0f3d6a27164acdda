"""Versions of everything that can change behaviour, their labels and staged rollouts, and the ledger of changes."""

from .books import May
from .choice import Arm, Choice, bucket, choose
from .diff import Difference, difference
from .ledger import PRODUCTION, label_of
from .needs import Lineage
from .plans import Event, check_name
from .records import Search
from .registry import Registry, TakenBack
from .routes import routes
from .snapshot import Gate, Protection, Resolved
from .wire import change_json, may_of

__all__ = [
    "PRODUCTION",
    "Arm",
    "Choice",
    "Difference",
    "Event",
    "Gate",
    "Lineage",
    "May",
    "Protection",
    "Registry",
    "Resolved",
    "Search",
    "TakenBack",
    "bucket",
    "change_json",
    "check_name",
    "choose",
    "difference",
    "label_of",
    "may_of",
    "routes",
]

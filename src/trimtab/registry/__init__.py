"""Versions of everything that can change behaviour, their labels and staged rollouts, and the ledger of changes."""

from .choice import Choice, bucket, choose
from .ledger import PRODUCTION, label_of
from .registry import Registry
from .routes import routes
from .snapshot import Resolved

__all__ = ["PRODUCTION", "Choice", "Registry", "Resolved", "bucket", "choose", "label_of", "routes"]

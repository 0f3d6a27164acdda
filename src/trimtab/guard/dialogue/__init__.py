"""Dialogue flows of a policy: topics, canned answers, required steps, and what becomes of Colang 1.0."""

from .flows import ANY, PASS, Flows, Outcome, Turn
from .intents import Likeness, Meant, nearest
from .script import read_flows

__all__ = ["ANY", "PASS", "Flows", "Likeness", "Meant", "Outcome", "Turn", "nearest", "read_flows"]

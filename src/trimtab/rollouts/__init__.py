"""Rollouts judged by statistics: stages, guards, and a controller that goes on, waits or takes back."""

from .book import MACHINE, View
from .controller import Controller
from .decision import Decision, Standing, decide, passes
from .judging import Judgement, Point, RolloutTest
from .measures import Limit
from .plan import COST, LATENCY, MODES, STAGES, Guard, Plan, default_guards, width
from .records import Event, Record
from .routes import routes
from .shadow import Again

__all__ = [
    "COST",
    "LATENCY",
    "MACHINE",
    "MODES",
    "STAGES",
    "Again",
    "Controller",
    "Decision",
    "Event",
    "Guard",
    "Judgement",
    "Limit",
    "Plan",
    "Point",
    "Record",
    "RolloutTest",
    "Standing",
    "View",
    "decide",
    "default_guards",
    "passes",
    "routes",
    "width",
]

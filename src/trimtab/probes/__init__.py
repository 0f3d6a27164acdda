"""Probes: questions of our own, on a schedule and a budget, that find what traffic does not show."""

from .alarm import Alarm, Tell
from .asking import Door, Meter, through
from .declaration import KINDS, Declaration, Kind, checked, usual
from .drift import Answer, Drift, Input, frozen
from .fall import Fall, Flips, flips
from .found import Found, Job
from .probes import Probes, View
from .records import Run, Spending
from .routes import routes, state_of, view_json

__all__ = [
    "KINDS",
    "Alarm",
    "Answer",
    "Declaration",
    "Door",
    "Drift",
    "Fall",
    "Flips",
    "Found",
    "Input",
    "Job",
    "Kind",
    "Meter",
    "Probes",
    "Run",
    "Spending",
    "Tell",
    "View",
    "checked",
    "flips",
    "frozen",
    "routes",
    "state_of",
    "through",
    "usual",
    "view_json",
]

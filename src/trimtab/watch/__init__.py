"""Watching the scores: signals of every layer, monitors with owners, detectors that rarely cry wolf."""

from .monitors import ACTIONS, Monitor, default_monitors
from .observation import Alarm, Baseline, Observation, observation_of
from .signals import SIGNALS, Signal
from .stream import REST
from .vendors import VendorChange, Vendors
from .watch import Watch

__all__ = [
    "ACTIONS",
    "REST",
    "SIGNALS",
    "Alarm",
    "Baseline",
    "Monitor",
    "Observation",
    "Signal",
    "VendorChange",
    "Vendors",
    "Watch",
    "default_monitors",
    "observation_of",
]

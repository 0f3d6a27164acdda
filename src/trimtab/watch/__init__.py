"""Watching the scores: signals of every layer, monitors with owners, detectors that rarely cry wolf."""

from .band import Band, band_of
from .measures import MEASURES, Measure, Traffic, traffic_of
from .monitors import ACTIONS, Monitor, default_monitors
from .observation import Alarm, Baseline, Observation, observation_of
from .signals import SCORED, SIGNALS, Signal
from .silence import Silence
from .stream import REST
from .vendors import VendorChange, Vendors
from .watch import Watch

__all__ = [
    "ACTIONS",
    "MEASURES",
    "REST",
    "SCORED",
    "SIGNALS",
    "Alarm",
    "Band",
    "Baseline",
    "Measure",
    "Monitor",
    "Observation",
    "Signal",
    "Silence",
    "Traffic",
    "VendorChange",
    "Vendors",
    "Watch",
    "band_of",
    "default_monitors",
    "observation_of",
    "traffic_of",
]

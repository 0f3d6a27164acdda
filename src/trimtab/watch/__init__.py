"""Watching the scores: signals of every layer, monitors with owners, detectors that rarely cry wolf."""

from .band import Band, band_of
from .book import MonitorBook
from .measure import Measure
from .measures import MEASURES
from .monitors import ACTIONS, DETECTORS, Monitor, check_content, content_of, default_monitors, monitor_of
from .observation import Alarm, Baseline, Observation, Served, observation_of, pins_of
from .roster import Entry, check_place, roster, working
from .signals import SCORED, SIGNALS, Signal, is_score, signal_of
from .silence import Silence
from .standing import FALLS, WITHIN, Sees, SliceStanding, Standing, power
from .stream import REST
from .traffic import Traffic, traffic_of
from .trial import Trial, WouldAlarm, trial
from .vendors import VendorChange, Vendors
from .watch import Watch

__all__ = [
    "ACTIONS",
    "DETECTORS",
    "FALLS",
    "MEASURES",
    "REST",
    "SCORED",
    "SIGNALS",
    "WITHIN",
    "Alarm",
    "Band",
    "Baseline",
    "Entry",
    "Measure",
    "Monitor",
    "MonitorBook",
    "Observation",
    "Sees",
    "Served",
    "Signal",
    "Silence",
    "SliceStanding",
    "Standing",
    "Traffic",
    "Trial",
    "VendorChange",
    "Vendors",
    "Watch",
    "WouldAlarm",
    "band_of",
    "check_content",
    "check_place",
    "content_of",
    "default_monitors",
    "is_score",
    "monitor_of",
    "observation_of",
    "pins_of",
    "power",
    "roster",
    "signal_of",
    "traffic_of",
    "trial",
    "working",
]

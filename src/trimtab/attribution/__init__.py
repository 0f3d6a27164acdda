"""Attribution: evidence in, ranked changes with proof out. Pure: no clock, no chance, no input or output."""

from .attribute import attribute, failing
from .evidence import Evidence, Observed
from .replay import with_replay
from .report import PROVEN_AT, Arm, Candidate, Report, SliceEffect

__all__ = [
    "PROVEN_AT",
    "Arm",
    "Candidate",
    "Evidence",
    "Observed",
    "Report",
    "SliceEffect",
    "attribute",
    "failing",
    "with_replay",
]

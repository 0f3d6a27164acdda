"""Attribution: evidence in, ranked changes with proof out. Pure: no clock, no chance, no input or output."""

from .attribute import attribute, failing, reached
from .evidence import Evidence, Observed
from .replay import with_replay
from .report import PROVEN_AT, Arm, Candidate, LayerBelief, Report, SliceEffect, proof_at

__all__ = [
    "PROVEN_AT",
    "Arm",
    "Candidate",
    "Evidence",
    "LayerBelief",
    "Observed",
    "Report",
    "SliceEffect",
    "attribute",
    "failing",
    "proof_at",
    "reached",
    "with_replay",
]

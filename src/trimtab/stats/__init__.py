"""Pure numbers: bounds, intervals and tests that stay valid however often one looks."""

from .blocks import PER_ARM, Block, Blocks
from .bounds import binomial_tail, lower_bound, wilson
from .difference import Estimate, Stratum, difference_interval
from .edetector import EDetector
from .paired import paired_e_value
from .sequence import ConfidenceSequence, DifferenceBet
from .twoarm import TwoArmTest

__all__ = [
    "PER_ARM",
    "Block",
    "Blocks",
    "ConfidenceSequence",
    "DifferenceBet",
    "EDetector",
    "Estimate",
    "Stratum",
    "TwoArmTest",
    "binomial_tail",
    "difference_interval",
    "lower_bound",
    "paired_e_value",
    "wilson",
]

"""Pure numbers: bounds, intervals and tests that stay valid however often one looks."""

from .bounds import binomial_tail, lower_bound, wilson
from .difference import Estimate, Stratum, difference_interval
from .edetector import EDetector
from .paired import paired_e_value
from .twoarm import TwoArmTest

__all__ = [
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

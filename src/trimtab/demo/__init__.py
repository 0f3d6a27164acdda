"""The demo: a sample application on simulated models, and the faults that the loop must answer."""

from .faults import FAULTS
from .stage import Options, run
from .story import Outcome

__all__ = ["FAULTS", "Options", "Outcome", "run"]

"""Scorers: each kind in a file with its like, all of them in one table."""

from .adapters import adapted
from .making import MAKERS, MAX_SCORERS, Means, Preference, make_scorer, make_scorers

__all__ = ["MAKERS", "MAX_SCORERS", "Means", "Preference", "adapted", "make_scorer", "make_scorers"]

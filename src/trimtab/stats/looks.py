"""Looking at the same test labels more than once without fooling oneself."""

from __future__ import annotations

from trimtab.core import BadInput

_FIRST = 0.8


def look_alpha(look: int, alpha: float = 0.05) -> float:
    """The error rate that the ``look``-th look (from 1) at one set of test labels may spend.

    The first look takes four fifths, each later one half of what is left: .04, .005, .0025, ... They sum to ``alpha``,
    so that by the union bound all looks together err with at most that, as long as what is looked at was chosen without
    reading the test labels themselves.
    """
    if look < 1:
        raise BadInput(f"{look} is no look", field="look", mend="Count from 1.")
    if look == 1:
        return alpha * _FIRST
    return float(alpha * (1.0 - _FIRST) / 2.0 ** (look - 1))

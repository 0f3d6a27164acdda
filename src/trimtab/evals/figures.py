"""How figures are written, everywhere alike."""

from __future__ import annotations


def percent(value: float, digits: int = 1) -> str:
    """A share in percent: 81.3 %."""
    return f"{100.0 * value:.{digits}f} %"


def points(value: float) -> str:
    """A difference of shares in points, without its sign where it is positive: 5 or 2.5."""
    return f"{100.0 * value:.1f}".removesuffix(".0")


def signed_points(value: float) -> str:
    """A difference of shares in points with its sign: -6.6."""
    return f"{100.0 * value:+.1f}"

"""Tests that a match must pass beyond its pattern."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.core.checksums import luhn

Check = Callable[[str], bool]


def _luhn(text: str) -> bool:
    """Whether the digits of a text end in their right check digit."""
    digits = "".join(letter for letter in text if "0" <= letter <= "9")
    return len(digits) > 1 and luhn(digits)


CHECKS: dict[str, Check] = {"luhn": _luhn}

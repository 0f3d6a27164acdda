"""Tests that a match must pass beyond its pattern."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[str], bool]


def luhn(text: str) -> bool:
    """Whether the digits of a text end in their right check digit (ISO/IEC 7812-1, annex B)."""
    digits = [int(letter) for letter in text if "0" <= letter <= "9"]
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if position % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return len(digits) > 1 and total % 10 == 0


CHECKS: dict[str, Check] = {"luhn": luhn}

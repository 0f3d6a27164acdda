"""Figures as text: signs, units, intervals, missing values."""

from __future__ import annotations

import math
import re
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.web import words


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unpriced"), (0.0, "0 ¢"), (0.0014, "0.14 ¢"), (0.08, "8.0 ¢"), (0.52, "52 ¢"), (0.999, "$1.00"),
        (2.1, "$2.10"), (9.96, "$10"), (18.4, "$18"), (1234.0, "$1,200"), (0.000056, "0.0056 ¢"), (1e-9, "<0.001 ¢"),
    ],
)  # fmt: skip
def test_money_has_two_significant_digits_and_cents_below_a_dollar(usd: float | None, text: str) -> None:
    assert words.money(usd) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.61, "610 ms"),
        (2.94, "2.9 s"),
        (38.0, "38 s"),
        (2280, "38 min"),
        (18000, "5 h"),
        (400_000, "5 d"),
    ],
)
def test_durations_have_one_unit(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "none"), (0.98, "98 %"), (0.034, "3.4 %"), (0.0, "0 %"), (1.0, "100 %"), (0.998, "99.8 %"), (0.5, "50 %")],
)
def test_shares(share: float | None, text: str) -> None:
    assert words.percent(share) == text


def test_a_difference_has_a_true_minus_and_always_its_sign() -> None:
    assert words.signed(-0.221) == "−0.22"
    assert words.signed(0.05) == "+0.05"
    assert words.signed(-0.001) == "0.00"
    assert "-" not in words.fixed(-1234.5)


@given(st.floats(-10, 10), st.floats(0, 1))
def test_an_interval_never_shows_two_equal_ends_for_different_ones_unless_they_are_very_near(
    low: float, width: float
) -> None:
    text = words.interval(low, low + width)
    first, second = text.split(" to ")
    if width > 0.0002:
        assert first != second
    assert "-" not in text


@given(st.floats(0, 1e6, allow_nan=False))
def test_money_always_fits_a_column(usd: float) -> None:
    text = words.money(usd)
    assert re.fullmatch(r"\$[\d,]+(\.\d\d)?|<?[\d.]+ ¢", text)
    assert len(text) <= 11


@given(st.text())
def test_a_snippet_is_one_short_line(text: str) -> None:
    snippet = words.snippet(text, 40)
    assert len(snippet) <= 40
    assert not set(snippet) & {"\n", "\r", "\t"}


def test_times_are_local_to_the_zone() -> None:
    noon = 1_795_000_000 * 10**9
    assert words.seconds_clock(noon, UTC) == "11:06:40"
    assert words.moment(noon, noon + 3600 * 10**9, UTC) == "11:06"
    assert words.moment(noon, noon + 86_400 * 10**9, UTC) == "18 Nov 11:06"
    assert words.today(noon, UTC) == "UTC, Wed 18 Nov"


@pytest.mark.parametrize(
    ("pin", "text", "version"),
    [
        ("support-answer/14", "support-answer v14", "v14"),
        ("scripted/steady=simulated-1@sim_a1", "simulated-1 sim_a1", "simulated-1 sim_a1"),
        ("scripted/steady", "scripted/steady", "scripted/steady"),
        ("", "none", "none"),
    ],
)
def test_pins(pin: str, text: str, version: str) -> None:
    assert words.pin(pin) == text
    assert words.version(pin) == version


def test_evidence_is_short_at_any_size() -> None:
    assert [words.evidence(e) for e in (0.6, 520, 1.5e6, math.inf)] == ["0.6", "520", "> 10⁶", "> 10³⁰⁸"]
    needed = [words.needed(e) for e in (520, 2e6, 15.96e7, math.inf)]
    assert needed == ["520", "2.0 × 10⁶", "1.6 × 10⁸", "> 10³⁰⁸"]

"""Cost against worked examples, and the properties that the most frequent cost mistakes break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Usage
from trimtab.traces import price
from trimtab.traces.prices import PRICES, find_price


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        # 1,000 x 0.15 + 500 x 0.60, per million
        ("openai/gpt-4o-mini", Usage(input_tokens=1000, output_tokens=500), 0.00045),
        # 400 of 1,000 cached: 600 x 2.50 + 400 x 1.25 + 100 x 10
        ("openai/gpt-4o-2024-08-06", Usage(input_tokens=1000, output_tokens=100, cached_tokens=400), 0.003),
        # Reasoning tokens are output tokens already: 2,000 x 2.00
        ("gpt-5-mini", Usage(input_tokens=0, output_tokens=2000, reasoning_tokens=1900), 0.004),
        # 10,000 x 3 + 1,000 x 15
        ("anthropic/claude-sonnet-4-20250514", Usage(input_tokens=10_000, output_tokens=1000), 0.045),
        # Over 200,000 tokens the whole prompt doubles: 300,000 x 2.50 + 1,000 x 15
        ("gemini-2.5-pro", Usage(input_tokens=300_000, output_tokens=1000), 0.765),
        ("gemini-2.5-pro", Usage(input_tokens=200_000, output_tokens=0), 0.25),
    ],
)
def test_worked_examples(model: str, usage: Usage, dollars: float) -> None:
    assert price(model, usage) == pytest.approx(dollars, rel=1e-12)


@pytest.mark.parametrize(
    "model",
    ["local/smollm2", "gpt-99", "", "gpt-4o-audio-preview", "openai/gpt-4o-realtime", "claude-opus-4-9", "/", "-"],
)
def test_an_unknown_model_has_no_price(model: str) -> None:
    assert price(model, Usage(input_tokens=1000, output_tokens=1000)) is None


@pytest.mark.parametrize(
    ("dated", "name"),
    [
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("GPT-4o-Mini", "gpt-4o-mini"),
        ("claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gemini-3.1-pro-preview", "gemini-3.1-pro"),
    ],
)
def test_dated_names_are_the_longest_name_that_fits(dated: str, name: str) -> None:
    assert find_price(dated) is PRICES[name]


def test_simulated_models_have_a_nominal_price_whatever_their_name() -> None:
    usage = Usage(input_tokens=1_000_000)
    assert price("scripted/steady", usage) == price("simulated-steady-1", usage) == pytest.approx(0.15)


@given(
    model=st.sampled_from(sorted(PRICES)),
    read=st.integers(0, 2_000_000),
    written=st.integers(0, 200_000),
    cached=st.integers(0, 3_000_000),
)
def test_caching_never_costs_more_and_never_less_than_nothing(model: str, read: int, written: int, cached: int) -> None:
    plain = price(model, Usage(input_tokens=read, output_tokens=written))
    with_cache = price(model, Usage(input_tokens=read, output_tokens=written, cached_tokens=cached))
    reasoned = price(model, Usage(input_tokens=read, output_tokens=written, reasoning_tokens=written))
    assert plain is not None
    assert with_cache is not None
    assert 0 <= with_cache <= plain * (1 + 1e-12)
    assert reasoned == plain

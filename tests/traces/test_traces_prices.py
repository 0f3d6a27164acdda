"""Cost against worked examples, and the properties that the most frequent cost mistakes break."""

from __future__ import annotations

import re
import timeit
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Usage
from trimtab.traces import price, price_of
from trimtab.traces.prices import BOOK, PRICES, PRICES_AS_OF, PRICES_FROM, Price, find_price

#: The day of the file.
WHEN = datetime.fromisoformat(f"{PRICES_AS_OF}T12:00:00").replace(tzinfo=UTC)
NAMES = sorted((provider, model) for provider, models in PRICES.items() for model in models)


@pytest.fixture
def book() -> Iterator[None]:
    """Whatever a test configures is taken back."""
    yield
    BOOK.configure({}, {})


def asked(provider: str, model: str, usage: Usage, cache_written: int = 0) -> float:
    """What genai-prices itself makes of it."""
    theirs = genai_prices.Usage(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=cache_written,
    )  # fmt: skip
    hours = range(24) if provider == "deepseek" else (12,)  # the only one that is dearer at some hours
    return max(
        float(
            genai_prices.calc_price(
                theirs, model, provider_id=provider, genai_request_timestamp=WHEN.replace(hour=hour)
            ).total_price
        )
        for hour in hours
    )


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
        ("claude-3-5-haiku-latest", "anthropic/claude-3-5-haiku"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gemini-3.1-pro-preview-11-2026", "gemini-3.1-pro-preview"),
    ],
)
def test_dated_names_are_the_longest_name_that_fits(dated: str, name: str) -> None:
    found = find_price(dated)
    assert found is not None
    assert found == find_price(name)


def test_simulated_models_have_a_nominal_price_whatever_their_name() -> None:
    usage = Usage(input_tokens=1_000_000)
    assert price("scripted/steady", usage) == price("simulated-steady-1", usage) == pytest.approx(0.15)


GOLDEN = [
    ("openai", "gpt-4o", Usage(input_tokens=1200, output_tokens=300)),
    ("openai", "gpt-4o-mini", Usage(input_tokens=8000, output_tokens=900, cached_tokens=6400)),
    ("openai", "gpt-5-mini", Usage(input_tokens=40, output_tokens=5000, reasoning_tokens=4800)),
    ("openai", "gpt-6-sol", Usage(input_tokens=272_000, output_tokens=10)),
    ("openai", "gpt-6-sol", Usage(input_tokens=272_001, output_tokens=10, cached_tokens=200_000)),
    ("openai", "text-embedding-3-small", Usage(input_tokens=100_000)),
    ("openai", "o3", Usage(input_tokens=2500, output_tokens=700)),
    ("anthropic", "claude-sonnet-4-5", Usage(input_tokens=199_999, output_tokens=4000, cached_tokens=150_000)),
    ("anthropic", "claude-sonnet-4-5", Usage(input_tokens=250_000, output_tokens=4000, cached_tokens=150_000)),
    ("anthropic", "claude-opus-5-5", Usage(input_tokens=5000, output_tokens=50)),
    ("anthropic", "claude-haiku-5-5", Usage(input_tokens=100_001, output_tokens=1)),
    ("google", "gemini-2.5-pro", Usage(input_tokens=300_000, output_tokens=800, cached_tokens=10_000)),
    ("google", "gemini-2.5-flash", Usage(input_tokens=700, output_tokens=80)),
    ("mistral", "mistral-large-latest", Usage(input_tokens=3000, output_tokens=400)),
    ("groq", "llama-3.3-70b-versatile", Usage(input_tokens=3000, output_tokens=400)),
    ("deepseek", "deepseek-chat", Usage(input_tokens=3000, output_tokens=400, cached_tokens=2000)),
    ("x-ai", "grok-3", Usage(input_tokens=900, output_tokens=90)),
    ("cohere", "command-r-plus", Usage(input_tokens=900, output_tokens=90)),
    ("openrouter", "google/gemini-2.5-pro", Usage(input_tokens=300_000, output_tokens=90)),
    ("azure", "gpt-4o", Usage(input_tokens=900, output_tokens=90)),
]


@pytest.mark.parametrize(("provider", "model", "usage"), GOLDEN)
def test_twenty_calls_cost_what_the_source_says(provider: str, model: str, usage: Usage) -> None:
    ours = price(f"{provider}/{model}", usage)
    assert ours is not None
    assert ours > 0
    assert ours == pytest.approx(asked(provider, model, usage), rel=1e-9)


def test_the_file_is_of_the_version_that_is_installed() -> None:
    assert f"genai-prices {version('genai-prices')}," in PRICES_FROM
    assert len(GOLDEN) == 20


@given(
    name=st.sampled_from(NAMES),
    read=st.integers(1, 500_000),
    written=st.integers(0, 50_000),
    cached=st.integers(0, 500_000),
    put=st.integers(0, 500_000),
)
def test_every_name_in_the_file_costs_what_the_source_says(
    name: tuple[str, str], read: int, written: int, cached: int, put: int
) -> None:
    cached = min(cached, read)
    put = min(put, read - cached)
    usage = Usage(input_tokens=read, output_tokens=written, cached_tokens=cached, written_tokens=put)
    kept = PRICES[name[0]][name[1]]
    assert kept.of(usage) == pytest.approx(asked(*name, usage, put), rel=1e-9, abs=1e-15)


def test_what_is_kept_for_an_hour_costs_twice_the_input_and_a_batch_half_of_it() -> None:
    usage = Usage(input_tokens=1_000_000, written_tokens=1_000_000, hour_tokens=1_000_000)
    assert price("anthropic/claude-haiku-4-5", usage) == pytest.approx(2.0)
    assert price("anthropic/claude-haiku-4-5", Usage(input_tokens=1_000_000, written_tokens=1_000_000)) == 1.25
    assert price("openai/gpt-4o-mini", Usage(input_tokens=1_000_000, batch=True)) == pytest.approx(0.075)


def test_no_vendor_is_listed_under_a_name_that_speaks_of_sound_or_images() -> None:
    assert not [name for name in NAMES if re.search("audio|realtime|whisper|image", name[1])]


def test_own_prices_come_first_and_own_machines_have_no_vendors_price(book: None) -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000, cached_tokens=500_000)
    assert price("eu/mistral-large-latest", usage) is None
    assert price("local/gpt-4o-mini", usage) == price("gpt-4o-mini", usage)
    own = {"local/Llama": Price(input=0.1, output=0.2), "openai/gpt-4o": Price(input=1, output=2, cached=0.5)}
    BOOK.configure(own, {"local": "vllm", "eu": "mistral", "many": "litellm"})
    assert price("local/llama", usage) == pytest.approx(0.3)
    assert price("openai/gpt-4o", usage) == pytest.approx(2.75)
    assert price("local/gpt-4o-mini", usage) is None
    assert price_of("openai/gpt-4o", "openai/gpt-4o-2024-08-06", usage) == pytest.approx(2.75)
    assert price_of("openai/gpt-4o-mini", "openai/gpt-4o-2024-08-06", usage) == price("gpt-4o-2024-08-06", usage)
    assert price_of("openai/gpt-4o-mini", "openai/its-own-name", usage) == price("gpt-4o-mini", usage)
    assert price("mistral/mistral-large-latest", usage) is not None
    assert price("eu/mistral-large-latest", usage) == price("mistral/mistral-large-latest", usage)
    assert price("many/groq/llama-3.3-70b-versatile", usage) == price("groq/llama-3.3-70b-versatile", usage)


def test_looking_a_price_up_again_is_quick() -> None:
    usage = Usage(input_tokens=300_000, output_tokens=10, cached_tokens=5)
    price("gemini/gemini-2.5-pro", usage)
    best = min(timeit.repeat(lambda: price("gemini/gemini-2.5-pro", usage), number=2000, repeat=5)) / 2000
    assert best < 20e-6  # about one microsecond; a look through the table takes a hundred times as long


@given(
    model=st.sampled_from([f"{provider}/{model}" for provider, model in NAMES]),
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

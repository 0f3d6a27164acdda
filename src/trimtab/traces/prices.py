"""What a call cost, in US dollars, from one small dated table.

List prices per million tokens, standard tier, as the vendors published them in November 2026:

* OpenAI: https://developers.openai.com/api/docs/pricing
* Anthropic: https://platform.claude.com/docs/en/about-claude/pricing
* Google: https://ai.google.dev/gemini-api/docs/pricing

Batch discounts, cache writes, audio and tool fees are not in it. A model that is not in the table has no price: the
answer is None and never 0.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from trimtab.core import Usage

#: When the table was last compared with the vendors' pages.
PRICES_AS_OF = "2026-11-25"

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars per million tokens. ``cached`` is the price of the input tokens that came from the vendor's cache.

    Above ``long_from`` input tokens the whole call costs ``long_input`` times the input and cached prices and
    ``long_output`` times the output price; 0 means that the price is the same at any length.
    """

    input: float
    cached: float
    output: float
    long_from: int = 0
    long_input: float = 1.0
    long_output: float = 1.0

    def of(self, usage: Usage) -> float:
        """US dollars for one call. Cached tokens are part of the input and are charged once, at their own price."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        long = 0 < self.long_from < usage.input_tokens
        read = (usage.input_tokens - cached) * self.input + cached * self.cached
        written = usage.output_tokens * self.output
        if long:
            read, written = read * self.long_input, written * self.long_output
        return (read + written) / _MILLION


def _flat(read: float, cached: float, written: float) -> Price:
    return Price(input=read, cached=cached, output=written)


def _long(read: float, cached: float, written: float, above: int) -> Price:
    """A price that doubles for input, and grows by half for output, above so many input tokens."""
    return Price(input=read, cached=cached, output=written, long_from=above, long_input=2.0, long_output=1.5)


_OPENAI_LONG, _GEMINI_LONG = 272_000, 200_000

PRICES: dict[str, Price] = {
    # OpenAI
    "gpt-6.2-astra": _long(8.00, 0.40, 40.00, _OPENAI_LONG),
    "gpt-6.2-sol": _long(2.00, 0.10, 10.00, _OPENAI_LONG),
    "gpt-6.1-sol": _long(2.00, 0.10, 10.00, _OPENAI_LONG),
    "gpt-6-astra": _long(10.00, 1.00, 50.00, _OPENAI_LONG),
    "gpt-6-sol": _long(2.00, 0.20, 10.00, _OPENAI_LONG),
    "gpt-5.4-mini": _flat(0.75, 0.075, 4.50),
    "gpt-5.4-nano": _flat(0.20, 0.02, 1.25),
    "gpt-5.2": _flat(1.75, 0.175, 14.00),
    "gpt-5.1": _flat(1.25, 0.125, 10.00),
    "gpt-5": _flat(1.25, 0.125, 10.00),
    "gpt-5-mini": _flat(0.25, 0.025, 2.00),
    "gpt-5-nano": _flat(0.05, 0.005, 0.40),
    "gpt-4.1": _flat(2.00, 0.50, 8.00),
    "gpt-4.1-mini": _flat(0.40, 0.10, 1.60),
    "gpt-4.1-nano": _flat(0.10, 0.025, 0.40),
    "gpt-4o": _flat(2.50, 1.25, 10.00),
    "gpt-4o-mini": _flat(0.15, 0.075, 0.60),
    "text-embedding-3-small": _flat(0.02, 0.02, 0.0),
    "text-embedding-3-large": _flat(0.13, 0.13, 0.0),
    # Anthropic
    "claude-fable-5-1": _flat(10.00, 0.25, 50.00),
    "claude-fable-5": _flat(10.00, 1.00, 50.00),
    "claude-opus-5-5": _flat(4.00, 0.20, 20.00),
    "claude-opus-5": _flat(5.00, 0.50, 25.00),
    "claude-opus-4-8": _flat(5.00, 0.50, 25.00),
    "claude-opus-4-7": _flat(5.00, 0.50, 25.00),
    "claude-opus-4-6": _flat(5.00, 0.50, 25.00),
    "claude-opus-4-5": _flat(5.00, 0.50, 25.00),
    "claude-opus-4-1": _flat(15.00, 1.50, 75.00),
    "claude-opus-4": _flat(15.00, 1.50, 75.00),
    "claude-sonnet-5-5": _flat(2.00, 0.10, 10.00),
    "claude-sonnet-5": _flat(2.00, 0.20, 10.00),
    "claude-sonnet-4-6": _flat(3.00, 0.30, 15.00),
    "claude-sonnet-4-5": _flat(3.00, 0.30, 15.00),
    "claude-sonnet-4": _flat(3.00, 0.30, 15.00),
    "claude-haiku-5-5": Price(input=0.10, cached=0.01, output=0.50, long_from=100_000, long_input=5.0, long_output=5.0),
    "claude-haiku-4-5": _flat(1.00, 0.10, 5.00),
    "claude-3-5-haiku": _flat(0.80, 0.08, 4.00),
    # Google
    "gemini-3.1-pro": _long(2.00, 0.20, 12.00, _GEMINI_LONG),
    "gemini-3.5-flash": _flat(1.50, 0.15, 9.00),
    "gemini-2.5-pro": _long(1.25, 0.125, 10.00, _GEMINI_LONG),
    "gemini-2.5-flash": _flat(0.30, 0.03, 2.50),
    "gemini-2.5-flash-lite": _flat(0.10, 0.01, 0.40),
}

#: Nominal, not a real price: it lets the simulated models show how cost is counted.
SIMULATED = _flat(0.15, 0.075, 0.60)

# What may follow a model's name without making it another model: a date, a snapshot number, latest, preview.
_SUFFIX = re.compile(r"([-@](latest|preview|\d{3,8}(-\d{2,4}){0,2}|\d{2}-\d{2,4}))*")


@functools.lru_cache(maxsize=4096)
def find_price(provider_model: str) -> Price | None:
    """The price of ``provider/model`` or ``model``, dated names included; None when the table does not know it."""
    provider, _, model = provider_model.rpartition("/")
    model = model.lower()
    if provider == "scripted" or model.startswith("simulated"):
        return SIMULATED
    end = len(model)
    while end > 0:
        known = PRICES.get(model[:end])
        if known is not None:
            return known if _SUFFIX.fullmatch(model[end:]) else None
        end = max(model.rfind("-", 0, end), model.rfind("@", 0, end))
    return None


def price(provider_model: str, usage: Usage) -> float | None:
    """US dollars for ``usage`` on ``provider/model``; None when the model has no price."""
    found = find_price(provider_model)
    return None if found is None else found.of(usage)

"""What a call cost, in US dollars: list prices of vendors from a dated file, own prices from the configuration.

The file ``prices.json`` is made by ``scripts/make-prices`` of genai-prices (MIT, maintained by Pydantic), which
collects what the vendors publish; it names its version and its day, and Trimtab asks nobody while it runs. So a price
that changed since then is wrong until the next release, and a contract of your own is not in it: write such prices
under ``prices:`` in trimtab.yaml, they come before the file's.

Counted are input, cached input and output tokens of text at the standard tier, reasoning tokens as the output they are
part of, what is put into a cache at its own price, and the dearer prices that some vendors take above a length of
input. An answer of OpenAI's flexible tier costs what a batch does. Where a price depends on the hour, the dearest one
counts. Not counted: priority tiers, and fees of tools. Azure is priced as OpenAI where the file does not know better.
A model that neither knows has no price: the answer is None and never 0.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from trimtab.core import Usage

_MILLION = 1_000_000
#: What is kept in a cache for an hour costs so many times what is kept for five minutes: of Anthropic, the only vendor
#: that offers it, twice the price of input where five minutes cost 1.25 times as much.
_HOUR = 1.6


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of the whole call where it has more than ``above`` input tokens."""

    above: int
    input: float
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens. ``cached`` is the price of input that came from the vendor's cache,
    ``cache_write`` that of input which was put there; None: as other input. ``batch`` is what a batch costs."""

    input: float
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None
    tiers: tuple[Tier, ...] = ()
    batch: Price | None = None

    def of(self, usage: Usage) -> float:
        """US dollars for one call. Tokens that were read from the cache or written to it are part of the input and are
        charged once, at their own price."""
        if usage.batch and self.batch is not None:
            return self.batch.of(replace(usage, batch=False))
        rates: Price | Tier = self
        for tier in self.tiers:
            if usage.input_tokens > tier.above:
                rates = tier
        cached = min(usage.cached_tokens, usage.input_tokens)
        written = min(usage.written_tokens, usage.input_tokens - cached)
        total = (usage.input_tokens - cached - written) * rates.input + usage.output_tokens * rates.output
        total += cached * (rates.input if rates.cached is None else rates.cached)
        if written:
            total += written * (rates.input if rates.cache_write is None else rates.cache_write)
            if rates.cache_write is not None and usage.hour_tokens:
                total += min(usage.hour_tokens, written) * (_HOUR - 1) * rates.cache_write
        return total / _MILLION


class _File(msgspec.Struct):
    as_of: str
    source: str
    providers: dict[str, dict[str, Price]]


_FILE = msgspec.json.decode((Path(__file__).parent / "prices.json").read_bytes(), type=_File)
#: The day that the file's prices are of, and where they are from.
PRICES_AS_OF, PRICES_FROM = _FILE.as_of, _FILE.source
#: Prices by provider and name of model.
PRICES: Mapping[str, Mapping[str, Price]] = _FILE.providers

#: Nominal, not a real price: it lets the simulated models show how cost is counted.
SIMULATED = Price(input=0.15, cached=0.075, output=0.60)

#: Kinds of provider whose name in the file is another one.
_SOLD_BY = {"gemini": "google", "vertex": "google", "xai": "x-ai", "grok": "x-ai"}
#: Kinds of provider that are somebody's own machines: a vendor's price would be wrong there.
_OWN_MACHINES = frozenset({"vllm", "sglang", "llamacpp", "ollama", "lmstudio"})
#: Vendors by the names of models that only they sell, for providers with a name of their own.
_ONLY_THEIRS = (
    ("openai", re.compile(r"gpt-(?!oss)|chatgpt-|o[134](-|$)|text-embedding-(3|ada)")),
    ("anthropic", re.compile("claude-")),
    ("google", re.compile("gemini-")),
    ("x-ai", re.compile("grok-")),
)
#: The same for a name that comes without any provider, as telemetry may have it.
_USUALLY_THEIRS = (("mistral", "mistral-"), ("deepseek", "deepseek-"), ("cohere", "command-"))
# What may follow a model's name without making it another model: a date, a snapshot number, latest, preview.
_SUFFIX = re.compile(r"([-@](latest|preview|\d{3,8}(-\d{2,4}){0,2}|\d{2}-\d{2,4}))*")


class Prices:
    """What is known of prices: the file, and what the configuration adds to it."""

    def __init__(self) -> None:
        self._own: Mapping[str, Price] = {}
        self._kinds: Mapping[str, str] = {}
        self.find = functools.lru_cache(maxsize=4096)(self._find)

    def configure(self, own: Mapping[str, Price], kinds: Mapping[str, str]) -> None:
        """Own prices by ``provider/model``, before the file's, and the kind of each provider by its name."""
        self._own, self._kinds = {ref.lower(): price for ref, price in own.items()}, dict(kinds)
        self.find.cache_clear()

    def owned(self, provider_model: str) -> Price | None:
        """The configuration's own price."""
        return self._own.get(provider_model.lower()) if self._own else None

    def _find(self, provider_model: str) -> Price | None:
        if (own := self.owned(provider_model)) is not None:
            return own
        ref = provider_model.lower()
        provider, _, model = ref.partition("/") if "/" in ref else ("", "", ref)
        kind = self._kinds.get(provider_model.partition("/")[0], provider) if provider else ""
        if kind == "scripted" or model.startswith("simulated"):
            return SIMULATED
        if kind in _OWN_MACHINES:
            return None
        if kind == "litellm":  # what follows names the provider that it asks
            return self._find(model)
        seller = _SOLD_BY.get(kind, kind)
        if seller in PRICES and (found := _listed(PRICES[seller], model)) is not None:
            return found
        if seller in PRICES and seller not in ("openai", "azure"):
            return None
        return _by_name(model.rpartition("/")[2], named=bool(provider))


def _by_name(model: str, *, named: bool) -> Price | None:
    for vendor, pattern in _ONLY_THEIRS:
        if pattern.match(model):
            return _listed(PRICES[vendor], model)
    for vendor, start in () if named else _USUALLY_THEIRS:
        if model.startswith(start):
            return _listed(PRICES[vendor], model)
    return None


def _listed(prices: Mapping[str, Price], model: str) -> Price | None:
    """The price of the longest name in the table that the model's name begins with, where only a date follows."""
    end = len(model)
    while end > 0:
        known = prices.get(model[:end])
        if known is not None:
            return known if _SUFFIX.fullmatch(model[end:]) else None
        end = max(model.rfind("-", 0, end), model.rfind("@", 0, end))
    return None


#: The prices of this process.
BOOK = Prices()


def find_price(provider_model: str) -> Price | None:
    """The price of ``provider/model`` or ``model``, dated names included; None when nobody told it."""
    return BOOK.find(provider_model)


def price(provider_model: str, usage: Usage) -> float | None:
    """US dollars for ``usage`` on ``provider/model``; None when the model has no price."""
    found = BOOK.find(provider_model)
    return None if found is None else found.of(usage)


def price_of(asked: str, answered: str, usage: Usage) -> float | None:
    """US dollars for a call to ``asked``, where the provider says that ``answered`` (empty: nothing said) answered.

    An own price of what was asked for counts first, then the price of what answered.
    """
    found = BOOK.owned(asked) or (BOOK.find(answered) if answered else None) or BOOK.find(asked)
    return None if found is None else found.of(usage)

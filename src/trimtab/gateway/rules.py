"""The optional sections of a route, read: retries, breaker, hedging, prefix affinity, cache. Pure.

Times in a route's content are seconds as numbers; ``trimtab.yaml`` writes them as ``500ms`` or ``10s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.core import BadInput

from .breaker import CAUSES, FAILURES, BreakerRules
from .prefix import BLOCK
from .retry import RetryRules

#: Why another model may be asked.
REASONS = ("error", "context", "filter")
SCOPES = ("key", "team", "all")
#: Largest entry of a cache, and the bounds of a whole one, in bytes.
LARGEST_ENTRY = 1 << 20
MOST_CACHE_MB = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeRules:
    """When a second target is asked beside the first: after ``after`` seconds without an answer, or, with
    ``quantile``, after the time within which that share of the route's answers began. At most ``share`` of the
    requests are hedged."""

    after: float = 0.0
    quantile: float = 0.95
    share: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixRules:
    """Prefix affinity. Blocks of ``block`` bytes, ``blocks`` of them remembered for each target. A target with more
    than ``imbalance`` requests above the least busy one, and more than ``ratio`` times its requests, gets no more
    through affinity. ``reuse`` is how often a token counts that would have to be computed."""

    block: int = BLOCK
    blocks: int = 16_384
    imbalance: int = 16
    ratio: float = 1.5
    reuse: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticRules:
    """The semantic cache: ``model`` makes the embeddings, ``threshold`` is the least cosine that is a hit."""

    model: str
    threshold: float
    timeout: float = 2.0
    entries: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """The cache of a route: for ``ttl`` seconds, at most ``max_mb`` megabytes. ``scope`` says who shares an answer.
    Answers with tools and sampled ones (temperature above 0 or not set) are kept only where ``tools`` or ``sampled``
    says so."""

    ttl: float = 3600.0
    max_mb: float = 64.0
    scope: Literal["key", "team", "all"] = "key"
    sampled: bool = False
    tools: bool = False
    semantic: SemanticRules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DualRules:
    """The dual-LLM preset: the route's models plan and see no text from outside, and ``reader``, a route or
    provider/model, reads such texts and has no tools."""

    reader: str


def read_dual(value: object, route: str = "") -> DualRules | None:
    """The section ``dual``: without it the models of the route see everything. A route is not its own reader."""
    if value is None:
        return None
    reader = _Section(value, "dual", ("reader",)).value.get("reader")
    if not isinstance(reader, str) or not reader.strip() or reader == route:
        mend = "Write provider/model, or the name of another route."
        raise BadInput("must name the model that reads.", field="dual.reader", mend=mend)
    return DualRules(reader=reader)


def read_retry(value: object) -> RetryRules:
    """The section ``retry``. Raises BadInput naming the field, as do all of these."""
    section = _Section(value, "retry", ("pause", "longest", "share", "reserve"))
    default = RetryRules()
    return RetryRules(
        pause=section.number("pause", default.pause),
        longest=section.number("longest", default.longest),
        share=section.number("share", default.share, most=1.0),
        reserve=section.number("reserve", default.reserve, most=10_000),
    )


def read_breaker(value: object) -> BreakerRules:
    """The section ``breaker``."""
    section = _Section(value, "breaker", ("failures", "share", "window", "rest"))
    counts = _Section(section.value.get("failures", {}), "breaker.failures", CAUSES)
    default = BreakerRules()
    return BreakerRules(
        failures={cause: counts.whole(cause, FAILURES[cause]) for cause in CAUSES},
        share=section.number("share", default.share, most=1.0),
        window=section.number("window", default.window, above=True),
        rest=section.number("rest", default.rest, above=True),
    )


def read_hedge(value: object) -> HedgeRules | None:
    """The section ``hedge``: without it nothing is hedged. ``after`` is seconds or a quantile such as ``p95``."""
    if value is None:
        return None
    section = _Section(value, "hedge", ("after", "share"))
    after = section.value.get("after", "p95")
    share = section.number("share", 0.05, most=0.5)
    if isinstance(after, str) and after[:1] == "p" and after[1:].isdigit() and 50 <= int(after[1:]) <= 99:
        return HedgeRules(quantile=int(after[1:]) / 100, share=share)
    return HedgeRules(after=section.number("after", 0.0, above=True, mend="Write p50 to p99, or seconds."), share=share)


def read_prefix(value: object) -> PrefixRules:
    """The section ``prefix``."""
    section = _Section(value, "prefix", ("block", "blocks", "imbalance", "ratio", "reuse"))
    default = PrefixRules()
    rules = PrefixRules(
        block=section.whole("block", default.block, most=1 << 20),
        blocks=section.whole("blocks", default.blocks, most=1 << 20),
        imbalance=section.whole("imbalance", default.imbalance),
        ratio=section.number("ratio", default.ratio),
        reuse=section.number("reuse", default.reuse),
    )
    if rules.block < 64:
        raise BadInput("must be at least 64 bytes.", field="prefix.block", mend=f"{BLOCK} is usual.")
    return rules


def read_cache(value: object) -> CacheRules | None:
    """The section ``cache``: without it nothing is cached."""
    if value is None:
        return None
    section = _Section(value, "cache", ("ttl", "max_mb", "scope", "sampled", "tools", "semantic"))
    default = CacheRules()
    scope = section.value.get("scope", default.scope)
    if scope not in SCOPES:
        raise BadInput("is not a scope.", field="cache.scope", mend=f"Use one of {', '.join(SCOPES)}.")
    return CacheRules(
        ttl=section.number("ttl", default.ttl, above=True),
        max_mb=section.number("max_mb", default.max_mb, above=True, most=MOST_CACHE_MB),
        scope=scope,
        sampled=section.flag("sampled"),
        tools=section.flag("tools"),
        semantic=_semantic(section.value.get("semantic")),
    )


def read_reasons(value: object) -> frozenset[str]:
    """The list ``fallback_on``."""
    if not isinstance(value, list) or not set(map(str, value)) <= set(REASONS):
        raise BadInput("names no reason.", field="fallback_on", mend=f"Use a list of {', '.join(REASONS)}.")
    return frozenset(value)


def _semantic(value: object) -> SemanticRules | None:
    if value is None:
        return None
    section = _Section(value, "cache.semantic", ("model", "threshold", "timeout", "entries"))
    model = section.value.get("model")
    if not isinstance(model, str) or not 0 < model.find("/") < len(model) - 1:
        mend = "Write openai/text-embedding-3-small."
        raise BadInput("must be provider/model.", field="cache.semantic.model", mend=mend)
    if "threshold" not in section.value:
        mend = "Measure it on your own questions; 0.95 is careful."
        raise BadInput("is missing: there is none that fits everybody.", field="cache.semantic.threshold", mend=mend)
    return SemanticRules(
        model=model,
        threshold=section.number("threshold", 1.0, above=True, most=1.0),
        timeout=section.number("timeout", 2.0, above=True),
        entries=section.whole("entries", 1000, most=10_000),
    )


class _Section:
    """An object of known fields, read field by field."""

    def __init__(self, value: object, where: str, known: Iterable[str]) -> None:
        if not isinstance(value, Mapping):
            raise BadInput("must be an object.", field=where, mend=f"It may have {', '.join(known)}.")
        for name in value:
            if name not in tuple(known):
                raise BadInput("is not known.", field=f"{where}.{name}", mend=f"Known are {', '.join(known)}.")
        self.value: Mapping[str, Any] = value
        self._where = where

    def number(self, name: str, default: float, *, most: float = 1e9, above: bool = False, mend: str = "") -> float:
        """A number from 0 (``above``: more than 0) up to ``most``."""
        value = self.value.get(name, default)
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
        if not fits or (above and not value):
            bounds = f"above 0 and at most {most:g}" if above else f"from 0 to {most:g}"
            raise BadInput(f"must be a number {bounds}.", field=f"{self._where}.{name}", mend=mend)
        return float(value)

    def whole(self, name: str, default: int, *, most: int = 1_000_000) -> int:
        """A whole number from 0."""
        value = self.value.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise BadInput(f"must be a whole number from 0 to {most}.", field=f"{self._where}.{name}")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.value.get(name, False)
        if not isinstance(value, bool):
            raise BadInput("must be true or false.", field=f"{self._where}.{name}")
        return value

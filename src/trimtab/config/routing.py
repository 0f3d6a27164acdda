"""The optional sections of a route in ``trimtab.yaml``: their shape and their defaults."""

from __future__ import annotations

from typing import Literal

import msgspec

Strategy = Literal["ordered", "weighted", "least_busy", "latency", "cost", "prefix"]


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The pause before the same target is asked again, and the share of traffic that may go into failing retries."""

    pause: str = "100ms"
    longest: str = "2s"
    share: float = 0.1
    reserve: float = 20.0


class Failures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """How many failures of each kind open the breaker; 0 never does."""

    rate_limit: int = 5
    server: int = 5
    connection: int = 5
    timeout: int = 3
    first_byte: int = 3


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a target is left alone, and for how long."""

    failures: Failures = Failures()
    share: float = 0.5
    window: str = "30s"
    rest: str = "10s"


class Hedge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """After which duration, or quantile such as ``p95``, a second target is asked too, and for what share at most."""

    after: str = "p95"
    share: float = 0.05


class Prefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prefix affinity: block size in bytes, blocks remembered for a target, and the guard against imbalance."""

    block: int = 1024
    blocks: int = 16_384
    imbalance: int = 16
    ratio: float = 1.5
    reuse: float = 3.0


class Semantic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The semantic cache: a model of embeddings, and the least cosine that is a hit. Neither has a default."""

    model: str
    threshold: float
    timeout: str = "2s"
    entries: int = 1000


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The cache of a route's answers."""

    ttl: str = "60m"
    max_mb: float = 64.0
    scope: Literal["key", "team", "all"] = "key"
    sampled: bool = False
    tools: bool = False
    semantic: Semantic | None = None


class Dual(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dual-LLM preset: who reads what comes from outside, provider/model or another route."""

    reader: str


class Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a route may say about how its targets are chosen and asked."""

    strategy: Strategy = "ordered"
    sticky: Literal["", "session", "user"] = ""
    fallback_on: list[Literal["error", "context", "filter"]] | None = None
    retry: Retry | None = None
    breaker: Breaker | None = None
    hedge: Hedge | None = None
    prefix: Prefix | None = None
    cache: Cache | None = None
    dual: Dual | None = None

"""A span: what happened, when, on which layer, under which stamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .stamp import Stamp
from .swift import swift

#: Span kinds, the field's terms (OpenInference's, in lower case).
KINDS = ("agent", "chain", "llm", "retriever", "embedding", "reranker", "tool", "guardrail", "evaluator")


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One finished piece of work; a tree of spans is a trace.

    Ids are lower-case hex (32 and 16 digits). Times are nanoseconds since 1970 UTC. ``cost_usd`` is None when the
    model has no price: unpriced is never 0. ``ttft_ns`` is the time to the first token. ``input`` and ``output`` are
    what a person would read: the question and the answer of the root, the messages and the reply of an ``llm`` span.
    ``status`` is ``ok``, ``error`` or ``refused``. ``attributes`` holds the rest, JSON-able.
    """

    trace_id: str
    span_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    parent_id: str = ""
    project: str = "default"
    session: str = ""
    status: str = "ok"
    error: str = ""
    layer: int | None = None
    stamp: Stamp = field(default_factory=Stamp)
    model: str = ""
    provider: str = ""
    fingerprint: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    ttft_ns: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    input: str = ""
    output: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration_ns(self) -> int:
        """How long it took, in nanoseconds; never negative."""
        return max(0, self.end_ns - self.start_ns)

"""What a scorer sees of an application's own run: an agent's trace with its steps, as the application sent it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from trimtab.core import Span
from trimtab.traces import question

from .judge_items import MAX_ITEMS
from .output import Output

#: Kinds of root spans that are somebody's request; the others only served one.
_ROOTS = frozenset({"agent", "chain", "llm"})
#: Kinds of spans that are steps of a run.
_STEPS = frozenset({"tool", "retriever", "llm"})
#: Characters of a step's input and output, and passages, that are shown.
_SHOWN, _MOST_PASSAGES = 4_000, 100
_TEXTS = ("text", "content", "page_content", "document")


def is_run(span: Span) -> bool:
    """Whether a span is the root of an application's own run. A request to the gateway is none: its root says all."""
    return not span.parent_id and span.kind in _ROOTS and span.attributes.get("gateway") is not True


def run_output(spans: Sequence[Span]) -> Output | None:
    """The Output of a run's whole trace, None where its root is not there.

    ``steps`` are its tool calls and retrievals by name with input and output, and what its models said between them,
    by start; ``tool_calls`` are the tool calls alone and ``passages`` what was retrieved. What went wrong is no step
    that was made.
    """
    root = next((span for span in spans if is_run(span)), None)
    if root is None:
        return None
    below = sorted((s for s in spans if s.kind in _STEPS and s is not root), key=lambda s: (s.start_ns, s.span_id))
    costs = [span.cost_usd for span in spans if span.kind == "llm"]
    return Output(
        text=root.output,
        question=question(root.input),
        passages=_passages(below),
        status=root.status,
        layer=root.layer,
        attempts=sum(span.kind == "llm" for span in spans),
        asked_corpus=any(span.kind == "retriever" for span in below),
        time_ns=root.end_ns,
        trace_id=root.trace_id,
        span_id=root.span_id,
        slice=root.tags.get("topic", ""),
        project=root.project,
        stamp=root.stamp,
        tool_calls=tuple({"name": s.name, "arguments": s.input} for s in below if s.kind == "tool"),
        steps=tuple(_step(span) for span in below if span.status == "ok")[:MAX_ITEMS],
        latency_ms=(root.end_ns - root.start_ns) / 1e6,
        cost_usd=sum(cost for cost in costs if cost is not None) if None not in costs else None,
        input_tokens=sum(span.input_tokens or 0 for span in spans),
        output_tokens=sum(span.output_tokens or 0 for span in spans),
    )


def _step(span: Span) -> Mapping[str, Any]:
    if span.kind == "llm":  # its input is the whole conversation once more
        return {"text": span.output[:_SHOWN]}
    return {"name": span.name, "input": span.input[:_SHOWN], "output": span.output[:_SHOWN]}


def _passages(spans: Sequence[Span]) -> tuple[Mapping[str, Any], ...]:
    found: list[str] = []
    for span in spans:
        if span.kind == "retriever":
            found += _documents(span.output)
    return tuple({"number": n, "text": text} for n, text in enumerate(found[:_MOST_PASSAGES], 1))


def _documents(text: str) -> list[str]:
    """The texts of a retriever's output: a JSON list of texts or objects, else the output as it stands."""
    value: Any = text
    with suppress(msgspec.DecodeError, RecursionError, UnicodeError):
        value = msgspec.json.decode(text)
    items = value if isinstance(value, list) else [text]
    return [found for item in items[:_MOST_PASSAGES] if (found := _text_of(item))]


def _text_of(item: Any) -> str:
    if isinstance(item, Mapping):
        return next((str(item[name]) for name in _TEXTS if isinstance(item.get(name), str)), "")
    return item if isinstance(item, str) else ""

"""What a trace's root row says about the spans under it: tokens, cost, the answering model, the stamp, the session.

Applications mark the whole turn with one span and the model call with another, often in different requests. Lists and
rollups read root rows only, so a root is completed when it arrives, from the spans of its trace that came before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields

from trimtab.core import Span, Stamp, evolve

_SPANS_KEPT = 50_000
_PINS = tuple(field.name for field in fields(Stamp))
_NO_PINS = Stamp()


class Roots:
    """Remembers the unfinished traces' spans (their small columns), bounded; the oldest traces are forgotten first."""

    def __init__(self, spans_kept: int = _SPANS_KEPT) -> None:
        self._limit = spans_kept
        self._size = 0
        self._open: OrderedDict[str, dict[str, Span]] = OrderedDict()

    def complete(self, spans: Sequence[Span]) -> list[Span]:
        """The same spans; a root that says nothing itself takes it from the spans under it.

        A span that is sent twice counts once. Cost is None as soon as one call under the root has no price.
        """
        for span in spans:
            if span.parent_id:
                self._remember(span)
        return [span if span.parent_id else self._completed(span) for span in spans]

    def forget(self, spans: Iterable[Span]) -> None:
        """Drop the traces whose root is among ``spans``: call it once they are committed, so that a retry is whole."""
        for span in spans:
            if not span.parent_id:
                self._drop(span.trace_id)

    def drop(self, trace_ids: Iterable[str]) -> None:
        """Forget these traces."""
        for trace_id in trace_ids:
            self._drop(trace_id)

    def _remember(self, span: Span) -> None:
        known = self._open.setdefault(span.trace_id, {})
        if span.span_id in known:
            return
        known[span.span_id] = evolve(span, input="", output="", attributes={})
        self._size += 1
        while self._size > self._limit:
            self._drop(next(iter(self._open)))

    def _drop(self, trace_id: str) -> None:
        self._size -= len(self._open.pop(trace_id, ()))

    def _completed(self, root: Span) -> Span:
        below = sorted(self._open.get(root.trace_id, {}).values(), key=lambda span: span.start_ns)
        if not below:
            return root
        last = next((span for span in reversed(below) if span.kind == "llm" and span.model), None)
        filled = evolve(
            root,
            stamp=_merged(root.stamp, reversed(below)),
            session=root.session or next((span.session for span in below if span.session), ""),
            tags={**{name: value for span in below for name, value in span.tags.items()}, **root.tags},
        )
        if last is not None and not root.model:
            filled = evolve(filled, model=last.model, provider=last.provider, fingerprint=last.fingerprint)
        calls = _calls(below)
        if root.input_tokens is None and root.output_tokens is None:
            filled = _with_totals(filled, calls)
        elif root.cost_usd is None and root.kind not in ("llm", "embedding") and calls:
            # An agent's span may sum up the tokens of its calls and know nothing of their prices.
            filled = evolve(filled, cost_usd=_with_totals(root, calls).cost_usd)
        return filled


def _merged(stamp: Stamp, spans: Iterable[Span]) -> Stamp:
    """The stamp, its empty pins taken from the first of the spans that has one."""
    pins = {name: getattr(stamp, name) for name in _PINS}
    for span in spans:
        if span.stamp != _NO_PINS:
            for name, pin in pins.items():
                pins[name] = pin or getattr(span.stamp, name)
    return Stamp(**pins)


def _calls(spans: Collection[Span]) -> list[Span]:
    """The spans that used tokens. One that wraps another (two instrumentations of one call) does not count again."""
    counted = [span for span in spans if span.kind in ("llm", "embedding") and span.input_tokens is not None]
    wraps = {span.parent_id for span in counted}
    return [span for span in counted if span.span_id not in wraps]


def _with_totals(root: Span, calls: list[Span]) -> Span:
    if not calls:
        return root
    costs = [call.cost_usd for call in calls if call.cost_usd is not None]
    known = sum(costs) if len(costs) == len(calls) else None
    return evolve(
        root,
        input_tokens=sum(call.input_tokens or 0 for call in calls),
        output_tokens=sum(call.output_tokens or 0 for call in calls),
        cached_tokens=sum(call.cached_tokens or 0 for call in calls),
        reasoning_tokens=sum(call.reasoning_tokens or 0 for call in calls),
        cost_usd=known if root.cost_usd is None else root.cost_usd,
    )

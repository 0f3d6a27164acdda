"""Which functions found what a model was then asked with: kinds and links that nobody wrote down.

Other libraries' decorators say that a function ran and not what it is for, and an application that calls its retriever
and its generator one after the other sends two traces. Where what one returned turns up in what a model is asked next,
the first is a retriever, and the two traces are linked.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trimtab.core import Layer, Span, evolve
from trimtab.sdk import NEAR_NS, flows, makes_prompts, pieces_of

from .messages import question

LINK = "trimtab.linked_trace"
_PROJECTS, _SOURCES, _LINKS, _SPEAKING = 256, 64, 5000, 20_000
# Clocks of one machine may differ by this much between a span's end and the next one's beginning.
_SLACK_NS = 1_000_000

Key = tuple[str, str]


@dataclass(slots=True)
class _Source:
    """A finished function, and the pieces of what it returned; ``at`` is its place in the batch being read."""

    span: Span
    pieces: tuple[str, ...]
    guessed: bool
    at: int


class Flow:
    """Remembers the last functions of each project, bounded. What was stored already cannot be renamed; a retriever's
    own trace is then linked from the generator's side only."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, deque[_Source]] = OrderedDict()
        self._links: OrderedDict[str, str] = OrderedDict()
        self._speaking: OrderedDict[Key, None] = OrderedDict()

    def observe(self, spans: Sequence[Span], guessed: Collection[Key]) -> list[Span]:
        """The same spans with the kinds and links that they explain. ``guessed``: trace and span ids of those whose
        kind nobody named."""
        found = list(spans)
        order = sorted(range(len(found)), key=[span.end_ns for span in found].__getitem__)
        for at in order:
            self._rise(found[at])
        batch = [source for at in order if (source := self._note(found[at], guessed, at))]
        for at in order:
            if found[at].kind == "llm" and found[at].input:
                self._ask(found, at)
        for at, span in enumerate(found):
            if not span.parent_id and span.trace_id in self._links:
                found[at] = _linked(span, self._links.pop(span.trace_id))
        for source in batch:
            source.at = -1
        return found

    def drop(self, trace_ids: Collection[str]) -> None:
        """Forget what is remembered of these traces."""
        for project, sources in self._sources.items():
            kept = [source for source in sources if source.span.trace_id not in trace_ids]
            self._sources[project] = deque(kept, maxlen=_SOURCES)
        for trace_id in trace_ids:
            self._links.pop(trace_id, None)

    def _rise(self, span: Span) -> None:
        """Note the spans in which a model was asked: what they return is its answer and no finding."""
        if span.parent_id and (span.kind == "llm" or (span.trace_id, span.span_id) in self._speaking):
            self._speaking[span.trace_id, span.parent_id] = None
            if len(self._speaking) > _SPEAKING:
                self._speaking.popitem(last=False)

    def _note(self, span: Span, guessed: Collection[Key], at: int) -> _Source | None:
        """Remember a function, if it may turn out to be a retriever."""
        key = (span.trace_id, span.span_id)
        if not (span.kind == "retriever" or key in guessed) or key in self._speaking:
            return None
        pieces = pieces_of(span.output)
        if not pieces and span.kind != "retriever":
            return None
        sources = self._sources.setdefault(span.project, deque(maxlen=_SOURCES))
        self._sources.move_to_end(span.project)
        if len(self._sources) > _PROJECTS:
            self._sources.popitem(last=False)
        # The attributes and the answer are not needed again, and may be large.
        small = span if at < 0 else evolve(span, output="", attributes={})
        source = _Source(small, pieces, key in guessed, at)
        sources.append(source)
        return source

    def _ask(self, found: list[Span], at: int) -> None:
        """Find the functions that a model's question came from, the newest first."""
        span = found[at]
        trace_id, session = span.trace_id, span.session
        asked: str | None = None
        for source in reversed(self._sources.get(span.project, ())):
            before = source.span
            same = before.trace_id == trace_id
            if (before.parent_id or before.session != session) if not same else not source.guessed:
                continue  # Nothing is to be found out of what lies in one trace and says what it is.
            if before.end_ns > span.start_ns + _SLACK_NS or before.span_id == span.span_id:
                continue
            if not same and span.start_ns - before.end_ns > NEAR_NS:
                continue
            known = flows(source.pieces, before.input, span.input)
            if known:
                # What comes back as the whole question was put into other words, not found.
                asked = question(span.input).strip() if asked is None else asked
                known = asked not in source.pieces
            if known and source.guessed and not makes_prompts(before.name):
                self._name(found, source)
            if not same and source.span.kind == "retriever" and (known or span.session):
                self._link(found, at, source)
                return

    def _name(self, found: list[Span], source: _Source) -> None:
        source.span = evolve(source.span, kind="retriever", layer=Layer.KNOWLEDGE)
        source.guessed = False
        if source.at >= 0:
            found[source.at] = evolve(found[source.at], kind="retriever", layer=Layer.KNOWLEDGE)

    def _link(self, found: list[Span], at: int, source: _Source) -> None:
        here, there = found[at].trace_id, source.span.trace_id
        if here in self._links or LINK in found[at].attributes:
            return
        found[at] = _linked(found[at], there)
        if source.at >= 0:
            found[source.at] = _linked(found[source.at], here)
        if found[at].parent_id:
            self._links[here] = there
            if len(self._links) > _LINKS:
                self._links.popitem(last=False)


def _linked(span: Span, trace_id: str) -> Span:
    return evolve(span, attributes={LINK: trace_id, **span.attributes})

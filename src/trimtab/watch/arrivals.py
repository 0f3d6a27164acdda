"""Whether what applications record arrives whole: told from their spans, not the gateway's own. Pure.

Two things go missing. A client whose queue is full, or whose server is away, drops spans and says with its next export
how many (see ``trimtab.spans.lost``). And a trace may lack its root, or the parent of a span, because the process that
recorded it died or its exporter did.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from trimtab.core import Span

#: The signals' names.
SENT, CONNECTED = "spans_sent", "connected"
#: An export counts as so many values at most.
_VALUES = 32
#: A trace is given up when nothing came of it for so long, by the clocks of the senders.
_QUIET_NS = 600 * 10**9
#: Newest spans whose median time is the time: some clocks are wrong.
_CLOCKS = 65
#: Spans whose traces are waited for, those of one trace, and traces that are done and remembered as such.
_MOST, _MOST_OF_ONE, _DONE = 200_000, 2_000, 20_000


class Arrival(NamedTuple):
    """A value of one of the two signals, and the span that it is told of."""

    signal: str
    span: Span
    value: float


class _Waiting:
    """A trace until it is whole or given up. ``span`` is the newest one."""

    __slots__ = ("ids", "parents", "root", "span")

    def __init__(self, span: Span) -> None:
        self.span, self.root = span, False
        self.ids: set[str] = set()
        self.parents: set[str] = set()


class Arrivals:
    """The values of both signals, from spans in the order they were committed."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._done: dict[str, None] = {}
        self._held = 0
        self._times: deque[int] = deque(maxlen=_CLOCKS)

    def read(self, traces: Mapping[str, Sequence[Span]]) -> list[Arrival]:
        """Take spans by trace, those of the gateway's own requests left out; return the values."""
        found: list[Arrival] = []
        touched: dict[str, _Waiting] = {}
        for trace_id, spans in traces.items():
            found += [each for span in spans for each in _sent(span)]
            if trace_id in self._done:
                continue
            waiting = self._waiting.get(trace_id)
            # What came by OTLP names its instrumentation; the gateway's own spans do not.
            if waiting is None and not any("scope" in span.attributes for span in spans):
                continue
            self._times.extend(span.end_ns for span in spans)
            touched[trace_id] = self._take(trace_id, waiting, spans)
        if not touched:
            return found
        for trace_id, waiting in touched.items():
            if waiting.root and waiting.parents <= waiting.ids:
                found.append(Arrival(CONNECTED, waiting.span, 1.0))
                self._end(trace_id)
            elif len(waiting.ids) > _MOST_OF_ONE:
                self._end(trace_id)
        return found + self._given_up()

    def _take(self, trace_id: str, waiting: _Waiting | None, spans: Sequence[Span]) -> _Waiting:
        # The one that was heard of last comes last.
        known = self._waiting.pop(trace_id, None) or waiting or _Waiting(spans[0])
        self._waiting[trace_id] = known
        before = len(known.ids)
        for span in spans:
            known.ids.add(span.span_id)
            if span.parent_id:
                known.parents.add(span.parent_id)
            else:
                known.root = True
        self._held += len(known.ids) - before
        known.span = max((known.span, *spans), key=lambda span: span.end_ns)
        return known

    def _given_up(self) -> list[Arrival]:
        found = []
        now = median(self._times)
        for trace_id, waiting in list(self._waiting.items()):
            if self._held > _MOST:
                self._end(trace_id)  # nobody knows whether it would have become whole
            elif waiting.span.end_ns + _QUIET_NS < now:
                found.append(Arrival(CONNECTED, waiting.span, 0.0))
                self._end(trace_id)
            else:
                break
        return found

    def _end(self, trace_id: str) -> None:
        self._held -= len(self._waiting.pop(trace_id).ids)
        self._done[trace_id] = None
        if len(self._done) > _DONE:
            del self._done[next(iter(self._done))]


def _sent(span: Span) -> Iterable[Arrival]:
    """What an export says: a value for each of its spans and of those lost before it, or as many in proportion."""
    told = span.attributes.get("arrived")
    if not isinstance(told, Mapping):
        return
    sent, lost = told.get("sent"), told.get("lost")
    if not isinstance(sent, int) or not isinstance(lost, int) or sent < 1 or lost < 0:
        return
    values = min(_VALUES, sent + lost)
    missing = values * lost / (sent + lost)
    whole = math.floor(missing)
    for at in range(values):
        yield Arrival(SENT, span, 0.0 if at < whole else 1.0 - (missing - whole) if at == whole else 1.0)

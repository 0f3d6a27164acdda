"""Whether what applications record arrives whole: told from their spans, not the gateway's own. Pure.

Two things go missing. A client whose queue is full, or whose server is away, drops spans and says with its next export
how many (see ``trimtab.spans.lost``). And a trace may lack its root, or the parent of a span, because the process that
recorded it died or its exporter did.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
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
    """A trace until it is whole or given up. ``span`` is the newest one, ``heard_ns`` the time when the last came, and
    ``first_ns`` when the first did."""

    __slots__ = ("first_ns", "heard_ns", "ids", "parents", "root", "span")

    def __init__(self, span: Span) -> None:
        self.span, self.root, self.first_ns, self.heard_ns = span, False, 0, 0
        self.ids: set[str] = set()
        self.parents: set[str] = set()

    @property
    def size(self) -> int:
        """What it takes to wait for it, in spans."""
        return max(len(self.ids), len(self.parents))


class Arrivals:
    """The values of both signals, from spans in the order they were committed."""

    def __init__(self) -> None:
        # The first one of a dictionary that ever loses its first is long looked for; of these it is not.
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        self._held = 0
        self._times: deque[int] = deque(maxlen=_CLOCKS)
        #: Traces heard of before this time may have had spans that an earlier run read.
        self._unsure_until = -math.inf

    def resumed(self) -> None:
        """An earlier run read the spans before."""
        self._unsure_until = math.inf

    def read(self, traces: Mapping[str, Sequence[Span]]) -> list[Arrival]:
        """Take spans by trace, those of the gateway's own requests left out; return the values."""
        found: list[Arrival] = []
        touched: dict[str, _Waiting] = {}
        for trace_id, spans in traces.items():
            found += [each for span in spans for each in _sent(span)]
            if trace_id in self._done:
                continue
            # What came by OTLP names its instrumentation; the gateway's own spans do not.
            if trace_id not in self._waiting and not any("scope" in span.attributes for span in spans):
                continue
            self._times.extend(span.end_ns for span in spans)
            touched[trace_id] = self._take(trace_id, spans)
        if not touched:
            return found
        now = round(median(self._times))
        for trace_id, waiting in touched.items():
            waiting.first_ns, waiting.heard_ns = waiting.first_ns or now, now
            if waiting.root and waiting.parents <= waiting.ids:
                found.append(Arrival(CONNECTED, waiting.span, 1.0))
                self._end(trace_id)
            elif waiting.size > _MOST_OF_ONE:
                self._end(trace_id)
        return found + self._given_up(now)

    def _take(self, trace_id: str, spans: Sequence[Span]) -> _Waiting:
        # The one that was heard of last comes last.
        known = self._waiting.pop(trace_id, None) or _Waiting(spans[0])
        self._waiting[trace_id] = known
        before = known.size
        for span in spans:
            known.ids.add(span.span_id)
            if span.parent_id:
                known.parents.add(span.parent_id)
            else:
                known.root = True
        self._held += known.size - before
        known.span = max((known.span, *spans), key=lambda span: span.end_ns)
        return known

    def _given_up(self, now: int) -> list[Arrival]:
        found = []
        self._unsure_until = min(self._unsure_until, now + _QUIET_NS)
        while self._waiting:
            trace_id, waiting = next(iter(self._waiting.items()))
            # While few clocks are known the time may be wrong too; nobody waits for what it said then.
            waiting.heard_ns = min(waiting.heard_ns, now)
            if self._held > _MOST:
                self._end(trace_id)  # nobody knows whether it would have become whole
            # A trace's own clock does not count: it may be wrong, or the trace may have come late and in parts.
            elif waiting.heard_ns + _QUIET_NS < now:
                if waiting.first_ns >= self._unsure_until:
                    found.append(Arrival(CONNECTED, waiting.span, 0.0))
                self._end(trace_id)
            else:
                break
        return found

    def _end(self, trace_id: str) -> None:
        self._held -= self._waiting.pop(trace_id).size
        self._done[trace_id] = None
        if len(self._done) > _DONE:
            self._done.popitem(last=False)


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

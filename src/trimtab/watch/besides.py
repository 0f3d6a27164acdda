"""What is told of requests beside their scores and measures: by what came before them, by the guard's rails, by their
instructions, by the ledger, and by the spans of applications. In memory; after a restart it begins anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from trimtab.core import Span, Stamp

from .arrivals import CONNECTED, Arrivals
from .gaps import Gaps, Recorded
from .neighbours import Neighbours
from .observation import Observation, Served
from .rails import Rails
from .searches import Searches
from .told import Told
from .traffic import Traffic
from .wordings import Wordings

#: The versions that a stamp names, by the registry's kinds.
Pins = Callable[[Stamp, str], Mapping[str, str]]


class Besides:
    """Reads requests and other spans in the order they were committed. Without ``recorded``, a ledger to ask, it says
    nothing of gaps in one. Not thread-safe."""

    def __init__(self, recorded: Recorded | None) -> None:
        self._neighbours, self._rails, self._wordings = Neighbours(), Rails(), Wordings()
        self._gaps = Gaps(recorded) if recorded is not None else None
        self._searches, self._arrivals = Searches(), Arrivals()

    def resumed(self) -> None:
        """An earlier run read the spans before."""
        self._arrivals.resumed()

    def read(self, seen: Traffic, one: Observation) -> list[Told]:
        """The values that a request brings. ``one`` is an observation of it that says 1."""
        found = list(self._neighbours.read(seen, one))
        stamp = seen.root.stamp
        if stamp.guard:
            self._rails.read(seen, one, found)
        if not stamp.prompt:
            self._wordings.read(seen, one, found)
        if self._gaps is not None:
            self._gaps.read(seen, one, found)
        return found

    def arrived(self, traces: Mapping[str, Sequence[Span]], pins: Pins) -> Iterator[Told]:
        """What other spans say: of how whole they arrive, and of the indexes that applications search."""
        for signal, span, value in self._arrivals.read(traces):
            served = Served(
                time_ns=span.end_ns, trace_id=span.trace_id, pins=pins(span.stamp, ""),
                session=span.session if signal == CONNECTED else "",
            )  # fmt: skip
            yield Told(signal, span.project, Observation(served, span.tags.get("topic", ""), value))
        yield from self._searches.read(traces)

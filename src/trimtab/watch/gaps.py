"""Whether the change ledger knows what served a request. Pure but for the ledger that it asks.

A version that serves and stands in no change was brought out past the registry, or its record was lost. It is a suspect
of every incident; how often that happens says how far the ledger can be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .observation import Observation
from .signals import ON_RECORD
from .told import Told, valued
from .traffic import Traffic

#: Whether the ledger tells of a version, by kind and pin.
Recorded = Callable[[str, str], bool]
_NO_PINS: Mapping[str, str] = {}


class Gaps:
    """Reads requests in their order."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._known = _NO_PINS

    def read(self, seen: Traffic, one: Observation, found: list[Told]) -> None:
        """Add the value of a request: 0 when one of its versions stands in no change. Of models the vendor decides;
        what they report becomes an event by itself."""
        recorded, pins = self._recorded, one.served.pins
        if seen.limited or not pins:
            return
        # What is known stays known; requests one after the other mostly share their pins.
        known = pins is self._known or all(recorded(kind, pin) for kind, pin in pins.items() if kind != "models")
        if known:
            self._known = pins
        found.append(Told(ON_RECORD, seen.root.project, valued(one, float(known))))

"""What a vendor changes without saying: the reported model and fingerprint behind a name that stayed the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput, Span

#: Beyond this many pins behind one name the vendor's fingerprint identifies nothing; no more is reported.
MAX_PINS = 64
MAX_REFS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorChange:
    """``ref`` is the model as asked; ``before`` and ``after`` are full pins ``ref=reported@fingerprint``."""

    ref: str
    before: str
    after: str
    time_ns: int


class Vendors:
    """Knows every pin seen behind each model name. The first one is what we start from, each new one is a change.

    Vendors serve from several backends, so a pin seen before is no change when it comes back. A missing fingerprint
    says nothing while the reported model is known. In memory, not thread-safe.
    """

    def __init__(self) -> None:
        self._pins: dict[str, dict[str, None]] = {}
        self._last: dict[str, str] = {}

    def observe(self, spans: Iterable[Span]) -> list[VendorChange]:
        """The changes that finished ``llm`` spans show, in their order. Calls without an answer are skipped."""
        changes: list[VendorChange] = []
        for span in spans:
            pin = span.stamp.model
            ref, _, reported = pin.partition("=")
            if span.kind != "llm" or not ref or not reported:
                continue
            known = self._pins.get(ref)
            if known is None:
                if len(self._pins) < MAX_REFS:
                    self._pins[ref] = {pin: None}
                    self._last[ref] = pin
                continue
            if self._is_news(pin, known):
                known[pin] = None
                changes.append(VendorChange(ref=ref, before=self._last[ref], after=pin, time_ns=span.start_ns))
            if pin in known:
                self._last[ref] = pin
        return changes

    def state(self) -> dict[str, Any]:
        """The pins by name, JSON-able, the last seen one at the end."""
        return {ref: [p for p in pins if p != self._last[ref]] + [self._last[ref]] for ref, pins in self._pins.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned. Raises BadInput if it is broken."""
        for ref, pins in state.items():
            if not isinstance(pins, list) or not pins or not all(isinstance(pin, str) for pin in pins):
                mend = "Delete it: the vendor's models are then learned anew."
                raise BadInput(f"the kept pins of {ref!r} are broken", field=ref, mend=mend)
            self._pins[ref] = dict.fromkeys(pins)
            self._last[ref] = pins[-1]

    @staticmethod
    def _is_news(pin: str, known: Mapping[str, None]) -> bool:
        if pin in known or len(known) >= MAX_PINS:
            return False
        return "@" in pin.partition("=")[2] or not any(k.partition("@")[0] == pin for k in known)

"""The dead-man's switch of the monitors: a signal that usually comes with the traffic and has stopped coming. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from trimtab.stats import lower_bound

#: Requests after which a signal's usual share counts as known.
KNOWN_AFTER = 500
#: Requests that a score may come later than its request: judges take their time.
LATE = 200
#: The chance of so long a silence by accident below which it is news; for all monitors of a year together.
BY_CHANCE = 1e-9
#: The share is taken at this lower bound, so that a wrong guess makes the switch slower and not louder.
_ALPHA = 1e-4
#: Older traffic counts half after so many requests, so that a signal that became rarer is not expected for ever.
_HALF = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A signal last heard at ``last_ns``, ``requests`` requests ago, that comes with at least ``share`` of them."""

    signal: str
    last_ns: int
    requests: int
    share: float


@dataclass(slots=True)
class _Ear:
    heard: float = 0.0
    offered: float = 0.0
    since: int = 0
    last_ns: int = 0


@dataclass(slots=True)
class Silences:
    """Counts requests and what was heard of each signal since the first time it was."""

    _ears: dict[str, _Ear] = field(default_factory=dict)

    def request(self, n: int = 1) -> None:
        """So many requests have passed."""
        for ear in self._ears.values():
            ear.offered += n
            ear.since += n
            if ear.offered > _HALF:
                ear.offered /= 2
                ear.heard /= 2

    def hear(self, signal: str, time_ns: int, n: int = 1) -> None:
        """So many values of the signal came, the last of them then."""
        ear = self._ears.get(signal)
        if ear is None:
            ear = self._ears[signal] = _Ear()
        ear.heard += n
        ear.since = 0
        ear.last_ns = time_ns

    def silent(self) -> list[Silence]:
        """The signals whose silence is longer than chance would have it.

        With a share s of the requests bringing a value, n of them bring none with probability (1 - s)^n.
        """
        found = []
        for signal, ear in self._ears.items():
            quiet = ear.since - LATE
            # Only what was offered before the silence says how often it usually comes.
            before = ear.offered - ear.since
            if quiet <= 0 or before < KNOWN_AFTER:
                continue
            n = math.floor(before)
            share = lower_bound(min(math.floor(ear.heard), n), n, _ALPHA, binary=True)
            if share > 0.0 and quiet * math.log1p(-min(share, 1 - 1e-12)) < math.log(BY_CHANCE):
                found.append(Silence(signal=signal, last_ns=ear.last_ns, requests=ear.since, share=share))
        return found

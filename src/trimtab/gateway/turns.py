"""Whose turn it is: which candidate of a request is asked next, when, and whether at all. No input, no output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from trimtab.core import Layer, Overloaded, TrimtabError

from .health import RouteState
from .reasons import reason_of
from .retry import backoff
from .route import Route


class Turn(msgspec.Struct, frozen=True, gc=False):
    """The candidate to ask, at the earliest at ``at`` (seconds of the loop's clock)."""

    ref: str
    at: float


@dataclass(slots=True)
class _Seat:
    """One candidate of the request."""

    tried: int = 0
    ready: float = 0.0
    out: bool = False


class Turns:
    """The candidates of one request in their order, and what came of asking them.

    Each is asked once before any is asked again. A target whose breaker is open, or which is full, is passed over.
    """

    def __init__(self, refs: Sequence[str], route: Route, state: RouteState) -> None:
        self._refs = refs
        self._seats: dict[str, _Seat] = {}  # made when one turn was not enough
        self._first = ""
        self._route = route
        self._state = state
        #: As they are now: the route may change while this request is under way.
        self.targets = dict(state.targets)
        self._limits = route.limits_of
        self._last: TrimtabError | None = None
        self._over = False
        self.asked = 0

    def next(self, now: float, *, other_than: str = "") -> Turn | None:
        """The next turn; None when nobody is left, the attempts are used up or the route has no retries left."""
        if self._over or self.asked >= self._route.attempts or (self._last is not None and not self._may_try_again()):
            return None
        if not self.asked:
            for ref in self._refs:
                if self.targets[ref].usable(self._limits.get(ref), now):
                    return Turn(ref, now)
            return None
        best: Turn | None = None
        tried = 0
        for ref, seat in self._seated().items():
            if seat.out or ref == other_than or not self.targets[ref].usable(self._limits.get(ref), now):
                continue
            at = max(now, seat.ready)
            if best is None or (at, seat.tried) < (best.at, tried):
                best, tried = Turn(ref, at), seat.tried
        return best

    def took(self, ref: str) -> None:
        """The turn is taken."""
        if self.asked:
            self._seated()[ref].tried += 1
        else:
            self._first = ref
        self.asked += 1

    def failed(self, ref: str, error: TrimtabError, now: float, draw: float) -> None:
        """It failed. ``draw`` in [0, 1) spreads the pause before it may be asked again."""
        reason = reason_of(error)
        self._last = error
        if reason == "error" and self.asked > 1:
            self._state.retries.take()
        seats = self._seated()
        seat = seats[ref]
        allowed = ("error" if reason == "target" else reason) in self._route.fallback_on
        if reason != "error" and not allowed:
            self._over = True
        seat.out = reason != "error"
        if reason == "error" and not allowed:
            for other in seats.keys() - {ref}:
                seats[other].out = True
        wait = backoff(self._route.retry, seat.tried, draw)
        seat.ready = now + (wait if error.retry_after is None else error.retry_after + wait)

    def others(self, ref: str, now: float) -> bool:
        """Whether somebody else could be asked."""
        return self.asked < self._route.attempts and any(
            not seat.out and other != ref and self._usable(other, now) for other, seat in self._seated().items()
        )

    def resting(self, now: float) -> Overloaded:
        """The error of a request for which there was nobody to ask."""
        waits = [breaker.left(now) for ref in self._refs if (breaker := self.targets[ref].breaker)]
        left = min((wait for wait in waits if wait > 0), default=1.0)
        why = [f"{ref} ({self._why(ref, now)})" for ref in self._refs]
        error = Overloaded(
            f"Every target of {self._route.name!r} is resting or full: {', '.join(why[:8])}.",
            mend="Wait, or give the route another target or fallback.",
            retry_after=left,
        )
        if any(wait > 0 for wait in waits):
            error.layer = Layer.MODEL  # it is the models that failed
        return error

    def _seated(self) -> dict[str, _Seat]:
        if not self._seats:
            self._seats = {ref: _Seat() for ref in self._refs}
            if self._first:
                self._seats[self._first].tried = 1
        return self._seats

    def _why(self, ref: str, now: float) -> str:
        breaker = self.targets[ref].breaker
        if breaker is None or breaker.allows(now):
            return "at its limit"
        return f"{breaker.state(now)} after failures of kind {breaker.cause}"

    def _may_try_again(self) -> bool:
        """Whether a further attempt is within the route's retries, where an error of the target asks for one."""
        if self._last is None or reason_of(self._last) != "error":
            return True
        return self._state.retries.some

    def _usable(self, ref: str, now: float) -> bool:
        return self.targets[ref].usable(self._limits.get(ref), now)

"""A circuit breaker for one target: after enough failures it is left alone for a while, then tried with one request.

    closed      requests go through; failures are counted by cause, within a sliding window
    open        nothing goes through until its time is over
    half-open   one request at a time goes through as a probe; a success closes, a failure opens for longer

A pure state machine: the time is passed in, in seconds of any clock that only goes forward.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trimtab.core import ModelError, ModelTimeout, TrimtabError

Cause = Literal["rate_limit", "server", "connection", "timeout", "first_byte"]
State = Literal["closed", "open", "half-open"]

CAUSES: tuple[Cause, ...] = ("rate_limit", "server", "connection", "timeout", "first_byte")
#: How many failures of one cause within the window open the breaker.
FAILURES: Mapping[Cause, int] = {"rate_limit": 5, "server": 5, "connection": 5, "timeout": 3, "first_byte": 3}
#: The window is counted in so many steps.
STEPS = 10
#: A breaker that opens again and again stays open twice as long each time, up to this many times the first.
LONGEST = 3
#: So many failures one after the other count as a share of all: a target that was sound for a minute before it broke
#: down must not be asked until its past has left the window.
IN_A_ROW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens: ``failures`` of one cause within ``window`` seconds, and failures of any cause make up at
    least ``share`` of what was asked there, or were the last IN_A_ROW. Then it stays open for ``rest`` seconds. A
    cause with 0 never opens it."""

    failures: Mapping[Cause, int] = field(default_factory=lambda: dict(FAILURES))
    share: float = 0.5
    window: float = 30.0
    rest: float = 10.0


def cause_of(error: TrimtabError) -> Cause | None:
    """What kind of failure of the target an error is; None when the request is at fault, not the target."""
    if isinstance(error, FirstByteTimeout):
        return "first_byte"
    if isinstance(error, ModelTimeout):
        return "timeout"
    if not isinstance(error, ModelError) or not error.retryable:
        return None
    if error.vendor_status == 429:
        return "rate_limit"
    return "server" if error.vendor_status else "connection"


class FirstByteTimeout(ModelTimeout):
    """It did not begin to answer in time."""


class Breaker:
    """The breaker of one target. ``rules`` may be replaced while it runs; what was counted stays counted."""

    def __init__(self, rules: BreakerRules) -> None:
        self.rules = rules
        self.cause: Cause | None = None  # what opened it last
        self.opened = 0  # how often it has opened
        self._opened_in_a_row = 0
        self._failed_in_a_row = 0
        self._until = 0.0  # open until then; 0 for closed
        self._probing = False
        self._steps: deque[tuple[int, dict[str, int]]] = deque(maxlen=STEPS)

    def state(self, now: float) -> State:
        """Where it stands."""
        if not self._until:
            return "closed"
        return "open" if now < self._until else "half-open"

    def left(self, now: float) -> float:
        """Seconds until it may be tried again."""
        return max(0.0, self._until - now)

    def allows(self, now: float) -> bool:
        """Whether a request may go through now."""
        return not self._until or (now >= self._until and not self._probing)

    def begin(self, now: float) -> bool:
        """A request goes through. True when it is the probe, whose end must be told by one of the next three."""
        probe = bool(self._until) and now >= self._until
        self._probing = self._probing or probe
        return probe

    def succeeded(self, now: float) -> None:
        """A request was answered."""
        self._count(now, "asked")
        self._failed_in_a_row = 0
        if self._until and now >= self._until:
            self._until, self._opened_in_a_row, self._probing = 0.0, 0, False
            self._steps.clear()

    def failed(self, now: float, cause: Cause) -> None:
        """A request failed through the target's fault."""
        self._count(now, "asked")
        self._count(now, "failed")
        self._count(now, cause)
        self._failed_in_a_row += 1
        if self._until:
            if now >= self._until and self._probing:
                self._open(now, cause)
            return
        needed = self.rules.failures.get(cause, 0)
        if needed and self.counted(now, cause) >= needed:
            asked = self.counted(now, "asked")
            if self.counted(now, "failed") >= self.rules.share * asked or self._failed_in_a_row >= IN_A_ROW:
                self._open(now, cause)

    def abandoned(self) -> None:
        """A request ended and says nothing about the target: it was cancelled, or was itself at fault."""
        self._probing = False

    def counted(self, now: float, what: str) -> int:
        """How many within the window: ``asked``, ``failed`` or a cause."""
        oldest = self._step(now) - STEPS
        return sum(counts.get(what, 0) for step, counts in self._steps if step > oldest)

    def _open(self, now: float, cause: Cause) -> None:
        self._until = now + self.rules.rest * min(LONGEST, 2**self._opened_in_a_row)
        self._opened_in_a_row = min(self._opened_in_a_row + 1, LONGEST)
        self.opened += 1
        self.cause = cause
        self._probing = False

    def _count(self, now: float, what: str) -> None:
        steps, step = self._steps, int(now * STEPS / self.rules.window)
        if not steps or steps[-1][0] != step:
            steps.append((step, {}))
        counts = steps[-1][1]
        counts[what] = counts.get(what, 0) + 1

    def _step(self, now: float) -> int:
        return int(now * STEPS / self.rules.window)

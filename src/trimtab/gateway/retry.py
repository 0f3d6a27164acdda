"""How often, and after how long, a request may be tried again. Pure: time and draws are passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """``pause`` seconds before the same target is asked again, doubled each time up to ``longest``; the wait is drawn
    evenly between 0 and that (full jitter), so that many waiting requests do not come back together. ``share`` of the
    traffic may be spent on attempts that fail again, with ``reserve`` of them to begin with."""

    pause: float = 0.1
    longest: float = 2.0
    share: float = 0.1
    reserve: float = 20.0


def backoff(rules: RetryRules, tried: int, draw: float) -> float:
    """Seconds to wait before a target that was tried so many times is tried again; ``draw`` is in [0, 1)."""
    return draw * min(rules.longest, rules.pause * 2.0 ** (tried - 1))


class Allowance:
    """A bucket of tokens filled by traffic: ``share`` of a token a request, at most ``most``.

    For retries a token is taken when the further attempt *fails*. One that succeeds was worth its price, and a target
    that is down while another is up does not use the bucket up; but when everything is down the bucket is soon empty,
    and what the route adds to the outage is ``share`` of its traffic. For hedges a token is taken at the start, since
    each of them costs.
    """

    #: A bucket that nobody fills gets a token in so many seconds, so that a quiet route is not without one for good.
    SECONDS_PER_TOKEN = 10.0

    def __init__(self, share: float, most: float, now: float) -> None:
        self.share = share
        self.most = most
        self.left = most
        self._filled = now

    def asked(self, now: float) -> None:
        """A request came."""
        if self.left == self.most:  # more than that is left where the rules were changed, and is cut below
            self._filled = now
            return
        waited = max(0.0, now - self._filled) / self.SECONDS_PER_TOKEN if self.share else 0.0
        self._filled = now
        self.left = min(self.most, self.left + self.share + waited)

    @property
    def some(self) -> bool:
        """Whether a further attempt may be made."""
        return self.left >= 1.0

    def take(self) -> None:
        """A token is spent. What many attempts at once spent too much is a debt that traffic pays back first."""
        self.left = max(-self.most, self.left - 1.0)

"""The ways by which people are told, and the people: plain records, checked where the configuration is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

#: webhook: our own JSON; slack: an incoming webhook; pagerduty: Events API v2; alertmanager: API v2; email: SMTP.
KINDS = ("webhook", "slack", "pagerduty", "alertmanager", "email")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way. ``url`` is where to post (for e-mail ``smtp://host:25`` or ``smtps://host:465``), ``key`` PagerDuty's
    routing key, a webhook's bearer token or the SMTP password. Neither shows in ``repr``."""

    name: str
    kind: str
    url: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    to: tuple[str, ...] = ()
    sender: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Hours of the day in which what can wait does wait: ``start`` to ``end`` in ``zone``, perhaps over midnight."""

    start: time
    end: time
    zone: ZoneInfo

    def until_ns(self, now_ns: int) -> int:
        """When the quiet hours end that ``now_ns`` lies in; 0 when it lies in none. Nanoseconds since 1970 UTC."""
        now = datetime.fromtimestamp(now_ns / 1e9, self.zone)
        begun, open_still = now.time() >= self.start, now.time() < self.end
        over_midnight = self.start > self.end
        inside = (begun or open_still) if over_midnight else (begun and open_still)
        if not inside:
            return 0
        ends = now.replace(hour=self.end.hour, minute=self.end.minute, second=0, microsecond=0)
        if ends <= now:
            ends = (now + timedelta(days=1)).replace(
                hour=self.end.hour, minute=self.end.minute, second=0, microsecond=0
            )
        return int(ends.timestamp()) * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An owner: how to reach them, when to leave them in peace, and who is told when they do not answer."""

    name: str
    channels: tuple[str, ...]
    quiet: Quiet | None = None
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rota:
    """Everybody and every way. ``usual`` are the channels of owners who are not named. ``escalate_after_s`` is how
    long an owner has to acknowledge. ``heartbeat`` is asked every ``heartbeat_every_s`` while the watch is alive."""

    channels: Mapping[str, Channel] = field(default_factory=dict)
    people: Mapping[str, Person] = field(default_factory=dict)
    usual: tuple[str, ...] = ()
    escalate_after_s: float = 900.0
    heartbeat: str = field(default="", repr=False)
    heartbeat_every_s: float = 60.0

    def person(self, owner: str) -> Person:
        """The owner's entry, or one with the usual channels."""
        return self.people.get(owner) or Person(name=owner, channels=self.usual)

    def chain(self, owner: str) -> tuple[str, ...]:
        """The owner and all who are told after them, each once."""
        names: list[str] = []
        while owner and owner not in names:
            names.append(owner)
            owner = self.person(owner).next
        return tuple(names)

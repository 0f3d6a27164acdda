"""What the file says of paging: channels, people, quiet hours, and who is told next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from trimtab.core import ConfigError

from .values import followed, seconds, secret

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")
_SCHEMES = {"email": ("smtp", "smtps")}


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A way to reach people. ``url`` and ``key`` may be references (``env:NAME`` or ``file:/path``); a key must be."""

    kind: Literal["webhook", "slack", "pagerduty", "alertmanager", "email"]
    url: str = ""
    key: str = ""
    to: list[str] = []
    sender: str = ""
    user: str = ""


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An owner. ``quiet`` are hours such as ``22:00-07:00`` in ``timezone``; ``next`` is told after them."""

    channels: list[str]
    quiet: str = ""
    timezone: str = "UTC"
    next: str = ""


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is told of incidents. ``usual`` are the channels of owners whom ``people`` does not name."""

    channels: dict[str, Channel] = {}
    people: dict[str, Person] = {}
    usual: list[str] = []
    escalate_after: str = "15m"
    heartbeat: str = ""
    heartbeat_every: str = "1m"
    public_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Quiet hours, read."""

    start: time
    end: time
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """The section, checked: secrets resolved, durations in seconds, quiet hours by person."""

    said: Notify = field(default_factory=Notify, repr=False)
    quiet: Mapping[str, Hours] = field(default_factory=dict)
    escalate_after_s: float = 900.0
    heartbeat_every_s: float = 60.0


def paging_of(said: Notify, env: Mapping[str, str]) -> Paging:
    """Check the section. Raises ConfigError naming the field and the mend."""
    channels = {name: _channel(name, channel, env) for name, channel in said.channels.items()}
    quiet: dict[str, Hours] = {}
    for name, person in said.people.items():
        where = f"notify.people.{name}"
        _known(person.channels, channels, f"{where}.channels")
        if person.next and person.next not in said.people:
            raise ConfigError(
                f"{person.next!r} is nobody in notify.people.", field=f"{where}.next", mend="Add them, or name another."
            )
        if person.quiet:
            quiet[name] = _hours(person, where)
    _known(said.usual, channels, "notify.usual")
    beat = followed(said.heartbeat, env, "notify.heartbeat")
    for value, where in ((beat, "notify.heartbeat"), (said.public_url, "notify.public_url")):
        if value:
            _address(value, ("http", "https"), where)
    resolved = msgspec.structs.replace(said, channels=channels, heartbeat=beat)
    return Paging(
        said=resolved,
        quiet=quiet,
        escalate_after_s=seconds(said.escalate_after, "notify.escalate_after"),
        heartbeat_every_s=seconds(said.heartbeat_every, "notify.heartbeat_every"),
    )


def _channel(name: str, channel: Channel, env: Mapping[str, str]) -> Channel:
    where = f"notify.channels.{name}"
    url = followed(channel.url, env, f"{where}.url")
    if url or channel.kind != "pagerduty":
        _address(url, _SCHEMES.get(channel.kind, ("http", "https")), f"{where}.url")
    if channel.kind == "pagerduty" and not channel.key:
        raise ConfigError("PagerDuty needs a routing key.", field=f"{where}.key", mend="Write env:NAME or file:/path.")
    if channel.kind == "email" and not channel.to:
        raise ConfigError("an e-mail needs somebody to go to.", field=f"{where}.to", mend="List addresses.")
    for address in (*channel.to, channel.sender):
        if any(letter in address for letter in "\r\n,") or (address and "@" not in address):
            raise ConfigError(f"{address!r} is no e-mail address.", field=f"{where}.to", mend="Write name@host.")
    return msgspec.structs.replace(channel, url=url, key=secret(channel.key, env, f"{where}.key"))


def _address(url: str, schemes: tuple[str, ...], where: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or parts.username or parts.password:
        # The address of a webhook is often a secret itself: it is not repeated.
        raise ConfigError(
            "is not an address that can be posted to.",
            field=where,
            mend=f"Write {schemes[0]}://host, or a reference to it, env:NAME or file:/path; user and key have fields "
            "of their own.",
        )


def _known(names: list[str], channels: Mapping[str, Channel], where: str) -> None:
    for name in names:
        if name not in channels:
            known = ", ".join(channels) or "none yet"
            raise ConfigError(f"{name!r} is no channel.", field=where, mend=f"notify.channels has: {known}.")


def _hours(person: Person, where: str) -> Hours:
    found = _HOURS.fullmatch(person.quiet.strip())
    if found is None:
        raise ConfigError(f"{person.quiet!r} are no hours.", field=f"{where}.quiet", mend="Write 22:00-07:00.")
    try:
        zone = ZoneInfo(person.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"{person.timezone!r} is no time zone.", field=f"{where}.timezone", mend="Write Europe/Berlin or UTC."
        ) from None
    start, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    if start == end:
        raise ConfigError("quiet hours that last all day tell nobody.", field=f"{where}.quiet", mend="Shorten them.")
    return Hours(start=start, end=end, zone=zone)

"""What people type of keys and teams, read; and what stands there already, as it is typed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from trimtab.core import BadInput
from trimtab.gateway import Key

from . import words

#: (field, label, unit, whole number)
LIMIT_FIELDS = (
    ("rpm", "Requests a minute", "", True),
    ("tpm", "Tokens a minute", "", True),
    ("max_parallel", "Requests at once", "", True),
    ("max_queue", "May wait for a place", "requests", True),
    ("queue_timeout", "They wait at most", "seconds", False),
    ("budget_usd", "Budget", "US dollars", False),
)
DAY_NS = 86_400 * words.SECOND
#: Hours for which a secret that was replaced may go on to open the door, as the form offers them.
OVERLAPS = ((0, "not at all: shut out at once"), (1, "for 1 hour"), (24, "for a day"), (168, "for a week"))
_MOST_TYPED = 4000


def typed_limits(limits: Mapping[str, Any]) -> dict[str, str]:
    """Limits as a form shows them."""
    found = {name: f"{limits[name]:.12g}" if limits.get(name) else "" for name, *_ in LIMIT_FIELDS}
    return found | {"period": str(limits.get("period", "month"))}


def typed_key(key: Key | None) -> dict[str, str]:
    """A key as a form shows it; without one, the empty form."""
    if key is None:
        return {"name": "", "owner": "", "team": "", "role": "member", "expires": "", "routes": "", **typed_limits({})}
    return {
        "name": key.name, "owner": key.owner, "team": key.team, "role": key.role, "expires": _last_day(key.expires_ns),
        "routes": "\n".join(key.limits.get("routes") or ()), **typed_limits(key.limits),
    }  # fmt: skip


def as_typed(form: Mapping[str, Any], before: Mapping[str, str]) -> dict[str, str]:
    """What was typed, to be shown again beside the reason why it was refused."""
    return {name: str(form.get(name, old))[:_MOST_TYPED] for name, old in before.items()}


def read_limits_form(form: Mapping[str, Any]) -> dict[str, Any]:
    """The limits that were typed; an empty field does not limit. Raises BadInput naming the field."""
    found: dict[str, Any] = {}
    for name, label, _, whole in LIMIT_FIELDS:
        if text := str(form.get(name, "")).strip().replace(",", "").replace("\u2009", ""):
            found[name] = _number(text, label, whole)
    if "budget_usd" in found:
        found["period"] = str(form.get("period", "month"))
    return found


def read_key_form(form: Mapping[str, Any], before: Key | None = None) -> dict[str, Any]:
    """The fields of a key that were typed, as ``Keys.create`` and ``Keys.change`` take them. Raises BadInput."""
    limits = read_limits_form(form)
    if routes := [name.strip() for name in str(form.get("routes", "")).replace(",", "\n").splitlines() if name.strip()]:
        limits["routes"] = routes
    expires = str(form.get("expires", "")).strip()
    kept = before is not None and expires == _last_day(before.expires_ns)
    return {
        "name": str(form.get("name", "")).strip(),
        "owner": str(form.get("owner", "")).strip(),
        "team": str(form.get("team", "")).strip(),
        "role": str(form.get("role", "member")),
        "expires_ns": before.expires_ns if kept and before is not None else _end_of(expires),
        "limits": limits,
    }


def read_overlap(form: Mapping[str, Any]) -> float:
    """Seconds for which the old secret stays good. Raises BadInput."""
    text = str(form.get("overlap", "0"))
    if text not in {str(hours) for hours, _ in OVERLAPS}:
        raise BadInput("is none of the choices.", field="overlap")
    return int(text) * 3600.0


def _number(text: str, label: str, whole: bool) -> int | float:
    """Raises BadInput. What is out of range the gateway itself refuses."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number != number or abs(number) > 1e12 or (whole and number != int(number)):
        raise BadInput(f"must be a {'whole ' if whole else ''}number, not {text[:40]!r}.", field=label)
    return int(number) if whole else number


def _last_day(expires_ns: int) -> str:
    """The last whole or begun day (UTC) on which a key is good, as a date field has it."""
    if not expires_ns:
        return ""
    return datetime.fromtimestamp((expires_ns - 1) // words.SECOND, UTC).date().isoformat()


def _end_of(text: str) -> int:
    """The end of a day (UTC) in nanoseconds; 0 for never."""
    if not text:
        return 0
    try:
        day = date.fromisoformat(text) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"must be a date such as 2027-01-31, not {text[:40]!r}.", field="Good until") from error
    if day.year < 2000:
        raise BadInput("lies too far back.", field="Good until", mend="Leave it empty for a key that does not expire.")
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * words.SECOND

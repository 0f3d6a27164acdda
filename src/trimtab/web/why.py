"""A refusal as the walk that led to it: every check in order, the figure, and the mend. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import words

_COUNTED = {"rpm": "requests a minute", "tpm": "tokens a minute", "max_parallel": "requests at once"}
_PLAIN = {
    "key": "The key is known", "role": "Its role may ask models",
    "routes": "The route is there, and the key may use it",
    "limits": "No limit was reached", "guard": "The guard",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkStep:
    """One check: whether it was passed, what it looked at, and what it said."""

    passed: bool
    text: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One refusal. ``sent`` says that a provider may have been asked before it was refused."""

    id: str
    time_ns: int
    who: str
    route: str
    status: int
    code: str
    message: str
    mend: str
    wait: str
    steps: tuple[WalkStep, ...]
    sent: bool


def walk(found: Mapping[str, Any], names: Mapping[str, str]) -> Walk:
    """A kept refusal; ``names`` of keys by id."""
    retry = found["retry_after"]
    return Walk(
        id=found["id"],
        time_ns=found["time_ns"],
        who=names.get(found["key"], found["key"]),
        route=found["route"],
        status=found["status"],
        code=found["code"],
        message=found["message"],
        mend=found["mend"],
        wait=words.duration(retry) if retry else "",
        steps=tuple(_step(step, names) for step in found["checks"]),
        sent=any(step["check"] == "guard" for step in found["checks"]),
    )


def _step(step: Mapping[str, Any], names: Mapping[str, str]) -> WalkStep:
    check, who = step["check"], names.get(step["who"], step["who"])
    of = f" of the {step['scope']} {who}" if step["scope"] and check != "key" else ""
    if check == "key" and step["verdict"] == "refused":
        text = f"The key{f' {who}…' if who else ''} opens nothing"
    elif step["limit"] is None:
        text = f"{_PLAIN.get(check, check)}{of}"
    elif check == "budget_usd":
        text = f"Budget{of}: {words.dollars(step['used'])} of {words.dollars(step['limit'])} spent"
        text += f", {words.dollars(step['reserved'])} reserved by running requests" if step["reserved"] else ""
    else:
        text = f"{_COUNTED.get(check, check).capitalize()}{of}: {step['used']:,g} of {step['limit']:,g}"
    return WalkStep(passed=step["verdict"] == "passed", text=text, said=step["said"])

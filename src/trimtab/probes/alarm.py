"""What a probe's finding means for the rest of the house: written into the ledger, told to the incident desk."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trimtab.core import Layer
from trimtab.registry import Event, Registry

from .declaration import Declaration
from .found import Found, printable

#: Changes looked at to see whether an event stands in the ledger already.
_LOOKED_AT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A probe's alarm, or its end (``over``). ``signal`` names it among the incidents; ``since_ns`` is when the probe
    last found everything as it was, nanoseconds UTC."""

    signal: str
    layer: Layer
    title: str
    text: str
    owner: str
    severity: int
    runbook: str
    since_ns: int
    over: bool = False


class Tell(Protocol):
    """The incident desk: opens or joins an incident, or resolves it; returns its number, 0 where there is none."""

    def __call__(self, alarm: Alarm) -> Awaitable[int]: ...


def news(before: str, found: Found) -> str:
    """What changed for others with this finding: alarm, moved, over, or "" for nothing new.

    ``before`` is alarm, moved or "" as it stood. What could not be told changes nothing.
    """
    if found.verdict == "alarm":
        return "" if before == "alarm" else "alarm"
    if found.verdict == "moved":
        return "moved" if before == "" else ""
    if found.verdict == "ok" and before:
        return "over"
    return ""


def pending(what: str, found: Found, *, run: int, since_ns: int) -> dict[str, Any]:
    """A piece of news that is still to be delivered, JSON-able: kept with the run, so that a crash loses none."""
    return {
        "what": what, "run": run, "text": printable(found.text), "asset": printable(found.asset),
        "pin": printable(found.pin), "since_ns": since_ns,
    }  # fmt: skip


async def deliver(declared: Declaration, waiting: Mapping[str, Any], registry: Registry, tell: Tell | None) -> int:
    """Write the event into the ledger and tell the desk; returns the incident's number, 0 for none.

    Doing it twice does nothing the second time: the event's note names the run, and the desk joins what is open.
    """
    what, mark = str(waiting["what"]), f"probe {declared.name}, run {waiting['run']}"
    text = str(waiting["text"])
    note = f"{mark}: {'back to usual. ' if what == 'over' else ''}{text}"[:1000]
    known = next((c for c in registry.changes(limit=_LOOKED_AT) if c.note.startswith(f"{mark}: ")), None)
    if known is None:
        asset = str(waiting["asset"]) or declared.name
        # Before and after are one pin: what is seen here moved no version, and no answer carries the mark of it.
        pin = str(waiting["pin"])
        event = Event(kind=declared.of.asset, name=asset[:200], before=pin, after=pin, layer=int(declared.layer))
        await registry.record_event(event, actor=f"probe:{declared.name}"[:200], note=note)
    if tell is None or what == "moved" or declared.action != "page":
        return 0
    return await tell(
        Alarm(
            signal=signal_of(declared.name), layer=declared.layer, title=title_of(declared, str(waiting["asset"])),
            text=text, owner=declared.owner, severity=declared.severity, runbook=declared.runbook,
            since_ns=int(waiting["since_ns"]), over=what == "over",
        )
    )  # fmt: skip


def signal_of(probe: str) -> str:
    """A probe among the signals of incidents."""
    return f"probe:{probe}"


def title_of(declared: Declaration, asset: str) -> str:
    """One sentence: what broke."""
    name = asset or declared.target or declared.name
    vendor = declared.target.partition("/")[0]
    return {
        "vendor": f"Another model answers as {name} at the vendor {vendor}",
        "guard_attacks": f"The guard policy {name} lets known attacks through",
        "guard_benign": f"The guard policy {name} stops good requests",
        "retrieval": f"The corpus {name} no longer finds known documents",
        "judge": f"The judge {name} no longer agrees with the experts",
        "citations": f"Answers from {name} no longer depend on what they cite",
        "corpus": f"The corpus {name} holds new instructions or contradictions",
    }[declared.kind]

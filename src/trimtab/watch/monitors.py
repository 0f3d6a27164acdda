"""Monitors: a signal with an owner, an action and a runbook. Nothing is owned by nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trimtab.core import BadInput, Layer

from .signals import SIGNALS, Signal

#: What an alarm leads to: a line in an incident that is open anyway, a word to the owner, or also taking the guilty
#: change back when that is proven.
ACTIONS = ("note", "page", "rollback")

_SEVERITY = {"answered": 1, "allowed": 2, "fresh": 2, "cites": 2, "grounded": 2, "quality": 2, "retrieved": 2}

_RUNBOOK = {
    None: "Read the report's cause and ten failing traces. If a change is named, take it back; then look at the layer.",
    Layer.MODEL: "Compare the reported model and fingerprint with yesterday's; divert the route to its fallback.",
    Layer.KNOWLEDGE: "Compare the corpus snapshot with the one before; move its label back; look at its sources.",
    Layer.PROMPT: "Read the diff of the prompt versions; abort the rollout or move the label back.",
    Layer.SAFETY: "List the refused requests by rule; move the guard's label back if good requests are among them.",
    Layer.OPERATIONS: "Look at routes, budgets and judge versions that moved; take the last of them back.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """Who is told what about which signal. ``severity`` 1 is worst, 4 is a note. Thresholds are the detectors' own."""

    name: str
    signal: str
    owner: str
    action: str
    severity: int
    runbook: str
    project: str = "default"

    def validate(self) -> None:
        """Raise BadInput that names the field for an unknown signal, no owner, an unknown action or severity."""
        if not self.name.strip():
            raise BadInput("a monitor needs a name", field="name", mend="Give it one.")
        if self.signal not in SIGNALS:
            known = ", ".join(SIGNALS)
            raise BadInput(f"{self.signal!r} is no signal", field="signal", mend=f"Use one of {known}.")
        if not self.owner.strip():
            raise BadInput(f"monitor {self.name!r} is owned by nobody", field="owner", mend="Name who gets the alarm.")
        if self.action not in ACTIONS:
            mend = f"Use one of {', '.join(ACTIONS)}."
            raise BadInput(f"{self.action!r} is no action of monitor {self.name!r}", field="action", mend=mend)
        if self.severity not in (1, 2, 3, 4):
            raise BadInput(f"severity {self.severity} of {self.name!r}", field="severity", mend="Give 1 (worst) to 4.")


def default_monitors(owner_of: Callable[[Layer | None], str]) -> list[Monitor]:
    """One monitor per signal, owned by whoever owns its layer (None: the outcomes)."""
    return [
        Monitor(
            name=signal.name,
            signal=signal.name,
            owner=owner_of(signal.layer),
            action=_action(signal),
            severity=_SEVERITY.get(signal.name, 3),
            runbook=_RUNBOOK[signal.layer],
        )
        for signal in SIGNALS.values()
    ]


def _action(signal: Signal) -> str:
    if signal.diagnostic:
        return "note"
    # People's thumbs are few and swayed by much besides the answer: they call a person, never a rollback.
    return "page" if signal.name == "thumb" else "rollback"

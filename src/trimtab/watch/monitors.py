"""Monitors: a signal with an owner, an action and a runbook. Nothing is owned by nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from trimtab.core import BadInput, Layer

from .arrivals import CONNECTED, SENT
from .measured_calls import BUDGET_LEFT
from .signals import ASKED_ONCE, JUDGED, SIGNALS, Signal, is_score, signal_of

#: What an alarm leads to: a line in an incident that is open anyway, a word to the owner, or also an action of the
#: machine, where it may act: see "what may happen without a person" in the decisions.
ACTIONS = (
    "note", "page", "rollback", "pause_rollout", "switch_route", "pin_model", "tighten_guard", "relax_guard",
)  # fmt: skip
#: How a fall is told: against the signal's own past, or against a fixed value.
DETECTORS = ("fall", "floor")

_SEVERITY = {
    "answered": 1, "admitted": 2, "allowed": 2, "attacks_stopped": 2, "cites": 2, "fresh": 2, "grounded": 2,
    "private": 2, "quality": 2, "retrieved": 2,
}  # fmt: skip

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
    """Who is told what about which signal. ``severity`` 1 is worst, 4 is a note. ``slice`` "" is all slices.

    ``detector`` is fall or floor. A fall is bet against the lower bound of the signal's own reference, lowered to
    ``threshold`` points below its mean where that is further down: a smaller fall is then no alarm. A floor is bet
    against ``threshold`` itself. The evidence that an alarm takes follows from the budget of all monitors together.
    ``objective`` is the share of good values that was promised; by it the incident's severity follows how fast the
    error budget burns. None is none.
    """

    name: str
    signal: str
    owner: str
    action: str
    severity: int
    runbook: str
    project: str = "default"
    slice: str = ""
    detector: str = "fall"
    threshold: float | None = None
    objective: float | None = None

    def validate(self) -> None:
        """Raise BadInput that names the field for an unknown signal, no owner, an unknown action, and whatever else
        cannot be."""
        if not self.name.strip():
            raise BadInput("a monitor needs a name", field="name", mend="Give it one.")
        if signal_of(self.signal) is None:
            mend = f"Use one of {', '.join(SIGNALS)}, or a live scorer's SET.SCORER."
            raise BadInput(f"{self.signal!r} is no signal", field="signal", mend=mend)
        if not self.owner.strip():
            raise BadInput(f"monitor {self.name!r} is owned by nobody", field="owner", mend="Name who gets the alarm.")
        for field, value, known_values in (("action", self.action, ACTIONS), ("detector", self.detector, DETECTORS)):
            if value not in known_values:
                mend = f"Use one of {', '.join(known_values)}."
                raise BadInput(f"{value!r} is no {field} of monitor {self.name!r}", field=field, mend=mend)
        if self.severity not in (1, 2, 3, 4):
            raise BadInput(f"severity {self.severity} of {self.name!r}", field="severity", mend="Give 1 (worst) to 4.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if self.detector == "floor" and self.threshold is None:
            mend = "Give the value below which the mean must not fall, such as 0.9."
            raise BadInput(f"the floor of {self.name!r} has no threshold", field="threshold", mend=mend)
        for field, value in (("threshold", self.threshold), ("objective", self.objective)):
            if value is not None and not 0.0 < value < 1.0:
                mend = "Give a number above 0 and below 1, or leave it out."
                raise BadInput(f"{value!r} of {self.name!r} is out of range", field=field, mend=mend)
        if self.objective is not None and not is_score(self.signal):
            mend = "Leave it out, or watch a signal that is a score, such as answered or quality."
            raise BadInput(
                f"{self.signal} is measured and no score; no budget of it is kept", field="objective", mend=mend
            )

    def bound(self, mean: float, low: float) -> float:
        """The value that a slice with this reference is bet against: an alarm says that its mean is below it."""
        if self.threshold is None:
            return low
        if self.detector == "floor":
            return self.threshold
        return min(low, max(0.0, mean - self.threshold))


_TEXTS = ("signal", "owner", "action", "runbook", "project", "slice", "detector")
_OPTIONAL = ("threshold", "objective")
_FIELDS = tuple(field.name for field in fields(Monitor) if field.name != "name")


def monitor_of(name: str, content: Mapping[str, Any]) -> Monitor:
    """The monitor that a version's content says, ``off`` or not. Raises BadInput that names the field."""
    if unknown := [key for key in content if key not in (*_FIELDS, "off")]:
        mend = f"Use {', '.join(_FIELDS)} or off."
        raise BadInput(f"a monitor has no {unknown[0]!r}", field=str(unknown[0])[:60], mend=mend)
    if not isinstance(content.get("off", False), bool):
        raise BadInput("must be true or false", field="off")
    for field in _TEXTS:
        if not isinstance(content.get(field, ""), str) or len(str(content.get(field, ""))) > 2000:
            raise BadInput("must be text of at most 2000 characters", field=field)
    for field in _OPTIONAL:
        value = content.get(field)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BadInput("must be a number", field=field, mend="Give 0 to 1, or leave it out.")
    severity = content.get("severity", 2)
    if isinstance(severity, bool) or not isinstance(severity, int):
        raise BadInput("must be a whole number", field="severity", mend="Give 1 (worst) to 4.")
    monitor = Monitor(
        name=name, severity=severity, signal=content.get("signal", ""), owner=content.get("owner", ""),
        action=content.get("action", ""), runbook=content.get("runbook", ""),
        project=content.get("project", "") or "default", slice=content.get("slice", ""),
        detector=content.get("detector", "") or "fall", threshold=content.get("threshold"),
        objective=content.get("objective"),
    )  # fmt: skip
    monitor.validate()
    return monitor


def content_of(monitor: Monitor) -> dict[str, Any]:
    """A monitor as the content of a version: what is as usual is left out, so equal monitors have equal digests."""
    usual = {"project": "default", "slice": "", "detector": "fall", "threshold": None, "objective": None, "runbook": ""}
    values = {field: getattr(monitor, field) for field in _FIELDS}
    return {field: value for field, value in values.items() if field not in usual or value != usual[field]}


def check_content(content: Mapping[str, Any]) -> None:
    """What a version of kind ``monitors`` must pass. Raises BadInput that names the field."""
    monitor_of("this monitor", content)


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
    # What people say and do is swayed by much besides the answer, and spans are lost on their way, whatever is in them:
    # these call a person, never a rollback. So does a budget that runs out, of a key or of the judge: what was spent
    # does not come back.
    called = ("thumb", ASKED_ONCE, "stayed", SENT, CONNECTED, BUDGET_LEFT, JUDGED)
    return "page" if signal.name in called else "rollback"

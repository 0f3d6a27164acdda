"""What people type of a monitor, read; and what stands there already, as it is typed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trimtab.core import BadInput
from trimtab.watch import ACTIONS, DETECTORS, SIGNALS, Monitor, content_of, monitor_of

from .words import fixed

MOST_TYPED = 2000
#: What each action is called where it is chosen.
ACTION_WORDS = {
    "note": "note: a line in an incident that is open anyway",
    "page": "page: tell the owner, a person decides",
    "rollback": "rollback: take the guilty change back",
    "pause_rollout": "pause_rollout: keep the share where it is",
    "switch_route": "switch_route: send it to the fallback",
    "pin_model": "pin_model: ask for the version before",
    "tighten_guard": "tighten_guard: back to the policy before",
    "relax_guard": "relax_guard: back to the policy before",
}
DETECTOR_WORDS = {"fall": "fall: below its own past", "floor": "floor: below the threshold"}
SEVERITIES = {"1": "1, worst: wakes people", "2": "2: wakes people", "3": "3: waits for the morning", "4": "4: a note"}
_TEXTS = ("signal", "slice", "owner", "action", "detector", "runbook")


def choices(more: Iterable[str] = ()) -> dict[str, list[tuple[str, str]]]:
    """Values and words of the fields that are chosen; ``more`` are live scores that can be watched too."""
    added = dict.fromkeys(name for name in more if name not in SIGNALS)
    return {
        "signal": [
            *((name, f"{signal.title}: {name}") for name, signal in SIGNALS.items()),
            *((name, f"Live scorer: {name}") for name in added),
        ],
        "action": [(action, ACTION_WORDS[action]) for action in ACTIONS],
        "detector": [(detector, DETECTOR_WORDS[detector]) for detector in DETECTORS],
        "severity": list(SEVERITIES.items()),
    }


def typed(monitor: Monitor | None) -> dict[str, str]:
    """A monitor as a form shows it; without one the empty form."""
    if monitor is None:
        empty = {"name": "", "signal": "quality", "action": "page", "detector": "fall", "severity": "2"}
        return {**dict.fromkeys(("slice", "owner", "runbook", "threshold", "objective"), ""), **empty}
    return {
        "name": monitor.name, **{field: getattr(monitor, field) for field in _TEXTS},
        "severity": str(monitor.severity), "threshold": _number_text(monitor.threshold),
        "objective": _number_text(monitor.objective),
    }  # fmt: skip


def as_typed(form: Mapping[str, Any], before: Mapping[str, str]) -> dict[str, str]:
    """What was typed, to be shown again beside the reason why it was refused."""
    return {name: str(form.get(name, old))[:MOST_TYPED] for name, old in before.items()}


def read(form: Mapping[str, Any], known: Monitor | None) -> Monitor:
    """The monitor that was typed. Raises BadInput naming the field."""
    content: dict[str, Any] = dict(content_of(known)) if known is not None else {}
    for field in _TEXTS:
        content[field] = str(form.get(field, "")).strip()
    severity = str(form.get("severity", ""))
    content["severity"] = int(severity) if severity in SEVERITIES else 0
    for field in ("threshold", "objective"):
        content[field] = _number(str(form.get(field, "")), field)
    name = known.name if known is not None else str(form.get("name", "")).strip()
    return monitor_of(name, {key: value for key, value in content.items() if value is not None})


def limit_of(monitor: Monitor) -> str:
    """The detector and its threshold in words."""
    if monitor.detector == "floor" and monitor.threshold is not None:
        return f"below {fixed(monitor.threshold)}"
    if monitor.threshold is not None:
        return f"a fall of {fixed(monitor.threshold * 100, 0)} points or more"
    return "any fall that is no chance"


def _number(text: str, field: str) -> float | None:
    text = text.strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{text[:40]!r} is no number.", field=field, mend="Give 0 to 1, or leave it empty.") from None


def _number_text(value: float | None) -> str:
    return "" if value is None else f"{value:.12g}"

"""What a team's own incidents say: how long each step took, and which layers they came from. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import Layer
from trimtab.stats import wilson

from .incident import LIVE, MACHINE, Incident


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """How long a step took, in seconds since the onset: the median and the 95th percentile of ``n`` incidents."""

    n: int
    median_s: float
    p95_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShare:
    """How many incidents came from a layer (0: no cause known), their share and its 95 % interval (Wilson)."""

    layer: int
    name: str
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A period's incidents. ``without_action`` are those that nobody acknowledged and nothing mitigated; ``by_machine``
    were mitigated without a person; ``reopened`` came back; of ``undone`` an action was taken back; ``owners`` counts
    them by owner."""

    n: int
    open: int
    took: Mapping[str, Took]
    layers: tuple[LayerShare, ...]
    without_action: tuple[int, ...]
    by_machine: int
    reopened: int
    undone: int
    owners: Mapping[str, int]


def figures(incidents: Sequence[Incident]) -> Figures:
    """The figures of these incidents."""
    layers = Counter(incident.layer or 0 for incident in incidents)
    return Figures(
        n=len(incidents),
        open=sum(i.state in LIVE for i in incidents),
        took={
            "detect": _took(i.alarm_ns - i.onset_ns for i in incidents if i.onset_ns and i.alarm_ns),
            "attribute": _took(i.verdict_ns - i.onset_ns for i in incidents if i.onset_ns and i.verdict_ns),
            "mitigate": _took(i.mitigated_ns - i.onset_ns for i in incidents if i.onset_ns and i.mitigated_ns),
        },
        layers=tuple(_share(layer, layers[layer], len(incidents)) for layer in sorted(layers)),
        without_action=tuple(
            i.id for i in incidents if not i.acknowledged_by and not i.mitigated_ns and not i.closed_ns
        ),
        by_machine=sum(any(e.kind == "action" and e.actor == MACHINE for e in i.events) for i in incidents),
        reopened=sum(any(e.kind == "reopened" for e in i.events) for i in incidents),
        undone=sum(any(d.state == "undone" for d in i.deeds) for i in incidents),
        owners=dict(Counter(i.owner for i in incidents).most_common()),
    )


def _took(spans_ns: Iterable[int]) -> Took:
    known = sorted(max(0, ns) / 1e9 for ns in spans_ns)
    return Took(n=len(known), median_s=_at(known, 0.5), p95_s=_at(known, 0.95))


def _at(known: Sequence[float], q: float) -> float:
    """The smallest value whose share of the values is at least ``q``; 0 of none."""
    return known[max(0, -int(-q * len(known) // 1) - 1)] if known else 0.0


def _share(layer: int, n: int, total: int) -> LayerShare:
    low, high = wilson(n, total)
    name = Layer(layer).name.lower() if layer else "no cause known"
    return LayerShare(layer=layer, name=name, n=n, share=n / total, low=low, high=high)

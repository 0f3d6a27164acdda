"""From marks to figures: the table on the screen and the JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from .baselines import NAMES
from .delays import NEVER
from .healthy import Healthy
from .scoring import Marks

#: What issue and facts ask for: figure, bound, and whether it is a least (True) or a most.
BARS: tuple[tuple[str, float, bool], ...] = (
    ("detected", 0.95, True),
    ("delay_20_median", 100, False), ("delay_20_p95", 200, False),
    ("delay_10_median", 300, False), ("delay_10_p95", 600, False),
    ("delay_5_median", 1200, False), ("delay_5_p95", 2500, False),
    ("deterministic_seconds_median", 30, False),
    ("layer_top1", 0.80, True), ("layer_top3", 0.95, True),
    ("exact_staged", 0.85, True), ("exact_instant", 0.70, True),
    ("proven_wrong", 0.01, False), ("unknown", 0.15, False),
    ("pairs_both", 0.70, True), ("baseline_margin", 0.20, True),
    ("false_alarms_per_million_requests", 1.0, False),
)  # fmt: skip
#: Requests a second in the simulated time.
RATE = 10.0


def figures(found: Sequence[Marks]) -> dict[str, Any]:
    """The figures of single faults. Faults that break nothing are left out and counted."""
    counted = [m for m in found if m.counts and not m.pair]
    seen = [m for m in counted if m.detected]
    ledger = [m for m in seen if not m.silent]
    result: dict[str, Any] = {
        "trials": len(counted),
        "without_impact": sorted({m.faults[0] for m in found if not m.counts and not m.pair}),
        "detected": share(m.detected for m in counted),
        "early_alarms": sum(m.early for m in counted),
        **_seconds(counted),
        "layer_top1": share(m.top1 for m in seen),
        "layer_top3": share(m.top3 for m in seen),
        "layer_top1_by_layer": {
            layer: share(m.top1 for m in seen if m.layers[0] == layer) for layer in (1, 2, 3, 4, 5)
        },
        "exact_staged": share(m.exact for m in seen if m.staged and not m.silent),
        "exact_instant": share(m.exact for m in seen if not m.staged and not m.silent),
        "exact_silent": share(m.exact for m in seen if m.silent),
        "exact_recorded": share(m.exact for m in ledger),
        "claims_proven": sum(m.proven for m in counted),
        "proven_wrong": _ratio(sum(m.proven_wrong for m in counted), sum(m.proven for m in counted)),
        "unknown": share(m.certainty == "unknown" for m in seen),
        "replays_per_incident": _ratio(sum(m.replays for m in counted), sum(m.incidents for m in counted)),
        "certainty": dict(Counter(m.certainty for m in seen)),
    }
    result["top1_by_certainty"] = {
        word: share(m.top1 for m in seen if m.certainty == word) for word in ("proven", "likely", "unknown")
    }
    result["baselines_layer"] = {name: _mean(m.baseline_layer[name] for m in seen) for name in NAMES}
    recorded = [m for m in ledger if m.baseline_change]
    result["baselines_change"] = {name: _mean(m.baseline_change[name] for m in recorded) for name in NAMES[:3]}
    best = max((v for v in result["baselines_layer"].values() if v is not None), default=None)
    top1 = result["layer_top1"]
    result["baseline_margin"] = round(top1 - best, 4) if best is not None and top1 is not None else None
    return result


def _seconds(counted: Sequence[Marks]) -> dict[str, Any]:
    """How long faults that reach everybody stay unseen, where every request is looked at and where a judge is asked."""
    sure = [m.requests / RATE for m in counted if m.detected and m.cost == "all" and m.reach == "all" and not m.staged]
    judged = [m.requests / RATE for m in counted if m.detected and m.cost != "all" and m.reach == "all"]
    return {
        "deterministic_seconds_median": round(median(sure), 1) if sure else None,
        "judged_seconds_median": round(median(judged), 1) if judged else None,
    }


def pair_figures(found: Sequence[Marks]) -> dict[str, Any]:
    """The figures of pairs: the share of those in which both layers were named."""
    pairs = [m for m in found if m.pair and m.counts]
    return {
        "pairs": len(pairs),
        "without_impact": sum(bool(m.pair and not m.counts) for m in found),
        "detected": share(m.detected for m in pairs),
        "pairs_both": share(m.found == 1.0 for m in pairs),
        "pairs_one": share(m.found > 0.0 for m in pairs),
        "by_kind": {
            kind: share(m.found == 1.0 for m in pairs if m.pair == kind) for kind in ("cascade", "disjoint", "masking")
        },
        "claims_proven": sum(m.proven for m in pairs),
        "claims_proven_wrong": sum(m.proven_wrong for m in pairs),
    }


def healthy_figures(found: Sequence[Healthy]) -> dict[str, Any]:
    """False alarms of all monitors together, with their 95 % upper bounds."""
    requests, values = sum(h.requests for h in found), sum(h.observations for h in found)
    alarms = sum(len(h.alarms) for h in found)
    if not requests:
        return {}
    return {
        "requests": requests,
        "observations": values,
        "false_alarms": alarms,
        "notes": sum(len(h.notes) for h in found),
        "false_alarms_per_million_requests": round(alarms / requests * 1e6, 2),
        "false_alarms_per_million_requests_at_most": round(poisson_upper(alarms) / requests * 1e6, 2),
        "false_alarms_per_million_observations": round(alarms / max(1, values) * 1e6, 3),
        "false_alarms_per_million_observations_at_most": round(poisson_upper(alarms) / max(1, values) * 1e6, 3),
        "scenarios": [asdict(h) for h in found],
    }


def bars(
    single: dict[str, Any], pairs: dict[str, Any], calm: dict[str, Any], delays: dict[str, Any]
) -> list[dict[str, Any]]:
    """Each bar with its figure and whether it holds; None is not measured, and a wait that is "never" does not."""
    alarms = {k: v for k, v in calm.items() if "per" in k}
    together = {**single, **delays, "pairs_both": pairs.get("pairs_both"), **alarms}
    rows = []
    for name, bound, least in BARS:
        value = together.get(name)
        held = None if value is None else value != NEVER and (value >= bound if least else value <= bound)
        rows.append({"figure": name, "value": value, "bar": bound, "at": "least" if least else "most", "held": held})
    return rows


def said(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [*_said_of_delays(result["delays"])]
    if result["options"]["only_delays"]:
        return "\n".join(lines)
    lines += ["", "figure (hard mode, types not tuned on)        value       bar"]
    for row in result["bars"]:
        sign = ">=" if row["at"] == "least" else "<="
        mark = {True: "ok", False: "MISSED", None: "-"}[row["held"]]
        lines.append(f"  {row['figure']:<40} {_short(row['value']):>9}   {sign} {row['bar']:<6} {mark}")
    lines.append("\ndumb rules on the same trials               layer    change")
    for name in NAMES:
        held = result["held_out"]
        layer, change = held["baselines_layer"].get(name), held["baselines_change"].get(name)
        lines.append(f"  {name:<40} {_short(layer):>8} {_short(change):>9}")
    own = result["held_out"]
    lines.append(f"  {'trimtab':<40} {_short(own['layer_top1']):>8} {_short(own['exact_recorded']):>9}")
    lines.append(f"\nby layer {own['layer_top1_by_layer']}, by certainty {own['top1_by_certainty']}")
    lines.append(
        f"tuned types: detected {_short(result['tuned']['detected'])}, top-1 {_short(result['tuned']['layer_top1'])}"
    )
    calm = result["healthy"]
    if calm:
        most = calm["false_alarms_per_million_requests_at_most"]
        lines.append(
            f"healthy: {calm['false_alarms']} alarms in {calm['requests']:,} requests, {calm['observations']:,} values;"
            f" at most {most} a million requests and"
            f" {calm['false_alarms_per_million_observations_at_most']} a million values"
        )
    fast, each = result["cost"]["throughput"], result["cost"]["per_request"]
    lines.append(
        f"cost: {fast['observations_per_second']:,} values a second on {fast['signal_slices']} signal-slices;"
        f" {each['watch_us']} us a request that comes alone ({each['watch_share_of_gateway']:.0%} of the"
        f" {each['gateway_us']:.0f} us that the gateway takes at full load; bench/watch.py measures that),"
        f" checks {each['checks_us']} us"
    )
    return "\n".join(lines)


def _said_of_delays(delays: dict[str, Any]) -> list[str]:
    """The waits at each fall with their intervals."""
    if not delays:
        return []
    lines = [f"\n{'scored requests to the alarm (95 % interval)':<46} trials   missed{'median':>21}{'p95':>25}"]
    for name in [key.removesuffix("_n") for key in delays if key.endswith("_n")]:
        cells = [
            f"{_short(delays[f'{name}_{word}'])} ({_short(delays[f'{name}_{word}_from'])} to"
            f" {_short(delays[f'{name}_{word}_to'])})"
            for word in ("median", "p95")
        ]
        what = f"a fall of {name.removeprefix('delay_')} points"
        missed = delays[f"{name}_missed"]
        lines.append(
            f"  {what:<44} {delays[f'{name}_n']:>6} {'-' if missed is None else f'{missed:.1%}':>8}"
            f" {cells[0]:>20} {cells[1]:>24}"
        )
    return lines


def share(values: Iterable[bool]) -> float | None:
    """The share of true ones; None of nothing."""
    return _mean(float(v) for v in values)


def poisson_upper(seen: int) -> float:
    """The 95 % upper bound of a count (one-sided, exact): the mean at which at most ``seen`` has a chance of 5 %."""
    low, high = float(seen), seen + 10.0 + 6.0 * math.sqrt(seen + 1.0)
    for _ in range(60):
        mean = (low + high) / 2.0
        chance = sum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(seen + 1))
        low, high = (mean, high) if chance > 0.05 else (low, mean)
    return high


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(sum(found) / len(found), 4) if found else None


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _short(value: object) -> str:
    return "-" if value is None else (f"{value:.3g}" if isinstance(value, float) else str(value))

"""How often the interval of a pass rate holds the true one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from worlds import judged, share

from trimtab.evals import Label, Scored, estimate
from trimtab.stats import JudgeTooWeak

#: True rate, TPR, TNR and how many labels.
WORLDS = (
    (0.75, 0.9, 0.8, 100), (0.75, 0.9, 0.8, 200), (0.75, 0.9, 0.8, 400),
    (0.9, 0.9, 0.8, 200), (0.5, 0.95, 0.95, 200), (0.75, 0.8, 0.75, 200),
)  # fmt: skip
TRACES = 1_000


def coverage(rng: np.random.Generator, runs: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Judge only, labels only, PPI++ on labelled traffic, and Rogan-Gladen with labels from elsewhere (half fail)."""
    rows = []
    for rate, tpr, tnr, n in WORLDS:
        held: dict[str, list[bool]] = {}
        width: dict[str, list[float]] = {}
        for _ in range(runs):
            for name, found in _methods(rng, n, rate, tpr, tnr).items():
                held.setdefault(name, []).append(found.low <= rate <= found.high)
                width.setdefault(name, []).append(found.high - found.low)
        methods = {name: {"covers": share(held[name]), "width": round(float(np.mean(width[name])), 4)} for name in held}
        rows.append({"labels": n, "rate": rate, "tpr": tpr, "tnr": tnr, **methods})
        say(f"estimates at {rate}, TPR {tpr}, TNR {tnr}, {n} labels")
    return rows


def _methods(rng: np.random.Generator, n: int, rate: float, tpr: float, tnr: float) -> dict[str, Any]:
    truth = rng.random(TRACES + n) < rate
    says = judged(rng, truth, tpr, tnr)
    scores = [Scored(case=f"c{i}", value=float(x), judge="j") for i, x in enumerate(says)]
    labels = [Label(case=f"c{i}", value=float(truth[i]), by="expert") for i in range(n)]
    elsewhere = rng.random(n) < 0.5
    known = [Scored(case=f"e{i}", value=float(x), judge="j") for i, x in enumerate(judged(rng, elsewhere, tpr, tnr))]
    outside = [Label(case=f"e{i}", value=float(x), by="expert") for i, x in enumerate(elsewhere)]
    checks = [Scored(case=label.case, value=label.value) for label in labels]
    found = {
        "judge only": estimate(scores[n:]),
        "labels only": estimate(checks),
        "ppi++": estimate(scores, labels=labels),
    }
    with suppress(JudgeTooWeak):  # refused, and no interval is given
        found["rogan-gladen"] = estimate(scores[n:], labels=outside, calibration_scores=known)
    return found

"""What it brings to draw labels by the judge's verdict, which is known before anybody labels, and whether figures hold.

Where failures are rare, more labels are drawn among the outputs that the judge fails, and each kind of verdict weighs
what it weighs among all outputs (two-phase sampling). Measured is what the product does: how a queue of so many labels
is allotted, kappa's interval, agreement, TPR and TNR of a calibration, the pass rate of the run by PPI++, and that of
other traffic by Rogan and Gladen with the error rates of such a calibration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from worlds import judged, kappa_cells, share

from trimtab.evals import Draw, Label, Scored, calibrate, estimate, split_labels
from trimtab.evals.run_judging import rates_of
from trimtab.review.gathering import allotted
from trimtab.stats import JudgeTooWeak, LabelStratum, cohen_kappa, look_alpha, normal_quantile, pooled, strata_deviance

BAR, POOL = 0.8, 1_000
#: Share of failures, TPR and TNR of worlds in which rates are measured, and how many labels.
WORLDS = ((0.5, 0.95, 0.95, 200), (0.2, 0.95, 0.85, 200), (0.1, 0.97, 0.8, 200), (0.1, 0.97, 0.8, 400))


def kappas(rng: np.random.Generator, runs: int) -> list[dict[str, Any]]:
    """Coverage of the 95 % interval and how often a judge is certified at the first look, of 300 labels."""
    z, bound = normal_quantile(0.975) ** 2, normal_quantile(1.0 - look_alpha(1)) ** 2
    found = []
    for people in (0.5, 0.2, 0.1):
        for kappa in (0.8, 0.9):
            cells = kappa_cells(kappa, people)
            q = cells[0] + cells[2]
            held = certified = 0
            for _ in range(runs):
                seen = _draw(rng, q, cells[0] / q, cells[1] / (1.0 - q), 300)
                held += strata_deviance(seen, kappa) <= z
                certified += cohen_kappa(pooled(seen)) > BAR and strata_deviance(seen, BAR) > bound
            found.append({"labels": 300, "pool": POOL, "failures": people, "kappa": kappa, "covers": share(held, runs),
                          "certified": share(certified, runs)})  # fmt: skip
    return found


def _draw(rng: np.random.Generator, q: float, failing: float, missed: float, n: int) -> list[LabelStratum]:
    failed = int(rng.binomial(POOL, q))
    counts = allotted({"fail": failed, "pass": POOL - failed}, n)
    hits, misses = int(rng.binomial(counts["fail"], failing)), int(rng.binomial(counts["pass"], missed))
    return [
        LabelStratum(size=failed, table=[[hits, 0], [counts["fail"] - hits, 0]]),
        LabelStratum(size=POOL - failed, table=[[0, misses], [0, counts["pass"] - misses]]),
    ]


def rates(rng: np.random.Generator, runs: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """How often the intervals of shares and of pass rates hold the truth."""
    rows = []
    for fails, tpr, tnr, n in WORLDS:
        truths = {"agreement": (1.0 - fails) * tpr + fails * tnr, "tpr": tpr, "tnr": tnr, "ppi++": 1.0 - fails,
                  "rogan-gladen": 0.75}  # fmt: skip
        held: dict[str, list[bool]] = defaultdict(list)
        width: dict[str, list[float]] = defaultdict(list)
        for _ in range(runs):
            for name, found in _rates(rng, fails, tpr, tnr, n).items():
                held[name].append(found.low <= truths[name] <= found.high)
                width[name].append(found.high - found.low)
        shares = {name: {"covers": share(held[name]), "width": round(float(np.mean(width[name])), 4)} for name in held}
        rows.append({"labels": n, "pool": POOL, "failures": fails, "tpr_true": tpr, "tnr_true": tnr, **shares})
        say(f"labels drawn by verdict, {fails:.0%} failures, {n} labels")
    return rows


def _rates(rng: np.random.Generator, fails: float, tpr: float, tnr: float, n: int) -> dict[str, Any]:
    truth = rng.random(POOL) >= fails
    scores, says = _scored(rng, truth, tpr, tnr)
    labels = []
    sides = {"fail": np.flatnonzero(~says), "pass": np.flatnonzero(says)}
    for side, count in allotted({name: len(cases) for name, cases in sides.items()}, n).items():
        drawn = str(Draw(stratum=f"run quality {side}", count=count, size=len(sides[side])))
        chosen = rng.permutation(sides[side])[:count]
        labels += [Label(case=f"c{i}", value=float(truth[i]), by="expert", drawn=drawn) for i in chosen]
    (found,) = calibrate(labels, {"": scores}, judge="j", split=split_labels(labels, test_share=1.0)).criteria
    known = rates_of(found, "bench", 0)
    elsewhere, _ = _scored(rng, rng.random(POOL) < 0.75, tpr, tnr)
    rows = {"agreement": found.agreement, "tpr": found.tpr, "tnr": found.tnr, "ppi++": estimate(scores, labels=labels)}
    with suppress(JudgeTooWeak):  # refused, and no interval is given
        rows["rogan-gladen"] = estimate(elsewhere, known=known, method="rogan-gladen")
    return {name: row for name, row in rows.items() if row is not None}


def _scored(rng: np.random.Generator, truth: Any, tpr: float, tnr: float) -> tuple[list[Scored], Any]:
    says = judged(rng, truth, tpr, tnr)
    return [Scored(case=f"c{i}", value=float(x), judge="j") for i, x in enumerate(says)], says

"""What the repeat-run report recovers of planted variances, and whether its flip rate's interval holds.

The case variance of 200 drawn cases is itself not that of the world they are drawn from: where each case's true rate
was known, the estimate would still be within 20 % in ``known rates`` of reports only. So the estimate is held against
both: the variance that was planted, and that of the cases that were drawn. The design is balanced, so the estimates
of the analysis of variance are those of REML too (Searle, Casella and McCulloch 1992, chapter 6.6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from worlds import STABLE, Suite, judged, scored, share

from trimtab.evals import Scored, stability

CASES, REPEATS, JUDGEMENTS = 200, 5, 2
PLANTED = {"case": 0.016, "generation": 0.008, "judge": 0.004}


def graded(rng: np.random.Generator) -> tuple[list[Scored], dict[str, float], float]:
    """Scores made of three independent parts, each uniform, so that all stay in 0 to 1."""
    case, generation, judge = (
        np.sqrt(12.0 * variance) * (rng.random(shape) - 0.5)
        for variance, shape in zip(
            PLANTED.values(), ((CASES, 1, 1), (CASES, REPEATS, 1), (CASES, REPEATS, JUDGEMENTS)), strict=True
        )
    )
    return _rows(0.5 + case + generation + judge), PLANTED, float(case.var(ddof=1))


def passing(rng: np.random.Generator) -> tuple[list[Scored], dict[str, float], float]:
    """Pass or fail: outputs that pass at their case's rate, seen by a judge that errs on 5 %."""
    rates = rng.beta(0.8 * 1.5, 0.2 * 1.5, (CASES, 1, 1))
    truth = rng.random((CASES, REPEATS, 1)) < rates
    says = judged(rng, np.repeat(truth, JUDGEMENTS, axis=2), 0.95, 0.95)
    spread = 0.8 * 0.2 / 2.5  # of a beta distribution with mean .8 and 1.5 observations' weight
    planted = {"case": 0.81 * spread, "generation": 0.81 * (0.16 - spread), "judge": 0.05 * 0.95}
    return _rows(says.astype(float)), planted, 0.81 * float(rates.var(ddof=1))


def _rows(values: Any) -> list[Scored]:
    return [
        Scored(case=f"c{i}", repeat=r, value=float(x), judge="j")
        for i, outputs in enumerate(values)
        for r, judgements in enumerate(outputs)
        for x in judgements
    ]


def components(rng: np.random.Generator, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The mean and the spread of estimated over planted, and how often one report is within 20 %."""
    result: dict[str, Any] = {}
    for name, world in (("graded", graded), ("pass or fail", passing)):
        found: dict[str, list[float]] = {}
        held: dict[str, list[bool]] = {}
        drawn: list[float] = []
        known: list[float] = []
        for _ in range(runs):
            scores, planted, of_drawn = world(rng)
            report = stability(scores).components
            for part, truth in planted.items():
                interval = getattr(report, part)
                found.setdefault(part, []).append(interval.value / truth)
                held.setdefault(part, []).append(interval.low <= truth <= interval.high)
            drawn.append(report.case.value / of_drawn if report.case is not None else 0.0)
            known.append(of_drawn / planted["case"])
        result[name] = {
            part: {
                "mean over planted": round(float(np.mean(ratios)), 3),
                "median error": round(float(np.median(np.abs(np.array(ratios) - 1.0))), 3),
                "within 20 %": share([abs(ratio - 1.0) <= 0.2 for ratio in ratios]),
                "covers": share(held[part]),
            }
            for part, ratios in found.items()
        }
        result[name]["case"]["within 20 % of the cases drawn"] = share([abs(ratio - 1.0) <= 0.2 for ratio in drawn])
        result[name]["case"]["known rates"] = share([abs(ratio - 1.0) <= 0.2 for ratio in known])
        say(f"components, {name}")
    return result


def flips(rng: np.random.Generator, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Coverage of the flip rate's interval, 200 cases x 5 repeats of a stable suite."""
    suite = Suite(STABLE)
    hardness = STABLE * np.random.default_rng(0).standard_normal(400_000)
    p = 1.0 / (1.0 + np.exp(-(suite.old + hardness)))
    truth = float((2.0 * p * (1.0 - p)).mean())
    held = []
    for _ in range(runs):
        _, old = suite.draw(rng, CASES, REPEATS)
        interval = stability(scored(old)).flips
        held.append(interval is not None and interval.low <= truth <= interval.high)
    say("flip rate")
    return {"true flip rate": round(truth, 4), "covers": share(held)}

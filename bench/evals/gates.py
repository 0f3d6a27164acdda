"""How often the gate is wrong, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from worlds import NOISY, STABLE, Suite, scored, share

from trimtab.evals import gate, power_of
from trimtab.stats import WORSE, AnytimeGate

PLANS = (("stable", STABLE, 300, 1), ("noisy", NOISY, 200, 3), ("stable", STABLE, 100, 1), ("noisy", NOISY, 300, 1))
PEEK, MOST = 25, 2_000
Say = Callable[[str], None]


def fixed(rng: np.random.Generator, runs: int, say: Say) -> list[dict[str, Any]]:
    """One look: at an unchanged build and at one that fell from 80 to 75 %."""
    rows = []
    for name, spread, cases, repeats in PLANS:
        row: dict[str, Any] = {"suite": name, "cases": cases, "repeats": repeats}
        for drop in (0.0, 0.05):
            suite = Suite(spread, drop=drop)
            answers = []
            for _ in range(runs):
                new, old = suite.draw(rng, cases, repeats)
                answers.append(gate(scored(new), scored(old)).answer)
            row[f"drop {drop:g}"] = {a: share([x == a for x in answers]) for a in ("pass", "fail", "cannot tell yet")}
            say(f"gate, {name} {cases} x {repeats}, drop {drop:g}")
        row["promised"] = round(power_of(cases=cases, repeats=repeats, steadiness=steadiness(spread)).power, 3)
        rows.append(row)
    return rows


def steadiness(spread: float) -> float:
    """The true share of single outcomes' spread that lies between cases."""
    suite = Suite(spread)
    p = 1.0 / (1.0 + np.exp(-(suite.old + spread * np.random.default_rng(0).standard_normal(200_000))))
    return float(1.0 - (p * (1.0 - p)).mean() / 0.16)


def anytime(rng: np.random.Generator, runs: int, say: Say) -> list[dict[str, Any]]:
    """Looked at every 25 cases up to 2,000: the betting gate, and beside it the ordinary one-sided z test."""
    rows = []
    for drop in (0.0, 0.05, 0.10):
        suite = Suite(STABLE, drop=drop)
        failed, ordinary, stops = 0, 0, []
        for _ in range(runs):
            new, old = suite.draw(rng, MOST, 1)
            differences = (new - old)[:, 0]
            machine = AnytimeGate(max_drop=0.05)
            for i, difference in enumerate(differences.tolist(), 1):
                machine.pair(difference)
                if i % PEEK == 0 and machine.answer == WORSE:
                    stops.append(i)
                    failed += 1
                    break
                if machine.answer not in (WORSE, "open"):
                    break
            n = np.arange(1, MOST + 1)
            mean = np.cumsum(differences) / n
            error = np.sqrt(np.maximum(np.cumsum(differences**2) / n - mean**2, 1e-12) / n)
            ordinary += bool((mean < -1.6449 * error)[PEEK - 1 :: PEEK].any())
        rows.append(
            {"drop": drop, "fails": share(failed, runs), "ordinary z test fails": share(ordinary, runs),
             "median stop": float(np.median(stops)) if stops else None,
             "90th centile": float(np.quantile(stops, 0.9)) if stops else None}
        )  # fmt: skip
        say(f"any time, drop {drop:g}")
    return rows

"""Kappa's interval, false certification and power."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from worlds import kappa_cells, share

from trimtab.stats import cohen_kappa, deviance, look_alpha, normal_quantile

BAR = 0.8
Say = Callable[[str], None]


def tables(rng: np.random.Generator, n: int, cells: Any, runs: int) -> list[tuple[list[list[float]], int]]:
    """Different tables with how often each was drawn."""
    drawn, counts = np.unique(rng.multinomial(n, cells, size=runs), axis=0, return_counts=True)
    found = []
    for (a, b, c, d), count in zip(drawn.tolist(), counts.tolist(), strict=True):
        if min(a + b, c + d) > 0 or min(a + c, b + d) > 0:
            found.append(([[float(a), float(b)], [float(c), float(d)]], count))
    return found


def coverage(rng: np.random.Generator, runs: int, say: Say) -> list[dict[str, Any]]:
    """How often the 95 % interval holds the true kappa: by the deviance at the truth, which is what bounds it."""
    z = normal_quantile(0.975)
    rows = []
    for n in (200, 500):
        for people in (0.5, 0.2, 0.1):
            for kappa in (0.6, 0.7, 0.8, 0.9, 0.95):
                seen = tables(rng, n, kappa_cells(kappa, people), runs)
                total = sum(count for _, count in seen)
                held = sum(count for t, count in seen if deviance(t, kappa) <= z * z or cohen_kappa(t) == kappa)
                bold = sum(c for t, c in seen if cohen_kappa(t) > kappa and deviance(t, kappa) > 1.6448536**2)
                rows.append(
                    {"labels": n, "failures": people, "kappa": kappa, "covers": share(held, total),
                     "lower_bound_too_high": share(bold, total)}
                )  # fmt: skip
            say(f"coverage, {n} labels, {people:.0%} failures")
    return rows


def certification(rng: np.random.Generator, runs: int, say: Say) -> dict[str, Any]:
    """Ten rubrics of one true kappa on the same 400 labels, 200 of them test."""
    result: dict[str, Any] = {}
    for kappa in (0.75, 0.8):
        naive = chosen = tried = 0
        cells = kappa_cells(kappa, 0.5).reshape(2, 2)
        right = cells / cells.sum(axis=1, keepdims=True)
        for _ in range(runs):
            people = rng.random(400) < 0.5
            says = rng.random((10, 400)) < right[people.astype(int), 1]
            dev = [table(people[:200], row[:200]) for row in says]
            test = [table(people[200:], row[200:]) for row in says]
            naive += max(cohen_kappa(t) for t in test) > BAR
            distances = [1.0 - cohen_kappa(t) for t in dev]
            order = sorted(range(10), key=distances.__getitem__)
            chosen += above(test[order[0]], look_alpha(1))
            tried += any(above(test[i], look_alpha(k)) for k, i in enumerate(order, 1))
        result[f"true kappa {kappa}"] = {
            "best point estimate of ten": share(naive, runs),
            "best of ten on dev, certified on test": share(chosen, runs),
            "all ten tried on test, the best of dev first": share(tried, runs),
        }
        say(f"certification at {kappa}")
    return result


def beyond(table: list[list[float]], alpha: float) -> bool:
    """Whether the bar is outside a one-sided bound: what kappa_lower and kappa_upper would say, without the search."""
    return deviance(table, BAR) > normal_quantile(1.0 - alpha) ** 2


def above(table: list[list[float]], alpha: float) -> bool:
    return cohen_kappa(table) > BAR and beyond(table, alpha)


def table(people: Any, judge: Any) -> list[list[float]]:
    cells = np.bincount(2 * people.astype(int) + judge.astype(int), minlength=4).astype(float)
    return [[cells[0], cells[1]], [cells[2], cells[3]]]


def power(rng: np.random.Generator, runs: int, say: Say) -> list[dict[str, Any]]:
    """How often a judge is certified at the first look."""
    rows = []
    for n in (200, 300, 500):
        for people in (0.5, 0.2, 0.1):
            for kappa in (0.85, 0.9):
                seen = tables(rng, n, kappa_cells(kappa, people), runs)
                total = sum(count for _, count in seen)
                passed = sum(count for t, count in seen if above(t, look_alpha(1)))
                failed = sum(count for t, count in seen if cohen_kappa(t) < BAR and beyond(t, look_alpha(1)))
                rows.append(
                    {"labels": n, "failures": people, "kappa": kappa, "certified": share(passed, total),
                     "wrongly_refused": share(failed, total)}
                )  # fmt: skip
        say(f"power, {n} labels")
    return rows

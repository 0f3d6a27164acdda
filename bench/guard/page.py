"""The page of the documentation that tells each scanner's figures."""

# ruff: noqa: E501 - paragraphs of Markdown are lines
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.guard import cards

_HEAD = """---
title: Guard scanners
updated: {date}
---

# Guard scanners

A policy names scanners from this list. `trimtab guard list` prints it with every option. `python bench/guard --docs` measures the figures and writes this page.

## How to read the figures

Recall is the share of the cases for a scanner that it found, false positives the share of harmless texts on which it fired, both with a 95 % interval (Wilson). "Made" are positives written for the bench: they say that a scanner does its work, not how it fares against people. "Hard" are harmless texts that use an attacker's words. The 319 beginnings of sentences were chosen because models go on with them in a toxic way: few are toxic themselves. Scanners that find what a policy lists, or that other libraries bring, have no figures. A row with `--data DIR` was measured on published sets, which [Guard models](guard-model.md) names, the others on the cases that come with Trimtab.

"""


def written(result: Mapping[str, Any]) -> str:
    """The whole page."""
    suites = result["suites"]
    dates = [suite["date"] for suite in suites.values()]
    parts = [_HEAD.format(date=max(dates, default=""))]
    parts.append("## The scanners\n\n")
    parts += [f"- `{card['name']}` ({', '.join(card['stages'])}): {card['description']}\n" for card in cards()]
    parts.append(
        "\n## Figures\n\n| scanner or suite | recall | false positives | date | option |\n|---|---|---|---|---|\n"
    )
    for name, suite in suites.items():
        if isinstance(suite.get("recall"), Mapping):
            label = f"`{suite['scanner']}`" if "scanner" in suite else f"default policy: {name}"
            label += f", {suite['on']}" if "on" in suite else ""
            made = " (made)" if "positives" in suite else ""
            option = "`" + suite["command"].removeprefix("python bench/guard ") + "`"
            hard = suite.get("hard_false_positives") or {}
            false = [_rate(suite["false_positives"])] if suite["false_positives"].get("n") else []
            false += [f"hard {_rate(hard)}"] if hard.get("n") else []
            found = f"{_rate(suite['recall'])}{made} | {'; '.join(false) or 'not measured'}"
            parts.append(f"| {label} | {found} | {suite['date']} | {option} |\n")
    parts.append(_cost(suites))
    return "".join(parts)


def _rate(rate: Mapping[str, Any]) -> str:
    if not rate.get("n"):
        return "not measured"
    return f"{rate['share'] * 100:.1f} % ({rate['low'] * 100:.1f} to {rate['high'] * 100:.1f}) of {rate['n']}"


def _cost(suites: Mapping[str, Any]) -> str:
    scan, patterns, megabyte = (suites.get(name, {}) for name in ("scan", "patterns", "megabyte"))
    lines = ["\n## Cost\n\nCPU time of one core.\n\n| what | p50 | p95 |\n|---|---|---|\n"]
    for stage in ("input", "output", "reading"):
        if stage in scan:
            name = "undoing disguises alone" if stage == "reading" else f"default policy, {stage}, 2,000 characters"
            lines.append(f"| {name} | {scan[stage]['p50_ms']} ms | {scan[stage]['p95_ms']} ms |\n")
    if patterns:
        lines.append(f"| {patterns['rules']} pattern rules | {patterns['p50_ms']} ms | {patterns['p95_ms']} ms |\n")
    worst = max((each["seconds"] for each in megabyte.values() if isinstance(each, Mapping)), default=0)
    if worst:
        lines.append(f"\nThe worst of {len(_texts(megabyte))} hostile megabytes took {worst} s.\n")
    if steps := suites.get("steps"):
        lines.append(f"The longest step in a thread took {steps['longest_ms']} ms.\n")
    return "".join(lines)


def _texts(megabyte: Mapping[str, Any]) -> list[str]:
    return [name for name, each in megabyte.items() if isinstance(each, Mapping)]

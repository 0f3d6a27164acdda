"""One text tried against a policy, with everything that a person wants to see of it: nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .entries import ScannerEntry
from .policy import Policy
from .scanner import Match
from .text import Context, Text, encodable, read
from .verdicts import SEVERITY, Finding, Verdict
from .written import TIERS

#: Characters of a text that may be tried, and readings of it that are shown.
LONGEST, READINGS = 20_000, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What one scanner or pattern rule said. ``score`` is its highest, also below the threshold; None where it found
    nothing. ``action`` is what it would do, empty where it stays silent."""

    rule: str
    score: float | None
    threshold: float
    action: str = ""
    kind: str = ""
    note: str = ""
    failed: str = ""
    ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of the text; ``action`` is the hardest that was found within it, empty where nothing was."""

    text: str
    action: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAs:
    """One way to read the text: what was undone for it, and what it then says."""

    how: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The verdict on a text and how it came about. ``ms`` is the time of the verdict alone."""

    verdict: Verdict
    readings: tuple[ReadAs, ...]
    rows: tuple[Tried, ...]
    parts: tuple[Part, ...]
    ms: float


def trial(policy: Policy, stage: str, text: str, context: Context, tier: str = "low") -> Trial:
    """Try a text at a stage. No judge is asked: what would be escalated says so."""
    text = encodable(text)
    began = time.perf_counter()
    verdict = policy.scan(stage, text, context=context, tier=tier)
    taken = (time.perf_counter() - began) * 1000
    reading = read(text, context=context)
    rules = policy.stages.get(stage)
    entries = rules.entries if rules is not None else ()
    asked = [entry for entry in entries if entry.applies(context.source, TIERS.index(tier))]
    rows = [_by_scanner(entry, reading) for entry in asked]
    if rules is not None and context.source != "document":
        found = {finding.rule: finding for finding in rules.by_rules(reading.readings)}
        rows += [_by_rule(rule.name, found.get(rule.name)) for rule in rules.rules]
    further = [ReadAs(how=each.how, text=each.text) for each in reading.readings if each.text != text]
    return Trial(
        verdict=verdict, readings=tuple(further[:READINGS]), rows=tuple(rows), parts=parts(text, verdict.findings),
        ms=taken,
    )  # fmt: skip


def _by_scanner(entry: ScannerEntry, reading: Text) -> Tried:
    began = time.perf_counter()
    try:
        matches: Sequence[Match] = entry.scan(reading)
    # house: except because a scanner may be anybody's code, and its failure is what is to be shown
    except Exception as error:
        failed = f"it crashed ({type(error).__name__})"
        return Tried(rule=entry.name, score=None, threshold=entry.threshold, failed=failed)
    taken = (time.perf_counter() - began) * 1000
    surest = max(matches, key=lambda match: match.score, default=None)
    if surest is None:
        return Tried(rule=entry.name, score=None, threshold=entry.threshold, ms=taken)
    return Tried(
        rule=entry.name, score=surest.score, threshold=entry.threshold, kind=surest.kind, note=surest.note, ms=taken,
        action=entry.action if surest.score >= entry.threshold else "",
    )  # fmt: skip


def _by_rule(name: str, found: Finding | None) -> Tried:
    """A rule of patterns either matches or does not."""
    return Tried(
        rule=name, score=None if found is None else 1.0, threshold=1.0, action="" if found is None else found.action
    )  # fmt: skip


def parts(text: str, findings: Sequence[Finding]) -> tuple[Part, ...]:
    """The text cut where findings begin and end. Where they overlap, the hardest action counts."""
    inside = [each for each in findings if 0 <= each.start < each.end <= len(text)]
    edges = sorted({0, len(text), *(each.start for each in inside), *(each.end for each in inside)})
    found: list[Part] = []
    for start, end in pairwise(edges):
        over = [each.action for each in inside if each.start <= start and end <= each.end]
        action = max(over, key=SEVERITY.__getitem__, default="")
        if found and found[-1].action == action:
            found[-1] = Part(text=found[-1].text + text[start:end], action=action)
        else:
            found.append(Part(text=text[start:end], action=action))
    return tuple(found)

"""The guard's canaries: attacks that the live policy must stop, and good requests that it must let through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from trimtab.core import NotFound
from trimtab.evals import cases_of
from trimtab.guard import DEFAULT_ADDRESS, Case, Policy, compile_policy, measure

from . import canaries
from .fall import Flips, flips, named
from .found import Found, Job, standing

#: Cases of the team's dataset at most.
MOST_CASES = 500
#: A dataset's tag that makes a case content of a document or a tool.
SOURCE = "source"


async def guard_attacks(job: Job) -> Found:
    """Whether attacks are still stopped."""
    return await _run(job, stopping=True)


async def guard_benign(job: Job) -> Found:
    """Whether good requests still pass."""
    return await _run(job, stopping=False)


async def _run(job: Job, *, stopping: bool) -> Found:
    declared = job.declared
    version = standing(job.registry, declared.target or DEFAULT_ADDRESS, "guards")
    cases = _cases(job, attack=stopping)
    policy = compile_policy(version.content)
    # In a thread: some forty scans hold up nobody.
    now, failures = await asyncio.to_thread(_right, policy, cases, stopping)
    if not now:
        raise NotFound("The dataset holds no cases.", field=f"probes.{declared.name}.dataset", mend="Add some.")
    kept = job.state.get("reference", {})
    reference = {name: bool(kept[name]) for name in now if name in kept}
    # A case that is new has nothing to fall from: it joins the reference as it is.
    reference |= {name: right for name, right in now.items() if name not in reference}
    found = flips(reference, now)
    floor, tolerance = declared.option("floor"), declared.option("tolerance")
    low = found.share < floor
    verb = "stops" if stopping else "lets through"
    what = "attacks" if stopping else "good requests"
    text = f"{version.pin} {verb} {found.passed} of {found.n} {what}"
    if found.lost:
        text += f"; no longer {named(found.lost)}"
    if low:
        text += f"; less than the least share of {floor:g}"
    if failures:
        text += f"; scanners failed on {failures} of them"
    alarm = low or found.fell(tolerance) or failures > tolerance * found.n
    return Found(
        verdict="alarm" if alarm else "ok", text=f"{text}.", state={"reference": reference, "pin": version.pin},
        value=found.share, usual=found.usual, limit=max(floor, found.usual - tolerance), asset=version.name,
        pin=version.pin, detail=_detail(found, failures, now),
    )  # fmt: skip


def _right(policy: Policy, cases: Mapping[str, Case], stopping: bool) -> tuple[dict[str, bool], int]:
    """Whether each case was dealt with as it ought to be, and on how many a scanner failed."""
    right, failed = {}, 0
    for name, case in cases.items():
        report = measure(policy, [case])
        stopped = any(rate.hits for rate in report.joint.values())
        right[name] = stopped is stopping
        failed += bool(report.failures)
    return right, failed


def _cases(job: Job, *, attack: bool) -> dict[str, Case]:
    found = dict(canaries.attacks() if attack else canaries.good())
    if job.declared.dataset:
        version = standing(job.registry, job.declared.dataset, "datasets")
        for case in cases_of(version.content)[:MOST_CASES]:
            if case.input.strip():
                name = case.id or f"case_{case.identity}"
                found[name] = Case(
                    text=case.input, attack=attack, group=name, source=str(case.tags.get(SOURCE, "user"))
                )
    return found


def _detail(found: Flips, failures: int, now: Mapping[str, bool]) -> dict[str, Any]:
    wrong = [name for name, right in now.items() if not right]
    return {"lost": list(found.lost)[:50], "won": list(found.won)[:50], "wrong": wrong[:50], "failures": failures}

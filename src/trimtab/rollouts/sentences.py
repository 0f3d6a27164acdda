"""Rollouts in words: one clause a guard, filled from its figures."""

from __future__ import annotations

from .judging import Judgement

MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    """``5 %``, ``2.5 %``."""
    return f"{share * 100:.4g} %"


def points(difference: float, digits: int = 1) -> str:
    """A difference of means as points with its sign: ``−4.2``."""
    text = f"{difference * 100:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", MINUS)


def title(metric: str) -> str:
    """A metric's name for people."""
    return {"latency": "latency limit kept", "cost": "cost limit kept"}.get(metric, metric.replace("_", " "))


def answers_of(n: int) -> str:
    """``1 answer``, ``1,200 answers``."""
    return f"{n:,} answer" if n == 1 else f"{n:,} answers"


def evidence(e_value: float) -> str:
    """Evidence against a hypothesis; beyond a million the figure says no more."""
    return f"{e_value:,.0f}" if e_value < 1e6 else "over 1,000,000"


def duration(seconds: float) -> str:
    """One unit, rounded up, so that what is left is never said to be nothing."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds > 1.5 * length:
            return f"{-(-seconds // length):.0f} {unit}"
    return f"{-(-seconds // 1):.0f} s"


def clause(judgement: Judgement) -> str:
    """Where a guard stands: ``cites −0.4 points (−2.9 to +1.8) over 412 answers``."""
    return f"{title(judgement.metric)} {figures(judgement)}"


def figures(judgement: Judgement) -> str:
    """A guard's difference, its interval and what it rests on."""
    j = judgement
    span = f"{points(j.low)} to {points(j.high)}"
    n = answers_of(j.candidate_n or j.pairs) if j.candidate_n or not j.pairs else f"{j.pairs:,} pairs"
    return f"{points(j.difference)} points ({span}) over {n}"


def harmed(judgement: Judgement) -> str:
    """The reason of a rollback: ``cites is worse: …``."""
    j = judgement
    means = f"{j.candidate_mean:.2f} against {j.base_mean:.2f}, " if j.candidate_n and j.base_n else ""
    return (
        f"{title(j.metric)} is worse: {means}{figures(j)}, evidence {evidence(j.harm)} of {j.harm_needed:,.0f} needed"
    )


def undecided(judgement: Judgement) -> str:
    """What a guard that has not passed still needs."""
    j = judgement
    if j.state == "not_measured":
        return f"{title(j.metric)} was not measured"
    if not j.candidate_n and not j.pairs:
        return f"{title(j.metric)} was not measured on the candidate"
    if j.more is None:
        return f"{clause(j)}, not to be told from {points(-j.width)} at this difference"
    return f"{clause(j)}, about {j.more:,} more to tell it from {points(-j.width)}"

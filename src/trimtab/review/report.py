"""How far people agree, and how far they may be relied on. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from trimtab.core import BadInput
from trimtab.stats import Interval, alpha_interval, confusion, kappa_interval, rate_interval

from .queue import BAD, REVIEW, SAVED, SETTLE, SKIPPED, Item, Mark, Queue

#: A person who may miss every second bad answer is no oversight.
LEAST_CATCH = 0.5
#: Planted bad answers below which nothing is said of a person.
FEW_PLANTED = 10
#: Items that two people share below which their agreement is called too few.
FEW_SHARED = 20
#: An item that was open longer was left, not read.
_LONGEST_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversight:
    """One person. ``caught`` is the share of planted bad answers to which they said "no" and ``false_alarms`` that of
    planted good ones, both with 95 % intervals; None until their batch is finished, or where none was planted.
    ``seconds`` is the median time of an item."""

    who: str
    owed: int
    saved: int
    skipped: int
    finished: bool
    cannot_tell: int
    seconds: float | None
    caught: Interval | None
    false_alarms: Interval | None
    reliable: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAgreement:
    """Two people and one criterion, over ``n`` items that both decided; kappa None where it does not exist."""

    first: str
    second: str
    criterion: str
    n: int
    agreement: Interval
    kappa: Interval | None
    few: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionAgreement:
    """Everybody on one criterion: Krippendorff's alpha, None where it does not exist."""

    criterion: str
    ask: str
    yes: int
    no: int
    cannot_tell: int
    alpha: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A queue's people. ``reliable`` is True when everybody who finished was measured and is above the bar."""

    queue: str
    people: tuple[Oversight, ...]
    pairs: tuple[PairAgreement, ...]
    criteria: tuple[CriterionAgreement, ...]
    items: int
    disputed: int
    settled: int
    reliable: bool
    why: str


def report(queue: Queue, items: Sequence[Item], marks: Sequence[Mark]) -> Report:
    """Everything that is said of a queue. Planted items count for nothing but the people's own rates."""
    known = {item.position: item.known for item in items}
    people = tuple(
        _oversight(expert.who, [m for m in marks if m.reviewer == expert.who and m.role == REVIEW], known)
        for expert in queue.experts
    )
    said = [m for m in marks if m.state == SAVED and m.role == REVIEW and not known.get(m.position)]
    open_items = disputes(queue, items, marks)
    settled = {m.position for m in marks if m.role == SETTLE}
    finished = [person for person in people if person.finished]
    weak = [person for person in finished if not person.reliable]
    if not finished:
        why = "nobody has finished yet."
    elif weak:
        why = f"too weak to rely on: {'; '.join(f'{person.who}, {person.why}' for person in weak)}"
    else:
        why = "everybody who finished catches more than half of the planted errors, by the lower bound."
    return Report(
        queue=queue.id, people=people, pairs=tuple(_pairs(queue, said)), criteria=tuple(_criteria(queue, said)),
        items=sum(not item.known for item in items), disputed=len(open_items), settled=len(settled),
        reliable=bool(finished) and not weak, why=why,
    )  # fmt: skip


def disputes(queue: Queue, items: Sequence[Item], marks: Sequence[Mark]) -> list[int]:
    """Positions of the items on which people who are done said yes and no to one criterion, and nobody settled it."""
    planted = {item.position for item in items if item.known}
    settled = {mark.position for mark in marks if mark.role == SETTLE}
    said: dict[tuple[int, str], set[float]] = defaultdict(set)
    for mark in marks:
        if mark.role == REVIEW and mark.state == SAVED and mark.done_ns:
            for name, value in mark.verdicts.items():
                if value is not None:
                    said[mark.position, name].add(value)
    split = {position for (position, _), values in said.items() if len(values) > 1}
    return sorted(split - planted - settled)


def oversight_of(who: str, items: Sequence[Item], marks: Sequence[Mark]) -> Oversight:
    """One person's figures, for the page that ends their batch."""
    known = {item.position: item.known for item in items}
    return _oversight(who, [m for m in marks if m.reviewer == who and m.role == REVIEW], known)


def _oversight(who: str, marks: Sequence[Mark], known: Mapping[int, str]) -> Oversight:
    saved = [mark for mark in marks if mark.state == SAVED]
    finished = bool(marks) and all(mark.done_ns for mark in marks)
    planted = (
        [(known.get(m.position, ""), float(m.refuses)) for m in saved if known.get(m.position)] if finished else []
    )
    bad = [refused for kind, refused in planted if kind == BAD]
    good = [refused for kind, refused in planted if kind != BAD]
    caught = rate_interval(bad) if bad else None
    times = [min(_LONGEST_S, (m.saved_ns - m.shown_ns) / 1e9) for m in saved if 0 < m.shown_ns <= m.saved_ns]
    reliable, why = _judged(caught, finished=finished)
    return Oversight(
        who=who, owed=len(marks), saved=len(saved), skipped=sum(m.state == SKIPPED for m in marks), finished=finished,
        cannot_tell=sum(value is None for m in saved for value in m.verdicts.values()),
        seconds=median(times) if times else None, caught=caught,
        false_alarms=rate_interval(good) if good else None, reliable=reliable, why=why,
    )  # fmt: skip


def _judged(caught: Interval | None, *, finished: bool) -> tuple[bool, str]:
    if not finished:
        return False, "not finished"
    if caught is None:
        return False, "not measured: no bad answer was planted"
    found = f"caught {round(caught.value * caught.n)} of {caught.n} planted errors"
    if caught.n < FEW_PLANTED:
        return False, f"{found}: {FEW_PLANTED} or more are needed to say anything"
    if caught.low < LEAST_CATCH:
        return False, f"{found}: the lower bound is {caught.low:.2f}, below {LEAST_CATCH:g}"
    return True, f"{found}: the lower bound is {caught.low:.2f}"


def _pairs(queue: Queue, said: Sequence[Mark]) -> list[PairAgreement]:
    by_person: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for mark in said:
        for name, value in mark.verdicts.items():
            if value is not None:
                by_person[mark.reviewer, name][mark.position] = int(value)
    found: list[PairAgreement] = []
    for criterion in queue.criteria:
        for a, b in combinations((expert.who for expert in queue.experts), 2):
            mine, theirs = by_person[a, criterion.name], by_person[b, criterion.name]
            both = [(mine[position], theirs[position]) for position in mine if position in theirs]
            if not both:
                continue
            found.append(
                PairAgreement(
                    first=a, second=b, criterion=criterion.name, n=len(both),
                    agreement=rate_interval([float(x == y) for x, y in both]), kappa=_kappa(both),
                    few=len(both) < FEW_SHARED,
                )
            )  # fmt: skip
    return found


def _kappa(both: Sequence[tuple[int, int]]) -> Interval | None:
    try:
        return kappa_interval(confusion(both, (0, 1)))
    except BadInput:  # both used one and the same verdict only
        return None


def _criteria(queue: Queue, said: Sequence[Mark]) -> list[CriterionAgreement]:
    found: list[CriterionAgreement] = []
    for criterion in queue.criteria:
        units: dict[int, list[float]] = defaultdict(list)
        unsure = 0
        for mark in said:
            value = mark.verdicts.get(criterion.name)
            if value is None:
                unsure += criterion.name in mark.verdicts
            else:
                units[mark.position].append(value)
        values = [value for unit in units.values() for value in unit]
        try:
            alpha = alpha_interval([unit for unit in units.values() if len(unit) > 1])
        except BadInput:
            alpha = None
        found.append(
            CriterionAgreement(
                criterion=criterion.name, ask=criterion.ask, yes=sum(v > 0 for v in values),
                no=sum(v == 0 for v in values), cannot_tell=unsure, alpha=alpha,
            )
        )  # fmt: skip
    return found

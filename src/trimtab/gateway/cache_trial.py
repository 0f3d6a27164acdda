"""What a semantic cache would have answered, measured on questions and answers that there were. Pure.

Every question is compared, as the cache would do it, with the earlier ones that share everything else. The nearest one
is what a threshold at or below its cosine would have answered with, and how alike the two answers are says whether that
would have been right. The same question word for word is left out: the exact cache has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul

from trimtab.stats import wilson

from .cache import COMPARED, signs_of, unit

#: The thresholds of a table, dearest first.
THRESHOLDS = (0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.90, 0.87, 0.84, 0.80)
#: Fewer hits than this speak for no threshold.
FEW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request: ``group`` is everything but its question, ``meaning`` and ``answer_meaning`` the vectors of both."""

    group: str
    question: str
    answer: str
    meaning: Sequence[float]
    answer_meaning: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A question and the nearest earlier one: how near they are, and how alike their answers."""

    question: str
    earlier: str
    cosine: float
    answers: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One threshold. ``share`` of all questions would have been hits; ``differing`` of those had another answer, at
    most ``bound`` of them (95 %, one-sided)."""

    threshold: float
    hits: int
    share: float
    differing: int
    bound: float


def nearest(asked: Iterable[Asked], entries: int = 1000) -> list[Near]:
    """For each question, oldest first, the nearest of the last ``entries`` before it, where there is one."""
    groups: dict[str, dict[str, tuple[int, tuple[float, ...], Asked]]] = defaultdict(dict)
    found: list[Near] = []
    for one in asked:
        vector, before = unit(one.meaning), groups[one.group]
        if not vector:
            continue
        signs = signs_of(vector)
        if one.question not in before:
            close = sorted(before.values(), key=lambda entry: (entry[0] ^ signs).bit_count())[:COMPARED]
            ranked = [(sum(map(mul, vector, other)), there) for _, other, there in close if len(other) == len(vector)]
            if ranked:
                cosine, there = max(ranked, key=lambda pair: pair[0])
                alike = sum(map(mul, unit(one.answer_meaning), unit(there.answer_meaning)))
                found.append(Near(question=one.question, earlier=there.question, cosine=cosine, answers=alike))
        before.pop(one.question, None)
        before[one.question] = (signs, vector, one)
        if len(before) > entries:
            del before[next(iter(before))]
    return found


def table(near: Sequence[Near], questions: int, same: float) -> list[Row]:
    """What each threshold would have done among so many ``questions``; answers with a cosine below ``same`` differ."""
    rows = []
    for threshold in THRESHOLDS:
        hits = [one for one in near if one.cosine >= threshold]
        differing = sum(one.answers < same for one in hits)
        rows.append(
            Row(
                threshold=threshold,
                hits=len(hits),
                share=len(hits) / questions if questions else 0.0,
                differing=differing,
                bound=wilson(differing, len(hits), z=1.645)[1] if hits else 1.0,
            )
        )
    return rows


def advised(rows: Sequence[Row], most: float) -> Row | None:
    """The lowest threshold at which surely no more than ``most`` of the hits had another answer; of several that have
    the same hits the highest, since nothing speaks for the others."""
    best = next((row for row in reversed(rows) if row.hits >= FEW and row.bound <= most), None)
    return best and next(row for row in rows if row.hits == best.hits)

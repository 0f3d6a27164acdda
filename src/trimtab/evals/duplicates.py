"""Near duplicates among cases, and what leaks from one split into another. Exact, and without a model.

Two texts are near when the Jaccard similarity of their shingles (five characters of the text in lower case) is at least
the threshold. Pairs are found by prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): in
one order of all shingles, rarest first, two near sets share a shingle within their first ``n - ceil(t n) + 1``. So no
pair is missed, and few are compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .dataset import Case

NEAR = 0.8
_SIZE = 5
#: Characters of a text that are looked at, pairs that are reported.
_SHOWN, MAX_PAIRS = 4_000, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """Two cases that are nearly the same: their ids, how near in (0, 1], and the splits that they stand in."""

    first: str
    second: str
    similarity: float
    splits: tuple[str, str] = ("", "")

    @property
    def leaks(self) -> bool:
        """Whether they stand in different splits."""
        return self.splits[0] != self.splits[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a dataset's check found. ``torn`` are groups that stand in several splits. ``unknown_origin`` counts cases
    that say neither where they are from nor from which trace. ``cut`` says that there are more pairs than shown."""

    cases: int
    splits: dict[str, int]
    near: tuple[Near, ...]
    torn: tuple[str, ...]
    empty_expected: int
    unknown_origin: int
    cut: bool = False

    @property
    def leaks(self) -> tuple[Near, ...]:
        """The pairs across splits."""
        return tuple(pair for pair in self.near if pair.leaks)

    @property
    def clean(self) -> bool:
        """Whether nothing is near anything, and no group is torn."""
        return not (self.near or self.torn)


def check_cases(
    cases: Sequence[Case], threshold: float = NEAR, *, held_out: Mapping[str, Sequence[Case]] | None = None
) -> Check:
    """Look for near duplicates, leaks between splits and torn groups. Takes a second for 10,000 questions.

    ``held_out`` are the cases of other sets, such as golden ones, by what they are: what is near one of them is a leak.
    """
    golden = [(case, name) for name, kept in (held_out or {}).items() for case in kept]
    every = [*((case, case.split) for case in cases), *golden]
    near = []
    for first, second, similarity in near_pairs([_text(case) for case, _ in every], threshold):
        if first < len(cases):  # what golden sets share is no matter of this dataset
            (one, here), (other, there) = every[first], every[second]
            near.append(Near(first=one.id, second=other.id, similarity=similarity, splits=(here, there)))
    near.sort(key=lambda pair: (not pair.leaks, -pair.similarity, pair.first, pair.second))
    splits: dict[str, set[str]] = {}
    for case in cases:
        if case.group:
            splits.setdefault(case.group, set()).add(case.split)
    return Check(
        cases=len(cases),
        splits=dict(Counter(case.split for case in cases)),
        near=tuple(near[:MAX_PAIRS]),
        torn=tuple(sorted(group for group, found in splits.items() if len(found) > 1)),
        empty_expected=sum(not case.expected for case in cases),
        unknown_origin=sum(not (case.origin or case.source_trace) for case in cases),
        cut=len(near) > MAX_PAIRS,
    )


def near_pairs(texts: Sequence[str], threshold: float = NEAR) -> list[tuple[int, int, float]]:
    """Every pair of positions whose texts are near, with their similarity; the earlier position first."""
    sets = [shingles(text) for text in texts]
    often = Counter(shingle for found in sets for shingle in found)
    order = sorted(range(len(sets)), key=lambda n: len(sets[n]))
    index: dict[str, list[int]] = {}
    pairs: list[tuple[int, int, float]] = []
    for n in order:  # shorter ones first: whoever is in the index has at most as many shingles
        mine = sets[n]
        if not mine:
            continue
        least = math.ceil(threshold * len(mine) - 1e-9)
        rare = sorted(mine, key=lambda shingle: (often[shingle], shingle))[: len(mine) - least + 1]
        for other in _candidates(index, rare, sets, least):
            shared = len(mine & sets[other])
            similarity = shared / (len(mine) + len(sets[other]) - shared)
            if similarity >= threshold:
                pairs.append((min(n, other), max(n, other), similarity))
        for shingle in rare:
            index.setdefault(shingle, []).append(n)
    return sorted(pairs)


def shingles(text: str) -> set[str]:
    """The runs of five characters of a text, in lower case and with single spaces; a shorter text is one of its own."""
    flat = " ".join(text.lower().split())
    if len(flat) <= _SIZE:
        return {flat} if flat else set()
    return {flat[n : n + _SIZE] for n in range(len(flat) - _SIZE + 1)}


def _candidates(index: dict[str, list[int]], rare: Iterable[str], sets: Sequence[set[str]], least: int) -> set[int]:
    return {other for shingle in rare for other in index.get(shingle, ()) if len(sets[other]) >= least}


def _text(case: Case) -> str:
    said = [case.input, *(str(value) for _, value in sorted(case.variables.items()))]
    return "\n".join(said)[:_SHOWN]

"""Examples for a judge, from what experts wrote about the answers on which they and the judge were compared.

They come from the dev side only: a judge that was shown a test case would be measured by its memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput

from .calibrate import untouched
from .dataset import Case
from .duplicates import shingles
from .judge import MAX_EXAMPLES
from .labels import Consensus, Label, consensus
from .refine import verdict_word
from .results import Scored
from .splits import Split, of_side

#: Dev cases that are looked at, and characters of an answer up to which it is liked as an example: every verdict pays
#: for it.
_LOOKED_AT, _SHORT = 400, 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One labelled answer, or a pair with the ``other`` one. ``verdict`` is the experts' (pass or fail; of a pair a, b
    or tie), ``judge`` what the judge said, "" where it gave none."""

    case: str
    question: str
    answer: str
    verdict: str
    critique: str
    judge: str = ""
    other: str = ""

    def content(self, dataset: str) -> dict[str, Any]:
        """It as it stands in a judge's content, with the dataset whose case it is."""
        told: dict[str, Any] = {"question": self.question, "answer": self.answer}
        told |= {"other": self.other, "better": self.verdict} if self.other else {"pass": self.verdict == "pass"}
        return {**told, "critique": self.critique, "case": f"{dataset}:{self.case}"}

    @property
    def wrong(self) -> bool:
        """Whether the judge said something else than the experts."""
        return self.judge not in ("", self.verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What examples are made of: the judge's verdicts over all, the cases that were asked, and the answers by case,
    with those that they were compared with where the judge compares."""

    scores: Sequence[Scored]
    cases: Sequence[Case]
    texts: Mapping[str, str]
    others: Mapping[str, str] | None = None


def choose_examples(labels: Sequence[Label], material: Material, *, split: Split, count: int) -> list[Example]:
    """At most ``count`` dev cases that teach the most: every verdict in turn, failures first; first where the judge was
    wrong, then those with a critique; of equals what is least like those chosen before. One of a group.

    Raises BadInput where no dev case has a settled label with a critique.
    """
    if not 1 <= count <= MAX_EXAMPLES:
        raise BadInput(f"{count} is out of range.", field="count", mend=f"Give 1 to {MAX_EXAMPLES}.")
    dev = of_side([label for label in labels if label.blind], split, "dev")
    found = _candidates(dev, material)
    if not any(example.critique for _, example in found):
        mend = "Write critiques with the labels: an example without a reason teaches little."
        raise BadInput("no label that may refine the judge has a critique.", field="labels", mend=mend)
    grams = {example.case: shingles(f"{example.question} {example.answer[:1000]}") for _, example in found}
    chosen: list[Example] = []
    while len(chosen) < count and found:
        open_kinds = {example.verdict for _, example in found}
        so_far = [example.verdict for example in chosen]
        due = min(open_kinds, key=lambda kind: (so_far.count(kind), kind))  # failures first: a judge overlooks those
        group, best = min(
            ((group, example) for group, example in found if example.verdict == due),
            key=lambda one: (
                not one[1].wrong, not one[1].critique, len(one[1].answer) > _SHORT, _like(one[1], chosen, grams)
            ),
        )  # fmt: skip
        chosen.append(best)
        found = [(other, example) for other, example in found if other != group]
    untouched(of_side(labels, split, "test"), {example.case for example in chosen})
    return chosen


def _candidates(dev: Sequence[Label], material: Material) -> list[tuple[str, Example]]:
    """Every dev case with a settled verdict and an answer, with its group: where the judge was wrong first, then in an
    order made from a hash."""
    others = material.others
    pairs = others is not None
    said: dict[str, float] = {}
    for score in sorted(material.scores, key=lambda s: s.repeat):
        if score.value is not None:
            said.setdefault(score.case, score.value)
    cases = {case.id: case for case in material.cases}
    found = []
    for name, (group, value, critique) in _verdicts(dev, pairs).items():
        other = others.get(name, "") if others is not None else ""
        if name not in cases or not material.texts.get(name) or (pairs and not other):
            continue
        asked = cases[name]
        example = Example(
            case=name, question=asked.input or "\n".join(f"{k}: {v}" for k, v in asked.variables.items()),
            answer=material.texts[name], verdict=verdict_word(value, pairs), critique=critique, other=other,
            judge=verdict_word(said[name], pairs) if name in said else "",
        )  # fmt: skip
        found.append((group, example))
    found.sort(key=lambda pair: (not pair[1].wrong, hashlib.sha256(pair[1].case.encode()).digest()))
    return found[:_LOOKED_AT]


def _verdicts(labels: Sequence[Label], pairs: bool) -> dict[str, tuple[str, float, str]]:
    """By case its group, the experts' verdict and their critiques; labels by criterion pass when every one does."""
    criteria = [""] if pairs else sorted({label.criterion for label in labels})
    by_criterion = {criterion: consensus(labels, criterion, pairs=pairs) for criterion in criteria}
    whole = by_criterion.pop("", {})
    names = dict.fromkeys(name for found in (whole, *by_criterion.values()) for name in found)
    verdicts: dict[str, tuple[str, float, str]] = {}
    for name in names:
        parts = {criterion: found[name] for criterion, found in by_criterion.items() if name in found}
        used = [whole[name]] if name in whole else list(parts.values())
        values = [agreed.value for agreed in used if agreed.value is not None]
        if len(values) == len(used):
            verdicts[name] = (used[0].group, min(values), _critique(whole.get(name), parts))
    return verdicts


def _critique(whole: Consensus | None, parts: Mapping[str, Consensus]) -> str:
    told = list(whole.critiques) if whole else []
    told += [f"{criterion}: {critique}" for criterion, agreed in parts.items() for critique in agreed.critiques]
    return " ".join(dict.fromkeys(" ".join(critique.split()) for critique in told))[:2_000]


def _like(example: Example, chosen: Sequence[Example], grams: Mapping[str, set[str]]) -> float:
    """How near an example is to the nearest one chosen before, by the overlap of their runs of characters."""
    mine = grams[example.case]
    others = [grams[other.case] for other in chosen]
    return max((len(mine & other) / max(1, len(mine | other)) for other in others), default=0.0)

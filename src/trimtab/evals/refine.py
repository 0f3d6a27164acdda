"""Refining a judge's rubric from where it and the experts differ, on dev labels only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .labels import Label, consensus, side_of
from .results import PASS, Scored
from .splits import Split, of_side

#: Disagreements that a proposal is made from.
MAX_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A dev case on which the judge and the experts differ. ``judge`` and ``expert`` say pass or fail; of a pair which
    answer is better, a, b or tie."""

    case: str
    criterion: str
    judge: str
    expert: str
    critiques: tuple[str, ...]


def disagreements(
    labels: Sequence[Label], verdicts: Mapping[str, Sequence[Scored]], *, split: Split, pairs: bool = False
) -> list[Disagreement]:
    """Where judge and experts differ on the dev side; those with a critique first. Test cases are never listed.
    ``pairs``: the verdicts are of a judge that compares.

    Raises BadInput for a label whose group is on no side.
    """
    dev = of_side([label for label in labels if label.criterion in verdicts], split, "dev")
    listed: list[Disagreement] = []
    for criterion, scores in verdicts.items():
        said: dict[str, float] = {}
        for score in sorted(scores, key=lambda s: s.repeat):
            if score.value is not None:
                said.setdefault(score.case, score.value)
        for case, agreed in consensus(dev, criterion, pairs=pairs).items():
            if agreed.value is None or case not in said:
                continue
            judge, expert = (verdict_word(value, pairs) for value in (said[case], agreed.value))
            if judge != expert:
                listed.append(
                    Disagreement(case=case, criterion=criterion, judge=judge, expert=expert, critiques=agreed.critiques)
                )
    return sorted(listed, key=lambda d: not d.critiques)


def verdict_word(value: float, pairs: bool = False) -> str:
    """Pass or fail; of a pair which answer is better: a, b or tie."""
    if pairs:
        return {1.0: "a", 0.0: "b"}.get(side_of(value), "tie")
    return "pass" if value >= PASS else "fail"


def refinement_request(rubric: str, found: Sequence[Disagreement], texts: Mapping[str, str]) -> str:
    """What to ask a model for: a better rubric, from the experts' critiques of the disagreements.

    ``texts`` are the judged outputs by case, both answers of a pair. At most MAX_SHOWN disagreements are
    shown. The answer is a draft for a new judge version: a person reads it, and only test labels say whether it is
    better.
    """
    parts = [
        "Experts and a judge graded the same outputs. Below are the judge's rubric and the outputs on which they "
        "differ. Rewrite the rubric so that it draws the line where the experts draw it. Write general rules that "
        "follow from their critiques; do not mention single outputs. Reply with the new rubric only.",
        f"RUBRIC\n{rubric.strip()}",
    ]
    for number, d in enumerate(found[:MAX_SHOWN], 1):
        criterion = f" ({d.criterion})" if d.criterion else ""
        critiques = "\n".join(f"- {critique.strip()}" for critique in d.critiques) or "- (none written)"
        parts.append(
            f"OUTPUT {number}{criterion}: experts say {d.expert}, the judge says {d.judge}\n"
            f"{texts.get(d.case, '')[:4000]}\nCritiques:\n{critiques}"
        )
    return "\n\n".join(parts)

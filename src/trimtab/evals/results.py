"""What scoring one output of one case gave: the row that every figure of an evaluation is made from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput

#: A value at or above this counts as a pass wherever a yes or no is needed.
PASS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One score of one output. ``value`` is in [0, 1] and None exactly when ``error`` says why there is none.

    ``repeat`` numbers the outputs that were made for the case. Several rows with the same case, repeat and judge are
    the same output judged again. ``cluster`` names what else shares the case's luck (document, conversation, author);
    empty: the case is its own. ``judge`` is the digest of what scored it; empty for code.
    """

    case: str
    repeat: int = 0
    value: float | None
    error: str = ""
    cluster: str = ""
    judge: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.error):
            raise BadInput(
                f"case {self.case}: a score has a value or an error.", field="value", mend="Give one of them."
            )
        if self.value is not None and not (math.isfinite(self.value) and 0.0 <= self.value <= 1.0):
            raise BadInput(f"case {self.case}: {self.value} is outside 0 to 1.", field="value", mend="Scale the score.")
        if self.repeat < 0:
            raise BadInput(f"case {self.case}: {self.repeat} is no repeat.", field="repeat", mend="Count from 0.")


class MixedJudges(BadInput):
    """Scores of different judge digests were to be averaged or compared."""

    code = "mixed_judges"


def one_judge(scores: Iterable[Scored]) -> str:
    """The digest that all scores share ("" = code, or no scores). Raises MixedJudges, naming the digests."""
    digests = sorted({score.judge for score in scores})
    if len(digests) > 1:
        named = ", ".join(digest or "code" for digest in digests[:5])
        raise MixedJudges(
            f"scores of {len(digests)} judges ({named}) do not measure the same thing.",
            field="judge",
            mend="Score both sides with one judge version.",
        )
    return digests[0] if digests else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScore:
    """All scored repeats of one case: ``repeats`` holds, by repeat, the values that its output got."""

    case: str
    cluster: str
    repeats: tuple[tuple[float, ...], ...]

    @property
    def mean(self) -> float:
        """The mean over repeats of the mean over judgements, so that each output counts once."""
        return sum(sum(values) / len(values) for values in self.repeats) / len(self.repeats)


def by_case(scores: Sequence[Scored]) -> dict[str, CaseScore]:
    """The scored cases in order of first appearance; cases with errors only are left out.

    Raises BadInput when one case is given in two clusters.
    """
    values: dict[str, dict[int, list[float]]] = {}
    clusters: dict[str, str] = {}
    for score in scores:
        cluster = clusters.setdefault(score.case, score.cluster or score.case)
        if cluster != (score.cluster or score.case):
            raise BadInput(
                f"case {score.case} is in {cluster} and {score.cluster}.", field="cluster", mend="Give it one cluster."
            )
        if score.value is not None:
            values.setdefault(score.case, {}).setdefault(score.repeat, []).append(score.value)
    return {
        case: CaseScore(case=case, cluster=clusters[case], repeats=tuple(tuple(r) for _, r in sorted(repeats.items())))
        for case, repeats in values.items()
    }

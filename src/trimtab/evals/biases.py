"""Does a judge look at what it should not: place, length, style?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.stats import (
    Bias,
    BothOrders,
    FeatureVerdict,
    Interval,
    feature_bias,
    flip_rate,
    holm,
    lean_bias,
    position_bias,
    rate_interval,
)

from .results import PASS

#: A bias is reported as found below this p-value, adjusted for all biases that were looked for.
FOUND = 0.05
#: How the words of a bias begin that these pairs cannot show.
UNKNOWN = "not known: "
_MARKUP = re.compile(r"(?m)^\s*(?:#{1,6}\s|[-*+]\s|\d+[.)]\s|>|\|)|\*\*|__|```|`")


def length(text: str) -> float:
    """Characters."""
    return float(len(text))


def markup(text: str) -> float:
    """Marks of lists, headings, tables, bold and code, per 1,000 characters."""
    return 1000.0 * len(_MARKUP.findall(text)) / max(1, len(text))


#: What a judge of single outputs or pairs might follow.
FEATURES: Mapping[str, Callable[[str], float]] = {"length": length, "markup": markup}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVote:
    """One pair of answers, judged in both orders.

    ``orders``: how much better answer A is (1, 0, or 0.5 for a tie) when A stood first and when B did. ``better`` is
    what people said of A in the same way; None when nobody did.
    """

    case: str
    orders: tuple[float, float]
    better: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDiagnosis:
    """A pairwise judge: how often the order turns it, how often the first place wins, how often people agree.

    ``accuracy`` counts the verdicts of both orders (a tie counts half). ``biases`` carry p-values adjusted for all.
    """

    pairs: int
    flips: Interval
    picks_first: Interval
    accuracy: Interval | None
    biases: tuple[Bias, ...]

    @property
    def found(self) -> tuple[Bias, ...]:
        """The biases that are beyond chance."""
        return found(self.biases)


def found(biases: Iterable[Bias]) -> tuple[Bias, ...]:
    """Those beyond chance; their p-values are adjusted already."""
    return tuple(bias for bias in biases if bias.p < FOUND)


def diagnose_pairs(votes: Sequence[PairVote], texts: Mapping[str, tuple[str, str]] | None = None) -> PairDiagnosis:
    """Order, length and style biases of a judge that compares. ``texts`` hold answers A and B by case.

    Raises BadInput without votes.
    """
    orders = [BothOrders(_side(vote.orders[0]), _side(vote.orders[1])) for vote in votes]
    biases = [position_bias(orders)]
    for name, feature in FEATURES.items():
        if texts and (bias := _lean(name, feature, votes, texts)) is not None:
            biases.append(bias)
    told = [vote for vote in votes if vote.better in (0.0, 1.0)]
    right = [[_right(value, vote.better) for value in vote.orders] for vote in told]
    first = [(vote.orders[0] + 1.0 - vote.orders[1]) / 2.0 for vote in votes]
    return PairDiagnosis(
        pairs=len(votes),
        flips=flip_rate(orders),
        picks_first=rate_interval(first),
        accuracy=rate_interval([sum(r) / 2.0 for r in right]) if told else None,
        biases=_adjusted(biases),
    )


def diagnose(verdicts: Mapping[str, tuple[float, float]], texts: Mapping[str, str]) -> tuple[Bias, ...]:
    """Length and style biases of a judge of single outputs: ``verdicts`` hold (judge, people) by case."""
    biases: list[Bias] = []
    for name, feature in FEATURES.items():
        rows = [
            FeatureVerdict(feature(texts[case]), judge >= PASS, people >= PASS)
            for case, (judge, people) in verdicts.items()
            if case in texts
        ]
        bias = feature_bias(name, rows)
        if bias is not None:
            biases.append(bias)
    return _adjusted(biases)


def _adjusted(biases: Sequence[Bias]) -> tuple[Bias, ...]:
    return tuple(replace(bias, p=p) for bias, p in zip(biases, holm([b.p for b in biases]), strict=True))


def _side(value: float) -> str:
    return "tie" if value == 0.5 else "a" if value > 0.5 else "b"


def _right(value: float, better: float | None) -> float:
    return 0.5 if value == 0.5 else float((value > 0.5) == (better == 1.0))


def _lean(
    name: str,
    feature: Callable[[str], float],
    votes: Sequence[PairVote],
    texts: Mapping[str, tuple[str, str]],
) -> Bias | None:
    """Right more often where the better answer has more of the feature? A pair counts when both orders agree."""
    counts = {True: [0, 0], False: [0, 0]}
    for vote in votes:
        settled = _side(vote.orders[0])
        if vote.better not in (0.0, 1.0) or vote.case not in texts or settled == "tie":
            continue
        if settled != _side(vote.orders[1]):
            continue
        a, b = (feature(text) for text in texts[vote.case])
        if a == b:
            continue
        row = counts[(a > b) == (vote.better == 1.0)]
        row[0] += (settled == "a") == (vote.better == 1.0)
        row[1] += 1
    (right_with, n_with), (right_against, n_against) = counts[True], counts[False]
    if not n_with + n_against:
        return None
    bias = lean_bias(name, right_with, n_with, right_against, n_against)
    if (n_with and n_against) or bias.p < FOUND:
        return bias
    always = "more" if n_with else "less"
    what = f"{UNKNOWN}the better answer has {always} {name} in every pair, so a pull cannot be told from being right"
    return replace(bias, effect=0.0, low=-0.5, high=0.5, what=what)

"""Agreement, bias and error rates on recorded votes, beside scipy, scikit-learn and statsmodels."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats as reference
from sklearn.metrics import accuracy_score, cohen_kappa_score, recall_score
from statsmodels.stats import inter_rater
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from trimtab.evals.biases import FEATURES
from trimtab.stats import (
    BothOrders,
    FeatureVerdict,
    cohen_kappa,
    confusion,
    feature_bias,
    fleiss_kappa,
    flip_rate,
    holm,
    kappa_standard_error,
    lean_bias,
    percent_agreement,
    position_bias,
    rate_interval,
)

#: Who said what: by (set, judge, strategy), by item, by order (True: the second answer was shown first).
Votes = Mapping[tuple[str, str, str], Mapping[str, Mapping[bool, str]]]
#: A group of votes smaller than this is left out.
LEAST = 10
_PLACES = {"1": "a", "2": "b"}


class Differences:
    """The largest difference of each figure from its reference, and how often it was compared."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = defaultdict(float)
        self.compared: dict[str, int] = defaultdict(int)

    def see(self, what: str, ours: float, theirs: float) -> None:
        """Compare one figure; two that are not there are the same."""
        if np.isnan(ours) and np.isnan(theirs):
            return
        difference = abs(float(ours) - float(theirs))
        self.largest[what] = max(self.largest[what], np.inf if np.isnan(difference) else difference)
        self.compared[what] += 1

    def report(self) -> dict[str, Any]:
        """The figures, and the largest difference of all."""
        return {
            "largest": max(self.largest.values(), default=float("inf")),
            "figures": sum(self.compared.values()),
            "by figure": {
                name: {"compared": self.compared[name], "largest": self.largest[name]} for name in sorted(self.compared)
            },
        }


def differences(items: Mapping[str, Mapping[str, Any]], said: Votes, scores: Votes) -> dict[str, Any]:
    """Every figure on every group of votes. ``scores`` are two ratings as ``"first second"`` where a judge rated."""
    seen = Differences()
    for (_, judge, strategy), votes in said.items():
        _agreement(seen, items, votes)
        _bias(seen, items, votes)
        rated = scores.get((_, judge, strategy))
        if rated:
            _ratings(seen, items, rated)
    _many_raters(seen, said)
    return seen.report()


def _agreement(
    seen: Differences, items: Mapping[str, Mapping[str, Any]], votes: Mapping[str, Mapping[bool, str]]
) -> None:
    """One order of one judge beside the label; then its two orders beside each other."""
    for swapped in (False, True):
        pairs = [(str(items[i]["label"]), v[swapped]) for i, v in votes.items() if v.get(swapped) in _PLACES]
        if len(pairs) >= LEAST:
            _two_raters(seen, pairs)
    both = [(v[False], v[True]) for v in votes.values() if set(v.values()) <= _PLACES.keys() and len(v) == 2]
    if len(both) >= LEAST:
        _two_raters(seen, both)


def _two_raters(seen: Differences, pairs: Sequence[tuple[str, str]]) -> None:
    first, second = zip(*pairs, strict=True)
    table = confusion(pairs, ("1", "2"))
    seen.see("agreement", percent_agreement(table), accuracy_score(first, second))
    if len({*first, *second}) > 1:
        seen.see("kappa", cohen_kappa(table), cohen_kappa_score(first, second))
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # its test statistic divides by 0 where kappa is 0 or 1
            variance = inter_rater.cohens_kappa(np.array(table), return_results=True).var_kappa
        # A variance of 0 comes out a little below it there, which has no root.
        seen.see("standard error of kappa", kappa_standard_error(table), max(0.0, variance) ** 0.5)
    for name, label in (("rate right where the first is better", "1"), ("rate right where the second is better", "2")):
        hits = [float(b == label) for a, b in pairs if a == label]
        if len(hits) > 1:  # of one value alone Trimtab says nothing: 0 to 1
            found = rate_interval(hits)
            seen.see(name, found.value, recall_score(first, second, pos_label=label, zero_division=0.0))
            low, high = proportion_confint(sum(hits), len(hits), method="wilson")
            seen.see("Wilson's interval", found.low, low)
            seen.see("Wilson's interval", found.high, high)


def _bias(seen: Differences, items: Mapping[str, Mapping[str, Any]], votes: Mapping[str, Mapping[bool, str]]) -> None:
    told = {i: v for i, v in votes.items() if len(v) == 2 and set(v.values()) <= _PLACES.keys()}
    if len(told) < LEAST:
        return
    orders = [BothOrders(_PLACES[v[False]], _PLACES[v[True]]) for v in told.values()]
    turned = [float(pair.a_first != pair.b_first) for pair in orders]
    seen.see("flips", flip_rate(orders).value, float(np.mean(turned)))
    first = sum(pair == ("a", "b") for pair in orders)
    place = position_bias(orders)
    n = int(sum(turned))
    seen.see("p of position", place.p, reference.binomtest(first, n).pvalue if n else 1.0)
    seen.see("effect of position", place.effect, (2 * first - n) / len(orders))
    p_values = [place.p]
    for name, feature in FEATURES.items():
        p_values += _lean(seen, name, [_settled(items[i], v, feature) for i, v in told.items()])
    for ours, theirs in zip(holm(p_values), multipletests(p_values, method="holm")[1], strict=True):
        seen.see("Holm's correction", ours, theirs)


def _settled(item: Mapping[str, Any], vote: Mapping[bool, str], feature: Any) -> tuple[bool, bool] | None:
    """Whether the better answer has more of a feature, and whether the judge was right; None where it is not told."""
    a, b = feature(item["output_1"]), feature(item["output_2"])
    if vote[False] != vote[True] or a == b:
        return None
    better = str(item["label"])
    return (a > b) == (better == "1"), vote[False] == better


def _lean(seen: Differences, name: str, rows: Sequence[tuple[bool, bool] | None]) -> list[float]:
    known = [row for row in rows if row is not None]
    right = {more: [ok for has, ok in known if has is more] for more in (True, False)}
    (with_, against) = right[True], right[False]
    if not with_ or not against:
        return []
    found = lean_bias(name, sum(with_), len(with_), sum(against), len(against))
    table = [[sum(with_), len(with_) - sum(with_)], [sum(against), len(against) - sum(against)]]
    looks = (
        reference.fisher_exact(table).pvalue,
        reference.binomtest(table[1][1], len(against), alternative="greater").pvalue,
        reference.binomtest(table[0][1], len(with_), alternative="greater").pvalue,
    )
    seen.see(f"p of {name} in pairs", found.p, min(1.0, 3.0 * min(looks)))
    if looks[0] <= min(looks[1:]):
        low, high = confint_proportions_2indep(
            sum(with_), len(with_), sum(against), len(against), compare="diff", method="newcomb"
        )
        seen.see("Newcombe's interval", found.low, low)
        seen.see("Newcombe's interval", found.high, high)
    return [found.p]


def _ratings(
    seen: Differences, items: Mapping[str, Mapping[str, Any]], rated: Mapping[str, Mapping[bool, str]]
) -> None:
    """Two ratings of one answer, in the two orders: weighted kappa. One rating beside a length: the rank test."""
    pairs, verdicts = [], []
    for item, orders in rated.items():
        if len(orders) < 2:
            continue
        once, twice = (orders[swapped].split() for swapped in (False, True))
        pairs += list(zip(once, twice, strict=True))
        for n, rating in enumerate(once, 1):
            size = float(len(items[item][f"output_{n}"]))
            verdicts.append((size, int(rating) >= 7, str(items[item]["label"]) == str(n)))
    grades = sorted({grade for pair in pairs for grade in pair}, key=int)
    if len(pairs) >= LEAST and len(grades) > 1:
        places = [(grades.index(a), grades.index(b)) for a, b in pairs]
        table = confusion(places, range(len(grades)))
        for weights in ("linear", "quadratic"):
            theirs = cohen_kappa_score(*zip(*places, strict=True), weights=weights)
            seen.see(f"{weights} weighted kappa", cohen_kappa(table, weights), theirs)
    for people in (True, False):
        rows = [FeatureVerdict(size, passed, people) for size, passed, label in verdicts if label is people]
        found = feature_bias("length", rows)
        if found is not None:
            passed, failed = ([row.feature for row in rows if row.judge is judge] for judge in (True, False))
            test = reference.mannwhitneyu(passed, failed, use_continuity=False, method="asymptotic")
            seen.see("p of length in ratings", found.p, test.pvalue)
            effect = 2.0 * test.statistic / (len(passed) * len(failed)) - 1.0
            seen.see("effect of length in ratings", found.effect, effect)


def _many_raters(seen: Differences, said: Votes) -> None:
    """The judges of one set asked in one way, as raters of the same pairs: Fleiss' kappa."""
    groups: dict[tuple[str, str], list[Mapping[str, Mapping[bool, str]]]] = defaultdict(list)
    for (set_, _, strategy), votes in said.items():
        groups[set_, strategy].append(votes)
    for raters in groups.values():
        shared = set.intersection(*(set(votes) for votes in raters))
        for swapped in (False, True):
            rows = [[votes[item].get(swapped, "") for votes in raters] for item in sorted(shared)]
            rows = [row for row in rows if set(row) <= _PLACES.keys()]
            counts = [[row.count("1"), row.count("2")] for row in rows]
            if len(raters) > 1 and len(rows) >= LEAST and all(map(sum, zip(*counts, strict=True))):
                seen.see("Fleiss' kappa", fleiss_kappa(counts), inter_rater.fleiss_kappa(np.array(counts)))

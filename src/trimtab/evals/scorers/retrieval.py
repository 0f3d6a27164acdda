"""Retrieval metrics with ids: what was found against what is relevant, ``expects.relevant``.

Definitions as in TREC evaluation: recall and precision at k; the reciprocal rank of the first relevant passage; nDCG
with gain 2^grade - 1 and discount log2(rank + 1) (Järvelin and Kekäläinen 2002; Burges et al. 2005).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput
from trimtab.evals.dataset import Case
from trimtab.evals.output import Output
from trimtab.evals.scorer import Function, Given, Verdict, short_digest

#: Where a passage's id may stand, the first that is there counts.
IDS = ("id", "source", "title")


def retrieval(name: str, *, k: int = 5, by: str = "") -> Function:
    """``recall@k``, ``precision@k``, ``mrr`` and ``ndcg@k`` of the passages in their order; nothing for a case without
    ``expects.relevant``: a list of ids, or ids with grades (1, 2, 3 ...). ``by`` is the field that holds the id.
    """
    if k < 1:
        raise BadInput("must be at least 1.", field="k", mend="5 is usual.")

    def rule(case: Case, output: Output) -> Given:
        grades = _grades(case.expects.get("relevant"))
        if not grades:
            return None
        found = ids_of(output.passages, by)
        return [
            Verdict(recall(found, grades, k), name=f"{name}.recall@{k}"),
            Verdict(precision(found, grades, k), name=f"{name}.precision@{k}"),
            Verdict(reciprocal_rank(found, grades), name=f"{name}.mrr"),
            Verdict(ndcg(found, grades, k), name=f"{name}.ndcg@{k}"),
        ]

    return Function(name, rule, short_digest({"kind": "retrieval", "k": k, "by": by}))


def ids_of(passages: Sequence[Mapping[str, Any]], by: str = "") -> list[str]:
    """The ids of passages in their order, each once: several passages of one document are one find."""
    ids = []
    for passage in passages:
        named = next((passage[key] for key in ((by,) if by else IDS) if passage.get(key) not in (None, "")), None)
        if named is not None:
            ids.append(str(named))
    return list(dict.fromkeys(ids))


def recall(found: Sequence[str], grades: Mapping[str, float], k: int) -> float:
    """The share of the relevant that is among the first k."""
    return sum(name in grades for name in found[:k]) / len(grades)


def precision(found: Sequence[str], grades: Mapping[str, float], k: int) -> float:
    """The share of the first k that is relevant; places that are empty count as not."""
    return sum(name in grades for name in found[:k]) / k


def reciprocal_rank(found: Sequence[str], grades: Mapping[str, float]) -> float:
    """One over the rank of the first that is relevant; 0 when none is."""
    return next((1 / rank for rank, name in enumerate(found, 1) if name in grades), 0.0)


def ndcg(found: Sequence[str], grades: Mapping[str, float], k: int) -> float:
    """The discounted gain of the first k over that of the best order."""
    gains = [2 ** grades.get(name, 0.0) - 1 for name in found[:k]]
    best = sorted((2**grade - 1 for grade in grades.values()), reverse=True)[:k]
    return _discounted(gains) / _discounted(best)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _grades(value: object) -> dict[str, float]:
    if value is None:
        return {}
    if isinstance(value, list | tuple):
        return {str(name): 1.0 for name in value}
    if isinstance(value, Mapping) and all(isinstance(g, int | float) and 0 <= g <= 20 for g in value.values()):
        return {str(name): float(grade) for name, grade in value.items() if grade > 0}
    mend = 'Write ["doc-1"] or {"doc-1": 2, "doc-7": 1}.'
    raise BadInput("must be ids, or ids with grades from 0 to 20.", field="expects.relevant", mend=mend)

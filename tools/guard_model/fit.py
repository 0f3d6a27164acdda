"""Fitting one model: logistic regression over spans, where a long attack keeps only the spans that carry it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sparse
from sklearn.linear_model import LogisticRegression

from trimtab.guard.model.linear import ZERO, Linear

from .rows import TOKENS, Spans, by_sentence, rows
from .sets import Example, plain

#: How hard the weights are held back (scikit-learn's C).
STRENGTH = 0.3
#: A span of an attack is kept for the second round if its log-odds are above this, or if it is the attack's best.
KEPT = 0.5
#: A weight above this share of all weights is cut before it becomes a byte.
CUT = 0.9999

_ROWS: dict[tuple[str, str], Any] = {}


def spans_of(text: str, spans: Spans) -> Any | None:
    """The rows of a text, remembered."""
    key = (text, getattr(spans, "__name__", ""))
    if key not in _ROWS:
        _ROWS[key] = rows(plain(text), spans)
    return _ROWS[key]


def fit(
    examples: Sequence[Example], spans: Spans, strength: float = STRENGTH, emphasis: float = 1.0
) -> tuple[Any, float]:
    """Weights and bias. ``emphasis`` is how much more a text to be found counts than another."""
    parts, labels, weights, owners = [], [], [], []
    for number, example in enumerate(examples):
        matrix = spans_of(example.text, spans)
        if matrix is None:
            continue
        count = matrix.shape[0]
        share = 1 / math.sqrt(count)
        parts.append(matrix)
        labels += [example.label] * count
        weights += [emphasis * share if example.label else max(0.25, share)] * count
        owners += [number] * count
    features = sparse.vstack(parts).tocsr()
    label, weight, owner = np.array(labels), np.array(weights), np.array(owners)
    model = LogisticRegression(C=strength, solver="liblinear", max_iter=100, random_state=0)
    model.fit(features, label, sample_weight=weight)
    logits = model.decision_function(features)
    keep = np.ones(len(label), bool)
    for number in np.unique(owner[label == 1]):
        mine = np.flatnonzero(owner == number)
        if len(mine) > 1:
            keep[mine] = logits[mine] >= min(logits[mine].max(), KEPT)
    model.fit(features[keep], label[keep], sample_weight=weight[keep])
    return model.coef_[0], float(model.intercept_[0])


def as_bytes(weights: Any) -> tuple[bytes, float]:
    """Weights as bytes around ``ZERO``, and what one step is worth."""
    size = np.abs(weights)
    top = float(np.quantile(size[size > 0], CUT))
    scale = top / 127
    return (np.clip(np.rint(weights / scale), -127, 127) + ZERO).astype(np.uint8).tobytes(), scale


def best(text: str, spans: Spans, linear: Linear) -> float:
    """The log-odds of a text's loudest span, as the scanner scores it."""
    if spans is by_sentence:
        return linear.loudest_sentence(plain(text), TOKENS)
    return linear.best(plain(text), TOKENS).logit

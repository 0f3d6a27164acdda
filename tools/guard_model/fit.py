"""Fitting one model: logistic regression over spans, where a long attack keeps only the spans that carry it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse
from sklearn.linear_model import LogisticRegression

from trimtab.guard.model.linear import ZERO, Linear

from .rows import TOKENS, Spans, by_sentence, rows
from .sets import Example, plain

#: The source of made texts.
MADE = "made"
#: A span of an attack is kept for the second round if its log-odds are above this, or if it is the attack's best.
KEPT = 0.5
#: A span of another text counts as loud from ``-LOUD`` log-odds on, over ``1 / SLOPE``.
LOUD, SLOPE = 1.0, 2.0
#: A weight above this share of all weights is cut before it becomes a byte.
CUT = 0.9999

_ROWS: dict[tuple[str, str], Any] = {}


def spans_of(text: str, spans: Spans) -> Any | None:
    """The rows of a text, remembered."""
    key = (text, getattr(spans, "__name__", ""))
    if key not in _ROWS:
        _ROWS[key] = rows(plain(text), spans)
    return _ROWS[key]


class Fitting(NamedTuple):
    """How a model is fitted.

    ``strength`` is how little the weights are held back (scikit-learn's C); ``emphasis`` how much more a text to be
    found counts than another; ``real`` how much more a published text counts than a made one; ``mining`` how much more
    a loud span of a text that is not to be found counts in the second round.
    """

    strength: float = 0.3
    emphasis: float = 1.0
    real: float = 1.0
    mining: float = 0.0


def fit(examples: Sequence[Example], spans: Spans, how: Fitting) -> tuple[Any, float]:
    """Weights and bias."""
    parts, labels, weights, owners = [], [], [], []
    for number, example in enumerate(examples):
        matrix = spans_of(example.text, spans)
        if matrix is None:
            continue
        count = matrix.shape[0]
        share = 1 / math.sqrt(count)
        counts = example.weight * (1.0 if example.source == MADE else how.real)
        parts.append(matrix)
        labels += [example.label] * count
        weights += [counts * (how.emphasis * share if example.label else max(0.25, share))] * count
        owners += [number] * count
    features = sparse.vstack(parts).tocsr()
    label, weight, owner = np.array(labels), np.array(weights), np.array(owners)
    model = LogisticRegression(C=how.strength, solver="liblinear", max_iter=100, random_state=0)
    model.fit(features, label, sample_weight=weight)
    logits = model.decision_function(features)
    loudest = np.full(len(examples), -np.inf)
    np.maximum.at(loudest, owner, logits)
    keep = (label == 0) | (logits >= np.minimum(loudest[owner], KEPT))
    weight[label == 0] *= 1 + how.mining / (1 + np.exp(-SLOPE * (logits[label == 0] + LOUD)))
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

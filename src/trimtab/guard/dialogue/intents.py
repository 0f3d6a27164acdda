"""Which intent a message has: the one whose examples it is most like, by its words or by vectors. Pure.

By words: a message and every example are weighed bags of words, word stems and runs of three and four letters. A
feature weighs more the fewer intents have it. The likeness to an intent is a mean of the cosine to its nearest example
and the cosine to the middle of its examples. ``bench/flows.py`` measured the usual threshold.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from operator import mul
from typing import NamedTuple

#: From this cosine on a message has an intent by vectors, where a policy says nothing else.
NEAR = 0.7
#: Characters of a message that are looked at: an intent is said in a sentence or two.
LOOKED_AT = 600
_NEAREST = 0.42
_STOP_WEIGHT, _LETTERS_WEIGHT = 0.25, 0.35
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_QUESTION_WORDS = (
    "a about am an and any are as at be been but by can could did do does doing for from get had has have he her him "
    "his how i if in into is it its let me my no not of on or our please should so some tell than that the their them "
    "then there these they this those to us want was we were what what's when where whether which who whom whose why "
    "will with would you your i'm i've can't don't doesn't"
)
_STOP = frozenset(_QUESTION_WORDS.split())
_ENDINGS = ("ing", "ed", "es", "s")


class Meant(NamedTuple):
    """The intent of a message, empty if it has none of those that are known, and its likeness (0 to 1)."""

    intent: str
    score: float


def usual_threshold(intents: int) -> float:
    """From which likeness on a message has one of so many intents: 0.35 for ten, and 0.05 more for twice as many,
    since with every intent there is one more that a foreign message may be like. From 0.3 to 0.5."""
    return min(0.5, max(0.3, 0.35 + 0.05 * math.log2(max(1, intents) / 10)))


class Likeness:
    """The intents of a policy, looked at once for many messages. Time is linear in the message's words."""

    def __init__(self, examples: Mapping[str, Sequence[str]]) -> None:
        bags = [(intent, _bag(text)) for intent, texts in examples.items() for text in texts]
        within: dict[str, set[str]] = defaultdict(set)
        for intent, bag in bags:
            within[intent].update(bag)
        self._spread = Counter(feature for features in within.values() for feature in features)
        self._intents = max(1, len(within))
        self._owners = [intent for intent, _ in bags]
        #: Of each feature, the examples that have it and its weight there; and the same for the middles of intents.
        self._in_examples: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self._in_middles: dict[str, list[tuple[str, float]]] = defaultdict(list)
        middles: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for number, (intent, bag) in enumerate(bags):
            for feature, weight in self._weighed(bag).items():
                self._in_examples[feature].append((number, weight))
                middles[intent][feature] += weight
        for intent, middle in middles.items():
            for feature, weight in _unit(middle).items():
                self._in_middles[feature].append((intent, weight))

    def find(self, text: str, threshold: float) -> Meant:
        """The intent that a message is most like; none where it is like no intent enough."""
        to_examples: dict[int, float] = defaultdict(float)
        to_middles: dict[str, float] = defaultdict(float)
        for feature, weight in self._weighed(_bag(text[:LOOKED_AT])).items():
            for number, theirs in self._in_examples.get(feature, ()):
                to_examples[number] += weight * theirs
            for intent, theirs in self._in_middles.get(feature, ()):
                to_middles[intent] += weight * theirs
        nearest: dict[str, float] = defaultdict(float)
        for number, cosine in to_examples.items():
            owner = self._owners[number]
            nearest[owner] = max(nearest[owner], cosine)
        scores = {i: _NEAREST * near + (1 - _NEAREST) * to_middles[i] for i, near in nearest.items()}
        best = max(scores, key=scores.__getitem__, default="")
        score = min(1.0, scores.get(best, 0.0))
        return Meant(best if score >= threshold else "", round(score, 4))

    def _weighed(self, bag: Mapping[str, float]) -> dict[str, float]:
        """A bag as a vector of length 1: what only one intent has weighs most, and what none has as much as that."""
        return _unit({f: count * math.log(1 + self._intents / (self._spread[f] or 0.5)) for f, count in bag.items()})


def nearest(vector: Sequence[float], examples: Sequence[tuple[str, Sequence[float]]], threshold: float = NEAR) -> Meant:
    """The intent of the example whose vector is nearest by its cosine; all vectors of length 1."""
    best = Meant("", 0.0)
    for intent, theirs in examples:
        cosine = sum(map(mul, vector, theirs)) if len(theirs) == len(vector) else 0.0
        if cosine > best.score:
            best = Meant(intent, cosine)
    return Meant(best.intent if best.score >= threshold else "", round(min(1.0, best.score), 4))


def _bag(text: str) -> dict[str, float]:
    """Words without their endings, and runs of letters within words; words that any sentence has count little."""
    bag: dict[str, float] = defaultdict(float)
    for found in _WORD.findall(text):
        word = found.casefold()[:40]
        weight = _STOP_WEIGHT if word in _STOP else 1.0
        bag[f"w:{_stem(word)}"] += weight
        padded = f"^{word}$"
        for size in (3, 4):
            for at in range(len(padded) - size + 1):
                bag[padded[at : at + size]] += weight * _LETTERS_WEIGHT
    return bag


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 3:
            return word[: -len(ending)]
    return word


def _unit(weights: Mapping[str, float]) -> dict[str, float]:
    length = math.sqrt(sum(weight * weight for weight in weights.values()))
    return {feature: weight / length for feature, weight in weights.items()} if length else {}

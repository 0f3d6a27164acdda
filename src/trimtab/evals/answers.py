"""Answers to one prompt, grouped by what they say."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .wording import content_words

#: How alike two answers are, 0 to 1.
Alike = Callable[[str, str], float]
#: Answers at least this alike say the same.
SAME = 0.6
#: Answers to one prompt that are compared, characters of each, and characters of an example.
MAX_ANSWERS, MAX_CHARACTERS, EXAMPLE = 50, 20_000, 300
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEGATION = re.compile(r"\b(?:not?|never|none|cannot|without|\w+n['’]t)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCluster:
    """Answers that say the same: which repeats, and the beginning of the one that is most like the others."""

    repeats: tuple[int, ...]
    example: str


def alike_words(a: str, b: str) -> float:
    """The cosine of the content words; answers with other numbers, or where one alone negates, differ much.

    Cheap and blind to synonyms. Embeddings do better where they are at hand.
    """
    if a.split() == b.split():
        return 1.0
    left, right = _words(a), _words(b)
    if not left or not right:
        return 0.0
    dot = sum(count * right[word] for word, count in left.items())
    cosine = dot / math.sqrt(sum(c * c for c in left.values()) * sum(c * c for c in right.values()))
    return cosine * contradiction(a, b)


def contradiction(a: str, b: str) -> float:
    """By how much two answers are less alike than their words or meanings say, 1 being not at all: other numbers, or a
    negation in one of them alone."""
    factor = 1.0
    numbers, others = set(_NUMBER.findall(a)), set(_NUMBER.findall(b))
    if numbers | others:
        factor *= 0.5 + 0.5 * len(numbers & others) / len(numbers | others)
    return factor * (0.5 if bool(_NEGATION.search(a)) != bool(_NEGATION.search(b)) else 1.0)


def _words(text: str) -> Counter[str]:
    return Counter(content_words(text))


def cluster_answers(
    answers: Mapping[int, str], alike: Alike = alike_words, same: float = SAME
) -> tuple[AnswerCluster, ...]:
    """Group answers by repeat, the largest group first: average linkage, joined while at least ``same`` alike.

    The first MAX_ANSWERS repeats are looked at.
    """
    repeats = sorted(answers)[:MAX_ANSWERS]
    texts = [answers[repeat][:MAX_CHARACTERS] for repeat in repeats]
    n = len(texts)
    near = [[1.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i):
            near[i][j] = near[j][i] = alike(texts[i], texts[j])
    groups = [[i] for i in range(n)]
    while len(groups) > 1:
        best, pair = -1.0, (0, 0)
        for x in range(len(groups)):
            for y in range(x):
                linked = [near[i][j] for i in groups[x] for j in groups[y]]
                mean = sum(linked) / len(linked)
                if mean > best:
                    best, pair = mean, (y, x)
        if best < same:
            break
        groups[pair[0]] += groups.pop(pair[1])
    groups.sort(key=lambda group: (-len(group), min(group)))
    return tuple(
        AnswerCluster(
            repeats=tuple(sorted(repeats[i] for i in group)),
            example=texts[max(group, key=lambda i: sum(near[i][j] for j in group))][:EXAMPLE],
        )
        for group in groups
    )

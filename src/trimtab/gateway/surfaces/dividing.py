"""What the guard let through of several texts in a row, each part in its own place. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

#: How many characters before and behind the border of two texts tell where it is in what was let through of them, the
#: surest first; how often they may be there; and characters that are looked through for all borders, at most.
_BORDERS = ((64, 64), (16, 16), (2, 2), (8, 0), (0, 8))
_OFTEN, _SEEK = 20, 1_000_000


def divided(passed: str, texts: Sequence[str]) -> list[str]:
    """What was let through of several texts in a row, each in its own place. Where two met in what was taken out, and
    nobody can say where one ends, or where they are too long to look, all of it is in the first of them."""
    whole = "".join(texts)
    same = _alike(whole, passed)
    same_end = _alike(whole[same:][::-1], passed[same:][::-1])
    seeks = len(whole) * len(texts) <= _SEEK
    cut, at = len(passed), len(whole)
    cuts = [cut]
    for text in reversed(texts[1:]):
        at -= len(text)
        if at <= same:
            cut = min(cut, at)
        elif at >= len(whole) - same_end:
            cut = min(cut, len(passed) - len(whole) + at)
        elif seeks:
            cut = min(cut, _border(whole, at, passed, cut))
        cuts.append(cut)
    return [passed[start:end] for start, end in pairwise([0, *reversed(cuts)])]


def _alike(one: str, other: str) -> int:
    """How many characters two texts have in common from their beginning on."""
    known, end = 0, min(len(one), len(other))
    while known < end:
        middle = (known + end + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            end = middle - 1
    return known


def _border(whole: str, at: int, passed: str, unknown: int) -> int:
    """Where a place of a text is in what was let through of it: by the words around it, where both say them as often.
    ``unknown`` where that cannot be told."""
    for before, behind in _BORDERS:
        since = max(0, at - before)
        words = whole[since : at + behind]
        places = _places(passed, words)
        if 0 < len(places) <= _OFTEN and len(places) == len(found := _places(whole, words)):
            return places[found.index(since)] + at - since
    return unknown


def _places(text: str, words: str) -> list[int]:
    """Where the words are, one place more than count."""
    found: list[int] = []
    at = text.find(words)
    while at >= 0 and len(found) <= _OFTEN:
        found.append(at)
        at = text.find(words, at + 1)
    return found

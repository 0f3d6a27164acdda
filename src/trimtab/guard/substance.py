"""Scanners for the substance of a text: invisible characters, size, gibberish."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from trimtab.core import BadInput

from .expressions import compiled
from .language import language_of
from .plaintext import INVISIBLE
from .scanner import MOST, Match, Scan, Scanner, few, plain, refuse_unknown
from .text import Text
from .vocabulary import WORDS, known

_TAG_RUN = re.compile("\U0001f3f4?[\U000e0020-\U000e007f]+")
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{2,6}\U000e007f")
_ANY = compiled(f"[{INVISIBLE}]")
_TURN = re.compile("[\u202d\u202e]")
_RUN = re.compile("[{}]{{2,}}".format(INVISIBLE.replace("\ufe00-\ufe0f", "").replace("\U000e0000-\U000e0fff", "")))
_WITHIN = re.compile("(?<=[A-Za-z])[\u00ad\u200b-\u200d\u2060\ufeff](?=[A-Za-z])")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}")
_JOINED = re.compile("[\u0600-\u06ff\u0900-\u0dff\U0001f000-\U0001faff\u2600-\u27bf]")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[a-z]+")
_LIMITS = ("characters", "tokens", "lines", "seconds")
#: Words a minute of an adult who reads silently (Brysbaert 2019).
_READING = 238


def _pairs() -> frozenset[str]:
    counts = Counter(f" {word} "[at : at + 2] for word in WORDS for at in range(len(word) + 1))
    return frozenset(pair for pair, count in counts.items() if count > 3)


_PAIRS = _pairs()


def _invisible(text: Text) -> Sequence[Match]:
    """Hidden writing; not the joiners within emoji, Arabic or Indic text, nor a mark at the beginning of a file."""
    original = text.original
    if original.isascii() or _ANY.search(original) is None:
        return []
    within = list(_some(_WITHIN.finditer(original)))
    found = [
        Match(kind, hit.start(), hit.end(), score)
        for kind, score, hits in (
            ("tag-characters", 1.0, (run for run in _TAG_RUN.finditer(original) if not _FLAG.fullmatch(run.group()))),
            ("turned-direction", 0.8, _TURN.finditer(original)),
            ("variation-selectors", 0.9, _SELECTORS.finditer(original)),
            ("zero-width", 0.8, (run for run in _RUN.finditer(original) if _stands_alone(run, original))),
            ("zero-width", 0.7 if len(within) > 2 else 0.4, within),
        )
        for hit in _some(hits)
    ]
    return found if len(found) <= MOST else few(found, text)


def _some(hits: Iterable[re.Match[str]]) -> Iterable[re.Match[str]]:
    """As many as it takes to see that there are too many."""
    return islice(hits, MOST + 1)


def _stands_alone(run: re.Match[str], original: str) -> bool:
    around = original[max(0, run.start() - 1) : run.end() + 1]
    return run.start() > 0 and _JOINED.search(around) is None


def tokens_in(text: str) -> int:
    """About how many tokens a text has, without a tokenizer: four letters of Latin script each, else one a letter."""
    ascii_ = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return round(ascii_ / 4 + (len(text) - ascii_) * 0.8)


def _size(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, _LIMITS)
    if not options:
        raise BadInput("needs a limit", field="characters", mend=f"Give one of {', '.join(_LIMITS)}.")
    for key, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise BadInput("must be a number above 0", field=key, mend="Write the most that may pass.")

    def scan(text: Text) -> Sequence[Match]:
        original = text.original
        sizes = {"characters": len(original)}
        if "tokens" in options:
            sizes["tokens"] = tokens_in(original)
        if "lines" in options:
            sizes["lines"] = original.count("\n") + 1
        if "seconds" in options:
            sizes["seconds"] = len(original.split()) * 60 // _READING
        return [
            Match(f"too-many-{key}", 0, len(original), 1.0, note=f"{sizes[key]} of {limit}")
            for key, limit in options.items()
            if sizes[key] > limit
        ]

    return scan


def _gibberish(text: Text) -> Sequence[Match]:
    """Letters without a language: few pairs of letters that words have, no small words, no known words."""
    words = [word.lower() for word in _WORD.findall(text.plain.text[:20_000])]
    latin = [word for word in words if _LATIN.fullmatch(word)]
    letters = sum(map(len, latin))
    if letters < 12 or letters < 0.7 * sum(map(len, words)) or language_of(" ".join(latin))[0]:
        return []
    pairs = [f" {word} "[at : at + 2] for word in latin for at in range(len(word) + 1)]
    odd = sum(pair not in _PAIRS for pair in pairs) / len(pairs)
    vowels = sum(letter in "aeiouy" for word in latin for letter in word) / letters
    repeated = 1 - len(set(latin)) / len(latin) if len(latin) > 4 else 0.0
    score = 0.35 * (1 - known(latin)) + 2.2 * odd + (0.3 if not 0.22 < vowels < 0.6 else 0.0) + 0.2 * repeated
    return [Match("gibberish", 0, len(text.original), min(1.0, score))]


SCANNERS = (
    Scanner(
        name="invisible-text",
        stages=("input", "output", "action"),
        description="Hidden writing: tag characters, zero-width runs, variation selectors, turned direction.",
        build=plain(_invisible),
        threshold=0.7,
        longest=128,
    ),
    Scanner(
        name="size",
        stages=("input", "output", "action"),
        description="Texts over a limit of characters, tokens (estimated), lines or seconds of reading.",
        build=_size,
        options=dict.fromkeys(_LIMITS, "the most that may pass"),
    ),
    Scanner(
        name="gibberish",
        stages=("input", "output"),
        description="Letters that are no language, in Latin script.",
        build=plain(_gibberish),
        threshold=0.8,
    ),
)

"""Which words are English, and which English word a disguised one is.

A reading is believed when it turns unknown words into known ones, so a short list of common words does: about four
thousand, in ``vocabulary.txt`` with its sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from itertools import product

from .plaintext import without_accents

_FILE = resources.files(__package__).joinpath("vocabulary.txt").read_text(encoding="utf-8")


def words_in(text: str) -> frozenset[str]:
    """The words of a text written as a list."""
    return frozenset(text.split())


WORDS = frozenset(word for line in _FILE.splitlines() if not line.startswith("#") for word in line.split())

#: Words that an attack needs: worth a reading of its own even when only one of them is disguised.
TELLING = words_in(
    "ignore ignoring disregard disregarding forget override overriding bypass bypassing reveal revealing leak expose "
    "disclose instruction instructions directive directives guideline guidelines restriction restrictions restricted "
    "unrestricted safeguards safety filter filters filtered unfiltered uncensored previous prior preceding earlier "
    "system prompt prompts developer administrator jailbreak jailbroken password passwords credentials secret secrets "
    "hidden confidential roleplay pretend malicious exfiltrate command commands obey execute following rules"
)
_LEET = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g", "@": "a",
    "$": "s", "!": "i", "|": "il", "+": "t", "€": "e", "£": "l", "¥": "y", "(": "c", "<": "c", "¡": "i", "#": "h",
}  # fmt: skip
#: The usual letter for each digit and sign.
PLAIN_LEET = str.maketrans({sign: letters[0] for sign, letters in _LEET.items()})
_ALPHA = re.compile(r"[a-z]+")
_REPEATS = re.compile(r"([a-z])\1{2,}")
_JOINTS = re.compile(r"[-._*~'|/\\^`]+")
_MOST_SPELLINGS = 16


def known(words: Iterable[str]) -> float:
    """The share of lower-case words that are known, each weighing as much as it is long; 0 for none."""
    total = right = 0
    for word in words:
        total += len(word)
        if word in WORDS:
            right += len(word)
    return right / total if total else 0.0


@lru_cache(maxsize=8192)
def repaired(token: str) -> tuple[str, str] | None:
    """The known word that a lower-case token is in disguise and what the disguise was, or None."""
    if token in WORDS or len(token) > 40:
        return None
    bare = without_accents(token) if not token.isascii() else token
    if bare != token and bare in WORDS:
        return bare, "accents"
    joined = _JOINTS.sub("", bare)
    # A compound ("built-in", "and/or") is no disguise: its parts are words themselves.
    if joined != bare and len(joined) > 3 and joined in WORDS and not _compound(bare):
        return joined, "joints"
    letters = sum(letter.isalpha() for letter in joined)
    if letters < len(joined) and (letters or len(joined) > 3) and (word := unleet(joined)):
        return word, "leet"
    if not _ALPHA.fullmatch(joined) or (joined != bare and _compound(bare)):
        return None
    return _respelled(joined)


def _compound(token: str) -> bool:
    return all(part in WORDS for part in _JOINTS.split(token) if part)


def _respelled(word: str) -> tuple[str, str] | None:
    squeezed = _REPEATS.sub(r"\1", word)
    if squeezed != word:
        for candidate in (squeezed, _REPEATS.sub(r"\1\1", word)):
            if candidate in WORDS:
                return candidate, "repeats"
    if len(word) < 4:
        return None
    found = _SHUFFLED.get(_scrambled(word))
    if found:
        return found, "typoglycemia"
    return _misspelled(word)


def _misspelled(word: str) -> tuple[str, str] | None:
    """A telling word with one letter missing, added or changed."""
    if len(word) < 6 or any(word.removesuffix(end) in WORDS for end in ("s", "ed", "d", "ly", "ing", "er", "or")):
        return None
    if word in _LACKING:
        return _LACKING[word], "typo"
    for at in range(1, len(word)):
        shorter = word[:at] + word[at + 1 :]
        if shorter in TELLING:
            return shorter, "typo"
        if (found := _LACKING.get(shorter)) and len(found) == len(word) and found[:at] == word[:at]:
            return found, "typo"
    return None


def unleet(token: str) -> str:
    """The word that a lower-case token spells with digits and signs for letters, if it is one."""
    choices = []
    spellings = 1
    for letter in token:
        choice = _LEET.get(letter, letter)
        if not choice.isalpha():
            return ""
        if spellings * len(choice) > _MOST_SPELLINGS:
            choice = choice[0]
        spellings *= len(choice)
        choices.append(choice)
    return next((word for letters_ in product(*choices) if (word := "".join(letters_)) in WORDS), "")


def split_words(run: str) -> list[str] | None:
    """Lower-case letters without spaces as known words of two letters and more ("a" and "i" too), or None.

    The fewest words win; time is linear in the run.
    """
    best: list[tuple[int, int] | None] = [(0, 0), *[None] * len(run)]
    for end in range(1, len(run) + 1):
        for size in range(1, min(16, end) + 1):
            before = best[end - size]
            if before is None or (size == 1 and run[end - 1] not in "ai"):
                continue
            if run[end - size : end] in WORDS:
                cost = before[0] + (1 if size > 3 else 2)
                here = best[end]
                if here is None or cost < here[0]:
                    best[end] = (cost, size)
    words: list[str] = []
    end = len(run)
    while end:
        step = best[end]
        if step is None:
            return None
        words.append(run[end - step[1] : end])
        end -= step[1]
    return words[::-1]


def _scrambled(word: str) -> str:
    """What stays of a word when its inner letters are shuffled."""
    return word[0] + "".join(sorted(word[1:-1])) + word[-1]


def _shuffled() -> dict[str, str]:
    table: dict[str, str] = {}
    for word in sorted(WORDS, key=lambda word: (word not in TELLING, word)):
        if len(word) >= 4:
            table.setdefault(_scrambled(word), word)
    return table


_SHUFFLED = _shuffled()
_LACKING = {
    word[:at] + word[at + 1 :]: word
    for word in sorted(TELLING)
    if len(word) >= 6
    for at in range(1, len(word))
    if word[:at] + word[at + 1 :] not in WORDS
}

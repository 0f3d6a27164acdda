"""Disguises of letters and words: spelled-out and run-together words, leetspeak, shuffled letters, simple ciphers.

Each function takes a reading and gives the one with the disguise undone, or None. A change is believed only when it
turns unknown words into known ones. What is far from any change is left out, so that a long text costs little more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import msgspec

from .expressions import compiled
from .plaintext import shape_of
from .spots import Reading, Weave
from .vocabulary import PLAIN_LEET, TELLING, WORDS, known, repaired, split_words, unleet

#: Characters kept on either side of a change.
NEAR = 240

_TOKEN = re.compile(r"[^\s,;:?\"\[\]{}<>]+")
_APART = str.maketrans(dict.fromkeys(',;:?"[]{}<>', " "))
_WORD = re.compile(r"[a-z]+")
_EDGES = ".'`~^*_-!)="
#: Arrows, signs and pictures that may stand between letters.
PICTURES = "\u2190-\u2bff\U0001f300-\U0001faff"
_SPELLED = re.compile(rf"(?<!\w)\w(?:([ \t.\-_*|/~,+\\{PICTURES}]{{1,3}})\w(?!\w)){{3,}}")
#: Words from top to bottom: lines of at most so many characters with a letter or none; at least so many of them.
_NARROW, _LEAST_LINES = 9, 8
_GAP = re.compile(r"[ \t]{2,}|[ \t]*\n[ \t]*|[ \t]+[.\-_*|/~,+\\][ \t]+")
_RUN_TOGETHER = compiled(r"[A-Za-z]{14,200}")
_SNAKE = compiled(r"[A-Za-z]+(?:[_\-./+*~|]+[A-Za-z]+){3,}|(?:[A-Z]?[a-z]+){1,2}(?:[A-Z][a-z]*){3,}")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_QUOTED_JOIN = re.compile(r"[\"'`]\s{0,4}(?:\+|\.\.|\|\||&|,)\s{0,4}[\"'`]|-\s{0,2}\r?\n\s{0,8}(?=[a-z])")
_SEGMENT = re.compile(r"[^\n:;?!\"]{6,1200}")
_ATBASH = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA"
)
_UPSIDE_DOWN = str.maketrans("ɐqɔpǝɟƃɥıɾʞןɯuodbɹsʇnʌʍxʎz˙¡¿", "abcdefghijklmnopqrstuvwxyz.!?")
_FLIPPED = re.compile("[ɐǝɟƃɥıɾʞɯɹʇʌʍʎ]{2}")
_LATINISH = re.compile("[A-Za-z€£¥]")
#: A sentence that was turned as a whole begins with its full stop, or ends with its capital.
_TURNED = re.compile(r"^\s*[.,;)]|[a-z][A-Z]\s*$")
_LETTERS = re.compile("[A-Za-z]+")
_LONG_WORDS = frozenset(word for word in WORDS if len(word) > 3)
_MOST_RUNS = 40
#: Letters from which on a token may be several words.
_RUN = 14
#: Letters of one run that are parted into words.
_MOST_LETTERS = 2000
#: The share of known letters below which a segment is doubtful; the share of unknown ones, and how many words are
#: looked at together, by which it is seen whether there may be a doubtful segment at all.
_KNOWN, _UNKNOWN, _STRETCH = 0.45, 0.5, 40
_ITEMS = re.compile(r"[a-z]+|[\n:;?!\"]")
#: Words by which it is seen whether a cipher is worth trying.
_SAMPLE = 90


class Change(msgspec.Struct, frozen=True, order=True, gc=False):
    """New text for characters ``start`` to ``end``; ``backwards`` says that it is those characters from the end.

    A hostile text has hundreds of thousands. The garbage collector, which stops every thread, need not look at them.
    """

    start: int
    end: int
    text: str
    backwards: bool = False


def spelled_out(reading: Reading) -> Reading | None:
    """Words written letter by letter: "i g n o r e", "i-g-n-o-r-e"."""
    changes: list[Change] = []
    for run in _SPELLED.finditer(reading.text):
        changes.extend(_joined(reading.text, run.start(), run.end()))
    return woven(reading, changes, "spacing")


def downwards(reading: Reading) -> Reading | None:
    """Words written from top to bottom, a letter a line; an empty line parts words."""
    changes: list[Change] = []
    for start, end, letters in _columns(reading.text):
        word = " ".join("".join(letter or " " for letter in letters).split())
        if " " not in word and 8 < len(word) <= _MOST_LETTERS:
            word = " ".join(split_words(word.lower()) or [word])
        if len(word) > 3:
            changes.append(Change(start, end, word))
    return woven(reading, changes, "downwards")


def _columns(text: str) -> Iterator[tuple[int, int, Sequence[str]]]:
    """Runs of lines with a letter or none: where each begins and ends, and its letters. Line by line, since the time
    of an expression over them can grow without bounds."""
    letters: list[str] = []
    at = start = end = 0
    for line in (*text.split("\n"), "no letter"):
        bare = line.strip(" \t\r") if len(line) <= _NARROW else line
        if not bare or (len(bare) == 1 and bare.isalnum()):
            if not letters:
                start = at
            letters.append(bare)
            end = at + len(line)
        elif letters:
            if len(letters) >= _LEAST_LINES:
                yield start, end, letters
            letters = []
        at += len(line) + 1


def _joined(text: str, start: int, end: int) -> Iterator[Change]:
    """A spelled-out run as words: parted where the gaps are wider, else by the words that it holds."""
    run = text[start:end]
    gaps = [gap.span() for gap in _GAP.finditer(run)]
    words = list(zip([0, *(end for _, end in gaps)], [*(begin for begin, _ in gaps), len(run)], strict=True))
    for number, (first, last) in enumerate(words):
        letters = [(n, letter) for n, letter in enumerate(run[first:last], first) if letter.isalnum()]
        word = "".join(letter for _, letter in letters)
        if len(words) == 1 and 8 < len(word) <= _MOST_LETTERS and word.lower() not in WORDS:
            parts = split_words(word.lower())
            word = " ".join(parts) if parts else word
        if len(word) > 1:
            yield Change(start + first, start + last, word)
        if number < len(gaps) and "\n" not in run[slice(*gaps[number])]:
            yield Change(start + gaps[number][0], start + gaps[number][1], " ")


def run_together(reading: Reading) -> Reading | None:
    """Words without spaces between them: runtogether, snake_case, CamelCase."""
    changes: list[Change] = []
    at = 0
    for tried, token in enumerate([token for token in reading.text.split() if len(token) >= _RUN]):
        at = reading.text.index(token, at)
        if parted := _parted(token, may_split=tried < _MOST_RUNS):
            changes.append(Change(at + parted.start, at + parted.end, parted.text))
        at += len(token)
    return woven(reading, changes, "run-together")


def _parted(token: str, *, may_split: bool) -> Change | None:
    """The first part of a long token that is several words."""
    bare = token.strip(_EDGES + ',;:?"[](){}<>')
    if bare.isalpha() and (len(bare) < _RUN or bare.lower() in WORDS):
        return None
    for run in _SNAKE.finditer(token):
        parts = [part.lower() for part in _PARTS.findall(run.group())]
        if len(parts) > 3 and known(parts) > 0.7:
            return Change(run.start(), run.end(), " ".join(parts))
    letters = _RUN_TOGETHER.search(token) if may_split else None
    if letters is None or letters.group().lower() in WORDS:
        return None
    words = split_words(letters.group().lower())
    return Change(letters.start(), letters.end(), " ".join(words)) if words and len(words) > 2 else None


def put_together(reading: Reading) -> Reading | None:
    """Texts cut by quotes and plus signs, or by a hyphen at the end of a line."""
    changes = [Change(join.start(), join.end(), "") for join in _QUOTED_JOIN.finditer(reading.text)]
    return woven(reading, changes, "joined")


def words_repaired(reading: Reading) -> Reading | None:
    """Leetspeak, shuffled inner letters, repeated letters, accents, misspelled telling words."""
    repairs: dict[str, tuple[str, str]] = {}
    for token in set(reading.text.lower().translate(_APART).split()) - WORDS:
        if len(token) <= 48 and (found := _repair(token)):
            repairs[token] = found
    words = {found[0] for found in repairs.values()}
    if len(words) < 2 and not words & TELLING:
        return None
    places = []
    loose = sum(how == "leet" for _, how in repairs.values()) > 2
    for token_ in _TOKEN.finditer(reading.text):
        lower = token_.group().lower()
        if lower in repairs:
            places.append(Change(token_.start(), token_.end(), repairs[lower][0]))
        elif loose and len(lower) <= 48 and any(map(str.isdigit, lower)):
            # In a text written in leetspeak even what would be a number elsewhere is letters.
            spelled = unleet(lower.strip(_EDGES)) or lower.translate(PLAIN_LEET)
            places.append(Change(token_.start(), token_.end(), spelled))
    return woven(reading, places, "+".join(sorted({how for _, how in repairs.values()})))


@lru_cache(maxsize=16384)
def _repair(token: str) -> tuple[str, str] | None:
    """A token's repair: as it is, or without the punctuation around it."""
    bare = token.strip(_EDGES)
    if bare in WORDS or len(bare) < 2 or not (bare.isascii() or _LATINISH.search(bare)):
        return None
    return repaired(bare) or (repaired(token) if bare != token else None)


def deciphered(reading: Reading) -> Reading | None:
    """Sentences in a letter cipher: reversed, words reversed, rotated by any amount, atbash, upside down."""
    if not _may_be_ciphered(reading.text):
        return None
    doubtful: list[tuple[int, int]] = []
    sample: list[str] = []
    for segment in _SEGMENT.finditer(reading.text):
        text = segment.group()
        words = _WORD.findall(text.lower())
        if (not text.isascii() and _FLIPPED.search(text)) or (len(words) > 1 and known(words) < _KNOWN):
            doubtful.append(segment.span())
            if len(sample) < _SAMPLE:
                sample.extend(sorted(words, key=len)[-6:])
    if not doubtful:
        return None
    ways = list(_ways(" ".join(sample)))
    if _FLIPPED.search(reading.text):
        ways.append(("upside down", lambda text: "".join(map(shape_of, text.lower().translate(_UPSIDE_DOWN)))[::-1]))
    changes: list[Change] = []
    how: set[str] = set()
    for start, end in doubtful:
        text = reading.text[start:end]
        for name, undo in ways:
            out = undo(text)
            if _better(out):
                whole = name == "reversed" and _TURNED.search(text) is not None
                changes.append(Change(start, end, out, backwards=whole))
                how.add(name)
                break
    return woven(reading, changes, "+".join(sorted(how)))


def _may_be_ciphered(text: str) -> bool:
    """Whether anywhere half of the letters in a row are in no known word: a look without positions."""
    if not text.isascii() and _FLIPPED.search(text):
        return True
    total = unknown = words = 0
    for item in _ITEMS.findall(text.lower()):
        if item.isalpha() and words < _STRETCH:
            words += 1
            total += len(item)
            if item not in WORDS:
                unknown += len(item)
        else:
            if words > 1 and unknown > _UNKNOWN * total:
                return True
            total = unknown = words = 0
    return words > 1 and unknown > _UNKNOWN * total


def _better(text: str) -> bool:
    words = _WORD.findall(text.lower())
    return len(words) > 1 and known(words) > 0.6 and sum(map(len, words)) > 7


def _ways(sample: str) -> Iterator[tuple[str, Callable[[str], str]]]:
    """The ciphers under which at least two words of the sample are known."""
    if _two_known(sample[::-1]):
        yield "reversed", _reversed
    for name, table in _TABLES:
        if _two_known(sample.translate(table)):
            yield name, _translating(table)


def _reversed(text: str) -> str:
    """The text from its end; where nothing shows that the words too come from the last to the first, both orders."""
    backwards = text[::-1]
    if _TURNED.search(text):
        return backwards
    return f"{backwards}\n{_LETTERS.sub(lambda word: word.group()[::-1], text)}"


def _translating(table: dict[int, int]) -> Callable[[str], str]:
    return lambda text: text.translate(table)


def _two_known(sample: str) -> bool:
    return len(_LONG_WORDS.intersection(sample.split())) > 1


def _rotation(shift: int) -> dict[int, int]:
    low, high = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return str.maketrans(low + high, low[shift:] + low[:shift] + high[shift:] + high[:shift])


_TABLES = (*((f"rot{shift}", _rotation(shift)) for shift in (13, *range(1, 13), *range(14, 26))), ("atbash", _ATBASH))


def woven(reading: Reading, changes: Sequence[Change], how: str) -> Reading | None:
    """The reading with the changes made and what is near them; None if there are none."""
    if not changes:
        return None
    weave = Weave(reading)
    size = len(reading.text)
    done = max(0, changes[0].start - NEAR)
    for change in changes:
        if change.start < done:
            continue
        if change.start - done > 2 * NEAR:
            weave.copy(done, done + NEAR)
            weave.put("\n", done + NEAR, done + NEAR + 1)
            done = change.start - NEAR
        weave.copy(done, change.start)
        if change.backwards:
            weave.backwards(change.start, change.end)
        else:
            weave.put(change.text, change.start, change.end)
        done = change.end
    weave.copy(done, min(size, done + NEAR))
    return weave.done(how)

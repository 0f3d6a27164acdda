"""The plain reading of a text: what a person sees, in ordinary letters.

NFKC composes compatibility forms (full-width, mathematical and circled letters). Invisible and direction characters
go. Digits of any script become ASCII. Letters of another script that look like Latin ones become Latin where a word
mixes scripts, or where a word that could be Latin stands in Latin text; a Russian or Greek word stays what it is.
The look-alikes are a choice of the common ones in Unicode's confusables data (Unicode Technical Standard 39).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from .expressions import compiled
from .spots import Reading, Stretches, Weave

#: Pairs: a letter and what it looks like.
_LOOK_ALIKES = (
    # Cyrillic
    "аaАAвbВBеeЕEѕsЅSіiІIјjЈJкkКKмmМMнhНHоoОOрpРPсcСCтtТTуyУYхxХXһhҺHԁdԀDԛqԚQԝwԜWɡgѵvѴVьbпnиuгrѡwӏlӀI"
    "ɑaεeүyҮYԍgԌGҽeѐeёeЁEїiЇIўyӧoӦOӓaӒAґrзeэeцuчuшwщwыb"
    # Greek
    "αaΑAΒBβbΕEΖZΗHηnΙIιiΚKκkΜMΝNνvοoΟOρpΡPτtΤTυuΥYχxΧXγyωwσoϲcϹCϳjϜFϝfδdθoάaέeήnίiόoύuώw"
    # Armenian, Hebrew, Cherokee, Lisu and Coptic letters that are used for it
    "օoսuհhոnցgզqյjՕOՏSՍUԼLսuᎪAᏴBᏟCᎠDᎬEᎳWᎻHᎫJᏦKᏞLᎷMᎾOᏢPᏒRᏚSᎢTᏙVᏃZᏀGᎥiᏔWꓐBꓚCꓓDꓰEꓝFꓖGꓧHꓲIꓙJꓗKꓡLꓟMꓠNꓳOꓑPꓣRꓢSꓔTꓴUꓦVꓪWꓫXꓬYꓜZ"
    # Latin letters that look like others, small capitals, letters with strokes
    "ɩiꞮIʟlɪiɴnʀrʙbɢgʜhᴀaᴄcᴅdᴇeᴊjᴋkᴍmᴏoᴘpᴛtᴜuᴠvᴡwᴢzʏyꜰfꜱsɋqɓbɗdɛeƒfɠgɦhɨiƙkƚlɱmɲnŋnɔoƥpʠqɼrʂsƭtʉuʋvʍwƴyʐz"
    # symbols
    "℮e∂d∀A∃E∩n∪u∨v∧A⊂c⋁vǀlǃ!ꞌ'ʼ'´'′'‘'’'“\"”\"‐-‑-‒-–-—-−-⁃-﹘-∕/⁄/"
)
_SHAPE: dict[str, str] = dict(zip(_LOOK_ALIKES[::2], _LOOK_ALIKES[1::2], strict=True))
_TABLE = str.maketrans({letter: shape for letter, shape in _SHAPE.items() if letter.isalpha()})
_SQUARES = {chr(base + n): chr(97 + n) for base in (0x1F130, 0x1F150, 0x1F170) for n in range(26)}
_STROKES = str.maketrans("ıȷøØłŁđĐħĦŧŦƀƶ", "ijoOlLdDhHtTbz")
_FLAGS = {chr(0x1F1E6 + n): chr(97 + n) for n in range(26)}

#: Characters that a reader does not see: controls, zero-width and filling characters, direction marks, tags, variation
#: selectors.
INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[{INVISIBLE}]")
_CONTROLS = compiled(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LETTERS = "".join(letter for letter in _SHAPE if letter.isalpha())
_SIGNS = "".join(letter for letter in _SHAPE if not letter.isalpha())
_ODD = re.compile(f"[{_LETTERS}]")
_REST = re.compile(f"[A-Za-z0-9{_LETTERS}]*")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[A-Za-z]")
_NATIVE = re.compile(r"[\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u0590-\u05ff]")
_MARK = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff"
_MARKS = re.compile(f"[{_MARK}]")
_OVERLAYS = re.compile("[\u0334-\u0338\u0488\u0489\u20d0-\u20ff]")
_STRANGE = re.compile("[^\x00-\x7f]+|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
#: Parts of Korean syllables, which NFKC joins.
_PARTS = re.compile("[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]")
_FLAG_RUN = re.compile("[\U0001f1e6-\U0001f1ff]{4,}")
#: Characters that one step works on: putting marks in order takes the square of their number.
_STEP = 1 << 14


def plain(text: str) -> Reading:
    """The plain reading of a text; an ASCII text without control characters is its own."""
    first = Reading(text)
    if text.isascii() and _CONTROLS.search(text) is None:
        return first
    composed = _composed(first)
    return _folded(composed)


def without_accents(word: str) -> str:
    """A word with its accents, strokes and other marks taken off."""
    return _MARKS.sub("", unicodedata.normalize("NFD", word)).translate(_STROKES)


def shape_of(letter: str) -> str:
    """The Latin letter that a letter looks like; the letter itself if it looks like none."""
    return _SHAPE.get(letter, letter)


def _composed(first: Reading) -> Reading:
    """Each character in its ordinary form, invisible ones gone."""
    text = first.text
    if (even := _evenly(text)) is not None:
        return first if even == text else Reading(even, ("unicode",), Stretches.one(0, len(text), even=True), first)
    weave = Weave(first)
    done = 0
    for begin in range(0, len(text), _STEP):
        for run in _STRANGE.finditer(text, begin, begin + _STEP):
            start, stop = run.span()
            if start > done and _MARKS.match(text, start):  # marks on an ASCII letter
                start -= 1
            piece = text[start:stop]
            if _CARE.search(piece) is None and unicodedata.is_normalized("NFKC", piece):
                continue
            weave.copy(done, start)
            _compose(weave, text, start, stop)
            done = stop
    if not done:
        return first
    weave.copy(done, len(text))
    return weave.done("unicode")


def _evenly(text: str) -> str | None:
    """The text where each character has one ordinary character and none changes its neighbours; else None."""
    forms: dict[int, str] = {}
    for letter in set(text):
        if letter >= "\x7f" or not letter.isprintable():
            form = _even_form(letter)
            if not form:
                return None
            if form != letter:
                forms[ord(letter)] = form
    return text.translate(forms) if forms else text


@lru_cache(maxsize=16384)
def _even_form(letter: str) -> str:
    """The one character that a character becomes wherever it stands; empty for any other."""
    if letter in "\t\n\r":
        return letter
    if _HIDDEN.match(letter) or letter in _FLAGS:
        return ""
    form = _form(letter) if _CARE.match(letter) else unicodedata.normalize("NFKC", letter)
    if len(form) != 1 or "M" in unicodedata.category(letter) + unicodedata.category(form) or _PARTS.match(form):
        return ""
    return form


def _compose(weave: Weave, text: str, at: int, stop: int) -> None:
    flags = {m.start() + n for m in _FLAG_RUN.finditer(text, at, stop) for n in range(len(m.group()))}
    while at < stop:
        special = _CARE.search(text, at, stop)
        if special is None:
            _compose_plain(weave, text, at, stop)
            return
        # A mark belongs to the character before it.
        start = max(at, special.start() - 1) if _MARKS.match(special.group()) else special.start()
        _compose_plain(weave, text, at, start)
        at = start + 1
        while at < stop and at - start < 8 and _MARKS.match(text, at):
            at += 1
        cluster = text[start:at]
        put = _FLAGS[cluster] if start in flags else _form(cluster)
        if put == cluster:
            weave.copy(start, at)
        else:
            weave.put(put, start, at)


def _compose_plain(weave: Weave, text: str, start: int, end: int) -> None:
    """Characters without marks or special ones among them."""
    piece = text[start:end]
    form = unicodedata.normalize("NFKC", piece)
    if len(form) == len(piece):
        weave.put_even(form, start, end)
        return
    for at in range(start, end):
        weave.put(_form(text[at]), at, at + 1)


@lru_cache(maxsize=16384)
def _form(cluster: str) -> str:
    """The ordinary form of a character with its marks."""
    if cluster[0] in _SPECIAL:
        return _SPECIAL[cluster[0]]
    if _HIDDEN.match(cluster):
        return cluster[1:] if len(cluster) > 1 and not _HIDDEN.match(cluster[1]) else ""
    cluster = _OVERLAYS.sub("", cluster)
    if len(cluster) > 2:  # a heap of marks is decoration
        cluster = cluster[0]
    form = unicodedata.normalize("NFKC", cluster)
    if len(form) == 1 and not form.isascii() and form.isdigit():
        return str(unicodedata.digit(form))
    return _HIDDEN.sub("", form)


_SPECIAL: dict[str, str] = {**_SQUARES, **{sign: _SHAPE[sign] for sign in _SIGNS}}
_CARE = re.compile(f"[{INVISIBLE}{_MARK}{''.join(map(re.escape, _SPECIAL))}\U0001f1e6-\U0001f1ff]|(?![0-9])\\d")


def _folded(reading: Reading) -> Reading:
    """Look-alikes as the Latin letters they stand for, word by word."""
    text = reading.text
    if text.isascii():
        return reading
    weave = Weave(reading)
    done = 0
    latin_text: bool | None = None
    for start, end in _odd_words(text):
        found = text[start:end]
        native = _NATIVE.search(found) is not None
        if native and _LATIN.search(found) is None:
            if latin_text is None:
                latin_text = _in_latin(text[:_STEP])
            if not latin_text:
                continue
        elif native and not _mixed(found):
            continue
        folded = found.translate(_TABLE)
        if not folded.isascii():
            continue
        weave.copy(done, start)
        weave.put_even(folded, start, end)
        done = end
    if not done:
        return reading
    weave.copy(done, len(text))
    return weave.done("look-alikes")


def _odd_words(text: str) -> Iterator[tuple[int, int]]:
    """Where words with look-alikes begin and end; of a very long one, the part around them."""
    done = 0
    while done < len(text):
        odd = _ODD.search(text, done, done + _STEP)
        if odd is None:
            done += _STEP
            continue
        start = odd.start()
        while start > done and odd.start() - start < 64 and text[start - 1].isascii() and text[start - 1].isalnum():
            start -= 1
        rest = _REST.match(text, odd.start())
        done = rest.end() if rest else odd.end()
        yield start, done


def _in_latin(text: str) -> bool:
    """Whether more than two thirds of the words have Latin letters."""
    words = _WORD.findall(text)
    return 3 * sum(1 for word in words if _LATIN.search(word)) > 2 * len(words)


def _mixed(word: str) -> bool:
    """Whether a word mixes Latin letters with another script's, and all of them could be Latin."""
    return word.translate(_TABLE).isascii()

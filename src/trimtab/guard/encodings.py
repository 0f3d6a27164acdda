"""Encodings of text: base64, 32 and 85, hexadecimal, binary, octal, letters by number, ROT47, URL, HTML and backslash
escapes, Morse, Braille, tags.

Each function takes a reading and gives what was decoded, or None. A decoded stretch becomes a text of its own where it
says something by itself, and stands within its surroundings where it is a word or two.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from .disguises import Change, woven
from .spots import Reading, Weave
from .vocabulary import WORDS, known

#: The most characters of one stretch that are decoded.
_LONGEST = 1 << 20
#: From so many characters on, base64 is tried from four beginnings.
_SHIFTED = 32
_BLOB = re.compile(r"[A-Za-z0-9+/_-]{8,}(?:\r?\n[A-Za-z0-9+/_-]{8,})*={0,3}")
_HEX = re.compile(r"(?:(?:\\x|0x|%|=)?[0-9A-Fa-f]{2}[ ,:]{0,2}){6,}")
_BINARY = re.compile(r"(?:[01]{8}[ ,]{0,2}){3,}")
_CODES = re.compile(r"(?:(?:1[01]\d|12[0-6]|[3-9]\d)[ ,]{1,2}){5,}(?:1[01]\d|12[0-6]|[3-9]\d)(?!\d)")
_BITS = re.compile(r"(?:[01]{7}[ ,]{1,2}){5,}[01]{7}(?![01])")
_OCTAL = re.compile(r"(?:(?:0?1[0-7]{2}|0?[4-7][0-7])[ ,\\]{1,2}){5,}(?:0?1[0-7]{2}|0?[4-7][0-7])(?!\d)")
#: Letters by their number in the alphabet, words parted by a space or a slash.
_NUMBERED = re.compile(r"(?:(?:1\d|2[0-6]|[1-9])[-.,_ /]{1,3}){11,}(?:1\d|2[0-6]|[1-9])(?!\d)")
_NUMBER = re.compile(r"\d+")
_PACKED = re.compile(r"[!-~]{25,20000}")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
#: Long tokens that are tried as base85, and the signs other than letters and figures that one of them has.
_MOST_PACKED, _LEAST_SIGNS = 32, 4
_ROT47 = str.maketrans({33 + n: 33 + (n + 47) % 94 for n in range(94)})
#: Characters by which it is seen whether a text is ROT47, and the share of signs in it.
_LOOK, _SIGNS_OF_ROT47 = 600, 0.12
#: URL escapes and what stands between and after them; what stands before the first is looked for from there.
_URL = re.compile(r"(?:%[0-9A-Fa-f]{2}[^\s%]{0,40})+")
_URL_LEAD = 40
_ENTITY = re.compile(r"&(?:#x?[0-9A-Fa-f]{1,6}|[A-Za-z]{2,12});?")
_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|U[0-9A-Fa-f]{8}|[0-3][0-7]{2})")
_MORSE = re.compile(r"[.\-\u2022\u00b7_/|](?:[.\-\u2022\u00b7_/| ]){14,}")
_BRAILLE = re.compile(r"[\u2801-\u283f][\u2800-\u283f ]{3,}")
_TAGS = re.compile("[\U000e0020-\U000e007e]{2,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_LETTER = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"[A-Za-z]+")

_MORSE_SIGNS = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..-- ..--.. -.-.-- -..-. -....- .--.-. "
    "---... .----."
)
_MORSE_CODE = dict(zip(_MORSE_SIGNS.split(), "abcdefghijklmnopqrstuvwxyz0123456789.,?!/-@:'", strict=True))
_BRAILLE_CODE = dict(zip("⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵⠀⠲⠂", "abcdefghijklmnopqrstuvwxyz .,", strict=True))


def readable(data: bytes) -> str | None:
    """Bytes as text, if they are text: UTF-8 (or UTF-16 of Latin letters), printable, mostly letters."""
    if data[1:2] == b"\x00" and data[3:4] == b"\x00":
        data = data.replace(b"\x00", b"")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    good = sum(letter.isalnum() or letter in " \n.,!?'\":;-/()@_" for letter in text)
    printable = all(letter.isprintable() or letter in "\r\n\t" for letter in text)
    return text if text and printable and good >= 0.85 * len(text) else None


def blobs(reading: Reading) -> Reading | None:
    """Base64 (also its URL form), base32 and base85-like runs of one alphabet."""

    def decode(run: str) -> str | None:
        lines = run.rstrip("=").split()
        packed = "".join(lines)
        if len(packed) < 24 and packed.isalpha() and (packed[1:].islower() or packed.isupper()):
            return None
        return _base64(packed) or _base32(packed) or next(filter(None, map(_base64, lines[1:] and lines)), None)

    return _decoded(reading, _BLOB, decode, "base64")


def _base64(packed: str) -> str | None:
    plain = packed.replace("-", "+").replace("_", "/")
    # A few characters before it, or a part of it cut away, shift a long run.
    for shift in range(4 if len(plain) >= _SHIFTED else 1):
        part = plain[shift:]
        if len(part) % 4 == 1:
            part = part[:-1]
        try:
            text = readable(base64.b64decode(part + "=" * (-len(part) % 4)))
        except (binascii.Error, ValueError):
            continue
        if text:
            return text
    return None


def _base32(packed: str) -> str | None:
    if len(packed) < 16 or not re.fullmatch(r"[A-Z2-7]+", packed):
        return None
    try:
        return readable(base64.b32decode(packed + "=" * (-len(packed) % 8)))
    except (binascii.Error, ValueError):
        return None


def hexadecimal(reading: Reading) -> Reading | None:
    """Bytes written in hexadecimal, together or apart."""

    def decode(run: str) -> str | None:
        digits = re.sub(r"\\x|0x|[%=]|[ ,:]", "", run)
        return readable(bytes.fromhex(digits)) if len(digits) % 2 == 0 else None

    return _decoded(reading, _HEX, decode, "hex")


def binary(reading: Reading) -> Reading | None:
    """Bytes written as eight or seven zeros and ones, or as decimal or octal character codes."""

    def bits(run: str) -> str | None:
        digits = re.sub(r"[ ,]", "", run)
        return readable(bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits) - 7, 8)))

    def codes(run: str) -> str | None:
        return readable(bytes(int(code) for code in re.findall(r"\d+", run)))

    def sevens(run: str) -> str | None:
        return readable(bytes(int(digits, 2) for digits in _NUMBER.findall(run)))

    def octal(run: str) -> str | None:
        return readable(bytes(int(code, 8) for code in _NUMBER.findall(run)))

    return (
        _decoded(reading, _BINARY, bits, "binary")
        or _decoded(reading, _BITS, sevens, "binary")
        or _decoded(reading, _CODES, codes, "codes")
        or _decoded(reading, _OCTAL, octal, "octal")
    )


def numbered(reading: Reading) -> Reading | None:
    """Letters by their number in the alphabet: 9-7-14-15-18-5."""

    def decode(run: str) -> str | None:
        words = (
            re.split(r"\s*/\s*|(?<=\d)[ _]+", run) if re.search(r"\d[-.,]\d", run) else re.split(r"\s*/\s*| {2,}", run)
        )
        said = ["".join(chr(96 + int(number)) for number in _NUMBER.findall(word)) for word in words]
        return " ".join(said) if known(said) > 0.6 else None

    return _decoded(reading, _NUMBERED, decode, "numbers")


def base85(reading: Reading) -> Reading | None:
    """Ascii85 and base85: long tokens full of signs."""
    left = _MOST_PACKED

    def decode(run: str) -> str | None:
        nonlocal left
        if left <= 0 or len(set(_PUNCTUATION.findall(run))) < _LEAST_SIGNS:
            return None
        left -= 1
        for unpack in (base64.a85decode, base64.b85decode):
            try:
                text = readable(unpack(run.removeprefix("<~").removesuffix("~>").encode()))
            except ValueError:
                continue
            if text:
                return text
        return None

    return _decoded(reading, _PACKED, decode, "base85")


def rot47(reading: Reading) -> Reading | None:
    """Every printable sign turned by half of them; letters become signs, so such a text is full of these."""
    part = reading.text[:_LOOK]
    if len(_PUNCTUATION.findall(part)) < _SIGNS_OF_ROT47 * len(part):
        return None
    words = _WORD.findall(part.translate(_ROT47).lower())
    if len(words) < 3 or known(words) < 0.6:
        return None
    weave = Weave(reading)
    weave.put_even(reading.text.translate(_ROT47), 0, len(reading.text))
    return weave.done("rot47")


def escapes(reading: Reading) -> Reading | None:
    """URL escapes, HTML entities and backslash escapes, each where it stands."""
    changes = [*_url(reading.text), *_entities(reading.text), *_escaped(reading.text)]
    return woven(reading, sorted(changes), "escapes")


def _url(text: str) -> Iterator[Change]:
    done = 0
    for run in _URL.finditer(text):
        start, end = run.span()
        while (
            start > done
            and run.start() - start < _URL_LEAD
            and text[start - 1] != "%"
            and not text[start - 1].isspace()
        ):
            start -= 1
        done = end
        escaped = text[start:end]
        plain = unquote(escaped, errors="replace")
        if plain != escaped and "\ufffd" not in plain:
            yield Change(start, end, plain.replace("+", " ") if "%20" not in escaped else plain)


def _entities(text: str) -> Iterator[Change]:
    for run in _ENTITY.finditer(text):
        plain = html.unescape(run.group())
        if plain != run.group():
            yield Change(run.start(), run.end(), plain)


def _escaped(text: str) -> Iterator[Change]:
    for run in _ESCAPE.finditer(text):
        body = run.group()[1:]
        code = int(body, 8) if body[0].isdigit() else int(body[1:].strip("{}"), 16)
        if 31 < code < 0xD800 or 0xDFFF < code < 0x110000:
            yield Change(run.start(), run.end(), chr(code))


def morse(reading: Reading) -> Reading | None:
    """Morse code: dots and dashes, letters parted by a space, words by a slash or more spaces."""

    def decode(run: str) -> str | None:
        plain = run.translate(str.maketrans("\u2022\u00b7_|", "..-/"))
        words = re.split(r"\s*/\s*|\s{2,}", plain.strip(" /"))
        letters = [[_MORSE_CODE.get(code, "") for code in word.split()] for word in words]
        if sum(map(len, letters)) < 4 or not all(all(word) for word in letters):
            return None
        return " ".join("".join(word) for word in letters)

    return _decoded(reading, _MORSE, decode, "morse")


def braille(reading: Reading) -> Reading | None:
    """Braille letters of the first grade."""

    def decode(run: str) -> str | None:
        return "".join(_BRAILLE_CODE.get(letter, " ") for letter in run).strip()

    return _decoded(reading, _BRAILLE, decode, "braille")


def tags(reading: Reading) -> Reading | None:
    """Text written in invisible tag characters, or as bytes in variation selectors."""

    def from_tags(run: str) -> str:
        return "".join(chr(ord(letter) - 0xE0000) for letter in run)

    def from_selectors(run: str) -> str | None:
        codes = (ord(letter) for letter in run)
        return readable(bytes(code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16 for code in codes))

    found = _decoded(reading, _TAGS, from_tags, "tags")
    return found or _decoded(reading, _SELECTORS, from_selectors, "tags")


def _decoded(reading: Reading, runs: re.Pattern[str], decode: Callable[[str], str | None], how: str) -> Reading | None:
    """What the runs decode to: alone where it says something by itself, else where it stands."""
    alone: list[Change] = []
    within: list[Change] = []
    for run in runs.finditer(reading.text):
        text = decode(run.group()[:_LONGEST])
        if text and _LETTER.search(text):
            words = _WORD.findall(text)
            if len(words) > 2:
                alone.append(Change(run.start(), run.end(), text))
            elif how == "tags" or _says(words):
                within.append(Change(run.start(), run.end(), text))
    if within:
        return woven(reading, sorted(alone + within), how)
    if not alone:
        return None
    weave = Weave(reading)
    for change in alone:
        if weave.length:
            weave.put("\n", change.start, change.start + 1)
        weave.put(change.text, change.start, change.end)
    return weave.done(how)


def _says(words: list[str]) -> bool:
    return bool(words) and all(word.lower() in WORDS for word in words) and any(len(word) > 3 for word in words)

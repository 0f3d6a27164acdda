"""Values and texts brought into one form, so that "GB29 NWBK 6016" in a letter is found again as "GB29NWBK6016"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

#: Characters of one text that are looked at, values of one call, and texts that stay indexed.
LONGEST, MOST_VALUES, KEPT = 200_000, 256, 4096
#: An account or phone number of at least so many letters and digits is also found where it is split.
_SPLIT = 8
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:[,']\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_MAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
#: A full stop before a capital ends a sentence, also where the space after it was forgotten.
_LINK = re.compile(r"(?:[hH][tT]{2}[pP][sS]?://|[wW]{3}\.)(?:(?!\.[A-Z][a-z])[^\s\"'<>()\[\]{}]){3,2000}")
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){8,30}\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})(?=\b|T)")
_MONTH_DAY = re.compile(rf"\b{_MONTH}\s+{_DAY}\b(?:,?\s+(?:of\s+)?(\d{{4}}))?")
_DAY_MONTH = re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+(?:of\s+)?(\d{{4}}))?")
_SPELLED = ((re.compile(r"(?i)\s*[\[({]\s*at\s*[\])}]\s*"), "@"), (re.compile(r"(?i)\s*[\[({]\s*dot\s*[\])}]\s*"), "."))


@dataclass(frozen=True, slots=True)
class Entity:
    """Something in a text that says where a thing goes: an address of mail or the web, or an account."""

    kind: str
    form: str


class Indexed:
    """A text, looked at once: its words, numbers, dates and addresses, for many look-ups."""

    def __init__(self, text: str) -> None:
        self.text = text[:LONGEST]

    @cached_property
    def composed(self) -> str:
        """The text composed (NFKC), with "name [at] host [dot] org" as an address."""
        text = self.text if self.text.isascii() else unicodedata.normalize("NFKC", self.text)
        if "[" in text or "(" in text or "{" in text:
            for pattern, sign in _SPELLED:
                text = pattern.sub(sign, text)
        return text

    @cached_property
    def plain(self) -> str:
        """The composed text in small letters."""
        return self.composed.casefold()

    @cached_property
    def words(self) -> str:
        """Its words with a space between, before and after them."""
        return f" {' '.join(_WORD.findall(self.plain))} "

    @cached_property
    def run(self) -> str:
        """Its letters and digits without anything between."""
        return self.words.replace(" ", "")

    @cached_property
    def entities(self) -> frozenset[Entity]:
        """Every address and account in it."""
        return frozenset(entities_in(self.composed))

    @cached_property
    def numbers(self) -> frozenset[float]:
        """Every number in it."""
        return frozenset(_number(found) for found in _NUMBER.findall(self.plain))

    @cached_property
    def dates(self) -> frozenset[tuple[int, int, int]]:
        """Every calendar date in it as (year, month, day); the year is 0 where none is said."""
        text = self.plain
        found = {(int(y), int(m), int(d)) for y, m, d in _ISO.findall(text)}
        for month, day, year in _MONTH_DAY.findall(text):
            found.add((int(year or 0), _MONTHS.index(month) + 1, int(day)))
        for day, month, year in _DAY_MONTH.findall(text):
            found.add((int(year or 0), _MONTHS.index(month) + 1, int(day)))
        return frozenset(found)

    def has(self, value: object) -> bool:
        """Whether the text names a value, however it is written."""
        if isinstance(value, bool) or value is None:
            return True
        if isinstance(value, int | float):
            return float(value) in self.numbers
        return self._has_text(str(value))

    def _has_text(self, value: str) -> bool:
        wanted = indexed(value)
        if not wanted.run:
            return True
        whole = entity_of(wanted.plain)
        if whole is not None:
            return any(same(whole, each) for each in self.entities) or (
                whole.kind == "account" and whole.form in self.run
            )
        if wanted.words in self.words:
            return True
        if _ISO.match(wanted.plain):
            return any(_same_day(day, other) for day in wanted.dates for other in self.dates)
        if len(wanted.run) >= _SPLIT and any("0" <= letter <= "9" for letter in wanted.run) and _one_word(value):
            return wanted.run in self.run
        return _is_number(wanted.plain) and _number(wanted.plain) in self.numbers


@lru_cache(maxsize=KEPT)
def indexed(text: str) -> Indexed:
    """The index of a text; the same text, sent again with every turn, is indexed once."""
    return Indexed(text)


def entities_in(text: str) -> Iterator[Entity]:
    """The addresses and accounts of a text as it is written."""
    for found in _MAIL.findall(text):
        yield Entity("mail", found.casefold().strip(".-"))
    for found in _LINK.findall(text):
        yield Entity("link", link_form(found))
    for found in _ACCOUNT.findall(text.upper()):
        yield Entity("account", _account(found))


def _account(found: str) -> str:
    """An account without its spaces, and without the words that follow it in a sentence."""
    groups = re.split("[ -]", found)
    while len(groups) > 1 and not any(letter.isdigit() for letter in groups[-1]):
        groups.pop()
    return "".join(groups).casefold()


@lru_cache(maxsize=KEPT)
def entity_of(value: str) -> Entity | None:
    """The address or account that a value is as a whole; None for any other value."""
    value = value.strip()
    if _MAIL.fullmatch(value):
        return Entity("mail", value.casefold())
    if _LINK.fullmatch(value):
        return Entity("link", link_form(value))
    if len(value) < 100 and _ACCOUNT.fullmatch(value.upper()):
        return Entity("account", re.sub("[ -]", "", value).casefold())
    return None


def link_form(link: str) -> str:
    """An address of the web without its scheme, ``www.``, and what may follow it in a sentence."""
    bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", link.strip().casefold())
    return bare.rstrip(".,;:!?/")


def same(wanted: Entity, named: Entity) -> bool:
    """Whether a named address covers a wanted one: it is the same, or the wanted page is below the named one."""
    if wanted.kind != named.kind:
        return False
    if wanted.form == named.form:
        return True
    return wanted.kind == "link" and wanted.form.startswith(f"{named.form}/")


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value of an argument with its place: ``recipients[0]``, ``to.iban``. At most ``MOST_VALUES``."""
    for count, leaf in enumerate(_leaves(value, name, 0)):
        if count >= MOST_VALUES:
            return
        yield leaf


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > 16:
        yield name, str(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for position, each in enumerate(value):
            yield from _leaves(each, f"{name}[{position}]", depth + 1)
    else:
        yield name, value


def _one_word(value: str) -> bool:
    """Whether a value is one number or code, perhaps in groups: words of letters alone are not matched in pieces."""
    return all(any("0" <= c <= "9" for c in word) or len(word) <= 4 for word in _WORD.findall(value))


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("'", ""))


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def _same_day(day: tuple[int, int, int], named: tuple[int, int, int]) -> bool:
    return day[1:] == named[1:] and (named[0] in (0, day[0]))

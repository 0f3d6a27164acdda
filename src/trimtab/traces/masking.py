"""Personal data and secrets taken out of spans and scores before anything is written. Pure.

Every pattern runs in time linear in the text (RE2), and what has a check digit is checked, so that an order number is
not taken for a card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import re2

from trimtab.core import BadInput, Score, Span
from trimtab.core.checksums import IBAN_LENGTHS, iban, luhn

#: Spans and scores in, the same without what is masked out.
Mask = Callable[[Sequence[Span], Sequence[Score]], tuple[Sequence[Span], Sequence[Score]]]

_DEPTH = 32


def _all(found: str) -> int:
    return len(found)


def _card(found: str) -> int:
    """Luhn's check over 13 to 19 digits."""
    digits = "".join(letter for letter in found if letter.isdigit())
    return len(found) if 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits) else 0


def _iban(found: str) -> int:
    """ISO 13616: the country's length, and 1 as the remainder modulo 97. What follows in capitals is not part of it."""
    places = [place for place, letter in enumerate(found) if letter.isalnum()]
    length = IBAN_LENGTHS.get(found[:2].upper(), 0)
    if not 0 < length <= len(places):
        return 0
    end = places[length - 1] + 1
    text = "".join(letter for letter in found[:end] if letter.isalnum()).upper()
    whole = end == len(found) or not found[end].isalnum()
    return end if whole and iban(text) else 0


def _phone(found: str) -> int:
    """8 to 15 digits, written as a person writes a number and not as a date."""
    digits = sum(letter.isdigit() for letter in found)
    return len(found) if 8 <= digits <= 15 and not _DATE.search(found) else 0


_DATE = re2.compile(r"\b(?:19|20)\d\d[-./ ]?(?:0[1-9]|1[0-2])[-./ ]?(?:0[1-9]|[12]\d|3[01])")
_SECRETS = "|".join(
    (
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s\\]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?",
        r"\bsk-(?:ant-|proj-|or-|live-)?[A-Za-z0-9_-]{16,}",
        r"\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
        r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}|\bglpat-[A-Za-z0-9_-]{20,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{35}|\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{36}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"(?i:\bbearer\s+)[A-Za-z0-9._~+/-]{20,}=*",
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"']+:[^\s/@\"']+@",
    )
)
_NAMED = r"(?i:\b(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?token)\b)"
_ASSIGNED = (
    _NAMED + r"\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?([^\s\"'\\,;&]{6,})",
    # Said in a sentence, only what has a digit: "the password is required" gives nothing away.
    _NAMED + r"\s+is:?\s+\\?[\"']?([^\s\"'\\,;&]*\d[^\s\"'\\,;&]*)",
)

# Each with a check of what was found, which says how much of it is to go: nothing, or so many characters.
_ONCE: dict[str, tuple[str, Callable[[str], int]]] = {
    "secret": (_SECRETS, _all),
    "email": (r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,24}\b", _all),
    "iban": (r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,9}\b|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b", _iban),
    "card": (r"\b[2-6]\d{3}(?:[ -]?\d{2,6}){2,4}\b", _card),
    "phone": (r"(?:\+|\b00)\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ ./-]?\d{2,4}){1,5}\b"
              r"|\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){1,4}\b|\b0\d{1,4}[ /-]\d{2,4}(?:[ -]?\d{2,4}){1,4}\b"
              r"|\b[2-9]\d{2}[.-]\d{3}[.-]\d{4}\b", _phone),
}  # fmt: skip
#: What can be masked, in the order in which it is.
KINDS = tuple(_ONCE)
_PATTERNS = {name: (re2.compile(pattern), check) for name, (pattern, check) in _ONCE.items()}
_ASSIGNMENTS = tuple(map(re2.compile, _ASSIGNED))
# What a kind cannot do without: most texts have none of it, and are passed over in one look.
_SOME = {
    "secret": re2.compile(
        r"-----BEGIN|sk-|[a-z]{2,4}_|xox|AKIA|ASIA|AIza|eyJ|glpat-|://|(?i:bearer|passw|passphrase|secret|api.?key|token)"
    ),
    "email": re2.compile("@"),
    "digits": re2.compile(r"\d(?:[ ./()A-Z-]{0,6}\d){7}"),
}


@dataclass(frozen=True, slots=True)
class Masking:
    """What is masked in each project: ``kinds`` where a project is not named. ``salt`` keeps the stand-ins of sessions
    and tags, which must stay distinct, from being looked up."""

    kinds: tuple[str, ...] = ()
    projects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    salt: bytes = b""

    def __post_init__(self) -> None:
        for name in {*self.kinds, *(name for names in self.projects.values() for name in names)}:
            if name not in _PATTERNS:
                raise BadInput(
                    f"{name!r} is nothing that can be masked", field="privacy.mask", mend=f"Use {', '.join(KINDS)}."
                )

    def __call__(self, spans: Sequence[Span], scores: Sequence[Score]) -> tuple[Sequence[Span], Sequence[Score]]:
        """The same spans and scores, masked."""
        if not self.kinds and not any(self.projects.values()):
            return spans, scores
        return [self._span(span) for span in spans], [self._score(score) for score in scores]

    def forms(self, text: str) -> frozenset[str]:
        """How a session, a user or the value of a tag may be stored: as it is, and with each project's stand-in."""
        return frozenset((text, *(self._distinct(text, kinds) for kinds in {self.kinds, *self.projects.values()})))

    def text(self, text: str, kinds: Iterable[str]) -> str:
        """A text with ``[email]`` and the like where something was."""
        if len(text) < 6:
            return text
        if not text.isascii():
            # Half a surrogate pair has no UTF-8; it would be refused by the store, and must not be an error here.
            text = text.encode("utf-8", "replace").decode()
        worth = {name for name, some in _SOME.items() if some.search(text)}
        for kind in KINDS:
            if kind in kinds and (kind if kind in _SOME else "digits") in worth:
                text = _masked(text, kind)
        return text

    def _of(self, project: str) -> tuple[str, ...]:
        return self.projects.get(project, self.kinds)

    def _span(self, span: Span) -> Span:
        kinds = self._of(span.project)
        if not kinds:
            return span
        return replace(
            span,
            name=self.text(span.name, kinds),
            session=self._distinct(span.session, kinds),
            error=self.text(span.error, kinds),
            input=self.text(span.input, kinds),
            output=self.text(span.output, kinds),
            tags={self.text(name, kinds): self._distinct(value, kinds) for name, value in span.tags.items()},
            attributes=self._value(dict(span.attributes), kinds, _DEPTH),
        )

    def _score(self, score: Score) -> Score:
        kinds = self._of(score.project)
        if not kinds:
            return score
        return replace(
            score,
            by=self._distinct(score.by, kinds),
            label=self.text(score.label, kinds),
            reason=self.text(score.reason, kinds),
            slice=self._distinct(score.slice, kinds),
        )

    def _distinct(self, text: str, kinds: tuple[str, ...]) -> str:
        """A masked name that stays the same for the same name, so that sessions and users can be told apart."""
        masked = self.text(text, kinds)
        if masked == text:
            return text
        return f"{masked[:60]} {hashlib.blake2b(text.encode(), key=self.salt[:64], digest_size=4).hexdigest()}"

    def _value(self, value: Any, kinds: tuple[str, ...], depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value, kinds)
        if depth == 0:
            return value
        if isinstance(value, Mapping):
            return {self.text(str(name), kinds): self._value(one, kinds, depth - 1) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(one, kinds, depth - 1) for one in value]
        return value


def _masked(text: str, kind: str) -> str:
    pattern, check = _PATTERNS[kind]
    for assigned in _ASSIGNMENTS if kind == "secret" else ():
        text = assigned.sub(lambda found: found[0][: len(found[0]) - len(found[1])] + "[secret]", text)

    def stand_in(found: Any) -> str:
        whole = str(found[0])
        length = check(whole)
        return f"[{kind}]{whole[length:]}" if length else whole

    return str(pattern.sub(stand_in, text))

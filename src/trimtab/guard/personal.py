"""The personal-data scanner: addresses, numbers and identifiers with check digits, weighed by the words nearby."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from trimtab.core import BadInput

from .expressions import Screen, compiled
from .personal_rules import PHONE_LABEL, RULES, PersonalRule
from .scanner import Match, Scan, Scanner, found_in, refuse_unknown
from .secrets import apart
from .text import Context, Text

#: Characters before and after a datum in which a word may explain it.
BEFORE = 48
AFTER = 16
LONGEST = 128

KINDS = tuple(dict.fromkeys(rule.kind for rule in RULES))
#: Kinds that are looked for unless a policy names its own: an address on the web says little about a person.
USUAL = tuple(kind for kind in KINDS if kind not in ("url", "mac-address", "ethereum-address"))


def _words_of(rule: PersonalRule) -> Any:
    """The words of a rule, in the form that the plain reading gives them."""
    words = unicodedata.normalize("NFKC", rule.words)
    return compiled(rf"(?i)(?:^|[^\p{{L}}])(?:{words})") if words else None


_RULES = tuple((rule, compiled(rule.pattern), _words_of(rule)) for rule in RULES)
_LABEL = compiled(PHONE_LABEL)
#: What personal data cannot be without: three digits close together, an at sign, an address, a name that is told, a
#: word for a passport.
_SIGN = compiled(
    r"\d[^A-Za-z]{0,4}\d[^A-Za-z]{0,4}\d|@|://|::|[Nn]ame |m'appelle|llamo|called|\b(?:[13]|bc1)[A-Za-z0-9]{25}|"
    r"(?i:passport|reisepass|passeport|pasaporte)"
)


def find_personal(text: str, kinds: frozenset[str]) -> list[Match]:
    """The personal data in a text, at positions in it; where two kinds fit one place, the more certain one."""
    if _SIGN.search(text) is None:
        return []
    found: list[Match] = []
    rules, screen = _chosen(kinds)
    for number in screen.which(text):
        found.extend(_by_rule(text, *rules[number]))
    return apart(found)


@lru_cache(maxsize=64)
def _chosen(kinds: frozenset[str]) -> tuple[tuple[tuple[PersonalRule, Any, Any], ...], Screen]:
    """The rules for some kinds, and what sees which of them may match."""
    rules = tuple(each for each in _RULES if each[0].kind in kinds)
    return rules, Screen([rule.pattern for rule, _, _ in rules])


def _by_rule(text: str, rule: PersonalRule, pattern: Any, words: Any) -> Iterator[Match]:
    for hit in pattern.finditer(text):
        start, end = hit.span(1 if pattern.groups else 0)
        value = text[start:end].rstrip(" .-")
        end = start + len(value)
        if _within_number(text, start, end) or (rule.check is not None and not rule.check(value)):
            continue
        score = rule.alone
        if words is not None and rule.near > score and _near(text, start, end, words, label=rule.kind == "phone"):
            score = rule.near
        if score >= 0.2:
            yield Match(rule.kind, start, end, score)


def _near(text: str, start: int, end: int, words: Any, *, label: bool) -> bool:
    before = text[max(0, start - BEFORE) : start]
    after = text[end : end + AFTER]
    if words.search(before) is not None or words.search(after) is not None:
        return True
    return label and _LABEL.search(after) is not None


def _within_number(text: str, start: int, end: int) -> bool:
    """Whether a hit is only a part of a longer number, a decimal fraction or an identifier of another make."""
    before = text[max(0, start - 2) : start]
    after = text[end : end + 2]
    if before[-1:].isdigit() or after[:1].isdigit() or (before and before[-1] in "_#$"):
        return True
    joined = before[-1:] in "-./," and before[:1].isdigit() and len(before) == 2
    return joined or (after[:1] in "-./" and len(after) == 2 and after[1].isdigit())


def _build(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("kinds",))
    wanted = options.get("kinds", list(USUAL))
    if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
        raise BadInput("must be a list of kinds", field="kinds", mend=f"Choose from {', '.join(KINDS)}.")
    for kind in wanted:
        if kind not in KINDS:
            raise BadInput(f"{kind!r} is not a kind", field="kinds", mend=f"Choose from {', '.join(KINDS)}.")
    kinds = frozenset(wanted)
    _chosen(kinds)  # compiled now, not at the first request

    def scan(text: Text) -> Sequence[Match]:
        return apart(found_in(text, lambda reading: find_personal(reading, kinds)))

    return scan


def _open(text: str, context: Context) -> int:
    """The last word may still grow, and so may a number written in groups: back over words that hold a digit."""
    end = len(text)
    start = max(text.rfind(space) for space in " \n\t") + 1
    while start > 0 and end - start < LONGEST:
        before = max(text.rfind(space, 0, start - 1) for space in " \n\t") + 1
        word = text[before : start - 1]
        if not word or not (any(map(str.isdigit, word)) or word.isupper() or word[0] in "+("):
            break
        start = before
    return start


SCANNERS = (
    Scanner(
        name="personal",
        stages=("input", "output", "action"),
        description="Personal data: e-mail and IP addresses, phones, payment cards, bank accounts and about forty "
        "national identifiers, with their check digits and the words nearby.",
        build=_build,
        threshold=0.5,
        longest=LONGEST,
        open=_open,
        options={
            "kinds": "the kinds to look for; all but url, hardware and Ethereum addresses unless given: "
            + ", ".join(KINDS)
        },
    ),
)

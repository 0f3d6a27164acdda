"""The secrets scanner: what providers give out, private keys, passwords in addresses, values that are named secret.

The generic rule needs three things at once: a name that says secret, a value that looks drawn at random, and nothing
that says it only stands in for one. Identifiers and digests (UUID, SHA-1, ...) are not secrets.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .expressions import Screen, compiled
from .scanner import Match, Scan, Scanner, found_in, refuse_unknown
from .secret_rules import ASSIGNED, PLACEHOLDER, RULES, STAND_IN, SecretRule
from .text import Context, Text

#: Characters before and after a secret in which a word may explain it.
REACH = 64
LONGEST = 512

_ASSIGNED = compiled(ASSIGNED)
_PLACEHOLDER = compiled(PLACEHOLDER)
_STAND_IN = compiled(STAND_IN)
_DIGEST = re.compile(
    r"(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})", re.IGNORECASE
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
#: Names of nothing but secrets; a key or a token may be an identifier.
_SURELY = re.compile(r"secret|passw|passphrase|pwd|private|signing|encryption|master", re.IGNORECASE)
#: Digests of the empty text: MD5, SHA-1 and SHA-256.
_OF_NOTHING = frozenset(
    ("d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
)  # fmt: skip
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/.~]?(?:[\w.~-]+[\\/]){1,}[\w.~-]*|[\w-]+(?:\.[a-z][\w-]*)+(?:\(.*)?", re.ASCII)
_SLUG = re.compile(r"[a-z]{1,15}(?:[-_][a-z]{1,15})+")
_NAME = re.compile(r"[A-Z]?[a-z]+(?:[_\-.]?[A-Z]?[a-z]+)*[\d.!?]{0,2}|[A-Z]+(?:[_-][A-Z]+)*\d{0,2}")
KINDS = tuple(dict.fromkeys([*(rule.kind for rule in RULES), "named-secret"]))
_RULES = tuple((rule, compiled(rule.pattern), compiled(f"(?i){rule.near}") if rule.near else None) for rule in RULES)
_SCREEN = Screen([*(rule.pattern for rule in RULES), ASSIGNED])


def entropy(text: str) -> float:
    """Shannon entropy of the characters of a text, bits a character."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values()) if size else 0.0


def find_secrets(text: str) -> list[Match]:
    """The secrets in a text, at positions in it; where two rules see the same place, the more certain one."""
    found: list[Match] = []
    for number in _SCREEN.which(text):
        found.extend(_assigned(text) if number == len(_RULES) else _by_rule(text, *_RULES[number]))
    return apart(found) if found else found


def apart(found: Sequence[Match]) -> list[Match]:
    """Matches that do not overlap: the higher score wins, then the longer one."""
    kept: list[Match] = []
    for match in sorted(found, key=lambda match: (-match.score, match.start - match.end, match.start)):
        at = bisect_left(kept, match.start, key=lambda other: other.start)
        before, after = kept[at - 1 : at], kept[at : at + 1]
        if all(other.end <= match.start for other in before) and all(other.start >= match.end for other in after):
            kept.insert(at, match)
    return kept


def _by_rule(text: str, rule: SecretRule, pattern: Any, near: Any) -> Iterator[Match]:
    for hit in pattern.finditer(text):
        group = next((n for n in range(1, pattern.groups + 1) if hit.start(n) >= 0), 0)
        start, end = hit.span(group)
        value = text[start:end]
        around = text[max(0, start - REACH) : end + REACH] if near is not None else ""
        if near is not None and not near.search(around):
            continue
        if _STAND_IN.search(value) or _SLUG.fullmatch(value):
            continue
        if near is not None and (entropy(value) < rule.entropy or stands_in(value)):
            continue
        yield Match(rule.kind, start, end, 0.8 if near is not None else 0.95)


def _assigned(text: str) -> Iterator[Match]:
    for hit in _ASSIGNED.finditer(text):
        start, end = hit.span(1)
        # A value may be the name of another one ("token: API_KEY=...").
        inner = _ASSIGNED.search(text[start:end])
        if inner is not None:
            start, end = start + inner.start(1), start + inner.end(1)
        value = text[start:end].rstrip(".,!?")
        named = _SURELY.search(text[hit.start() : start]) is not None and value.casefold() not in _OF_NOTHING
        if (looks_drawn(value) or (named and _identifies(value))) and not stands_in(value):
            yield Match("named-secret", start, start + len(value), 0.75 if len(value) >= 16 else 0.6)


def stands_in(value: str) -> bool:
    """Whether a value only stands in for a secret, or is an identifier that is none."""
    return _PLACEHOLDER.search(value) is not None


def looks_drawn(value: str) -> bool:
    """Whether a value looks drawn at random, or like a password: letters and digits mixed, no word, path or digest."""
    if _identifies(value) or _NAME.fullmatch(value) or _PATH.fullmatch(value):
        return False
    kinds = sum(any(test(letter) for letter in value) for test in (str.islower, str.isupper, str.isdigit))
    if value.replace("-", "").replace(".", "").replace("/", "").isdigit() or kinds < 2:
        return False
    if not any(letter.isdigit() for letter in value) and len(value) < 20:
        return False
    return entropy(value) >= (3.3 if len(value) >= 16 else 2.7)


def _identifies(value: str) -> bool:
    """Whether a value has the form of a digest or a UUID. Behind a name such as client_secret that is a secret too."""
    return _DIGEST.fullmatch(value) is not None or _UUID.fullmatch(value) is not None


def _build(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("allow", "only", "skip"))
    allowed = _listed(options, "allow", None)
    only, skip = _listed(options, "only", KINDS), _listed(options, "skip", KINDS)

    def wanted(text: Text, match: Match) -> bool:
        if (only and match.kind not in only) or match.kind in skip:
            return False
        return not allowed or text.original[match.start : match.end] not in allowed

    def scan(text: Text) -> Sequence[Match]:
        # A policy may name this scanner twice, with an action of its own for some kinds.
        found = text.memo.get("secrets")
        if found is None:
            found = text.memo["secrets"] = found_in(text, find_secrets)
        return apart([match for match in found if wanted(text, match)]) if found else ()

    return scan


def _listed(options: Mapping[str, Any], key: str, known: Sequence[str] | None) -> frozenset[str]:
    value = options.get(key, [])
    mend = "List the secrets that may pass." if known is None else f"Choose from {', '.join(known)}."
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(each, str) for each in value):
        raise BadInput("must be a list of texts", field=key, mend=mend)
    if known is not None and not set(value) <= set(known):
        raise BadInput("names a kind that there is not", field=key, mend=mend)
    return frozenset(value)


def _open(text: str, context: Context) -> int:
    """A secret has no spaces in it, so only the last word may still grow; a private key until its end is seen."""
    begun = text.rfind("-----BEGIN")
    if begun >= 0 and text.find("-----END", begun) < 0:
        return begun
    last = max(text.rfind(space) for space in " \n\t") + 1
    ended = text.find("-----END", max(0, begun))
    return min(last, ended) if ended >= 0 and text.find("-----", ended + 8) < 0 else last


SCANNERS = (
    Scanner(
        name="secrets",
        stages=("input", "output", "action"),
        description="Keys, tokens and passwords: the forms of about a hundred providers, private keys, passwords in "
        "addresses, and values that are named secret and look drawn at random.",
        build=_build,
        threshold=0.6,
        longest=LONGEST,
        open=_open,
        options={
            "allow": "secrets that may pass, for example published test keys",
            "only": "kinds to look for and no others",
            "skip": f"kinds to leave out, of {', '.join(KINDS)}",
        },
    ),
)

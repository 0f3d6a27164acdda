"""Scanners for the tone of a text: refusals, sentiment, sweeping statements about groups of people."""

# ruff: noqa: E501 - expressions as they are listed
from __future__ import annotations

import re
from collections.abc import Sequence

from .expressions import compiled
from .scanner import Match, Scanner, plain
from .text import Text
from .vocabulary import words_in

#: Only the beginning of an answer tells whether it refuses.
_OPENING = 400
_REFUSAL = compiled(
    r"(?i)\b(?:i(?:'m| am)(?: (?:really|very|so|truly))? (?:sorry|afraid)[^.!?\n]{0,40}(?:can(?:'t|not| not)|unable|won't|not able)|"
    r"i (?:can(?:'t|not| not)|won't|will not|am (?:not able|unable) to|'m (?:not able|unable) to|must (?:decline|refuse)|"
    r"have to (?:decline|refuse)|refuse to|do not feel comfortable|don't feel comfortable)\s+(?:\w+ ){0,3}(?:assist|help|comply|"
    r"provide|fulfil?l?|support|create|generate|write|answer|share|engage|discuss|do that|do this|participate|that|this|with|your|offer)|"
    r"(?:it|that|this) (?:would be|is) (?:unethical|illegal|inappropriate|against my)|as an ai[^.!?\n]{0,60}(?:can(?:'t|not)|unable|not able|don't)|"
    r"against my (?:guidelines|programming|policy|policies|principles)|not (?:able|allowed|permitted) to (?:assist|help|provide|share|answer))|"
    r"\bich kann (?:\w+ ){0,3}nicht (?:\w+ ){0,2}(?:helfen|antworten|beantworten)|\bje ne peux pas (?:vous |t')?(?:aider|répondre|fournir)|"
    r"\bno puedo (?:ayudar|ayudarte|proporcionar|responder)"
)
_WORD = re.compile(r"[a-z']+")
_GOOD = words_in(
    "good great excellent love loved happy wonderful amazing thanks thank perfect helpful nice best pleased glad awesome "
    "fantastic enjoy enjoyed beautiful brilliant delighted satisfied recommend friendly easy fast"
)
_BAD = words_in(
    "bad terrible awful hate hated angry horrible worst useless disappointed disappointing broken annoying stupid sad "
    "furious disgusting pathetic unacceptable poor slow rude frustrated frustrating garbage ridiculous scam lie lies idiot "
    "idiots crap worthless incompetent disgrace ugly"
)
_NOT = words_in("not no never isn't wasn't don't doesn't didn't can't won't hardly without")
_GROUPS = (
    r"(?:women|men|girls|boys|females|males|blacks?|whites?|asians?|africans?|arabs?|jews?|jewish people|muslims?|"
    r"christians?|hindus?|gays?|lesbians?|homosexuals?|trans(?:gender)? people|immigrants?|foreigners?|refugees?|mexicans?|"
    r"chinese(?: people)?|indians?|americans?|russians?|gypsies|disabled people|old people|elderly people|poor people)"
)
_BIAS = compiled(
    rf"(?i)\b(?:all|most|every|those|these) {_GROUPS} (?:are|is|have|can't|cannot|should|always|never|love|hate|want)\b|"
    rf"\b{_GROUPS} (?:are|is) (?:all |always |naturally |inherently |genetically |just |simply )+\w+|"
    rf"\b{_GROUPS} (?:are|is) (?:inferior|superior|lazy|stupid|dumb|dirty|criminals?|violent|thieves|greedy|emotional|weak|"
    rf"less (?:intelligent|capable|competent)|unfit|bad at|dangerous|untrustworthy|dishonest)|"
    rf"\b{_GROUPS} (?:should not|shouldn't|must not|can't|cannot) (?:be allowed|vote|work|drive|lead|own|have)|"
    rf"\b(?:a )?(?:woman|women)(?:'s)? (?:place|belongs?) (?:is )?(?:in )?the (?:kitchen|home)"
)


def refuses(text: str) -> tuple[int, int] | None:
    """Where an answer says that it will not answer, if it does."""
    found = _REFUSAL.search(text[:_OPENING].replace("\u2019", "'"))
    return found.span() if found else None


def _refusal(text: Text) -> Sequence[Match]:
    found = refuses(text.plain.text)
    return [Match("refusal", *text.plain.spot(*found), 0.9)] if found else []


def _sentiment(text: Text) -> Sequence[Match]:
    """Negative sentiment: bad words less good ones, each turned by a "not" before it, over the square root of the length."""
    words = _WORD.findall(text.plain.text.lower()[:20_000])
    balance = 0
    for at, word in enumerate(words):
        worth = (word in _GOOD) - (word in _BAD)
        if worth:
            balance += -worth if _NOT.intersection(words[max(0, at - 3) : at]) else worth
    if balance >= 0:
        return []
    score = min(1.0, -balance / max(1.0, len(words) ** 0.5) + 0.1 * min(4, -balance))
    return [Match("negative", 0, len(text.original), score)]


def _bias(text: Text) -> Sequence[Match]:
    reading = text.plain
    return [Match("sweeping", *reading.spot(*hit.span()), 0.8) for hit in _BIAS.finditer(reading.text)]


SCANNERS = (
    Scanner(
        name="refusal",
        stages=("output",),
        description="An answer that says it will not answer.",
        build=plain(_refusal),
    ),
    Scanner(
        name="sentiment",
        stages=("input", "output"),
        description="Strongly negative sentiment in English, by a small list of words.",
        build=plain(_sentiment),
        threshold=0.6,
    ),
    Scanner(
        name="bias",
        stages=("input", "output"),
        description="Sweeping or degrading statements about groups of people, in English.",
        build=plain(_bias),
        threshold=0.6,
        longest=128,
    ),
)

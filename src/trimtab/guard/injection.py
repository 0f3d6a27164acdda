"""Injection, jailbreak and prompt extraction in what users write: a light trained model over every reading of a text.

The model is linear over hashed n-grams and concepts (see ``model``); how it was trained, on what, and what it misses is
in docs/guard-model.md. A score of 0.5 is the point where about one in a hundred ordinary texts of sources it never saw
is flagged.
"""

from __future__ import annotations

from .expressions import compiled
from .model import Scored, model
from .model.concepts import CONCEPTS, concept_of
from .model.features import tokens_of
from .scanner import Match, Scanner, plain
from .text import Reading, Text
from .vocabulary import words_in

#: Characters of one reading that are scored: of a longer one the beginning and the end.
HEAD, TAIL = 72_000, 24_000
#: Tokens of one reading at most, and readings of one text at most.
TOKENS = 24_000
READINGS = 12
KIND = "injection"
#: Log-odds added where the words were disguised (spelled backwards, encoded, spaced out): honest requests seldom are.
DISGUISED = 1.0
#: Log-odds taken away where somebody only takes back his own words, in a text of at most so many characters.
OWN_WORDS, SHORT = 2.0, 160
#: What a reading may have undone for that: a word of another language is taken for a misspelt one.
_SPELLING = frozenset(("typo", "unicode"))
#: Concepts that such a request may bring.
_HARMLESS = frozenset(("override", "prior", "you", "now", "negate", "reply", "task", "urgent", "comply"))
#: "My" and "mine". What is a common word of another language as well says nothing: Italian and Polish "i", Arabic "من".
_MINE = words_in(
    """my mine mein meine meinen meiner meinem meines mon ma mes mi mis mío mía mio mia miei mie meu minha meus minhas
    mijn mój moja moje mojego мой моя моё мое мои моего моей min mitt mina minun můj moji mou môj moju mea mele mei
    μου моє мій моїм שלי مرا سؤالي رسالتي আমার मेरे मेरी मेरा मैंने tôi saya aku langu yangu sorumu mesajımı benim"""
)
#: "I" counts with what he did: who says "I want you to ignore everything" speaks of nothing that is his own.
_I_DID = compiled(
    r"(?i)\bi(?:['\x{2019}]ve| have| had| just){0,2} (?:said|told|asked|wrote|meant|sent|typed|mentioned|gave|made)\b|"
    r"\bich (?:\pL+ ){0,2}(?:gesagt|geschrieben|gefragt|geschickt)|\bho (?:detto|scritto|chiesto)|"
    r"\beu (?:disse|escrevi)|"
    r"\bik (?:\pL+ ){0,2}(?:zei|schreef|gezegd|geschreven)|\b(?:dije|escrib\x{ed})(?:\PL|$)"
)
#: "Mit" is Danish for "my" and German for "with".
_GERMAN = ("ignorier", "vergiss", "vergess", "missacht")
#: What is undone in honest texts all the time: it adds nothing.
USUAL = frozenset(("unicode", "markup", "escapes", "run-together", "joined"))


def scan(text: Text) -> list[Match]:
    """The loudest window of the text, over all of its readings. It reports one match whatever its score."""
    best: tuple[Scored, Reading, int] | None = None
    for reading in text.readings[:READINGS]:
        found, shift = loudest(reading.text)
        if not USUAL.issuperset(reading.how):
            found = Scored(found.logit + DISGUISED, found.start, found.end)
        if best is None or found.logit > best[0].logit:
            best = found, reading, shift
    if best is None or best[0].end <= best[0].start:
        return []
    found, reading, shift = best
    if _SPELLING.issuperset(reading.how) and found.logit > 0 and takes_back(text.plain.text):
        found = Scored(found.logit - OWN_WORDS, found.start, found.end)
    start, end = reading.spot(found.start + shift, found.end + shift)
    return [
        Match(KIND, start, end, round(found.probability, 4), "it reads like an attack on the assistant", reading.how)
    ]


def takes_back(text: str) -> bool:
    """Whether somebody asks to ignore what he himself has said, and nothing else: "ignore my previous question". That
    reads like an override, and it names no rules, no secret, no role and no freedom."""
    if len(text) > SHORT:
        return False
    words = [word.casefold() for word in tokens_of(text, SHORT)]
    danish = "mit" in words and not any(word.startswith(_GERMAN) for word in words)
    if _MINE.isdisjoint(words) and not danish and _I_DID.search(text) is None:
        return False
    meant = {CONCEPTS[number] for word in words if (number := concept_of(word)) >= 0}
    return "override" in meant and meant <= _HARMLESS


def loudest(text: str, name: str = "injection") -> tuple[Scored, int]:
    """The best window of a text by a model, and what to add to its positions. Time is bounded for any length."""
    linear = model(name)
    if len(text) <= HEAD + TAIL:
        return linear.best(text, TOKENS), 0
    head, tail = linear.best(text[:HEAD], TOKENS), linear.best(text[-TAIL:], TOKENS)
    return (head, 0) if head.logit >= tail.logit else (tail, len(text) - TAIL)


SCANNERS = (
    Scanner(
        name="injection",
        stages=("input", "output"),
        description="It reads like an attempt to override the assistant, free it from its rules or extract its prompt.",
        build=plain(scan),
        cost="some",
    ),
)

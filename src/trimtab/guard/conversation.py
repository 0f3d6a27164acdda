"""Risk of a conversation: what no single message shows.

Three attacks spread over turns. *Payload splitting* hands a request over in pieces and asks to put them together: the
pieces are collected, joined and scanned. *Deceptive Delight* hides a harmful topic among harmless ones and asks to go
deeper; *Crescendo* begins with history and ends with practice: there, evidence of harm and the pull towards detail are
each a decaying sum, and risk is their product. A benign conversation of the same shape has the pull and no harm.

``Conversation`` is pure: the same messages give the same risk, so the messages of one request are enough.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from . import wiles
from .injection import loudest
from .model import Scored, model
from .model.concepts import CONCEPTS
from .model.linear import row_of
from .scanner import Match, Scanner, plain
from .text import Text, read

KIND = "conversation"
#: Earlier messages that are looked at, characters of each, and pieces that are kept.
TURNS, CHARACTERS, PIECES = 40, 4_000, 64
TOKENS = 1200
#: Risk below which nothing is reported, and pull below which a conversation is not looked at.
LEAST, LEAST_PULL = 0.05, 0.6
#: As a row tells the concept of harm.
_HARM = CONCEPTS.index("harm") + 1
#: What is left of harm and of pull after each further message of the user.
DECAY = 0.85
#: How much an answer counts as evidence, against a message of the user.
ANSWER = 0.4
#: Risk is ``1 - exp(-STEEPNESS * harm * pull)``.
STEEPNESS = 0.85
#: Evidence of harm is the logistic function of ``SLOPE * (log-odds + MILD)``; each word of harm adds ``WORD`` log-odds,
#: up to three words: a topic named once in a long sentence would be lost otherwise.
SLOPE, MILD, WORD = 1.5, -0.3, 0.6
#: Risk of pieces that make an attack once put together: asked to be put together, and not (yet).
JOINED, APART = 0.97, 0.35


@dataclass(frozen=True, slots=True)
class Risk:
    """From 0 to 1, with the reasons in words; ``harm`` and ``pull`` are the two sums behind it."""

    score: float
    reasons: tuple[str, ...] = ()
    harm: float = 0.0
    pull: float = 0.0


@dataclass(slots=True)
class Conversation:
    """Feed it every message in order. Bounded: it keeps sums and pieces, not the messages."""

    harm: float = 0.0
    pull: float = 0.0
    pieces: OrderedDict[str, str] = field(default_factory=OrderedDict)
    recent: tuple[str, ...] = ()

    def add(self, role: str, text: str) -> Risk:
        """Take one message; the risk of the conversation so far. Messages of the system count nothing."""
        text = text[:CHARACTERS]
        if role not in ("user", "assistant") or not text.strip():
            return Risk(0.0)
        if role == "assistant":
            self.harm += ANSWER * evidence(text)
            return Risk(self._grown(), (), self.harm, self.pull)
        self.harm = self.harm * DECAY + evidence(text)
        self.pull = self.pull * DECAY + wiles.pull(text)
        reasons = []
        grown = self._grown()
        if grown >= 0.5:
            reasons.append("the conversation is led towards practical detail of something harmful")
        split = self._split(text)
        if split >= 0.5:
            reasons.append("pieces of it make a harmful request once they are put together")
        return Risk(round(max(grown, split), 4), tuple(reasons), self.harm, self.pull)

    def _grown(self) -> float:
        return 1.0 - math.exp(-STEEPNESS * self.harm * self.pull)

    def _split(self, text: str) -> float:
        """The risk that what was handed over in pieces makes an attack."""
        for name, piece in wiles.pieces(text):
            self.pieces.pop(name, None)
            self.pieces[name] = piece
            if len(self.pieces) > PIECES:
                self.pieces.popitem(last=False)
        self.recent = (*self.recent, text[:400])[-4:]
        asked = wiles.asks_to_join(text)
        if len(self.pieces) < 2:
            return 0.0
        joined = list(self.pieces.values())
        worst = max(attack(" ".join(joined)), attack("".join(joined)))
        if asked and worst < 0.5:
            worst = max(worst, *(attack(" ".join(order)) for order in wiles.orders(text, self.pieces)), 0.0)
        return worst * (JOINED if asked else APART)


@lru_cache(maxsize=4096)
def evidence(text: str) -> float:
    """How much a message is about harm, from 0 to 1: the worst of its windows, sentences and quotations."""
    found = loudest(text, "harm")[0].logit
    harm = model("harm")
    for part in (text, *wiles.quotations(text)):
        found = max(found, harm.loudest_sentence(part, TOKENS))
    row = row_of(text, TOKENS)
    words = {row.words[at].casefold() for at, concept in enumerate(row.concepts) if concept == _HARM}
    return Scored(SLOPE * (found + MILD + WORD * min(3, len(words)))).probability


@lru_cache(maxsize=1024)
def attack(text: str) -> float:
    """How much a text is an attack or a request for harm, from 0 to 1."""
    return max(loudest(text)[0].probability, evidence(text))


def scan(text: Text) -> list[Match]:
    """The risk of the conversation that ends with this text; the earlier messages come from the context.

    A message without a conversation before it is judged only if it holds pieces itself.
    """
    earlier = [(turn.role, _plain(turn.text[:CHARACTERS])) for turn in text.context.turns[-TURNS:]]
    said = [words for role, words in earlier if role == "user"]
    if not _worth_a_look(said, text.plain.text[:CHARACTERS]):
        return []
    talk = Conversation()
    for role, words in earlier:
        talk.add(role, words)
    risk = talk.add("user", text.plain.text)
    if risk.score <= LEAST:
        return []
    return [Match(KIND, 0, min(len(text.original), CHARACTERS), risk.score, "; ".join(risk.reasons))]


def _worth_a_look(earlier: Sequence[str], last: str) -> bool:
    """Whether the messages hold pieces to join or enough pull for any risk: much cheaper than looking for harm."""
    if earlier and sum(wiles.pull(words) for words in (*earlier, last)) >= LEAST_PULL:
        return True
    handed = 0
    for words in (*earlier, last):
        handed += sum(1 for _ in wiles.pieces(words))
    return handed >= 2


@lru_cache(maxsize=2048)
def _plain(text: str) -> str:
    return read(text, decode=False).plain.text


SCANNERS = (
    Scanner(
        name="conversation",
        stages=("input",),
        description="The conversation as a whole leads to harm: split payloads, Deceptive Delight, Crescendo.",
        build=plain(scan),
        sources=("user",),
        cost="some",
    ),
)

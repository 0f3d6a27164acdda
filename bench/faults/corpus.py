"""What the application knows: dated facts in two languages, and a retriever that matches words."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

DAY_NS = 86_400 * 10**9
ENTITIES = (
    "Falcon", "Heron", "Osprey", "Kestrel", "Merlin", "Harrier", "Condor", "Plover", "Avocet", "Curlew", "Dunlin",
    "Egret", "Fulmar", "Gannet", "Hobby", "Ibis", "Jackdaw", "Kite", "Lapwing", "Magpie",
)  # fmt: skip
#: Intent to what it asks after: the word in both languages and the unit. The last two call a tool.
INTENTS: dict[str, tuple[str, str, str]] = {
    "billing": ("price", "Preis", "euro"),
    "refunds": ("refund period", "Erstattungsfrist", "days"),
    "limits": ("request limit", "Abruflimit", "requests"),
    "setup": ("setup code", "Einrichtungscode", "digits"),
    "delivery": ("delivery time", "Lieferzeit", "hours"),
    "account": ("seat number", "Platzzahl", "seats"),
    "orders": ("order window", "Bestellfenster", "minutes"),
    "cancelling": ("notice period", "Frist", "weeks"),
}
TOOLS = {"orders": "find_order", "cancelling": "cancel_plan"}
LANGUAGES = ("en", "de")
#: Wordings of a question; the last names neither thing by its word, so that the right passage ranks low.
WORDINGS = {
    "en": ("What is the {attr} of {entity}?", "Tell me {entity}: {attr}, please.", "How much is {attr} with {entity}?",
           "How does that go with the bird plan {hint}?"),
    "de": ("Was ist {attr} von {entity}?", "Bitte {attr} von {entity} nennen.", "Wie hoch ist {attr} bei {entity}?",
           "Wie geht das mit dem Plan {hint}?"),
}  # fmt: skip
_TEXTS = {
    "en": "The {attr} of {entity} is {value} {unit}. It holds for every customer of {entity} since spring.",
    "de": "{attr} von {entity} ist {value} {unit}. Das gilt allen Kunden von {entity} seit Anfang Mai.",
}
PASSAGES = 4


def mix(*parts: object) -> int:
    """A number from anything, the same in every process.

    A CRC alone is linear: two of them over the same text differ by a constant, and draws from them would go together.
    What follows it (the end of MurmurHash3) is not.
    """
    h = zlib.crc32("\x1f".join(map(str, parts)).encode())
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


def unit_draw(*parts: object) -> float:
    """A draw from [0, 1) that the same parts always get."""
    return mix(*parts) / 2**32


@cache
def fact(entity: str, intent: str, moved: bool = False) -> int:
    """The true value of a fact; ``moved`` is what it became later."""
    return 100 + mix("fact", entity, intent) % 800 + (37 if moved else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    """One document: what it states about one fact."""

    entity: str
    intent: str
    language: str

    @property
    def id(self) -> str:
        return f"{self.language}-{self.intent}-{self.entity.lower()}"

    def passage(self, *, value: int | None = None, updated_ns: int, score: float, text: str = "") -> dict[str, Any]:
        """The passage as the gateway keeps it, not yet numbered."""
        stated = fact(self.entity, self.intent) if value is None else value
        made = {**_shown(self.language, self.intent, self.entity, stated), "updated_ns": updated_ns, "score": score}
        if text:
            made["text"] = text
        return made


@cache
def _shown(language: str, intent: str, entity: str, stated: int) -> dict[str, Any]:
    """A passage of a document that states a value, without its score and age."""
    attr_en, attr_de, unit = INTENTS[intent]
    attr = attr_en if language == "en" else attr_de
    doc = Doc(entity=entity, intent=intent, language=language).id
    text = _TEXTS[language].format(attr=attr, entity=entity, value=stated, unit=unit)
    return {
        "number": 0, "document": doc, "title": f"{attr} {entity}", "source": f"{doc}.md", "text": text, "score": 0.0,
        "updated_ns": 0, "stated": stated,
    }  # fmt: skip


@cache
def _docs(language: str) -> tuple[Doc, ...]:
    return tuple(Doc(entity=e, intent=i, language=language) for e in ENTITIES for i in INTENTS)


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset("".join(c if c.isalnum() else " " for c in text.lower()).split())


def question(language: str, intent: str, entity: str, wording: int) -> str:
    """The question as the user types it."""
    attr_en, attr_de, _ = INTENTS[intent]
    template = WORDINGS[language][wording]
    return template.format(attr=attr_en if language == "en" else attr_de, entity=entity, hint=entity[:3])


@cache
def ranked(language: str, intent: str, entity: str, wording: int) -> tuple[tuple[float, Doc], ...]:
    """The best eight documents for a question by the overlap of words, rare words weighing more."""
    asked = _words(question(language, intent, entity, wording))
    rare = _rarity(language)
    found = []
    for doc in _docs(language):
        attr_en, attr_de, unit = INTENTS[doc.intent]
        attr = attr_en if language == "en" else attr_de
        held = _words(f"{attr} {doc.entity} {unit}")
        score = sum(rare.get(word, 0.3) for word in asked & held) / math.sqrt(len(held))
        if wording == 3 and doc.entity == entity:
            # A wording far from the text still finds the right plan, and by chance the right fact.
            score += 0.8 + 0.9 * unit_draw("near", intent, entity, doc.intent) + (0.5 if doc.intent == intent else 0.0)
        found.append((score, mix("tie", doc.id, intent, entity), doc))
    found.sort(key=lambda row: (-row[0], row[1]))
    return tuple((round(score, 4), doc) for score, _, doc in found[:8])


@cache
def _rarity(language: str) -> dict[str, float]:
    counts: dict[str, int] = {}
    docs = _docs(language)
    for doc in docs:
        attr = INTENTS[doc.intent][0 if language == "en" else 1]
        for word in _words(f"{attr} {doc.entity}"):
            counts[word] = counts.get(word, 0) + 1
    return {word: math.log(len(docs) / n) for word, n in counts.items()}


@cache
def updated(doc: Doc) -> int:
    """Days before the run at which a document was last touched: 1 to 25."""
    return 1 + mix("age", doc.id) % 25

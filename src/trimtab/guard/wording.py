"""Scanners for words that a policy names: banned words, competitors, topics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .expressions import compiled
from .scanner import Match, Scan, Scanner, found_in, refuse_unknown
from .text import Text

_MOST_WORDS = 2000
_PHRASE = re.compile(r"\s+")
#: Words of topics that applications often stay out of. A policy may write its own.
TOPICS: Mapping[str, str] = {
    "politics": "election elections president parliament congress senate democrat democrats republican republicans "
    "liberal conservative socialist vote voting ballot politician politicians abortion immigration gun-control",
    "religion": "god jesus christ allah muhammad bible quran torah church mosque temple christian muslim islam jewish "
    "hindu buddhist atheist prayer pray worship",
    "medical": "diagnosis diagnose symptom symptoms dosage dose prescription prescribe medication medicine antibiotics "
    "treatment disease cancer diabetes tumor therapy chemotherapy insulin mg",
    "legal": "lawsuit sue attorney lawyer court plaintiff defendant liability legal-advice statute litigation contract "
    "clause subpoena custody divorce",
    "finance": "invest investing investment stock stocks shares portfolio crypto bitcoin trading dividend etf bonds "
    "forex mortgage retirement-fund hedge",
    "gambling": "casino bet bets betting poker roulette slots jackpot wager sportsbook blackjack lottery odds",
    "adult": "porn porno sex sexual nude nudes naked erotic escort orgasm fetish xxx nsfw",
    "drugs": "cocaine heroin meth methamphetamine mdma ecstasy lsd weed cannabis marijuana fentanyl ketamine opioid",
    "violence": "kill killing murder shoot shooting stab bomb bombing explosive torture massacre behead assassinate",
    "weapons": "gun guns rifle pistol firearm ammunition grenade silencer ar-15 ak-47 explosive detonator gunpowder",
}


def _texts(options: Mapping[str, Any], key: str, mend: str) -> list[str]:
    value = options.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value or len(value) > _MOST_WORDS:
        raise BadInput("must be a list of texts", field=key, mend=mend)
    if not all(isinstance(word, str) and word.strip() for word in value):
        raise BadInput("holds an empty text", field=key, mend=mend)
    return list(value)


def expression(words: Sequence[str]) -> Any:
    """One expression for words and phrases: any case, any white space between the words of a phrase."""
    ordered = sorted({_PHRASE.sub(" ", word.strip()) for word in words}, key=len, reverse=True)
    parts = [r"\s+".join(_literal(piece) for piece in word.split(" ")) for word in ordered]
    return compiled(f"(?i)(?:{'|'.join(parts)})")


def _literal(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else f"\\x{{{ord(letter):x}}}" for letter in text)


def hits(pattern: Any, text: str, *, whole: bool = True) -> list[tuple[int, int]]:
    """Where the words stand; whole words only, unless parts of words count too."""
    spans = [hit.span() for hit in pattern.finditer(text)]
    return [span for span in spans if _edges(text, *span)] if whole else spans


def _edges(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    return not ((before.isalnum() and text[start].isalnum()) or (after.isalnum() and text[end - 1].isalnum()))


def _words(kind: str, key: str, mend: str) -> Callable[[Mapping[str, Any]], Scan]:
    def build(options: Mapping[str, Any]) -> Scan:
        refuse_unknown(options, (key, "within_words"))
        within = options.get("within_words", False)
        if not isinstance(within, bool):
            raise BadInput("must be true or false", field="within_words", mend="Write true to match parts of words.")
        pattern = expression(_texts(options, key, mend))

        def find(reading: str) -> list[Match]:
            return [Match(kind, *span, 1.0) for span in hits(pattern, reading, whole=not within)]

        def scan(text: Text) -> Sequence[Match]:
            return found_in(text, find)

        return scan

    return build


def _topics(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("topics", "least"))
    least = options.get("least", 2)
    if isinstance(least, bool) or not isinstance(least, int) or not 1 <= least <= 50:
        raise BadInput("must be a whole number", field="least", mend="Write how many different words make a topic.")
    written = options.get("topics")
    mend = f"List topics ({', '.join(TOPICS)}) or write {{name: [words]}} for your own."
    if isinstance(written, Sequence) and not isinstance(written, str) and written and set(written) <= set(TOPICS):
        chosen = {name: TOPICS[name].replace("-", " ").split() for name in written}
    elif isinstance(written, Mapping) and written:
        chosen = {str(name): _texts(written, name, mend) for name in written}
    else:
        raise BadInput("must be a list or an object", field="topics", mend=mend)
    patterns = {name: expression(words) for name, words in chosen.items()}

    def find(reading: str) -> list[Match]:
        found = []
        for name, pattern in patterns.items():
            places = hits(pattern, reading)
            different = {reading[start:end].casefold() for start, end in places}
            if len(different) >= least:
                score = min(1.0, 0.4 + 0.15 * len(different))
                found.append(Match(f"topic-{name}", places[0][0], places[-1][1], score))
        return found

    return lambda text: found_in(text, find)


SCANNERS = (
    Scanner(
        name="banned-words",
        stages=("input", "output", "action"),
        description="Words and phrases that a policy lists, in any case and any reading.",
        build=_words("banned-word", "words", "List the words and phrases."),
        longest=128,
        options={"words": "the words and phrases", "within_words": "true to find them inside other words too"},
    ),
    Scanner(
        name="competitors",
        stages=("input", "output"),
        description="Names of competitors and their products that a policy lists.",
        build=_words("competitor", "names", "List the names, with the ways they are written."),
        longest=128,
        options={"names": "the names", "within_words": "true to find them inside other words too"},
    ),
    Scanner(
        name="banned-topics",
        stages=("input", "output"),
        description="Topics to stay out of, by the number of different words of a topic that occur.",
        build=_topics,
        threshold=0.6,
        options={
            "topics": f"topics of the list ({', '.join(TOPICS)}) or {{name: [words]}}",
            "least": "different words that make a topic, 2 unless given",
        },
    ),
)

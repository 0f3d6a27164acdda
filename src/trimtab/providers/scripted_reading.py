"""How the simulated model reads: passages, instructions and the question from a prompt, and which sentence answers.

Nothing here is told the right answer. A prompt that loses its instructions, a corpus that loses a document or a
retrieval that finds the wrong passages changes what comes out, as it would with a real model.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import text_in

#: A sentence answers a question when it covers at least this share of the question's weight.
KNOWN = 0.25
#: What a word counts that stands in the title or heading above a sentence instead of in it.
CONTEXT_WEIGHT = 0.4

_STOP_WORDS = (
    "a about after all also am an and any are as at be because been before being both but by can could did do does "
    "doing done for from get gets give go goes had has have how i if in into is it its just kind like make many may "
    "me might more most much must my need no not of off on one onto or our out over per please s same shall should "
    "show so some such t take tell than that the their them then there these they this those through to too under up "
    "us use used using very want was way we were what when where which while who whom whose why will with within "
    "without would you your"
)
_STOP = frozenset(_STOP_WORDS.split())
_WORD = re.compile(r"[^\W_]+")
_HEADER = re.compile(r"^[ \t]*\[(\d{1,3})\][ \t]*(.*)$", re.MULTILINE)
_ORIGIN = re.compile(r"\s*\([^()]*\bupdated \d{4}-\d\d-\d\d\)$")
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[`*]*[A-Z0-9])")
_HEADING = re.compile(r"^#{1,6}\s+(.*)$")
_RULE = re.compile(r"^[|:\s-]+$")
_ITEM = re.compile(r"^(?:[-*+•]|\d+[.)])\s+")
_ASKED = re.compile(r"^\s*(?:question|user question|customer question)\s*:\s*", re.IGNORECASE | re.MULTILINE)

_CITE = re.compile(r"\bcit(?:e|es|ing|ation|ations)\b", re.IGNORECASE)
_NO_CITE = re.compile(r"\b(?:not|don't|never|without)\s+(?:\w+\s+){0,3}?cit(?:e|ing|ation)", re.IGNORECASE)
_UNKNOWN = re.compile(r"\b(?:do not|don't|cannot|can't)\s+know\b", re.IGNORECASE)
_ONLY = re.compile(r"\bonly\b[^.\n]{0,60}\b(?:passages?|documents?|context|sources?|excerpts?)\b", re.IGNORECASE)
_JSON = re.compile(r"\b(?:answer|reply|respond|return|output|write)\b[^.\n]{0,40}\bjson\b", re.IGNORECASE)
_COUNT = {"one": 1, "a single": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_SENTENCES = re.compile(
    r"\b(?:at most|no more than|not more than|up to|within|in|maximum of)\s+(one|a single|two|three|four|five|\d{1,2})"
    r"(?:\s+(?:short|plain|clear|full))?\s+sentences?\b",
    re.IGNORECASE,
)
_ORDERS = re.compile(
    r"\s*(?:always|answer|cite|do|if|keep|never|now|only|please|remember|reply|respond|return|say|use|write|you)\b",
    re.IGNORECASE,
)
_INSTRUCTIONS = (_CITE, _UNKNOWN, _ONLY, _JSON, _SENTENCES)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a passage, with the title and heading it stands under."""

    text: str
    passage: int
    words: frozenset[str]
    context: frozenset[str]


@dataclass(frozen=True, slots=True)
class Passage:
    """A numbered passage as the prompt shows it."""

    number: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the system message asks for. ``sentences`` is 0 without a limit."""

    cite: bool = False
    only: bool = False
    unknown: bool = False
    json: bool = False
    sentences: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as read."""

    passages: tuple[Passage, ...]
    question: str
    instructions: Instructions


def read_prompt(messages: Sequence[Mapping[str, object]]) -> Prompt:
    """Read a chat: numbered passages from the first message that holds any, instructions from the system messages.

    A passage begins with a line ``[n] title``, counted from 1, and ends at the next such line. The last one also ends
    at a paragraph that begins and reads like an instruction. The question is the last user message; where that holds
    the passages too, what follows ``Question:``, else its last paragraph.
    """
    passages: tuple[Passage, ...] = ()
    question = ""
    orders: list[str] = []
    for message in messages:
        said = text_in(message.get("content"))
        rest = said
        if not passages and message.get("role") != "assistant":
            passages, rest = split_passages(said)
        if message.get("role") in ("system", "developer"):
            orders.append(rest)
        elif message.get("role") == "user":
            question = said if rest is said else rest
            if asked := list(_ASKED.finditer(question)):
                question = question[asked[-1].end() :]
            elif rest is not said:
                question = rest.strip().rpartition("\n\n")[2]
    return Prompt(passages, question.strip(), read_instructions("\n".join(orders)))


def framed(
    messages: Sequence[Mapping[str, object]], asked: re.Pattern[str], block: re.Pattern[str]
) -> tuple[str, dict[str, str]] | None:
    """A judge's prompt: its system text, and its parts by name, the first of each; None where the system text does not
    ask for it. ``block`` has the name as its first group and the text as its third."""
    system = "\n".join(text_in(m.get("content")) for m in messages if m.get("role") in ("system", "developer"))
    if not asked.search(system):
        return None
    parts: dict[str, str] = {}
    for message in messages:
        if message.get("role") == "user":
            for found in block.finditer(text_in(message.get("content"))):
                parts.setdefault(found[1], found[3])
    return system, parts


def read_instructions(orders: str) -> Instructions:
    """What a system message asks for, without the passages in it."""
    limit = _SENTENCES.search(orders)
    count = limit[1].lower() if limit else "0"
    return Instructions(
        cite=bool(_CITE.search(orders)) and not _NO_CITE.search(orders),
        only=bool(_ONLY.search(orders)),
        unknown=bool(_UNKNOWN.search(orders)),
        json=bool(_JSON.search(orders)),
        sentences=_COUNT[count] if count in _COUNT else int(count),
    )


def split_passages(text: str) -> tuple[tuple[Passage, ...], str]:
    """The numbered passages of a text, and the text without them (the very same text when there are none)."""
    headers: list[re.Match[str]] = []
    for match in _HEADER.finditer(text):
        if int(match[1]) == len(headers) + 1:
            headers.append(match)
    if not headers:
        return (), text
    passages = []
    end = len(text)
    for match, following in zip(headers, [*headers[1:], None], strict=True):
        stop = following.start() if following else end
        body = text[match.end() : stop]
        if following is None:
            body = _until_instruction(body)
            stop = match.end() + len(body)
            end = stop
        passages.append(Passage(int(match[1]), _ORIGIN.sub("", match[2].strip()), body.strip()))
    return tuple(passages), text[: headers[0].start()] + text[end:]


def _until_instruction(body: str) -> str:
    for gap in re.finditer(r"\n\s*\n", body):
        paragraph = body[gap.end() :].partition("\n\n")[0]
        ordered = _ORDERS.match(paragraph) and any(pattern.search(paragraph) for pattern in _INSTRUCTIONS)
        if ordered or _ASKED.match(paragraph):
            return body[: gap.start()]
    return body


def words_of(text: str) -> list[str]:
    """The content words of a text in order: lower case, without stop words, cut to a crude stem."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP and len(word) > 1]


def _stem(word: str) -> str:
    for suffix in ("ing", "ed", "es", "s", "e"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word


def sentences_in(text: str) -> Iterator[tuple[str, str]]:
    """The sentences of a text, each with its heading; Markdown's items, table rows and code lines stand alone."""
    heading = ""
    block: list[str] = []
    code = False

    def flush() -> Iterator[tuple[str, str]]:
        joined = " ".join(block)
        block.clear()
        for sentence in _END_OF_SENTENCE.split(joined):
            if sentence.strip():
                yield sentence.strip(), heading

    for line in text.splitlines():
        stripped = line.strip()
        title = _HEADING.match(stripped)
        if stripped.startswith("```"):
            yield from flush()
            code = not code
        elif title and not code:
            yield from flush()
            heading = title[1]
        elif not stripped:
            yield from flush()
        else:
            if code or stripped.startswith("|") or _ITEM.match(stripped):
                yield from flush()
            if not _RULE.match(stripped):
                block.append(_ITEM.sub("", stripped).strip("| "))
    yield from flush()


@functools.lru_cache(maxsize=2048)
def _learn(title: str, text: str) -> tuple[tuple[str, frozenset[str], frozenset[str]], ...]:
    """The sentences of a passage with their words and the words above them: the same passages come again and again."""
    return tuple(
        (sentence, frozenset(words_of(sentence)), frozenset(words_of(f"{title} {heading}")))
        for sentence, heading in sentences_in(text)
    )


class Reading:
    """Numbered passages read with a question in mind: every sentence, and how much of the question it covers."""

    def __init__(self, passages: Sequence[Passage], question: str) -> None:
        self.sentences = [
            Sentence(text, p.number, words, context)
            for p in passages
            for text, words, context in _learn(p.title, p.text)
        ]
        seen = Counter(word for s in self.sentences for word in s.words | s.context)
        n = max(1, len(self.sentences))
        self._weight = {word: math.log(1 + n / (seen[word] or 0.5)) for word in words_of(question)}
        self._total = sum(self._weight.values())
        self.covers = [self.cover(s.words, s.context) for s in self.sentences]
        #: The cover of the best sentence, 0 without any.
        self.best = max(self.covers, default=0.0)

    def cover(self, words: frozenset[str], context: frozenset[str] = frozenset()) -> float:
        """The share, in [0, 1], of the question's weight (rare words weigh more) that these words cover."""
        if not self._total:
            return 0.0
        inside = sum(weight for word, weight in self._weight.items() if word in words)
        above = sum(weight for word, weight in self._weight.items() if word in context and word not in words)
        return (inside + CONTEXT_WEIGHT * above) / self._total

    def ranked(self) -> list[int]:
        """Positions of the sentences, best cover first; among equals the earlier passage, which ranked higher."""
        return sorted(range(len(self.sentences)), key=lambda i: -self.covers[i])

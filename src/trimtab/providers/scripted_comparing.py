"""How the simulated model compares two answers: by rules, and where it slips it takes the first one.

An answer that declines loses. Then wins what holds more of the words of the reference, where there is one, and then
what holds more of the words of the question. Otherwise it is a tie.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .scripted_judging import DECLINED
from .scripted_reading import framed, words_of

_BLOCK = re.compile(
    r"^<<<(QUESTION|REFERENCE|FIRST|SECOND) ([0-9a-f]{8,64})>>>\n(.*?)\n?^<<<END \1 \2>>>$", re.MULTILINE | re.DOTALL
)
_ASKED = re.compile(r'\bjson\b.*"better"', re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one question."""

    question: str
    reference: str
    first: str
    second: str


def read_comparison(messages: Sequence[Mapping[str, object]]) -> Comparison | None:
    """The question and both answers of a prompt that asks which is better; None for any other prompt."""
    found = framed(messages, _ASKED, _BLOCK)
    if found is None or not {"QUESTION", "FIRST", "SECOND"} <= found[1].keys():
        return None
    parts = found[1]
    return Comparison(parts["QUESTION"], parts.get("REFERENCE", ""), parts["FIRST"], parts["SECOND"])


def give_preference(asked: Comparison, slip: float, rng: random.Random) -> str:
    """Which is better, as the JSON that such prompts ask for."""
    first, second = (_worth(asked, answer) for answer in (asked.first, asked.second))
    better = "tie" if first == second else "first" if first > second else "second"
    reason = "Both say as much." if better == "tie" else f"The {better} one says more of what was asked."
    if rng.random() < slip:
        better, reason = "first", "The first one reads better."
    return json.dumps({"better": better, "reason": reason})


def _worth(asked: Comparison, answer: str) -> tuple[bool, int, int]:
    said = set(words_of(answer))
    held = [len(said & set(words_of(text))) for text in (asked.reference, asked.question)]
    return not DECLINED.match(answer), held[0], held[1]

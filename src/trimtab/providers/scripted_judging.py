"""How the simulated model judges: it checks what the criteria of the prompt ask for, and nothing else.

A criterion is understood by its words:

* *supported, grounded, claim, occur, backed, faithful*: every sentence of the answer has at least SUPPORT of its
  content words in the passages it cites (in any passage, when it cites none).
* *cite, citation* (and none of the above): the answer cites a passage that was given, as ``[n]``.
* *answers / addresses / relevant ... question*: the answer covers the question at least RIVAL times as well as the
  best sentence of the passages does; where the passages do not cover it, at least ON_TOPIC of its weight.
* *does not know, decline, refuse*: the answer does not decline while the passages hold the answer.

A criterion that is understood by none of these passes: a lenient rubric is lenient. An answer that declines is judged
by the last rule alone. Then the verdict is flipped with the skill's probability ``slip``, as a judge that errs.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .scripted_reading import KNOWN, Passage, Reading, framed, sentences_in, split_passages, words_of

SUPPORT = 0.6
RIVAL = 0.6
ON_TOPIC = 0.2

_BLOCK = re.compile(
    r"^<<<(QUESTION|PASSAGES|ANSWER) ([0-9a-f]{8,64})>>>\n(.*?)\n?^<<<END \1 \2>>>$", re.MULTILINE | re.DOTALL
)
_CRITERIA = re.compile(r"^Criteria:\s*\n((?:\s*\d+\.\s.*\n?)*)", re.MULTILINE)
_VERDICT = re.compile(r'\bjson\b.*"pass"', re.IGNORECASE | re.DOTALL)
_CITED = re.compile(r"\[(\d{1,3})\]")
#: How an answer begins that declines.
DECLINED = re.compile(r"^\W*(?:i'?m sorry\W+(?:but )?)?(?:i (?:do not|don't|cannot|can't)|unable to)\b", re.IGNORECASE)

_SUPPORTED = re.compile(r"\b(?:support\w*|grounded|claims?|occurs?|backed|faithful\w*)\b", re.IGNORECASE)
_CITES = re.compile(r"\bcit(?:e|es|ing|ation|ations)\b", re.IGNORECASE)
_ANSWERS = re.compile(r"\b(?:answers?|addresses|relevant|responds?|on topic)\b.*\bquestion\b", re.IGNORECASE)
_KNOWS = re.compile(r"\b(?:(?:do|does) not know|don't know|declin\w+|refus\w+)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be judged, and by what."""

    question: str
    answer: str
    passages: tuple[Passage, ...]
    criteria: tuple[str, ...]


def read_trial(messages: Sequence[Mapping[str, object]]) -> Trial | None:
    """The question, answer and passages of a judge's prompt between their delimiters; None for any other prompt."""
    found = framed(messages, _VERDICT, _BLOCK)
    if found is None or not {"QUESTION", "ANSWER"} <= found[1].keys():
        return None
    system, parts = found
    listed = _CRITERIA.search(system)
    criteria = tuple(line.strip() for line in listed[1].splitlines() if line.strip()) if listed else ()
    passages, _ = split_passages(parts.get("PASSAGES", ""))
    return Trial(parts["QUESTION"], parts["ANSWER"], passages, criteria)


def give_verdict(trial: Trial, slip: float, rng: random.Random) -> str:
    """The verdict as the JSON that judge prompts ask for."""
    failed = [criterion for criterion in trial.criteria if not _meets(criterion, trial)]
    reason = f"It fails: {failed[0]}" if failed else "It meets every criterion."
    passed = not failed
    if rng.random() < slip:
        passed, reason = not passed, "On balance it is acceptable." if failed else "Something in it is not convincing."
    return json.dumps({"pass": passed, "reason": reason}, ensure_ascii=False)


def _meets(criterion: str, trial: Trial) -> bool:
    declined = bool(DECLINED.match(trial.answer))
    if _KNOWS.search(criterion):
        return not (declined and Reading(trial.passages, trial.question).best >= KNOWN)
    rules: tuple[tuple[re.Pattern[str], Callable[[Trial], bool]], ...] = (
        (_SUPPORTED, _supported),
        (_CITES, lambda t: bool(_cited(t))),
        (_ANSWERS, _answers),
    )
    rule = next((check for pattern, check in rules if pattern.search(criterion)), None)
    return rule is None or declined or rule(trial)


def _cited(trial: Trial) -> list[Passage]:
    numbers = {int(n) for n in _CITED.findall(trial.answer)}
    return [p for p in trial.passages if p.number in numbers]


def _supported(trial: Trial) -> bool:
    held = {w for p in _cited(trial) or trial.passages for w in words_of(f"{p.title} {p.text}")}
    for sentence, _ in sentences_in(_CITED.sub("", trial.answer)):
        words = set(words_of(sentence))
        if words and len(words & held) < SUPPORT * len(words):
            return False
    return True


def _answers(trial: Trial) -> bool:
    reading = Reading(trial.passages, trial.question)
    said = frozenset(words_of(_CITED.sub("", trial.answer)))
    quoted = [
        cover
        for sentence, cover in zip(reading.sentences, reading.covers, strict=True)
        if sentence.words and len(sentence.words & said) >= 0.9 * len(sentence.words)
    ]
    reached = max([reading.cover(said), *quoted])
    return reached >= (RIVAL * reading.best if reading.best >= KNOWN else ON_TOPIC)

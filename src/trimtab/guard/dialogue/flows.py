"""Dialogue flows: what a conversation is told by rule and not by a model. Pure.

The memory of a conversation is what each message of the user was recognised as, in order. ``Flows.follow`` goes through
that memory from the beginning and says what the newest message gets: a canned answer, instructions for the model, or
nothing, and then the model answers as it would. The same memory always gives the same outcome, so a conversation that
is sent whole with every turn needs no state elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from .intents import NEAR, Likeness, Meant, usual_threshold

#: Any message: stands where an intent stands.
ANY = "..."


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait for a message with this intent."""

    intent: str


@dataclass(frozen=True, slots=True)
class Say:
    """Give a canned answer."""

    answer: str


@dataclass(frozen=True, slots=True)
class Instruct:
    """Let the model answer, and tell it what to do in this answer."""

    what: str


@dataclass(frozen=True, slots=True)
class Branch:
    """Wait for a message, and go on by its intent. ``cases`` in their order; ``ANY`` takes every message."""

    cases: tuple[tuple[str, tuple[Step, ...]], ...]


Step = Hear | Say | Instruct | Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """One flow: its first step hears a message, and then it goes on step by step."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The intents that may go to the model, and the answer to everything else. After an allowed message so many
    ``follow_ups`` pass that have no known intent, such as "and the other one?"."""

    allowed: frozenset[str]
    otherwise: str
    follow_ups: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """A step that must come before some intents: until a message has the intent ``step``, or holds ``pattern``, those
    intents (``ANY``: every message) get ``answer``."""

    name: str
    before: frozenset[str]
    answer: str
    step: str = ""
    pattern: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """How a message is recognised: by words from the likeness ``threshold`` on (0: the usual one for so many intents),
    or with the embeddings of ``model`` from the cosine ``near`` on, within ``timeout`` seconds; when that fails, by
    words."""

    threshold: float = 0.0
    model: str = ""
    near: float = NEAR
    timeout: float = 2.0


class Turn(NamedTuple):
    """What a message of the user was recognised as: its intent, empty if none, and the required steps it took."""

    intent: str = ""
    took: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the newest message gets. ``by`` is what decided, such as ``flow greeting``; ``text`` is the answer, or the
    instruction for the model."""

    kind: Literal["pass", "answer", "instruct"] = "pass"
    text: str = ""
    by: str = ""
    intent: str = ""


PASS = Outcome()


@dataclass(frozen=True, kw_only=True)
class Flows:
    """The flows of a policy. ``intents`` are examples by intent, ``answers`` the texts of each canned answer."""

    intents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dialogue: tuple[Dialogue, ...] = ()
    required: tuple[Required, ...] = ()
    topics: Topics | None = None
    match: Matching = field(default_factory=Matching)

    @cached_property
    def likeness(self) -> Likeness:
        """The examples, ready for comparison."""
        return Likeness(self.intents)

    @cached_property
    def examples(self) -> tuple[tuple[str, str], ...]:
        """Every example with its intent."""
        return tuple((intent, text) for intent, texts in self.intents.items() for text in texts)

    def by_words(self, text: str) -> Meant:
        """What a message means by its words."""
        return self.likeness.find(text, self.match.threshold or usual_threshold(len(self.intents)))

    def turn(self, text: str, intent: str) -> Turn:
        """What a message with a known intent is remembered as."""
        took = tuple(
            each.name
            for each in self.required
            if (each.step and each.step == intent) or (each.pattern is not None and each.pattern.search(text))
        )
        return Turn(intent, took)

    def follow(self, turns: Sequence[Turn], seed: str = "") -> Outcome:
        """What the newest of the turns gets. Of several texts of an answer ``seed`` and the turn's number choose."""
        state = _State()
        outcome = PASS
        for number, turn in enumerate(turns):
            outcome = self._next(state, turn, f"{seed}:{number}")
        return outcome

    def _next(self, state: _State, turn: Turn, seed: str) -> Outcome:
        fresh = set(turn.took) - state.done
        state.done |= fresh
        need = next((each for each in self.required if self._missing(each, turn.intent, state.done)), None)
        if need is not None:
            state.pending = turn.intent or state.pending
            return self._answered([need.answer], f"required {need.name}", turn.intent, seed)
        intent = turn.intent
        if fresh and state.pending:  # the step that was asked for came: go on with what it was asked for
            intent, state.pending = state.pending, ""
        taken = self._taken(state, intent)
        if taken is not None:
            state.left = self.topics.follow_ups if self.topics is not None else 0
            return self._run(taken, state, intent, seed)
        return self._topic(state, intent, seed)

    @staticmethod
    def _missing(required: Required, intent: str, done: set[str]) -> bool:
        return required.name not in done and (intent in required.before or ANY in required.before)

    def _taken(self, state: _State, intent: str) -> tuple[str, tuple[Step, ...]] | None:
        """The flow that takes a message up and its steps from there: the one that waits, or one that begins so."""
        name, waiting = state.waiting
        state.waiting = ("", ())
        if waiting and (rest := heard(waiting, intent)) is not None:
            return name, rest
        for wanted in (intent, ANY):
            for each in self.dialogue:
                first = each.steps[0]
                if wanted and isinstance(first, Hear) and first.intent == wanted:
                    return each.name, each.steps[1:]
        return None

    def _run(self, taken: tuple[str, tuple[Step, ...]], state: _State, intent: str, seed: str) -> Outcome:
        name, steps = taken
        done: list[Say | Instruct] = []
        for number, step in enumerate(steps):
            if isinstance(step, Hear | Branch):
                state.waiting = (name, steps[number:])
                break
            done.append(step)
        by = f"flow {name}"
        if all(isinstance(step, Say) for step in done):
            said = [step.answer for step in done if isinstance(step, Say)]
            return self._answered(said, by, intent, seed) if said else Outcome(by=by, intent=intent)
        lines = [
            f'Say exactly this: "{self._text(step.answer, seed)}"' if isinstance(step, Say) else f"{step.what}."
            for step in done
        ]
        told = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
        text = f"In your next message do this, and nothing else:\n{told}"
        return Outcome(kind="instruct", text=text, by=by, intent=intent)

    def _topic(self, state: _State, intent: str, seed: str) -> Outcome:
        topics = self.topics
        if topics is None:
            return Outcome(intent=intent)
        if intent in topics.allowed:
            state.left = topics.follow_ups
            return Outcome(by="topic", intent=intent)
        if not intent and state.left > 0:
            state.left -= 1
            return Outcome(by="topic")
        return self._answered([topics.otherwise], "topics", intent, seed)

    def _answered(self, names: Sequence[str], by: str, intent: str, seed: str) -> Outcome:
        text = "\n".join(self._text(name, seed) for name in names)
        return Outcome(kind="answer", text=text, by=by, intent=intent)

    def _text(self, name: str, seed: str) -> str:
        """One of the texts of an answer: the same one for the same conversation and turn."""
        texts = self.answers[name]
        return texts[hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=4).digest()[0] % len(texts)]


@dataclass(slots=True)
class _State:
    """Where a conversation is: the flow that waits, the steps that were taken, the intent that waits for one."""

    waiting: tuple[str, tuple[Step, ...]] = ("", ())
    done: set[str] = field(default_factory=set)
    pending: str = ""
    left: int = 0


def heard(waiting: tuple[Step, ...], intent: str) -> tuple[Step, ...] | None:
    """The steps that are left once a flow that waits has heard a message; None if it waits for another."""
    first, rest = waiting[0], waiting[1:]
    if isinstance(first, Hear):
        return rest if first.intent in (intent, ANY) else None
    if isinstance(first, Branch):
        for wanted in (intent, ANY):
            for case, steps in first.cases:
                if wanted and case == wanted:
                    return (*steps, *rest)
    return None


def steps_within(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, those within branches too."""
    for step in steps:
        yield step
        if isinstance(step, Branch):
            for _, inner in step.cases:
                yield from steps_within(inner)

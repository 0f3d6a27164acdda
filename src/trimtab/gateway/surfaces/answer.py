"""What a piece of an answer says, read for a surface that writes it in another dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from trimtab.core import Chunk


class Said(NamedTuple):
    """The first choice of a piece: what it says, thinks and calls, and what a surface may want to know besides."""

    text: str
    thought: str
    thoughts: list[Any]  # whole thoughts, signed by the model that had them
    calls: list[Mapping[str, Any]]
    refusal: str
    logprobs: list[Any]
    stop: str  # the stop sequence that ended the answer


def said(chunk: Chunk) -> Said:
    """Read a piece. The text is what the guard let through."""
    choice = first_choice(chunk)
    part = choice.get("delta") or choice.get("message") or {}
    thought = part.get("reasoning_content") or part.get("reasoning")
    thoughts = part.get("thinking_blocks")
    logprobs = (choice.get("logprobs") or {}).get("content")
    stop, refusal = choice.get("stop_reason"), part.get("refusal")
    return Said(
        text=chunk.text,
        thought=thought if isinstance(thought, str) else "",
        thoughts=thoughts if isinstance(thoughts, list) else [],
        calls=list(chunk.tool_calls),
        refusal=refusal if isinstance(refusal, str) else "",
        logprobs=logprobs if isinstance(logprobs, list) else [],
        stop=stop if isinstance(stop, str) else "",
    )


def first_choice(chunk: Chunk) -> Mapping[str, Any]:
    """The choice with index 0 of a piece's body; nothing where it has none."""
    choices = (chunk.body or {}).get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, Mapping) and not choice.get("index"):
            return choice
    return {}


def arguments_of(call: Mapping[str, Any]) -> str:
    """The arguments, or a part of them, as the model wrote them."""
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    return arguments if isinstance(arguments, str) else ""


def name_of(call: Mapping[str, Any]) -> str:
    """The function's name."""
    function = call.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


def is_json(text: str) -> bool:
    """Whether a text is one whole JSON value."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class CallQueue:
    """The calls of a stream one after another: a dialect that ends each call before the next one begins needs that.

    What belongs to the call that is open passes at once. Another one begins when the open one is whole; if its parts
    come mixed with those of a call that is not, they wait.
    """

    def __init__(self) -> None:
        self._heard: dict[object, str] = {}
        self._waiting: dict[object, list[Mapping[str, Any]]] = {}
        self.open: object = None

    @property
    def unfinished(self) -> bool:
        """Whether the open call still waits for the rest of its arguments."""
        return self.open is not None and not self._whole()

    def finish(self) -> None:
        """No more parts will come."""
        self.open = None

    def take(self, part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The parts that may pass now."""
        place = part.get("index", part.get("id"))
        if self.open is None or place == self.open or (place not in self._waiting and self._whole()):
            return [self._pass(place, part)]
        self._waiting.setdefault(place, []).append(part)
        return []

    def rest(self) -> list[Mapping[str, Any]]:
        """The parts that still wait, call by call: the stream is over."""
        waiting, self._waiting = self._waiting, {}
        return [self._pass(place, part) for place, parts in waiting.items() for part in parts]

    def _pass(self, place: object, part: Mapping[str, Any]) -> Mapping[str, Any]:
        self.open = place
        self._heard[place] = self._heard.get(place, "") + arguments_of(part)
        return part

    def _whole(self) -> bool:
        return is_json(self._heard.get(self.open, ""))

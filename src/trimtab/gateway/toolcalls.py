"""Tool calls in an answer: their arguments put together from the pieces, and put back changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trimtab.core import Chunk, GuardRefused, evolve

#: A call by its choice and its index or id.
Place = tuple[int, object]
_THINKING_EVENTS = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")


class CallText(NamedTuple):
    """A call's place in the answer for people, its function, and its arguments as the model wrote them."""

    where: str
    name: str
    arguments: str


def calls_of(pieces: Sequence[Chunk]) -> dict[Place, CallText]:
    """Every call in the pieces of an answer, by place."""
    found: dict[Place, CallText] = {}
    for piece in pieces:
        for place, part in _parts(piece):
            function = part.get("function") or {}
            name, arguments = function.get("name"), function.get("arguments")
            known = found.get(place) or CallText(f"choices[{place[0]}].tool_calls[{len(found)}]", "", "")
            found[place] = known._replace(
                name=known.name or (name if isinstance(name, str) else ""),
                arguments=known.arguments + (arguments if isinstance(arguments, str) else ""),
            )
    return {place: call for place, call in found.items() if call.arguments or call.name}


def thought_in(piece: Chunk) -> str:
    """What a piece says of the model's reasoning, in whatever dialect it came; empty where it says none."""
    if piece.native is not None:
        return _native_thought(piece.native)
    for choice in (piece.body.get("choices") if piece.body is not None else None) or ():
        said = choice.get("message") or choice.get("delta") or {}
        thought = said.get("reasoning_content") or said.get("reasoning")
        if isinstance(thought, str):
            return thought
    return ""


def _native_thought(event: Mapping[str, Any]) -> str:
    """The reasoning in an event or a whole reply of Anthropic's messages or of OpenAI's responses."""
    kind, delta = event.get("type"), event.get("delta")
    if isinstance(delta, Mapping):
        thought = delta.get("thinking")
        return thought if isinstance(thought, str) else ""
    if kind in _THINKING_EVENTS:
        return delta if isinstance(delta, str) else ""
    if kind == "message":
        return "\n".join(_texts(event.get("content"), "thinking"))
    items = event.get("output") if event.get("object") == "response" else None
    reasoned = [each for each in items or () if isinstance(each, Mapping) and each.get("type") == "reasoning"]
    return "\n".join(
        text for each in reasoned for key in ("summary", "content") for text in _texts(each.get(key), "text")
    )


def _texts(parts: object, key: str) -> Iterator[str]:
    for part in parts if isinstance(parts, list) else ():
        text = part.get(key) if isinstance(part, Mapping) else None
        if isinstance(text, str) and text:
            yield text


def with_arguments(pieces: Sequence[Chunk], changed: Mapping[Place, str]) -> list[Chunk]:
    """The pieces with other arguments: all of them in the first piece of each call. Raises GuardRefused where the
    answer is in a dialect of its own, or the changed arguments are no longer JSON."""
    for place, arguments in changed.items():
        if any(piece.native is not None for piece in pieces) or not _is_json(arguments):
            raise GuardRefused(
                "The guard would have to redact the arguments of a tool call, which cannot be done here.",
                field=f"choices[{place[0]}].tool_calls",
                mend="Let the rule flag it, or ask for the answer without streaming.",
            )
    told: set[Place] = set()
    return [_changed(piece, changed, told) for piece in pieces]


def _changed(piece: Chunk, changed: Mapping[Place, str], told: set[Place]) -> Chunk:
    if piece.body is None:
        plain = tuple(_put(part, _place(0, n, part), changed, told) for n, part in enumerate(piece.tool_calls))
        return evolve(piece, tool_calls=plain)
    body = piece.body
    choices = []
    for choice in body.get("choices") or ():
        side = "message" if "message" in choice else "delta"
        said = choice.get(side) or {}
        if said.get("tool_calls"):
            index = choice.get("index") or 0
            calls = [_put(part, _place(index, n, part), changed, told) for n, part in enumerate(said["tool_calls"])]
            choice = {**choice, side: {**said, "tool_calls": calls}}
            if not index:
                piece = evolve(piece, tool_calls=tuple(calls))
        choices.append(choice)
    return evolve(piece, body={**body, "choices": choices})


def _put(part: Any, place: Place, changed: Mapping[Place, str], told: set[Place]) -> Any:
    function = part.get("function") if isinstance(part, Mapping) else None
    if place not in changed or not isinstance(function, Mapping) or "arguments" not in function:
        return part
    arguments = "" if place in told else changed[place]
    told.add(place)
    return {**part, "function": {**function, "arguments": arguments}}


def _parts(piece: Chunk) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    choices = piece.body.get("choices") if piece.body is not None else None
    if not choices:
        for n, part in enumerate(piece.tool_calls):
            yield _place(0, n, part), part
        return
    for choice in choices:
        said = choice.get("message") or choice.get("delta") or {}
        for n, part in enumerate(said.get("tool_calls") or ()):
            if isinstance(part, Mapping):
                yield _place(choice.get("index") or 0, n, part), part


def _place(choice: int, position: int, part: Any) -> Place:
    """Where a part belongs: by its own index in a stream, else by its position."""
    index = part.get("index") if isinstance(part, Mapping) else None
    return choice, position if index is None else index


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True

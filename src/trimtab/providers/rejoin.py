"""What the house changed in a request of another dialect: its chat compared with the translation it began as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trimtab.core import BadInput, Call, Message, Native


class Rejoined(NamedTuple):
    """A native request beside what became of it.

    ``before`` are the messages put in front by the house. ``head`` is None where the system prompt is untouched, else
    the chat messages that stand for it now. Each of ``turns`` is a group of the client's own messages, with None where
    they are untouched, else the chat messages that stand for them now. ``params`` are those that changed.
    """

    before: tuple[Message, ...]
    head: tuple[Message, ...] | None
    turns: list[tuple[tuple[Any, ...], tuple[Message, ...] | None]]
    params: Mapping[str, Any]


def rejoin(call: Call, native: Native) -> Rejoined:
    """Compare ``call`` with the translation that ``native`` remembers."""
    params = {name: value for name, value in call.params.items() if native.params.get(name, _MISSING) != value}
    at = len(call.messages) - len(native.head) - sum(len(chat) for _, chat in native.runs)
    if at < 0:  # messages were taken away: nobody can say any more which stands for which
        return Rejoined((), (), [((), call.messages)], params)
    before = call.messages[:at]
    head = _changed(native.head, call.messages[at : at + len(native.head)])
    at += len(native.head)
    turns = []
    for items, chat in native.runs:
        turns.append((items, _changed(chat, call.messages[at : at + len(chat)])))
        at += len(chat)
    return Rejoined(before, head, turns, params)


def refuse_foreign(call: Call, vendor: str) -> None:
    """Raise BadInput naming the first field of a native request that a provider of another dialect cannot be told."""
    if call.native is not None and call.native.only:
        raise BadInput(
            f"has no counterpart at {vendor}, which speaks another dialect.",
            field=call.native.only[0],
            mend="Leave it out, or route to a model whose provider knows it.",
        )


_MISSING = object()


def _changed(was: tuple[Message, ...], now: tuple[Message, ...]) -> tuple[Message, ...] | None:
    return None if all(a is b or a == b for a, b in zip(was, now, strict=True)) else now

"""Anthropic's event stream, written: relayed where the vendor speaks it, else told anew from chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trimtab.core import Chunk, TrimtabError, Usage
from trimtab.gateway.live import LiveTrace
from trimtab.gateway.wire import with_cost

from .answer import CallQueue, arguments_of, name_of, said
from .messages_write import call_id, error_body, opening, stop_of, thinking, usage_of, wants_thoughts

_encode = msgspec.json.encode
_EMPTY: dict[str, dict[str, Any]] = {"text": {"type": "text", "text": ""}, "thinking": thinking("")}


class MessagesWriter:
    """One stream. At any time at most one block is open; every block that is opened is closed."""

    def __init__(self, live: LiveTrace) -> None:
        self._live = live
        self._thoughts = wants_thoughts(live)
        self._begun = self._told = self._stopped = False  # message_start, message_delta, message_stop
        self._open = ""  # the kind of the open block
        self._index = -1  # of the open block, or of the last one
        self._places: dict[object, int] = {}  # the vendor's index of a block: ours
        self._queue = CallQueue()
        self._called: dict[object, int] = {}
        self._held = ""
        self._finish: str | None = None
        self._sequence = ""
        self._usage: Usage | None = None
        self._model = ""

    def piece(self, chunk: Chunk) -> bytes:
        """The events that a piece makes."""
        self._usage = chunk.usage or self._usage
        self._finish = chunk.finish or self._finish
        self._model = chunk.model or self._model
        events = self._relayed(chunk, chunk.native) if chunk.native is not None else self._told_anew(chunk)
        return b"".join(map(_event, events))

    def end(self) -> bytes:
        """Close what is open and say why the message ended, as far as that was not said."""
        return b"".join(map(_event, self._ending()))

    def broke(self, error: TrimtabError) -> bytes:
        """The event that ends a stream which broke."""
        return _event(error_body(error))

    # A vendor that speaks the dialect.

    def _relayed(self, chunk: Chunk, event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        kind = event.get("type")
        delta = event.get("delta")
        if kind == "content_block_delta" and isinstance(delta, Mapping) and delta.get("type") == "text_delta":
            if chunk.text == delta.get("text") and self._open == "text":
                yield self._at_place(event)
            else:
                yield from self._say(chunk.text)
            return
        if kind == "content_block_start":
            yield from self._block(event, chunk.text)
            return
        yield from self._say(chunk.text)
        if kind == "message_start":
            self._begun = True
        elif kind == "content_block_stop":
            # A block of text stays open until the next event needs it closed: the guard may still let text go.
            if self._open != "text":
                yield from self._close()
            return
        elif kind == "message_delta":
            yield from self._close()
            self._told = True
            event = with_cost(event, self._live.cost)
        elif kind == "message_stop":
            self._stopped = True
        yield self._at_place(event)

    def _block(self, event: Mapping[str, Any], text: str) -> Iterator[Mapping[str, Any]]:
        """A block begins; what text it begins with is said on its own, as the guard left it."""
        found = event.get("content_block")
        block = found if isinstance(found, Mapping) else {}
        yield from self._close()
        self._index += 1
        self._open = str(block.get("type"))
        self._places[event.get("index")] = self._index
        yield self._at_place({**event, "content_block": {**block, "text": ""}} if block.get("text") else event)
        yield from self._say(text)

    def _at_place(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        place = event.get("index")
        ours = self._places.get(place, place)
        return event if ours == place else {**event, "index": ours}

    # A vendor that speaks another.

    def _told_anew(self, chunk: Chunk) -> Iterator[Mapping[str, Any]]:
        yield from self._begin()
        read = said(chunk)
        self._sequence = read.stop or self._sequence
        if read.thought and self._thoughts:
            yield from self._think(read.thought)
        for thought in read.thoughts if self._open == "thinking" else ():
            if isinstance(thought, Mapping) and thought.get("signature"):
                yield self._delta({"type": "signature_delta", "signature": thought["signature"]})
        yield from self._say(read.text or read.refusal)
        for call in read.calls:
            for part in self._queue.take(call):
                yield from self._call(part)

    def _think(self, thought: str) -> Iterator[Mapping[str, Any]]:
        if self._queue.unfinished:
            return  # a thought within a call: there is no place for it
        yield from self._opened("thinking", _EMPTY["thinking"])
        yield self._delta({"type": "thinking_delta", "thinking": thought})

    def _call(self, part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        place = part.get("index", part.get("id"))
        if place not in self._called:
            yield from self._close()
            ident = call_id(part, self._live, len(self._called))
            block = {"type": "tool_use", "id": ident, "name": name_of(part), "input": {}}
            yield from self._opened(f"tool_use {ident}", block)
            self._called[place] = self._index
        if arguments := arguments_of(part):
            delta = {"type": "input_json_delta", "partial_json": arguments}
            yield {"type": "content_block_delta", "index": self._called[place], "delta": delta}

    # What both need.

    def _begin(self) -> Iterator[Mapping[str, Any]]:
        if not self._begun:
            self._begun = True
            yield {"type": "message_start", "message": opening(self._live, self._model)}

    def _say(self, text: str) -> Iterator[Mapping[str, Any]]:
        if self._queue.unfinished:  # a call that is not whole stays open: the text waits
            self._held += text
            return
        text, self._held = self._held + text, ""
        if text:
            yield from self._opened("text", _EMPTY["text"])
            yield self._delta({"type": "text_delta", "text": text})

    def _delta(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _opened(self, kind: str, block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """See that a block of this kind is open."""
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[Mapping[str, Any]]:
        if self._open:
            self._open = ""
            yield {"type": "content_block_stop", "index": self._index}

    def _ending(self) -> Iterator[Mapping[str, Any]]:
        if self._stopped:
            return
        yield from self._begin()
        for part in self._queue.rest():
            yield from self._call(part)
        self._queue.finish()
        yield from self._say("")
        yield from self._close()
        if not self._told:
            reason, sequence = stop_of(self._finish, bool(self._called), self._sequence, self._live)
            delta = {"stop_reason": reason, "stop_sequence": sequence}
            told = {"type": "message_delta", "delta": delta, "usage": usage_of(self._usage or Usage())}
            yield with_cost(told, self._live.cost)
        yield {"type": "message_stop"}


def _event(body: Mapping[str, Any]) -> bytes:
    return b"event: " + str(body.get("type")).encode() + b"\ndata: " + _encode(body) + b"\n\n"

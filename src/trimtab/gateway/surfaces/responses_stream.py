"""The Responses API's event stream, written: relayed where the vendor speaks it, else told anew from chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trimtab.core import Chunk, TrimtabError, Usage
from trimtab.gateway.live import LiveTrace
from trimtab.gateway.wire import with_cost

from . import responses_write as write
from .answer import CallQueue, arguments_of, name_of, said
from .responses_relay import KeptRelay, Relay

Event = Mapping[str, Any]


class ResponsesWriter:
    """One stream. Output items come one after another, each with all its events.

    A stream that can be taken up again keeps the numbers of its vendor, and one that is taken up begins behind the
    number that its client knows.
    """

    def __init__(self, live: LiveTrace) -> None:
        stored = live.ask.stored
        self._live = live
        self._number = 0
        self._relay: Relay | None = None if stored is None else KeptRelay(live)
        self._after = -1 if stored is None or stored.after is None else stored.after
        self._story = Story(live)

    def piece(self, chunk: Chunk) -> bytes:
        """The events that a piece makes."""
        relay = self._relay
        if chunk.native is not None and relay is None:
            relay = self._relay = KeptRelay(self._live) if self._live.ask.background else Relay(self._live)
        if relay is None:
            return self._written(self._story.take(chunk))
        return self._written(relay.take(chunk, chunk.native or {}))

    def end(self) -> bytes:
        """The events that end a stream which is whole."""
        return self._written(self._relay.end() if self._relay else self._story.end())

    def broke(self, error: TrimtabError) -> bytes:
        """The event that ends a stream which broke."""
        return _line(write.error_event(error, max(self._number, self._after)))

    def _written(self, events: Iterator[Event]) -> bytes:
        out: list[bytes] = []
        kept = isinstance(self._relay, KeptRelay)
        for event in events:
            numbered = event
            if kept:
                number = event.get("sequence_number")
                if isinstance(number, int):
                    if number <= self._after:
                        continue
                    self._number = number
            else:
                numbered = {**event, "sequence_number": self._number} if "sequence_number" in event else event
                self._number += 1
            out.append(_line(numbered))
        return b"".join(out)


class Story:
    """A stream told anew from chat."""

    def __init__(self, live: LiveTrace) -> None:
        self._live = live
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._open = ""  # the kind of the open item: reasoning, message, refusal, or a call
        self._text = ""
        self._logprobs: list[Any] = []
        self._thoughts: list[Any] = []
        self._queue = CallQueue()
        self._called: set[object] = set()
        self._held = ""
        self._finish: str | None = None
        self._usage: Usage | None = None
        self._model = ""

    def take(self, chunk: Chunk) -> Iterator[Event]:
        """The events that a piece makes."""
        self._usage = chunk.usage or self._usage
        self._finish = chunk.finish or self._finish
        self._model = chunk.model or self._model
        yield from self._begin()
        read = said(chunk)
        if (read.thought or read.thoughts) and not self._queue.unfinished:
            yield from self._opened("reasoning")
            self._thoughts += read.thoughts
            yield from self._more("response.reasoning_text.delta", read.thought)
        yield from self._say(read.text, read.logprobs)
        if read.refusal:
            yield from self._opened("refusal")
            yield from self._more("response.refusal.delta", read.refusal)
        for call in read.calls:
            for part in self._queue.take(call):
                yield from self._call(part)

    def end(self) -> Iterator[Event]:
        """The events that end it."""
        yield from self._begin()
        for part in self._queue.rest():
            yield from self._call(part)
        self._queue.finish()
        yield from self._say("", [])
        yield from self._close()
        status, details = write.ending_of(self._finish)
        response = write.response_of(self._live, self._model, status, self._output)
        response |= {"incomplete_details": details, "usage": write.usage_of(self._usage or Usage())}
        yield _event(f"response.{status}", response=with_cost(response, self._live.cost))

    def _begin(self) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            response = write.response_of(self._live, self._model, "in_progress", ())
            yield _event("response.created", response=response)
            yield _event("response.in_progress", response=response)

    def _say(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        if self._queue.unfinished:  # a call that is not whole stays open: the text waits
            self._held += text
            return
        text, self._held = self._held + text, ""
        if text:
            yield from self._opened("message")
            self._logprobs += logprobs
            yield from self._more("response.output_text.delta", text, logprobs=logprobs)

    def _call(self, part: Mapping[str, Any]) -> Iterator[Event]:
        place = part.get("index", part.get("id"))
        if place not in self._called:
            self._called.add(place)
            yield from self._close()
            number = len(self._output)
            ident = write.call_id(part, self._live, number)
            item = write.call_item(write.ident(self._live, "fc", number), ident, name_of(part), "in_progress")
            yield from self._add("call", item)
        yield from self._more("response.function_call_arguments.delta", arguments_of(part))

    def _opened(self, kind: str) -> Iterator[Event]:
        """See that an item of this kind is open, with its part."""
        if self._open == kind:
            return
        yield from self._close()
        number = len(self._output)
        if kind == "reasoning":
            yield from self._add(kind, write.reasoning_item(write.ident(self._live, "rs", number), "", ()))
        else:
            yield from self._add(kind, write.message_item(write.ident(self._live, "msg", number), [], "in_progress"))
        yield self._here("response.content_part.added", content_index=0, part=self._part())

    def _add(self, kind: str, item: dict[str, Any]) -> Iterator[Event]:
        self._open, self._text, self._logprobs, self._thoughts = kind, "", [], []
        self._output.append(item)
        yield _event("response.output_item.added", output_index=len(self._output) - 1, item=dict(item))

    def _more(self, kind: str, delta: str, **more: Any) -> Iterator[Event]:
        if delta:
            self._text += delta
            place = {} if self._open == "call" else {"content_index": 0}
            yield self._here(kind, **place, delta=delta, **more)

    def _close(self) -> Iterator[Event]:
        """The open item is done."""
        kind, item = self._open, self._output[-1] if self._output else {}
        if not kind:
            return
        if kind == "call":
            item |= {"arguments": self._text, "status": "completed"}
            yield self._here("response.function_call_arguments.done", name=item["name"], arguments=self._text)
        else:
            part = self._part()
            done = {"reasoning": "reasoning_text", "message": "output_text", "refusal": "refusal"}[kind]
            word = {"refusal": self._text} if kind == "refusal" else {"text": self._text}
            more = {"logprobs": self._logprobs} if kind == "message" else {}
            yield self._here(f"response.{done}.done", content_index=0, **word, **more)
            yield self._here("response.content_part.done", content_index=0, part=part)
            if kind == "reasoning":
                item |= write.reasoning_item(item["id"], self._text, self._thoughts)
            else:
                item |= {"content": [part], "status": "completed"}
        yield _event("response.output_item.done", output_index=len(self._output) - 1, item=dict(item))
        self._open = ""

    def _part(self) -> dict[str, Any]:
        if self._open == "reasoning":
            return {"type": "reasoning_text", "text": self._text}
        if self._open == "refusal":
            return write.refusal_part(self._text)
        return write.text_part(self._text, self._logprobs)

    def _here(self, kind: str, **fields: Any) -> Event:
        place = len(self._output) - 1
        return _event(kind, item_id=self._output[place]["id"], output_index=place, **fields)


def _line(event: Event) -> bytes:
    return f"event: {event.get('type')}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n"


def _event(kind: str, **fields: Any) -> Event:
    return {"type": kind, "sequence_number": 0, **fields}

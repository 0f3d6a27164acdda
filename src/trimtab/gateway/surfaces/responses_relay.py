"""The Responses API's event stream, relayed from a vendor that speaks it.

The stream repeats what it said: when a text is done, when its message is done, and in the response at the end. What the
guard held back or changed must not come out there. So the events that repeat a text wait until all of it was let
through, and say what was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.core import Chunk
from trimtab.gateway.live import LiveTrace
from trimtab.gateway.wire import with_cost

from .responses_write import text_part, texts_of, with_texts

_ENDS = ("response.completed", "response.incomplete")
_KEPT_ENDS = (*_ENDS, "response.failed", "response.cancelled")
_DELTA = "response.output_text.delta"
_OPENS = ("response.output_item.added", "response.content_part.added")
Place = tuple[int, int]


class Relay:
    """One stream of a vendor's events."""

    def __init__(self, live: LiveTrace) -> None:
        self._live = live
        self._passed: dict[Place, str] = {}  # what was let through of each part
        self._items: dict[int, str] = {}  # the ids of output items
        self._last: Place = (0, 0)
        self._held: list[Mapping[str, Any]] = []

    def take(self, chunk: Chunk, event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The events that a piece makes. One without an event of its own is what the guard still held back when the
        vendor's stream ended without saying so."""
        kind = str(event.get("type"))
        if not event:
            yield from self._rest(chunk.text)
        elif kind == _DELTA:
            yield from self._delta(chunk.text, event)
        elif kind in _ENDS:
            yield from self._rest(chunk.text)
            response = event.get("response")
            if isinstance(response, Mapping):
                event = {**event, "response": with_cost(self._mended(response), self._live.cost)}
            yield event
        elif self._repeats(kind, event):
            rewritten = self._rewritten(event)
            if self._held or rewritten is not event:
                self._held.append(event)  # not all of it was let through, or not yet
            else:
                yield event
        else:
            self._look(kind, event)
            yield event

    def end(self) -> Iterator[Mapping[str, Any]]:
        """What still waits when the vendor's stream ends without saying that it is over."""
        yield from self._rest("")

    def _delta(self, text: str, event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        self._at(event)
        self._note(text)
        if text:
            yield event if text == event.get("delta") else {**event, "delta": text, "logprobs": []}

    def _rest(self, text: str) -> Iterator[Mapping[str, Any]]:
        """The end of the text, and what waited for it."""
        self._note(text)
        place, number = self._last
        if text:
            where = {"item_id": self._items.get(place, ""), "output_index": place, "content_index": number}
            yield {"type": _DELTA, **where, "delta": text, "logprobs": [], "sequence_number": 0}
        held, self._held = self._held, []
        yield from map(self._rewritten, held)

    def _look(self, kind: str, event: Mapping[str, Any]) -> None:
        """See where the vendor is."""
        if kind == "response.content_part.added" and "text" in (event.get("part") or {}):
            self._at(event)

    def _at(self, event: Mapping[str, Any]) -> None:
        """The vendor is at this part now: what the guard lets through later belongs to it."""
        self._last = _place(event)
        self._items[self._last[0]] = str(event.get("item_id"))

    def _note(self, passed: str) -> None:
        if passed or self._last in self._passed:
            self._passed[self._last] = self._passed.get(self._last, "") + passed

    def _repeats(self, kind: str, event: Mapping[str, Any]) -> bool:
        part, item = event.get("part"), event.get("item")
        return (
            kind == "response.output_text.done"
            or (kind == "response.content_part.done" and isinstance(part, Mapping) and "text" in part)
            or (kind == "response.output_item.done" and isinstance(item, Mapping) and item.get("type") == "message")
        )

    def _rewritten(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        item = event.get("item")
        if isinstance(item, Mapping):
            place = _place(event)[0]
            padded = {"output": [*([{}] * place), item]}
            mended = self._mended(padded)
            return event if mended is padded else {**event, "item": mended["output"][place]}
        text = self._text(_place(event), _said(event))
        if text is None:
            return event
        if "part" in event:
            return {**event, "part": {**event["part"], **text_part(text)}}
        return {**event, "text": text, "logprobs": []}

    def _mended(self, response: Mapping[str, Any]) -> Mapping[str, Any]:
        changed = {
            place: text
            for place, part in texts_of(response)
            if (text := self._text(place, str(part.get("text") or ""))) is not None
        }
        return with_texts(response, changed) if changed else response

    def _text(self, place: Place, repeated: str) -> str | None:
        """What a part may say that repeats a text; None where it may stay as it is."""
        if not self._live.stamp.guard:
            return None  # all of it was let through, also what this stream has not told
        passed = self._passed.get(place, "")
        return None if passed == repeated else passed


class KeptRelay(Relay):
    """One stream of a vendor's events that a client may take up again after any of them.

    So they stay in the vendor's order and keep its numbers: behind an event that waits, all others wait.
    """

    def take(self, chunk: Chunk, event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The events that a piece makes. What the guard still held back when the stream ended is told when it is taken
        up again."""
        if not event:
            return
        kind, response = str(event.get("type")), event.get("response")
        if kind in _KEPT_ENDS:
            yield from self._late(chunk.text, event)
            if isinstance(response, Mapping):
                response = self._mended(response)
                # Who pays it tells the cost, and so it is told once.
                paid = not self._live.pending and (self._live.ask.stored is None or self._live.attempts)
                event = {**event, "response": with_cost(response, self._live.cost) if paid else response}
            yield event
            return
        told = [event]
        if kind == _DELTA:
            told = list(self._delta(chunk.text, event))
        elif isinstance(response, Mapping):
            told = [{**event, "response": self._mended(response)}]
        else:
            self._look(kind, event)
            told = [self._rewritten(event) if kind in _OPENS and _speaks(event) else event]
        if (self._held and kind != "error") or (self._repeats(kind, event) and self._rewritten(event) is not event):
            self._held += told
        else:
            yield from told

    def end(self) -> Iterator[Mapping[str, Any]]:
        """Nothing: the response has not ended."""
        yield from ()

    def _late(self, text: str, end: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """What waited for the end of the text, that end behind the last part of it."""
        self._note(text)
        held, self._held = self._held, []
        at = max((n + 1 for n, event in enumerate(held) if event.get("type") == _DELTA), default=0)
        if text:
            place, number = self._last
            where = {"item_id": self._items.get(place, ""), "output_index": place, "content_index": number}
            follows = [*held, end][at].get("sequence_number")
            held.insert(at, {"type": _DELTA, **where, "delta": text, "logprobs": [], "sequence_number": follows})
        for event in held:
            yield self._rewritten(event) if self._repeats(str(event.get("type")), event) else event


def _place(event: Mapping[str, Any]) -> Place:
    place, number = event.get("output_index"), event.get("content_index")
    return (place if isinstance(place, int) else 0, number if isinstance(number, int) else 0)


def _speaks(event: Mapping[str, Any]) -> bool:
    """Whether an event is about a message, or a part of it that is text."""
    part = event.get("part")
    return "item" in event or (isinstance(part, Mapping) and part.get("type") == "output_text")


def _said(event: Mapping[str, Any]) -> str:
    part = event.get("part")
    return str((part if isinstance(part, Mapping) else event).get("text") or "")

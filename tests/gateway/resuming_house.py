"""A vendor that makes one response in the background and tells of it in a stream that can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from gateway_house import Answer, House, http_reply
from test_gateway_late import MODEL, USED

from trimtab.core import Span

SECRET = {"name": "osprey", "patterns": ["(?i)project osprey"], "action": "redact", "reason": "It is secret."}
WORDS = {"name": "bombs", "patterns": ["(?i)bomb"], "action": "block", "reason": "It is dangerous."}


class Told:
    """``shown`` of its ``events`` are there; behind them the stream stays open until all are. ``status`` is that of the
    response; ``usage`` what it used. An empty text begins another message."""

    def __init__(self, texts: Sequence[str] = ("Once ", "upon ", "a ", "time."), **end: Any) -> None:
        self.messages: list[list[str]] = [[]]
        for text in texts:
            if text:
                self.messages[-1].append(text)
            else:
                self.messages.append([])
        self.end = {"status": "completed", "usage": USED, **end}
        self.events = list(self._all())
        self.shown = len(self.events)
        self.streams = True
        self.cancelled = False

    @property
    def whole(self) -> str:
        return "".join("".join(texts) for texts in self.messages)

    @property
    def over(self) -> bool:
        return self.shown >= len(self.events)

    def response(self, status: str) -> dict[str, Any]:
        output = [self._item(place, "".join(texts)) for place, texts in enumerate(self.messages)]
        done = status == self.end["status"]
        return {
            "id": "resp_v1", "object": "response", "status": status, "background": True, "model": "gpt-4o-mini",
            "previous_response_id": None, "output": output if done else [],
            "usage": self.end["usage"] if done else None, "error": self.end.get("error") if done else None,
        }  # fmt: skip

    def _all(self) -> Iterator[dict[str, Any]]:
        plain: list[dict[str, Any]] = [
            {"type": "response.created", "response": self.response("queued")},
            {"type": "response.queued", "response": self.response("queued")},
            {"type": "response.in_progress", "response": self.response("in_progress")},
        ]
        for place, texts in enumerate(self.messages):
            plain += self._message(place, texts)
        plain.append({"type": f"response.{self.end['status']}", "response": self.response(self.end["status"])})
        for number, event in enumerate(plain):
            yield {**event, "sequence_number": number}

    def _item(self, place: int, text: str) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {"id": f"msg_{place}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}

    def _message(self, place: int, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        done, empty = self._item(place, "".join(texts)), self._item(place, "")
        here = {"item_id": done["id"], "output_index": place, "content_index": 0}
        item = {**empty, "status": "in_progress", "content": []}
        yield {"type": "response.output_item.added", "output_index": place, "item": item}
        yield {"type": "response.content_part.added", **here, "part": empty["content"][0]}
        for text in texts:
            yield {"type": "response.output_text.delta", **here, "delta": text}
        if self.end["status"] in ("completed", "incomplete"):
            yield {"type": "response.output_text.done", **here, "text": "".join(texts)}
            yield {"type": "response.content_part.done", **here, "part": done["content"][0]}
            yield {"type": "response.output_item.done", "output_index": place, "item": done}

    def __call__(self, headers: Mapping[str, str], body: Any) -> list[bytes]:
        method, target, _ = headers[":request"].split(" ")
        path, _, query = target.partition("?")
        asked = parse_qs(query)
        if method == "POST" and not path.endswith("/cancel"):
            return self._stream(-1) if body["stream"] else http_reply(200, self.response("queued"))
        if method == "POST":
            self.cancelled = True
            return http_reply(200, {**self.response("in_progress"), "status": "cancelled"})
        if asked.get("stream") == ["true"]:
            if not self.streams:
                return http_reply(400, {"error": {"message": "resp_v1 was not made with stream=true."}})
            return self._stream(int(asked.get("starting_after", ["-1"])[0]))
        return http_reply(200, self.response(self.end["status"] if self.over else "in_progress"))

    def _stream(self, after: int) -> list[bytes]:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        pieces = [
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            for event in self.events[after + 1 : self.shown]
        ]
        chunks = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
        return [head, *chunks, *([b"0\r\n\r\n"] if self.over else [])]


def read(answer: Answer) -> list[dict[str, Any]]:
    """The events of a stream of responses."""
    blocks = [block for block in answer.body.decode().split("\n\n") if block]
    events = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def text_of(events: Sequence[Mapping[str, Any]]) -> str:
    """What the deltas say."""
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def ident_of(events: Sequence[Mapping[str, Any]]) -> str:
    """The id that the client knows of."""
    return str(events[0]["response"]["id"])


async def start(house: House, *, model: str = MODEL, hang_up: int = 0, **body: Any) -> Answer:
    """Ask for a response in the background, as a stream."""
    data = {"model": model, "input": "A story", "background": True, "stream": True, "max_output_tokens": 1000, **body}
    return await house.call("POST", "/v1/responses", json.dumps(data).encode(), hang_up=hang_up)


async def resume(
    house: House, ident: str, after: int | None = None, *, hang_up: int = 0, key: str | None = None
) -> Answer:
    """Take its stream up again."""
    query = "?stream=true" + ("" if after is None else f"&starting_after={after}")
    return await house.call("GET", f"/v1/responses/{ident}{query}", hang_up=hang_up, key=key)


def told(house: House, *texts: str, shown: int | None = None, **end: Any) -> Told:
    house.vendor.reply = made = Told(texts, **end) if texts else Told(**end)
    if shown is not None:
        show(house, made, shown)
    return made


def show(house: House, made: Told, shown: int) -> None:
    made.shown = shown
    house.vendor.hold = not made.over


async def roots(house: House) -> list[Span]:
    return [span for span in await house.everything() if not span.parent_id]

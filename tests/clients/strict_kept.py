"""What an account of OpenAI keeps of the responses that it makes, and what it answers about them."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

import strict_openai as openai
from strict_mind import Refused, Reply, require

_QUERY = {
    "": {"include", "include[]", "stream", "starting_after", "include_obfuscation"},
    "input_items": {"after", "before", "include", "include[]", "limit", "order"},
    "cancel": set[str](),
}


class Telling:
    """The stream of a response in the background: what was told of it so far, to any number of listeners."""

    def __init__(self, events: list[str], shown: int) -> None:
        self._events = events
        self._shown = shown
        self._over = shown >= len(events)
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()

    def go_on(self) -> None:
        """Tell the rest. From any thread."""
        self._loop.call_soon_threadsafe(self._show, len(self._events))

    def stop(self) -> None:
        """Nothing more is told."""
        self._show(self._shown)

    async def after(self, number: int) -> AsyncIterator[str]:
        """The events after a number, as they come."""
        number += 1
        while True:
            while number < self._shown:
                yield self._events[number]
                number += 1
            if self._over:
                return
            await self._more.wait()

    def _show(self, shown: int) -> None:
        self._shown, self._over = shown, True
        self._more.set()


class Kept:
    """One account. A response that is made in the background is queued at first, in progress when it is asked for, and
    has ended when it is asked for again. A word in what is asked makes it fail, or never end. One that is streamed ends
    when its stream does; with a word it waits in the middle until ``go_on``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.responses: dict[str, dict[str, Any]] = {}
        self._items: dict[str, list[Any]] = {}  # everything before each answer
        self._later: dict[str, list[dict[str, Any]]] = {}  # what each becomes as it is asked for
        self._telling: dict[str, Telling] = {}
        self._whole: dict[str, Any] = {}  # what the last one that is streamed ends as
        self._made = 0

    def input_of(self, body: Mapping[str, Any]) -> list[Any]:
        """What the model reads: the earlier turns, then what was sent."""
        given = body.get("input")
        require(isinstance(given, str | list) and bool(given), "Missing required parameter: 'input'.", "input")
        items: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())
        ident = body.get("previous_response_id")
        if ident is None:
            return items
        require(body.get("conversation") is None, "Mutually exclusive parameters", "conversation")
        if not isinstance(ident, str) or not re.fullmatch(r"resp_[A-Za-z0-9_-]+", ident):
            raise Refused(400, f"Invalid 'previous_response_id': '{ident}'.", "previous_response_id", "invalid_value")
        if ident not in self.responses:
            message = f"Previous response with id '{ident}' not found."
            raise Refused(400, message, "previous_response_id", "previous_response_not_found")
        before = self.responses[ident]
        require(before["status"] in ("completed", "incomplete"), "The previous response is not done.", "previous")
        output = [{name: value for name, value in item.items() if name != "status"} for item in before["output"]]
        return [*self._items[ident], *output, *items]

    def calls_before(self, body: Mapping[str, Any]) -> set[str]:
        """The calls of the earlier turns, whose results may be sent."""
        kept = self.responses.get(body.get("previous_response_id") or "")
        return {item["call_id"] for item in (kept or {}).get("output", ()) if item["type"] == "function_call"}

    def made(self, body: Mapping[str, Any], items: list[Any], reply: Reply) -> str:
        """Keep a response, if it is to be kept. Returns its id."""
        self._made += 1
        ident = f"resp_{self.name}{self._made:040x}"
        background = bool(body.get("background"))
        if body.get("store") is False and not background:
            return ident
        self._items[ident] = items
        whole = openai.response_reply(body, reply, ident=ident)
        if background:
            self.responses[ident] = openai.response_reply(body, reply, "queued", ident=ident)
            ends = {**whole, "status": "failed", "output": [], "usage": None} if "please fail" in str(items) else whole
            running = openai.response_reply(body, reply, "in_progress", ident=ident)
            self._later[ident] = [running] * 9999 if "never end" in str(items) else [running, ends]
            if body.get("stream"):
                events = list(openai.response_events(body, reply, ident))
                waits = "please wait" in str(items)
                self.responses[ident] = running if waits else whole
                self._later[ident] = []
                self._telling[ident] = Telling(events, 8 if waits else len(events))
                self._whole = whole
        else:
            self.responses[ident] = whole
        return ident

    def go_on(self) -> None:
        """Let the last one that waits come to its end."""
        ident = self._whole["id"]
        self.responses[ident] = self._whole
        self._telling[ident].go_on()

    def stream(self, ident: str, query: str = "") -> AsyncIterator[str]:
        """The events of a response."""
        asked = parse_qs(query)
        require(asked.keys() <= _QUERY[""], f"Unknown query parameter: {sorted(asked)}")
        if ident not in self.responses:
            raise Refused(404, f"Response with id '{ident}' not found.")
        require(ident in self._telling, "Only a response that was created with stream=true and background=true")
        return self._telling[ident].after(int(asked.get("starting_after", ["-1"])[0]))

    def told(self, ident: str) -> dict[str, Any] | None:
        """A response as it is now."""
        return copy.deepcopy(self.responses.get(ident))

    def asked(self, method: str, path: str, query: str, body: Any) -> dict[str, Any]:
        """The answer to a request about a response that is kept."""
        ident, _, what = path.removeprefix("/v1/responses/").partition("/")
        methods: Mapping[str, Iterable[str]] = {"": ("GET", "DELETE"), "input_items": ("GET",), "cancel": ("POST",)}
        if what not in methods:
            raise Refused(404, "Not Found")
        if method not in methods[what]:
            raise Refused(405, "Method Not Allowed")
        asked = parse_qs(query, strict_parsing=bool(query))
        require(asked.keys() <= _QUERY[what], f"Unknown query parameter: {sorted(asked)}")
        require(not body, "This endpoint takes no body.")
        if ident not in self.responses:
            raise Refused(404, f"Response with id '{ident}' not found.")
        if method == "DELETE":
            del self.responses[ident]
            return {"id": ident, "object": "response", "deleted": True}
        if what == "input_items":
            return self._listed(ident, asked)
        if what == "cancel":
            return self._cancelled(ident)
        if later := self._later.get(ident):
            self.responses[ident] = later.pop(0)
        return copy.deepcopy(self.responses[ident])

    def _listed(self, ident: str, asked: Mapping[str, list[str]]) -> dict[str, Any]:
        items = [
            {"id": f"msg_in_{n}", "type": "message", "status": "completed", **item}
            for n, item in enumerate(self._items[ident])
        ]
        for item in items:
            if isinstance(item.get("content"), str):
                item["content"] = [{"type": "input_text", "text": item["content"]}]
        if asked.get("order", ["desc"]) == ["desc"]:
            items.reverse()
        limit = int(asked.get("limit", ["20"])[0])
        require(1 <= limit <= 100, "limit must be from 1 to 100", "limit")
        page = items[:limit]
        ids = [item["id"] for item in page]
        return {
            "object": "list", "data": page, "has_more": len(items) > limit, "first_id": ids[0], "last_id": ids[-1],
        }  # fmt: skip

    def _cancelled(self, ident: str) -> dict[str, Any]:
        kept = self.responses[ident]
        require(kept["background"], "Cannot cancel a synchronous response.")
        if kept["status"] in ("queued", "in_progress"):
            self._later.pop(ident, None)
            if ident in self._telling:
                self._telling[ident].stop()
            kept = self.responses[ident] = {**kept, "status": "cancelled"}
        return copy.deepcopy(kept)

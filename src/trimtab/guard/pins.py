"""Pinned tools: how each was described when it was first declared, and what is done when that changes.

A scope is a route, or a tool server behind the proxy. Pins live in the metadata database, so a tool that changes
between two starts or in another process is noticed too. A change is kept as an offer until a person accepts it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trimtab.core import BadInput, Conflict, NotFound, body_as, now_ns
from trimtab.core.actor import actor_of
from trimtab.store import Metadata

from . import records
from .actions import Tool, tools_of

#: Pins of one scope, pins that are remembered in memory, tools of one request that are looked at.
MOST_PINS, REMEMBERED, MOST_TOOLS = 10_000, 10_000, 500
#: So long a change is judged by what was read before: a person elsewhere may have accepted it since.
FRESH_NS = 2_000_000_000
#: A tool that changes with every request is written down as changed once in so long.
OFFER_NS = 60_000_000_000
#: Pins in one listing.
MOST_LISTED = 500
_LONGEST, _LONGEST_NAME = 20_000, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One tool as it is pinned, and as it is ``offered`` now where that differs. Times are nanoseconds UTC."""

    scope: str
    tool: str
    digest: str
    described: Mapping[str, Any]
    time_ns: int
    offered: str = ""
    offer: Mapping[str, Any]
    offered_ns: int = 0
    accepted_by: str = ""

    @property
    def changed(self) -> bool:
        """Whether it waits for a person to accept another description."""
        return bool(self.offered)

    def shown(self) -> dict[str, Any]:
        """As the control API shows it."""
        return {**asdict(self), "changed": self.changed}


class ToolPins:
    """The pins, in memory and behind that in the metadata database; without one they last as long as the process."""

    def __init__(self, metadata: Metadata | None = None, clock: Callable[[], int] = now_ns) -> None:
        self._metadata = metadata
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._fresh: OrderedDict[tuple[str, str], int] = OrderedDict()  # until when what is known of a change holds

    async def seen(self, scope: str, tools: Sequence[Tool]) -> Mapping[str, str]:
        """The pinned digests of these tools by name; new ones are pinned. The database is asked only about tools that
        are new to this process or differ from what it knows."""
        tools = {tool.name: tool for tool in reversed(tools[:MOST_TOOLS])}.values()  # type: ignore[assignment]
        new = [tool for tool in tools if _storable(scope, tool.name) and not self._settled(scope, tool)]
        if new:
            await self._settle(scope, new)
        return {tool.name: self._known.get((scope, tool.name)) or tool.digest for tool in tools}

    async def list(self, *, scope: str = "", tool: str = "", changed: bool = False, limit: int = 100) -> list[Pin]:
        """The pins, the newest changes first; of one scope or tool where it is named."""
        if self._metadata is None:
            return []
        most = max(1, min(limit, MOST_LISTED))
        rows = await self._metadata.read(lambda c: records.list_pins(c, scope, tool, changed, most))
        return [Pin(**row) for row in rows]

    async def accept(self, scope: str, tool: str, *, by: str) -> Pin:
        """Pin a tool as it is described now. Raises NotFound, and Conflict where nothing about it changed."""
        if self._metadata is None:
            raise NotFound("no pins are kept here", field="tool", mend="Ask the process that keeps them.")
        found = (await self._metadata.read(lambda c: records.read_pins(c, scope, [tool]))).get(tool)
        if found is None:
            raise NotFound(f"{tool[:80]!r} is not pinned in {scope[:80]!r}", field="tool", mend="List the pins.")
        if not found["offered"]:
            raise Conflict("it is described as it was pinned.", field="tool", mend="There is nothing to accept.")
        values = {
            "digest": found["offered"], "described": found["offer"], "time_ns": self._clock(), "offered": "",
            "offer": {}, "offered_ns": 0, "accepted_by": by,
        }  # fmt: skip
        await self._metadata.write(lambda c: records.move_pin(c, scope, tool, values))
        self._known.pop((scope, tool), None)
        self._fresh.pop((scope, tool), None)
        return Pin(**{**found, **values})

    def _settled(self, scope: str, tool: Tool) -> bool:
        """Whether what is known of a tool suffices: it is as pinned, or differs and was looked up just now."""
        key = (scope, tool.name)
        known = self._known.get(key)
        if known is None:
            return False
        return known == tool.digest or self._clock() < self._fresh.get(key, 0)

    async def _settle(self, scope: str, tools: Sequence[Tool]) -> None:
        names = [tool.name for tool in tools]
        metadata = self._metadata
        found: Mapping[str, Mapping[str, Any]] = {}
        if metadata is not None:
            now = self._clock()
            found = await metadata.read(lambda c: records.read_pins(c, scope, names))
            if any(tool.name not in found or _news(found[tool.name], tool, now) for tool in tools):
                found = await metadata.write(lambda c: _write(c, scope, tools, now))
        until = self._clock() + FRESH_NS
        for tool in tools:
            key = (scope, tool.name)
            pinned = found[tool.name]["digest"] if tool.name in found else self._known.get(key, tool.digest)
            _remember(self._known, key, pinned)
            if pinned != tool.digest:
                _remember(self._fresh, key, until)


def _storable(*names: str) -> bool:
    """Whether a database can keep these names; a tool with another one is not pinned."""
    return all(len(name) <= _LONGEST_NAME and name.isprintable() for name in names)


def _news(row: Mapping[str, Any], tool: Tool, now: int) -> bool:
    """Whether a tool is described in a way that was neither pinned nor seen before, and that is to be written down."""
    return tool.digest not in (row["digest"], row["offered"]) and now - int(row["offered_ns"]) >= OFFER_NS


def _write(connection: Any, scope: str, tools: Sequence[Tool], now: int) -> Mapping[str, Mapping[str, Any]]:
    """Pin what is new and keep what changed as an offer; what is pinned then."""
    rows = [
        {"scope": scope, "tool": tool.name, "digest": tool.digest, "described": _described(tool), "time_ns": now}
        for tool in tools
    ]
    names = [tool.name for tool in tools]
    there = records.read_pins(connection, scope, names)
    records.pin_tools(connection, scope, [row for row in rows if row["tool"] not in there], MOST_PINS)
    there = records.read_pins(connection, scope, names)
    for tool in tools:
        row = there.get(tool.name)
        if row is not None and _news(row, tool, now):
            offer = {"offered": tool.digest, "offer": _described(tool), "offered_ns": now}
            records.move_pin(connection, scope, tool.name, offer)
    return there


def _described(tool: Tool) -> dict[str, Any]:
    schema = tool.schema if len(json.dumps(tool.schema, default=str)) <= _LONGEST else None
    return {"description": tool.description[:_LONGEST], "schema": schema}


def _remember(kept: OrderedDict[Any, Any], key: object, value: object) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)


def pin_routes(pins: ToolPins) -> list[Route]:
    """``GET /api/guard/pins`` lists, ``POST`` pins the tools of a proxy, ``POST /api/guard/pins/accept`` accepts."""

    async def listing(request: Request) -> JSONResponse:
        query = request.query_params
        try:
            limit = int(query.get("limit", "100"))
        except ValueError:
            raise BadInput("must be a whole number", field="limit") from None
        changed = query.get("changed", "false")
        if changed not in ("true", "false"):
            raise BadInput("must be true or false", field="changed", mend="Leave it out for all of them.")
        found = await pins.list(
            scope=query.get("scope", ""), tool=query.get("tool", ""), changed=changed == "true", limit=limit
        )
        return JSONResponse({"pins": [pin.shown() for pin in found]})

    async def see(request: Request) -> JSONResponse:
        body = _body(await request.body(), ("scope",))
        tools = body.get("tools")
        if not isinstance(tools, list):
            raise BadInput("must be a list", field="tools", mend="Send the tools as the server lists them.")
        return JSONResponse({"pins": dict(await pins.seen(body["scope"], tools_of(tools)))})

    async def accept(request: Request) -> JSONResponse:
        body = _body(await request.body(), ("scope", "tool"))
        actor = actor_of(request.scope, str(body.get("actor") or ""))
        return JSONResponse((await pins.accept(body["scope"], body["tool"], by=actor)).shown())

    return [
        Route("/api/guard/pins", listing, methods=["GET"]),
        Route("/api/guard/pins", see, methods=["POST"]),
        Route("/api/guard/pins/accept", accept, methods=["POST"]),
    ]


def _body(raw: bytes, needed: Sequence[str]) -> Mapping[str, Any]:
    body = body_as(raw, dict, mend="Send a JSON object.")
    for key in needed:
        if not isinstance(body.get(key), str) or not body[key] or not _storable(body[key]):
            said = f"must be text of at most {_LONGEST_NAME} characters"
            raise BadInput(said, field=key, mend="Name it as the list does.")
    return body

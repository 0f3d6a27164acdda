"""Responses that a provider keeps: fetched, cancelled and deleted by the key that they were made for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

import msgspec

from trimtab.core import (
    BadInput,
    Call,
    Chunk,
    GuardRefused,
    MethodNotAllowed,
    ModelError,
    Native,
    NotFound,
    Overloaded,
    Usage,
    evolve,
)
from trimtab.providers import RESPONSES, ended, stored_reply

from .ask import Ask, bearer
from .attempt import Attempt, cost_of
from .budgets import NANO
from .continued import judges, renamed
from .draft import call_of
from .handles import Act, Handle, Stored
from .live import LiveTrace
from .surfaces.responses_write import response_bytes
from .usage import ANSWER_S
from .usagerow import UsageRow

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from .gates import Asking
    from .gateway import Gateway
    from .prepared import Prepared

log = logging.getLogger("trimtab.gateway")

PATH = "/v1/responses/"
#: What is done, by method and by what follows the id in the path.
_ACTS: Mapping[tuple[str, str], Act] = {
    ("GET", ""): "retrieve",
    ("DELETE", ""): "delete",
    ("GET", "input_items"): "input_items",
    ("POST", "cancel"): "cancel",
}
_METHODS = {"": "GET or DELETE", "input_items": "GET", "cancel": "POST"}
#: Seconds that an account has to answer about a response that it keeps.
PATIENCE_S = 60.0
#: Characters of a query that are passed on.
_QUERY = 2000


def read_stored(gateway: Gateway, headers: Mapping[str, str], scope: MutableMapping[str, Any]) -> Ask:
    """What is wanted of a response that is kept. Raises Unauthorized, Forbidden, NotFound, MethodNotAllowed and
    BadInput."""
    key = gateway.keys.may_ask(bearer(headers))
    ident, _, after = scope["path"].removeprefix(PATH).partition("/")
    method = scope["method"]
    if after not in _METHODS:
        raise NotFound(f"There is no {scope['path'][:200]}.", mend="There is input_items, and cancel.")
    act = _ACTS.get((method, after))
    if act is None:
        raise MethodNotAllowed(f"{method} is not possible here.", mend=f"Use {_METHODS[after]}.")
    handle = gateway.handles.read(key, ident)
    if handle is None:
        raise _not_found(ident)
    query = scope.get("query_string", b"").decode("latin-1")
    if len(query) > _QUERY or not query.isprintable() or not query.isascii():
        raise BadInput("is not right.", field="query", mend=f"Send at most {_QUERY} characters, percent-encoded.")
    if parse_qs(query).get("stream", ["false"])[-1].lower() not in ("false", "0"):
        raise BadInput("is not possible for a response that is kept.", field="stream", mend="Ask for it without.")
    return Ask(
        model=handle.model,
        messages=(),
        key=key,
        native=Native(dialect=RESPONSES, body={}),
        record=False,
        stored=Stored(handle, ident, act, query),
    )


def fetching(gateway: Gateway, ready: Prepared, live: LiveTrace, stored: Stored) -> tuple[Call, Asking]:
    """Who is asked about a response that is kept, in the models' place."""
    live.kept = {"response_id": stored.ident, "background_of": stored.handle.trace}
    return call_of(live.ask, ready.route, (), {}), Fetch(gateway, stored, live, judged=judges(ready.policy))


class Fetch:
    """A response that is kept, asked of its account. The guard looks at what was said in it as at every answer."""

    def __init__(self, gateway: Gateway, stored: Stored, live: LiveTrace, *, judged: bool) -> None:
        self._gateway = gateway
        self._stored = stored
        self._live = live
        self._judged = judged  # whether the guard judges calls of tools, by a conversation that is not here
        self._found: Chunk | None = None

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        yield await self.whole(call)

    async def whole(self, call: Call) -> Chunk:
        """What the account answers; asked once, however often the guard wants to hear it."""
        if self._found is None:
            self._found = await self._ask(min(call.timeout, PATIENCE_S))
        if self._judged and self._found.tool_calls:
            mend = "Ask again with the whole conversation."
            raise GuardRefused("It calls tools, which the guard judges by the conversation before them.", mend=mend)
        return self._found

    async def _ask(self, seconds: float) -> Chunk:
        handle, ident, act, query = self._stored
        method, path = "GET", quote(handle.ident, safe="")  # a provider may call it whatever it likes
        if act == "delete":
            method = "DELETE"
        elif act != "retrieve":
            method, path = ("POST" if act == "cancel" else "GET"), f"{path}/{act}"
        keeper = self._gateway.providers.keeper(handle.account)
        try:
            body = await keeper.kept(method, path, query, seconds)
        except ModelError as error:
            if error.vendor_status == 404:
                raise _not_found(ident) from error
            raise renamed(error, handle.ident, ident) from error.__cause__
        if act == "delete":
            await self._settle(handle, None)
            return Chunk(native={**body, "id": ident})
        if act == "input_items":
            return stored_reply({**body, "output": body.get("data")})
        reply = stored_reply(body)
        if ended(body):
            await self._settle(handle, reply)
        return evolve(reply, native=self._own(body))

    def _own(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        own: dict[str, Any] = {**body, "id": self._stored.ident}
        before, key = body.get("previous_response_id"), self._live.ask.key
        if isinstance(before, str) and key is not None:
            handle = self._stored.handle
            earlier = Handle(handle.ref, handle.model, before, guard=handle.guard)
            own["previous_response_id"] = self._gateway.handles.write(key, earlier)
        return own

    async def _settle(self, handle: Handle, reply: Chunk | None) -> None:
        """A response that was made in the background has ended: it is paid for, once, and recorded.

        Where nobody says what it used, it is charged as it was reserved. One that failed without saying so is free.
        """
        key = self._live.ask.key
        if not handle.trace or key is None:
            return
        attempt = Attempt(ref=handle.ref, start_ns=self._live.start_ns, first_ns=self._gateway.clock())
        usage = None
        if reply is not None:
            attempt.note(reply)
            usage = attempt.usage
            if usage is None and reply.native is not None and reply.native.get("status") == "failed":
                usage = attempt.usage = Usage()
        cost = cost_of(attempt)
        used = usage or Usage()
        row = UsageRow(
            id=handle.trace, time_ns=handle.time_ns, key=key.id, team=key.team, route=self._live.route,
            model=handle.ref, state="interrupted" if usage is None else "settled", input_tokens=used.input_tokens,
            output_tokens=used.output_tokens, cached_tokens=used.cached_tokens,
            cost_nano=None if cost is None else round(cost * NANO),
        )  # fmt: skip
        try:
            async with asyncio.timeout(ANSWER_S):
                paid = await self._gateway.limits.late.end(row)
        except (Overloaded, TimeoutError) as error:  # whoever asks next pays it, or its time runs out
            log.warning("The background response of %s is not settled yet: %s", handle.trace, error)
            return
        if paid and usage is not None:
            attempt.end_ns = self._gateway.clock()
            self._live.attempts = [attempt]
            self._live.ask = msgspec.structs.replace(self._live.ask, record=True)


def stored_bytes(reply: Chunk, live: LiveTrace) -> bytes:
    """What is sent of a response that is kept, with what the guard let through."""
    written = response_bytes(reply, live)
    stored = live.ask.stored
    if stored is None or stored.act != "input_items":
        return written
    body: dict[str, Any] = msgspec.json.decode(written)
    body["data"] = body.pop("output")
    return msgspec.json.encode(body)


def _not_found(ident: str) -> NotFound:
    mend = "An id holds for the key that it was given to, until the response is deleted or its provider forgets it."
    return NotFound(f"Response with id {ident[:200]!r} not found.", mend=mend)

"""Responses that a provider keeps: fetched, cancelled and deleted by the key that they were made for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

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
    TrimtabError,
    evolve,
)
from trimtab.guard import Vault
from trimtab.providers import RESPONSES, ended, said_in, stored_reply

from .ask import Ask, bearer
from .attempt import Attempt
from .background import free_if_failed, pay, still_made
from .continued import judges, renamed
from .draft import call_of
from .handles import Act, Handle, Stored
from .live import LiveTrace
from .surfaces.responses_write import as_passed, response_bytes

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from .gates import Asking
    from .gateway import Gateway
    from .prepared import Prepared

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
#: Characters of a query that are passed on, and digits of the number of an event.
_QUERY, _DIGITS = 2000, 15


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
    stream, starting = _streamed(query, act)
    return Ask(
        model=handle.model,
        messages=(),
        stream=stream,
        key=key,
        native=Native(dialect=RESPONSES, body={}),
        record=stream,
        stored=Stored(handle, ident, act, query, starting),
    )


def _streamed(query: str, act: Act) -> tuple[bool, int | None]:
    """Whether a stream is asked for, and after which of its events. Raises BadInput."""
    said = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    wish, after = said.get("stream", "false").lower(), said.get("starting_after")
    if wish not in ("true", "1", "false", "0"):
        raise BadInput(f"is {wish[:40]!r}.", field="stream", mend="Send true or false.")
    if wish in ("false", "0"):
        return False, None
    if act != "retrieve":
        raise BadInput("is for fetching a response.", field="stream", mend="Ask for this without.")
    if after is None:
        return True, None
    if not (after.isascii() and after.isdecimal()) or len(after) > _DIGITS:
        raise BadInput(f"is {after[:40]!r}.", field="starting_after", mend="Send the sequence_number of an event.")
    return True, int(after)


def fetching(gateway: Gateway, ready: Prepared, live: LiveTrace, stored: Stored) -> tuple[Call, Asking]:
    """Who is asked about a response that is kept, in the models' place."""
    live.kept = {"response_id": stored.ident, "background_of": stored.handle.trace}
    if live.ask.stream and stored.handle.hid:  # what stands for it is cut nowhere but where the first stream was
        live.vault = Vault(frozenset())
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
        """The events of the response, those that were told before included where a guard has to see all of it."""
        handle, ident, _, query, after = self._stored
        begun = after is not None
        if begun and self._live.stamp.guard:
            begun = False
            asked = parse_qsl(query, keep_blank_values=True)
            query = urlencode([(name, value) for name, value in asked if name != "starting_after"])
        keeper = self._gateway.providers.keeper(handle.account)
        path, patience = quote(handle.ident, safe=""), min(call.timeout, PATIENCE_S)
        over = False
        try:
            async with aclosing(keeper.kept_stream(path, query, call.timeout, patience, begun=begun)) as chunks:
                async for chunk in chunks:
                    over = over or chunk.finish is not None
                    yield await self._told(chunk)
        except TrimtabError as error:
            raise self._known(error if over else still_made(error, ident)) from error.__cause__

    async def _told(self, chunk: Chunk) -> Chunk:
        """An event as this client may read it. One that says that the response has ended is paid for at once."""
        native = chunk.native or {}
        response = native.get("response")
        if not isinstance(response, Mapping):
            self._judge(chunk)
            return chunk
        reply = stored_reply(response)
        if chunk.finish is not None:
            await self._settle(self._stored.handle, reply)
        self._judge(reply)
        return evolve(chunk, native={**native, "response": self._own(response)})

    def _judge(self, chunk: Chunk) -> None:
        if self._judged and chunk.tool_calls:
            mend = "Ask again with the whole conversation."
            raise GuardRefused("It calls tools, which the guard judges by the conversation before them.", mend=mend)

    def _known(self, error: TrimtabError) -> TrimtabError:
        """The error with the id that this client knows."""
        if not isinstance(error, ModelError):
            return error
        handle, ident = self._stored.handle, self._stored.ident
        return _not_found(ident) if error.vendor_status == 404 else renamed(error, handle.ident, ident)

    async def whole(self, call: Call) -> Chunk:
        """What the account answers; asked once, however often the guard wants to hear it."""
        if self._found is None:
            self._found = await self._ask(min(call.timeout, PATIENCE_S))
        self._judge(self._found)
        return self._found

    async def _ask(self, seconds: float) -> Chunk:
        handle, ident, act, query, _ = self._stored
        method, path = "GET", quote(handle.ident, safe="")  # a provider may call it whatever it likes
        if act == "delete":
            method = "DELETE"
        elif act != "retrieve":
            method, path = ("POST" if act == "cancel" else "GET"), f"{path}/{act}"
        keeper = self._gateway.providers.keeper(handle.account)
        try:
            body = await keeper.kept(method, path, query, seconds)
        except ModelError as error:
            raise self._known(error) from error.__cause__
        if act == "delete":
            await self._settle(handle, None)
            return Chunk(native={**body, "id": ident})
        if act == "input_items":
            return _listed(body)
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
        """A response that was made in the background has ended: it is paid for, once, and recorded."""
        live = self._live
        if not handle.trace or live.ask.key is None:
            return
        attempt = Attempt(ref=handle.ref, start_ns=live.start_ns, first_ns=self._gateway.clock())
        if reply is not None:
            attempt.note(reply)
            free_if_failed(attempt, reply.native or {})
        paid = await pay(self._gateway, live, attempt, handle.trace, handle.time_ns)
        if paid and attempt.usage is not None:
            attempt.end_ns = self._gateway.clock()
            live.attempts = [attempt]
            live.ask = msgspec.structs.replace(live.ask, record=True)


def _listed(body: Mapping[str, Any]) -> Chunk:
    """A list of items as a reply in which each is a choice of its own, so that the guard reads each by itself."""
    data = body.get("data")
    items = [item if isinstance(item, Mapping) else {} for item in data] if isinstance(data, list) else []
    calls = [stored_reply({"output": [item]}).tool_calls for item in items]
    choices = [
        {"index": n, "message": {"content": said_in(item), "tool_calls": list(called)}}
        for n, (item, called) in enumerate(zip(items, calls, strict=True))
    ]
    every = tuple([call for called in calls for call in called])
    return Chunk(finish="stop", tool_calls=every, body={"choices": choices}, native=body)


def stored_bytes(reply: Chunk, live: LiveTrace) -> bytes:
    """What is sent of a response that is kept, with what the guard let through."""
    stored = live.ask.stored
    if stored is None or stored.act != "input_items" or reply.native is None or reply.body is None:
        return response_bytes(reply, live)
    said = [choice["message"]["content"] for choice in reply.body["choices"]]
    data = reply.native.get("data")
    items = [
        as_passed({"output": [item]}, text)["output"][0]
        for item, text in zip(data if isinstance(data, list) else (), said, strict=True)
    ]
    return msgspec.json.encode({**reply.native, "data": items})


def _not_found(ident: str) -> NotFound:
    mend = "An id holds for the key that it was given to, until the response is deleted or its provider forgets it."
    return NotFound(f"Response with id {ident[:200]!r} not found.", mend=mend)

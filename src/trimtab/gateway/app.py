"""The gateway as a plain ASGI application: no framework between the socket and ``serve``."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from trimtab.core import Chunk, NotFound, TrimtabError

from .caller import Caller, Gone, Receive, Scope, Send
from .live import LiveTrace
from .serve import answer
from .wire import DONE, completion, error_bytes, error_event, error_headers, error_status, event, model_list, whole

if TYPE_CHECKING:
    from .gateway import Gateway

log = logging.getLogger("trimtab.gateway")

JSON = {"content-type": "application/json"}
STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class MethodNotAllowed(TrimtabError):
    status = 405
    code = "method_not_allowed"


async def app(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """One HTTP request."""
    if scope["type"] != "http":
        raise RuntimeError(f"the gateway speaks HTTP, not {scope['type']}")  # how ASGI says "not supported"
    live = LiveTrace(gateway.clock)
    caller = Caller(scope, receive, send, live)
    try:
        if scope["path"] == "/v1/chat/completions":
            _allow(scope, "POST")
            await _chat(gateway, caller, live)
        elif scope["path"] == "/v1/models":
            _allow(scope, "GET")
            await _models(gateway, caller)
        else:
            raise NotFound(f"There is no {scope['path'][:200]}.", mend="There is /v1/chat/completions and /v1/models.")
    except Gone:
        pass  # nobody is left to answer
    except TrimtabError as error:
        await _refuse(caller, live, error)
    except asyncio.CancelledError:
        if not live.gone:
            raise
        _stay()
    except Exception as error:  # house: except because a client must get an answer, and the log must not hold secrets
        place = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s while serving %s:\n%s", type(error).__name__, scope["path"], place)
        await _refuse(caller, live, TrimtabError("Something went wrong inside Trimtab.", mend="The log has the place."))
    finally:
        caller.release()


async def _chat(gateway: Gateway, caller: Caller, live: LiveTrace) -> None:
    chunks = answer(gateway, caller, live)
    try:
        first = await anext(chunks, None)  # the status is not known before it
        if not live.ask.stream:
            reply = await whole(_after(first, chunks))
            body = completion(reply, live.trace_id, live.ask.model, live.start_ns)
            await caller.start(200, JSON | {"content-length": str(len(body))} | _names(live))
            await caller.end(body)
            return
        await caller.start(200, STREAM | _names(live))
        async for chunk in _after(first, chunks):
            if data := event(chunk, live.trace_id, live.ask.model, live.start_ns):
                await caller.piece(data)
        await caller.end(DONE)
    finally:
        await chunks.aclose()


async def _models(gateway: Gateway, caller: Caller) -> None:
    key = gateway.keys.authenticate(caller.headers.get("authorization", ""))
    body = model_list(((name, owner) for name, owner in gateway.model_names() if key.may_use(name)), gateway.started_ns)
    await caller.start(200, JSON | {"content-length": str(len(body))})
    await caller.end(body)


async def _refuse(caller: Caller, live: LiveTrace, error: TrimtabError) -> None:
    """Tell the client: by status, or as the last event of a stream that has begun."""
    caller.release()
    if caller.started:
        await caller.end(error_event(error))
        return
    body = error_bytes(error)
    sizes = {"content-length": str(len(body))}
    await caller.start(
        error_status(error), JSON | sizes | error_headers(error) | (_names(live) if live.ask.model else {})
    )
    await caller.end(body)


def _names(live: LiveTrace) -> dict[str, str]:
    """The headers that lead from an answer to its trace."""
    names = {"x-trimtab-trace-id": live.trace_id}
    stamp = live.stamp.header()
    return names | {"x-trimtab-stamp": stamp} if stamp else names


async def _after(first: Chunk | None, rest: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    if first is not None:
        yield first
    async for chunk in rest:
        yield chunk


def _allow(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise MethodNotAllowed(f"{scope['method']} is not possible here.", mend=f"Use {method}.")


def _stay() -> None:
    """The cancellation was the client's hanging up, and it ends here."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()

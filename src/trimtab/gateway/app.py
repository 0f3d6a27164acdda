"""The gateway as a plain ASGI application: no framework between the socket and ``serve``."""

from __future__ import annotations

import asyncio
import logging
import traceback
from functools import lru_cache
from typing import TYPE_CHECKING

from trimtab.core import NotFound, Stamp, TrimtabError

from .caller import Caller, Gone, Receive, Scope, Send
from .live import LiveTrace
from .models import model_answer
from .serve import answer
from .surfaces import CHAT, MODELS, SURFACES, Surface, serves
from .wire import error_headers, error_status, joined

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
    surface = SURFACES.get(scope["path"])
    try:
        if surface is not None:
            _allow(scope, "POST")
            await _ask(gateway, caller, live, surface)
        elif serves(scope["path"]):
            _allow(scope, "GET")
            await _models(gateway, caller, scope["path"][len(MODELS) + 1 :])
        else:
            raise NotFound(f"There is no {scope['path'][:200]}.", mend=f"There is {', '.join((*SURFACES, MODELS))}.")
    except Gone:
        pass  # nobody is left to answer
    except TrimtabError as error:
        await _refuse(caller, live, error, surface or CHAT)
    except asyncio.CancelledError:
        if not live.gone:
            raise
        _stay()
    except Exception as error:  # house: except because a client must get an answer, and the log must not hold secrets
        place = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s while serving %s:\n%s", type(error).__name__, scope["path"], place)
        wrong = TrimtabError("Something went wrong inside Trimtab.", mend="The log has the place.")
        await _refuse(caller, live, wrong, surface or CHAT)
    finally:
        caller.release()


async def _ask(gateway: Gateway, caller: Caller, live: LiveTrace, surface: Surface) -> None:
    chunks = answer(gateway, caller, live, surface)
    try:
        first = await anext(chunks, None)  # the status is not known before it
        if not live.ask.stream:
            pieces = [] if first is None else [first]
            async for chunk in chunks:
                pieces.append(chunk)
            reply = joined(pieces)
            body = surface.whole(reply, live)
            sizes = {"content-length": str(len(body))} | surface.headers(reply)
            await caller.start(200, JSON | sizes | _names(live))
            await caller.end(body)
            return
        writer = surface.writer(live)
        caller.broke = writer.broke
        await caller.start(200, STREAM | _names(live))
        if first is not None and (data := writer.piece(first)):
            await caller.piece(data)
        async for chunk in chunks:
            if data := writer.piece(chunk):
                await caller.piece(data)
        await caller.end(writer.end())
    finally:
        await chunks.aclose()


async def _models(gateway: Gateway, caller: Caller, name: str) -> None:
    body = model_answer(gateway, caller.headers, name)
    await caller.start(200, JSON | {"content-length": str(len(body))})
    await caller.end(body)


async def _refuse(caller: Caller, live: LiveTrace, error: TrimtabError, surface: Surface) -> None:
    """Tell the client: by status, or as the last event of a stream that has begun."""
    caller.release()
    if caller.started:
        await caller.end(caller.broke(error) if caller.broke else b"")
        return
    body = surface.error(error)
    sizes = {"content-length": str(len(body))}
    await caller.start(
        error_status(error), JSON | sizes | error_headers(error) | (_names(live) if live.ask.model else {})
    )
    await caller.end(body)


def _names(live: LiveTrace) -> dict[str, str]:
    """The headers that lead from an answer to its trace."""
    if not live.ask.record:
        return {}
    names = {"x-trimtab-trace-id": live.trace_id, **live.limit_headers}
    if stamp := _stamp_header(live.stamp):
        names["x-trimtab-stamp"] = stamp
    if live.cache:
        names["x-trimtab-cache"] = live.cache
    return names


@lru_cache(maxsize=4096)
def _stamp_header(stamp: Stamp) -> str:
    """Thousands of requests share a handful of stamps."""
    return stamp.header()


def _allow(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise MethodNotAllowed(f"{scope['method']} is not possible here.", mend=f"Use {method}.")


def _stay() -> None:
    """The cancellation was the client's hanging up, and it ends here."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()

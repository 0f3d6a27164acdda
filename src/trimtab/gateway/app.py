"""The gateway as a plain ASGI application: no framework between the socket and ``serve``."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from trimtab.core import MethodNotAllowed, NotFound, Overloaded, Stamp, TrimtabError, Unauthorized, now_ns

from .ask import Ask, bearer
from .attempt import cost_of
from .background import still_made
from .caller import Caller, Gone, Headers, Receive, Scope, Send, encoded, plain
from .live import LiveTrace
from .models import model_answer
from .serve import answer, read, serve
from .stored import PATH, read_stored, stored_bytes
from .surfaces import CHAT, MODELS, RESPONSES_SURFACE, SURFACES, Surface, lists_models
from .wire import error_headers, error_status

if TYPE_CHECKING:
    from .gateway import Gateway

log = logging.getLogger("trimtab.gateway")

JSON: Headers = [(b"content-type", b"application/json")]
STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
NOTHING: Mapping[str, str] = {}
#: What a server says that stops and cancels a request whose time is up.
STOPS = "graceful shutdown"


async def app(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """One HTTP request."""
    if scope["type"] != "http":
        raise RuntimeError(f"the gateway speaks HTTP, not {scope['type']}")  # how ASGI says "not supported"
    live = LiveTrace(gateway.clock)
    caller = Caller(scope, receive, send, live)
    surface = SURFACES.get(scope["path"])
    try:
        if surface is None:
            await _models(gateway, caller, live, scope)
        elif scope["method"] != "POST":
            raise _not_allowed(scope, "POST")
        else:
            ask = await read(gateway, caller, live, surface)
            if ask.stream:
                await _stream(gateway, ask, caller, live, surface)
            else:
                reply = await answer(gateway, ask, live)
                headers = [*JSON, *surface.headers(reply), *_names(live, surface, whole=True)]
                await caller.reply(200, headers, surface.whole(reply, live))
    except Gone:
        pass  # nobody is left to answer
    except Unauthorized as error:
        kept = gateway.limits.stranger(live, bearer(caller.headers), error, gateway.keys.list())
        ident = {"x-trimtab-trace-id": live.trace_id} if kept else {}
        await _refuse(caller, live, error, surface or _nearest(scope["path"]), ident)
    except TrimtabError as error:
        await _refuse(caller, live, error, surface or _nearest(scope["path"]))
    except asyncio.CancelledError as error:
        if live.gone:
            _stay()
        elif STOPS in str(error):
            _stay()
            stops = Overloaded("The server stops.", mend="Ask again: another one answers.", retry_after=1.0)
            if (live.pending or live.ask.stored) and (made := live.kept.get("response_id")):
                still_made(stops, made)
            await _refuse(caller, live, stops, surface or _nearest(scope["path"]))
        else:
            raise
    except Exception as error:  # house: except because a client must get an answer, and the log must not hold secrets
        place = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s while serving %s:\n%s", type(error).__name__, scope["path"], place)
        wrong = TrimtabError("Something went wrong inside Trimtab.", mend="The log has the place.")
        await _refuse(caller, live, wrong, surface or _nearest(scope["path"]))
    finally:
        caller.release()


async def _stream(gateway: Gateway, ask: Ask, caller: Caller, live: LiveTrace, surface: Surface) -> None:
    chunks = serve(gateway, ask, live)
    try:
        first = await anext(chunks, None)  # the status is not known before it
        writer = surface.writer(live)
        caller.broke = writer.broke
        await caller.start(200, [*STREAM, *_names(live, surface)])
        if first is not None and (data := writer.piece(first)):
            await caller.piece(data)
        async for chunk in chunks:
            if data := writer.piece(chunk):
                await caller.piece(data)
        await caller.end(writer.end())
    finally:
        await chunks.aclose()


async def _stored(gateway: Gateway, caller: Caller, live: LiveTrace, scope: Scope) -> None:
    """A response that a provider keeps."""
    ask = read_stored(gateway, caller.headers, scope)
    if ask.stream:
        if caller.arrived() is None:  # from here on its hanging up is noticed
            await caller.body()
        await _stream(gateway, ask, caller, live, RESPONSES_SURFACE)
        return
    reply = await answer(gateway, ask, live)
    await caller.reply(200, [*JSON, *_names(live, RESPONSES_SURFACE, whole=True)], stored_bytes(reply, live))


async def _models(gateway: Gateway, caller: Caller, live: LiveTrace, scope: Scope) -> None:
    path = scope["path"]
    if path.startswith(PATH):
        await _stored(gateway, caller, live, scope)
        return
    if not lists_models(path):
        raise NotFound(f"There is no {path[:200]}.", mend=f"There is {', '.join((*SURFACES, MODELS))}.")
    if scope["method"] != "GET":
        raise _not_allowed(scope, "GET")
    await caller.reply(200, JSON, model_answer(gateway, caller.headers, path[len(MODELS) + 1 :]))


async def _refuse(
    caller: Caller, live: LiveTrace, error: TrimtabError, surface: Surface, more: Mapping[str, str] = NOTHING
) -> None:
    """Tell the client: by status, or as the last event of a stream that has begun."""
    caller.release()
    if caller.started:
        await caller.end(caller.broke(error) if caller.broke else b"")
        return
    headers = [*JSON, *encoded(error_headers(error)), *(_names(live, surface) if live.ask.model else encoded(more))]
    await caller.reply(error_status(error), headers, surface.error(error))


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer of a process that serves no models, in the shape that its clients read."""
    if scope["type"] != "http":
        raise RuntimeError(f"the gateway speaks HTTP, not {scope['type']}")
    live = LiveTrace(now_ns)
    mend = "Ask a gateway process: `trimtab up --role gateway` starts one on the same data folder."
    error = NotFound("This process serves no models.", mend=mend)
    surface = SURFACES.get(scope["path"]) or _nearest(scope["path"])
    await _refuse(Caller(scope, receive, send, live), live, error, surface)


def _nearest(path: str) -> Surface:
    """The surface whose clients ask at a path where there is nothing."""
    return SURFACES["/v1/messages"] if path.startswith("/v1/messages/") else CHAT


def _names(live: LiveTrace, surface: Surface, *, whole: bool = False) -> Headers:
    """The headers that lead from an answer to its trace, and of a ``whole`` one what it cost in US dollars."""
    if not live.ask.record:
        return []
    ident = live.trace_id.encode()
    names = [(b"x-trimtab-trace-id", ident), (surface.request_id, ident), *live.limit_headers]
    if stamp := _stamp_header(live.stamp):
        names.append((b"x-trimtab-stamp", stamp))
    if live.cache:
        names.append((b"x-trimtab-cache", live.cache.encode()))
    if whole and not live.pending and (attempts := live.attempts):
        cost = cost_of(attempts[0]) if len(attempts) == 1 else live.cost  # the same, and mostly a hop less
        names.append((b"x-trimtab-cost-usd", b"unpriced" if cost is None else b"%.9f" % cost))
    return names


@lru_cache(maxsize=4096)
def _stamp_header(stamp: Stamp) -> bytes:
    """Thousands of requests share a handful of stamps. A vendor may report a model by any name, a header not."""
    return plain(stamp.header()).encode()


def _not_allowed(scope: Scope, method: str) -> MethodNotAllowed:
    return MethodNotAllowed(f"{scope['method']} is not possible here.", mend=f"Use {method}.")


def _stay() -> None:
    """The cancellation was the client's hanging up, or the server's stopping, and it ends here."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()

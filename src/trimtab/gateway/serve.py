"""How a request is served, on one page. Each step is a function of the room named in its line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from trimtab.core import Call, Chunk, Later, TrimtabError

from .arriving import arrive
from .ask import Ask, bearer
from .dialogue import steer
from .draft import call_of, fill, ground
from .gates import Asking, leave, leave_whole
from .limits import Admission
from .live import LiveTrace
from .prepared import Prepared
from .stored import fetching
from .wire import joined

if TYPE_CHECKING:
    from . import dualroute
    from .caller import Caller
    from .gateway import Gateway
    from .surfaces import Surface
else:  # few routes have two models
    dualroute = Later("trimtab.gateway.dualroute")


async def read(gateway: Gateway, caller: Caller, live: LiveTrace, surface: Surface) -> Ask:
    """What a request from the wire asks for, its key checked before its body is read."""
    headers = caller.headers
    key = gateway.keys.may_ask(bearer(headers))  # authenticate: 401, 403                                 layer 5
    body = caller.arrived()
    if body is None:
        body = await caller.body()  # 413
    live.size = len(body)
    live.cache_wish = headers.get("x-trimtab-cache", "")
    return surface.read(body, headers, key)  # bytes -> Ask: 400


async def answer(gateway: Gateway, ask: Ask, live: LiveTrace) -> Chunk:
    """One request that does not stream: its whole answer. Its spans and the guard's score go to the recorder."""
    live.ask = ask
    admission: Admission | None = None
    try:
        # 403, 404; stamp.route and stamp.guard. Then 429, 402                                             layer 5
        ready = gateway.ways.known(gateway, live) or await gateway.ways.find(gateway, live)
        admission = gateway.limits.let_in(ready.route, live) or await gateway.limits.wait_in(ready.route, live)
        call, attempt = await question(gateway, ready, live)
        reply = await leave_whole(gateway, ready, attempt, call, live)  # stamp.model; 502, 504              layer 1
        live.passing(reply)  # what is kept of the answer never holds what the guard gives back
        if reply.native is not None:
            gateway.embedded.note(live, reply)
        if live.vault is not None:
            reply = joined([live.restored(reply), *filter(None, [live.rest()])])
        return reply
    except BaseException as error:  # house: except because whatever ends a request is recorded, and raised again
        _broken(gateway, live, error)
        raise
    finally:
        await _end(gateway, live, admission)


async def serve(gateway: Gateway, ask: Ask, live: LiveTrace) -> AsyncGenerator[Chunk]:
    """The same piece by piece; a plain answer is one piece."""
    if not ask.stream:
        yield await answer(gateway, ask, live)
        return
    live.ask = ask
    admission: Admission | None = None
    try:
        ready = gateway.ways.known(gateway, live) or await gateway.ways.find(gateway, live)
        admission = gateway.limits.let_in(ready.route, live) or await gateway.limits.wait_in(ready.route, live)
        call, attempt = await question(gateway, ready, live)
        # The next model is asked only while nothing was passed on. The guard looks through a window over the stream.
        async with aclosing(leave(gateway, ready, attempt, call, live)) as chunks:
            async for chunk in chunks:
                live.passing(chunk)
                yield chunk if live.vault is None else live.restored(chunk)
            if live.vault is not None and (rest := live.rest()):
                yield rest
    except BaseException as error:  # house: except because whatever ends a request is recorded, and raised again
        _broken(gateway, live, error)
        raise
    finally:
        await _end(gateway, live, admission)


async def question(gateway: Gateway, ready: Prepared, live: LiveTrace) -> tuple[Call, Asking]:
    """What the models are asked, and who they are: everything between the way in and the way out."""
    ask, route, policy = live.ask, ready.route, ready.policy
    if ask.stored is not None:  # nothing is asked of a model: one has said it, and its provider has kept it
        return fetching(gateway, ready, live, ask.stored)
    if ready.untouched and not ask.prompt and not ask.variables:  # nothing is put before it, nothing looks at it
        call = call_of(ask, route, ask.messages, ask.params)
        return call, gateway.choose(ready, call, live)
    draft = fill(gateway, route, live)  # stamp.prompt: the rollout's arm, by sticky key                    layer 3
    kept_out = policy.untrusted.quarantine if policy is not None else None
    draft = await ground(gateway, draft, live, kept_out)  # stamp.knowledge, if a corpus is named           layer 2
    draft = await arrive(gateway, policy, draft, live)  # 403; the verdict becomes a Score                  layer 4
    call = draft.call(ask, route)  # 400: a variable is missing
    if policy is not None and policy.flows is not None:  # a flow may answer in the models' place
        call, canned = await steer(gateway, policy.flows, draft, call, live)
        if canned is not None:
            return call, canned
    if route.dual is not None:  # the models plan; a controller that is no model answers in their place
        return call, dualroute.Dual(gateway, ready, call, live)
    return call, gateway.choose(ready, call, live)  # which models, in which order; one draw                layer 5


def _broken(gateway: Gateway, live: LiveTrace, error: BaseException) -> None:
    """A request ends without its whole answer."""
    if isinstance(error, TrimtabError):
        live.failed(error)
        gateway.limits.turned_away(live, error)  # a refusal is kept, to be explained afterwards
    elif isinstance(error, asyncio.CancelledError | GeneratorExit):
        live.stopped(error)
    elif isinstance(error, Exception):  # a mistake of ours must not leave a request unrecorded
        live.broke(error)


async def _end(gateway: Gateway, live: LiveTrace, admission: Admission | None) -> None:
    """Settle and record a request, however it ended."""
    try:
        if admission is not None and (ending := gateway.limits.leave(admission)) is not None:
            await ending
    finally:
        if live.ask.record:
            gateway.recorder.record(*live.finish())  # never blocks; a full queue drops, counts and says so

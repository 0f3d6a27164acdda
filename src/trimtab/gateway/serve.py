"""How a request is served, on one page. Each step is a function of the room named in its line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from trimtab.core import Chunk, TrimtabError

from .arriving import arrive
from .ask import Ask, bearer
from .dialogue import steer
from .draft import fill, ground
from .gates import leave, on_duty
from .live import LiveTrace

if TYPE_CHECKING:
    from .caller import Caller
    from .gateway import Gateway
    from .surfaces import Surface


async def read(gateway: Gateway, caller: Caller, live: LiveTrace, surface: Surface) -> Ask:
    """What a request from the wire asks for, its key checked before its body is read."""
    key = gateway.keys.may_ask(bearer(caller.headers))  # authenticate: 401, 403                        layer 5
    body = await caller.body()  # 413
    live.size = len(body)
    live.cache_wish = caller.headers.get("x-trimtab-cache", "")
    return surface.read(body, caller.headers, key)  # bytes -> Ask: 400


async def serve(gateway: Gateway, ask: Ask, live: LiveTrace) -> AsyncGenerator[Chunk]:
    """One request: the pieces of its answer come out, its spans and the guard's score go to the recorder."""
    live.ask = ask
    try:
        route = gateway.find_route(live)  # 403, 404; stamp.route
        await gateway.ready(route, ask)  # nothing to wait for unless an old version is asked for by its number
        async with gateway.limits.admit(route, live):  # 429, 402; settled however this block is left   layer 5
            draft = fill(gateway, route, live)  # stamp.prompt: the rollout's arm, by sticky key          layer 3
            policy = on_duty(gateway, route, live)  # stamp.guard
            kept_out = policy.untrusted.quarantine if policy is not None else None
            draft = await ground(gateway, draft, live, kept_out)  # stamp.knowledge, if a corpus is named layer 2
            draft = await arrive(gateway, policy, draft, live)  # 403; the verdict becomes a Score        layer 4
            call = draft.call(ask, route)  # 400: a variable is missing
            canned = None
            if policy is not None and policy.flows is not None:  # a flow may answer in the models' place
                call, canned = await steer(gateway, policy.flows, draft, call, live)
            attempt = canned or gateway.choose(route, call, live)  # which models, in which order; one draw layer 5
            # stamp.model; the next model is asked only while nothing was passed on; 502, 504             layer 1
            async with aclosing(leave(gateway, policy, attempt, call, live)) as chunks:  # a window over the stream
                async for chunk in chunks:
                    live.passing(chunk)  # what is kept of the answer never holds what the guard gives back
                    yield chunk if live.vault is None else live.restored(chunk)
                if live.vault is not None and (rest := live.rest()):
                    yield rest
    except TrimtabError as error:
        live.failed(error)
        gateway.limits.turned_away(live, error)  # a refusal is kept, to be explained afterwards
        raise
    except (asyncio.CancelledError, GeneratorExit) as end:
        live.stopped(end)
        raise
    except Exception as error:  # house: except because a mistake of ours must not leave a request unrecorded
        live.broke(error)
        raise
    finally:
        if ask.record:
            gateway.recorder.record(*live.finish())  # never blocks; a full queue drops, counts and says so

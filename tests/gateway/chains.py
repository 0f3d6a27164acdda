"""Scripted models, and chains of them behind the gateway's attempts, for tests in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from gateway_house import user

from trimtab.core import Call, Chunk, Model, ModelError, Usage
from trimtab.gateway import Attempts, Candidate, read_route
from trimtab.gateway.health import RouteState
from trimtab.gateway.prefix import Prompt

CALL = Call(model="r", messages=tuple(user("hi")), stream=True, timeout=5.0)
PLAIN = Call(model="r", messages=CALL.messages, timeout=5.0)
USED = Usage(input_tokens=3, output_tokens=2)
DOWN = ModelError("down", vendor_status=503)


def says(
    *texts: str, then: Exception | None = None, seen: list[Call] | None = None, after: float = 0.0, between: float = 0.0
) -> Model:
    """A model that says these pieces, ``after`` seconds, and then ends or raises."""

    async def model(call: Call) -> AsyncIterator[Chunk]:
        if seen is not None:
            seen.append(call)
        await asyncio.sleep(after)
        for text in texts:
            yield Chunk(text=text, model="m", fingerprint="f")
            await asyncio.sleep(between)
        if then is not None:
            raise then
        yield Chunk(finish="stop", usage=USED)

    return model


def hangs(*texts: str, closed: list[str] | None = None, name: str = "") -> Model:
    """A model that says these pieces and then nothing any more."""

    async def model(call: Call) -> AsyncIterator[Chunk]:
        try:
            for text in texts:
                yield Chunk(text=text)
            await asyncio.Event().wait()
        finally:
            if closed is not None:
                closed.append(name)

    return model


def in_turn(*models: Model) -> Model:
    """One after the other, a call each; the last for ever."""
    left = list(models)

    async def model(call: Call) -> AsyncIterator[Chunk]:
        async for chunk in (left.pop(0) if len(left) > 1 else left[0])(call):
            yield chunk

    return model


class Chain:
    """A route over models called ``p/0``, ``p/1`` ..., and what it knows of them from one request to the next."""

    def __init__(self, *models: Model, **content: Any) -> None:
        self.models = {f"p/{number}": model for number, model in enumerate(models)}
        targets = [{"model": ref} for ref in self.models]
        self.route = read_route("r", "r/1", {"targets": targets, "timeout": {"first_byte": 1.0}, **content}, {})
        self.state = RouteState(self.route, asyncio.get_running_loop().time())

    def attempts(self, *, draw: float = 0.5, prompt: Prompt | None = None, refs: list[str] | None = None) -> Attempts:
        """One request's attempts."""
        return Attempts(
            [Candidate(ref, self.models[ref]) for ref in refs or self.models],
            route=self.route,
            state=self.state,
            draw=draw,
            prompt=prompt,
            clock=nanoseconds(),
        )


def nanoseconds() -> Callable[[], int]:
    """The loop's own time as the wall clock's; it counts on where time stands still, so that order shows."""
    loop, ticks = asyncio.get_running_loop(), iter(range(1, 1_000_000))
    return lambda: int(loop.time() * 1e9) + next(ticks)


async def text_of(attempts: Attempts, call: Call = CALL) -> str:
    """The whole answer."""
    return "".join([chunk.text async for chunk in attempts(call)])

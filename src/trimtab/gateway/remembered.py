"""A Model that answers from the cache where it can, and keeps what it had to ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from trimtab.core import BadInput, Call, Chunk, Layer, Usage

from .ask import Ask
from .attempt import Attempt
from .attempts import Attempts
from .cache import Answers, Kept, Meanings, answer_key, cacheable, group_key, kept, question_of
from .live import LiveTrace
from .route import Route
from .wire import whole

#: What a client may say in the header ``x-trimtab-cache``.
WISHES = ("", "use", "skip")
NO_VECTOR: tuple[float, ...] = ()


class Caches(NamedTuple):
    """The caches of one route."""

    answers: Answers
    meanings: Meanings | None = None


class Remembered:
    """``attempts`` behind the caches of their route. A hit is an attempt of its own that used no tokens."""

    def __init__(
        self, attempts: Attempts, caches: Caches, route: Route, live: LiveTrace, clock: Callable[[], int]
    ) -> None:
        self._attempts = attempts
        self._answers, self._meanings = caches
        self._route = route
        self._live = live
        self._clock = clock
        self._scope = scope_of(live.ask, self._answers.rules.scope)

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        """Raises what the attempts raise."""
        now = asyncio.get_running_loop().time
        key = answer_key(call, self._scope, self._route.pin)
        answer, cache = self._answers.get(key, now()), "exact"
        group, vector = b"", NO_VECTOR
        if answer is None and self._meanings is not None and (question := question_of(call)):
            group = group_key(call, self._scope, self._route.pin)
            vector = await self._meaning(self._meanings, question)
            answer, cache = self._near(self._meanings, group, vector, now()), "semantic"
        if answer is not None:
            self._answers.hits += 1
            self._hit(answer, cache)
            for chunk in answer.chunks:
                yield chunk
            return
        self._answers.misses += 1
        self._live.cache = "miss"
        chunks: list[Chunk] = []
        async with aclosing(self._attempts(call)) as coming:
            async for chunk in coming:
                chunks.append(chunk)
                yield chunk
        last = self._attempts.log[-1]
        if (whole := kept(chunks, last.ref, last.usage)) is not None:
            self._answers.put(key, whole, now())
            if self._meanings is not None and vector:
                self._meanings.put(group, vector, key)

    async def whole(self, call: Call) -> Chunk:
        """The answer as one piece."""
        return await whole(self(call))

    async def _meaning(self, meanings: Meanings, question: str) -> tuple[float, ...]:
        since_ns = self._clock()
        vector = await meanings.vector(question)
        found = {"model": meanings.rules.model, "found": bool(vector)}
        self._live.step("cache question", "embedding", since_ns, Layer.OPERATIONS, attributes=found)
        return vector

    def _near(self, meanings: Meanings, group: bytes, vector: tuple[float, ...], now: float) -> Kept | None:
        """The answer to the nearest question, if it is near enough and still kept."""
        found = meanings.find(group, vector)
        if found is None:
            return None
        answer = self._answers.get(found[0], now)
        if answer is None:
            meanings.forget(group, found[0])
        return answer

    def _hit(self, answer: Kept, cache: str) -> None:
        self._live.cache = "hit"
        now_ns = self._clock()
        hit = Attempt(ref=answer.ref, start_ns=now_ns, first_ns=now_ns, end_ns=now_ns, cache=cache)
        for chunk in answer.chunks:
            hit.note(chunk)
        hit.usage, hit.saved = Usage(), answer.usage
        self._attempts.log.append(hit)


def wished(live: LiveTrace, route: Route, call: Call) -> bool:
    """Whether this request goes through the route's cache. Raises BadInput for a wish that nobody knows."""
    if live.cache_wish not in WISHES:
        raise BadInput("is not known.", field="x-trimtab-cache", mend="Send use or skip, or leave it out.")
    rules = route.cache
    if rules is None or live.cache_wish == "skip" or not live.ask.record or live.ask.pins:
        return False
    return cacheable(call, rules, asked=live.cache_wish == "use")


def scope_of(ask: Ask, scope: str) -> str:
    """Whose answers a request may be given: its key's, its team's, or everybody's on the route."""
    if scope == "all":
        return "all"
    if ask.key is None:
        return f"project:{ask.project}"
    return f"team:{ask.key.team}" if scope == "team" and ask.key.team else f"key:{ask.key.id}"

"""Attempts: one Model made of several. One budget of attempts and one deadline for the whole request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

from trimtab.core import Call, Chunk, Model, ModelError, TrimtabError

from .attempt import Asking, Attempt, Candidate, merge_tool_call
from .health import RouteState
from .hedge import race
from .prefix import Prompt
from .route import Route
from .turns import Turns
from .wire import joined

__all__ = ["Attempt", "Attempts", "Candidate", "absent", "merge_tool_call"]

#: The golden ratio's fraction: multiples of it, added to a draw, are spread evenly and are draws of their own.
_SPREAD = 0.6180339887498949


class Attempts:
    """Asks the candidates in their order, and round again, until one begins to answer.

    Another attempt is made only while nothing was passed on, only after an error that may pass elsewhere or later, and
    only within the route's attempts, its retries and the call's ``timeout``. A candidate is asked again after a pause
    that ``draw`` in [0, 1) spreads, or when its vendor said. A route that hedges asks a second one beside a first that
    stays silent. Every attempt is appended to ``log`` when it begins; the one that answers ends up last.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        route: Route,
        state: RouteState,
        draw: float,
        clock: Callable[[], int],
        prompt: Prompt | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.log: list[Attempt] = []
        self._candidates = {candidate.ref: candidate for candidate in candidates}
        self._route = route
        self._state = state
        self._draw = draw
        self._clock = clock
        self._prompt = prompt
        self._sleep = sleep
        self._turns = Turns(tuple(self._candidates), route, state)
        self._time = asyncio.get_running_loop().time

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        """Raises the last attempt's error; Overloaded when no candidate could be asked at all."""
        asking, opening = await self._begun(call)
        failure: TrimtabError | None = None
        try:
            for chunk in opening:
                yield chunk
            async with aclosing(asking.rest()) as rest:
                async for chunk in rest:
                    yield chunk
        except TrimtabError as error:
            failure = error
            raise
        finally:
            await asking.close(failure)

    async def whole(self, call: Call) -> Chunk:
        """The same answer as one piece, for who does not read a stream."""
        asking, pieces = await self._begun(call)
        failure: TrimtabError | None = None
        try:
            if not asking.done:
                await asking.read_on(pieces)
        except TrimtabError as error:
            failure = error
            raise
        finally:
            await asking.close(failure)
        return pieces[0] if len(pieces) == 1 else joined(pieces)

    async def _begun(self, call: Call) -> tuple[Asking, list[Chunk]]:
        """The attempt that answers, the first or a later one, and the beginning of its answer."""
        now = self._time()
        deadline = now + call.timeout
        self._state.asked(now)
        turn = self._turns.next(now)
        if turn is None:
            raise self._turns.resting(now)
        while True:
            if turn.at > now:
                await self._sleep(turn.at - now)
            try:
                if self._route.hedge is not None:
                    asking, opening = await self._hedged(turn.ref, call, deadline)
                else:
                    asking = self._ask(turn.ref, call, deadline)
                    opening = await self._alone(asking)
                if asking.attempt.finish == "content_filter" and "filter" in self._route.fallback_on:
                    await self._withhold(asking, opening)
                return asking, opening
            except TrimtabError:
                now = self._time()
                turn = self._turns.next(now)
                if turn is None or turn.at >= deadline:
                    raise

    async def _hedged(self, ref: str, call: Call, deadline: float) -> tuple[Asking, list[Chunk]]:
        """The attempt that answers, ``ref`` or one that overtook it, and the beginning of its answer. Whatever fails
        here is closed, and the turns have heard of it."""
        asking = self._ask(ref, call, deadline)
        after = self._state.hedge_after(self._route, call.stream)
        if after is None or not self._state.hedges.some:
            return asking, await self._alone(asking)
        asking, opening = await race(asking, after, lambda: self._second(ref, call, deadline), self._failed)
        self.log.remove(asking.attempt)
        self.log.append(asking.attempt)
        return asking, opening

    async def _withhold(self, asking: Asking, opening: list[Chunk]) -> None:
        """Raise what the content filter of a vendor stands for, where somebody else could be asked."""
        withheld = asking.filtered(opening)
        if withheld is not None and self._turns.others(asking.attempt.ref, self._time()):
            await asking.close(withheld)
            self._failed(asking, withheld)
            raise withheld

    async def _alone(self, asking: Asking) -> list[Chunk]:
        """The beginning of the answer of one attempt that nobody races."""
        opened, failure = False, None
        try:
            opening = await asking.open()
            opened = True
        except TrimtabError as error:
            failure = error
            raise
        finally:
            if not opened:
                await asking.close(failure)
                if failure is not None:
                    self._failed(asking, failure)
        return opening

    def _second(self, ref: str, call: Call, deadline: float) -> Asking | None:
        """The attempt beside a silent one, where attempts and hedges allow and another target is ready now."""
        now = self._time()
        turn = self._turns.next(now, other_than=ref)
        if turn is None or turn.at > now or not self._state.hedges.some:
            return None
        self._state.hedges.take()
        self._turns.targets[turn.ref].hedges += 1
        return self._ask(turn.ref, call, deadline)

    def _ask(self, ref: str, call: Call, deadline: float) -> Asking:
        left = max(0.001, deadline - self._time())
        if not call.stream and 0 < self._route.attempt < left:
            left = self._route.attempt
        self._turns.took(ref)
        asked = Call(
            model=ref, messages=call.messages, params=call.params, stream=call.stream, timeout=left, native=call.native
        )
        asking = Asking(
            self._candidates[ref], asked, route=self._route,
            state=self._state, target=self._turns.targets[ref], prompt=self._prompt, clock=self._clock,
        )  # fmt: skip
        self.log.append(asking.attempt)
        return asking

    def _failed(self, asking: Asking, error: TrimtabError) -> None:
        """Tell the turns."""
        draw = (self._draw + _SPREAD * len(self.log)) % 1.0
        self._turns.failed(asking.attempt.ref, error, self._time(), draw)


def absent(error: TrimtabError) -> Model:
    """A model that a route names and that is not there: asking it fails, so that the next one is tried."""

    async def model(call: Call) -> AsyncIterator[Chunk]:
        raise ModelError(str(error))
        yield Chunk()

    return model

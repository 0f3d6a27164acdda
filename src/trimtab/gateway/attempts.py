"""Attempts: one Model made of several. One budget of attempts and one deadline for the whole request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

from trimtab.core import Call, Chunk, Model, ModelError, TrimtabError, evolve

from .attempt import Asking, Attempt, Candidate, merge_tool_call
from .health import RouteState
from .hedge import race
from .prefix import Prompt
from .route import Route
from .turns import Turns

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
        self._models = {candidate.ref: candidate.model for candidate in candidates}
        self._route = route
        self._state = state
        self._draw = draw
        self._clock = clock
        self._prompt = prompt
        self._sleep = sleep
        self._turns = Turns(list(self._models), route, state)

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        """Raises the last attempt's error; Overloaded when no candidate could be asked at all."""
        time = asyncio.get_running_loop().time
        deadline = time() + call.timeout
        self._state.asked(time())
        turn = self._turns.next(time())
        if turn is None:
            raise self._turns.resting(time())
        while True:
            if turn.at > time():
                await self._sleep(turn.at - time())
            try:
                asking, opening = await self._opening(turn.ref, call, deadline)
            except TrimtabError:
                turn = self._turns.next(time())
                if turn is None or turn.at >= deadline:
                    raise
                continue
            failure: TrimtabError | None = None
            try:
                for chunk in opening:
                    yield chunk
                async with aclosing(asking.rest()) as rest:
                    async for chunk in rest:
                        yield chunk
                return
            except TrimtabError as error:
                failure = error
                raise
            finally:
                await asking.close(failure)

    async def _opening(self, ref: str, call: Call, deadline: float) -> tuple[Asking, list[Chunk]]:
        """The attempt that answers, ``ref`` or one that overtook it, and the beginning of its answer. Whatever fails
        here is closed, and the turns have heard of it."""
        asking = self._ask(ref, call, deadline)
        after = self._state.hedge_after(self._route, call.stream)
        if after is None or not self._state.hedges.some:
            opening = await self._alone(asking)
        else:
            asking, opening = await race(asking, after, lambda: self._second(ref, call, deadline), self._failed)
            self.log.remove(asking.attempt)
            self.log.append(asking.attempt)
        withheld = asking.filtered(opening) if "filter" in self._route.fallback_on else None
        if withheld is not None and self._turns.others(asking.attempt.ref, asyncio.get_running_loop().time()):
            await asking.close(withheld)
            self._failed(asking, withheld)
            raise withheld
        return asking, opening

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
        now = asyncio.get_running_loop().time()
        turn = self._turns.next(now, other_than=ref)
        if turn is None or turn.at > now or not self._state.hedges.some:
            return None
        self._state.hedges.take()
        self._turns.targets[turn.ref].hedges += 1
        return self._ask(turn.ref, call, deadline)

    def _ask(self, ref: str, call: Call, deadline: float) -> Asking:
        left = max(0.001, deadline - asyncio.get_running_loop().time())
        self._turns.took(ref)
        asking = Asking(
            Candidate(ref, self._models[ref]), evolve(call, model=ref, timeout=left), route=self._route,
            state=self._state, target=self._turns.targets[ref], prompt=self._prompt, clock=self._clock,
        )  # fmt: skip
        self.log.append(asking.attempt)
        return asking

    def _failed(self, asking: Asking, error: TrimtabError) -> None:
        """Tell the turns."""
        draw = (self._draw + _SPREAD * len(self.log)) % 1.0
        self._turns.failed(asking.attempt.ref, error, asyncio.get_running_loop().time(), draw)


def absent(error: TrimtabError) -> Model:
    """A model that a route names and that is not there: asking it fails, so that the next one is tried."""

    async def model(call: Call) -> AsyncIterator[Chunk]:
        raise ModelError(str(error))
        yield Chunk()

    return model

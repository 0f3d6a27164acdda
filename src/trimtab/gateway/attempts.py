"""Attempts: one Model made of several. One budget of attempts and one deadline for the whole request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from trimtab.core import Call, Chunk, Model, ModelError, ModelTimeout, TrimtabError, Usage, new_span_id

#: Seconds before the same model is asked again, doubled each time, unless the vendor says how long to wait.
PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Candidate(NamedTuple):
    """A model that may be asked, under the reference it was configured by."""

    ref: str
    model: Model


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One model asked once. Times are nanoseconds UTC; ``first_ns`` is when its first piece came, 0 for never."""

    ref: str
    start_ns: int
    span_id: str = field(default_factory=new_span_id)
    first_ns: int = 0
    end_ns: int = 0
    model: str = ""
    fingerprint: str = ""
    finish: str = ""
    usage: Usage | None = None
    error: TrimtabError | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pin(self) -> str:
        """The stamp's pin of the model that answered: ``provider/model=reported@fingerprint``."""
        return (
            self.ref + (f"={self.model}" if self.model else "") + (f"@{self.fingerprint}" if self.fingerprint else "")
        )

    def note(self, chunk: Chunk) -> None:
        """Read what a piece of the answer says about it."""
        self.model = chunk.model or self.model
        self.fingerprint = chunk.fingerprint or self.fingerprint
        self.finish = chunk.finish or self.finish
        self.usage = chunk.usage or self.usage
        for part in chunk.tool_calls:
            merge_tool_call(self.tool_calls, part)


class Attempts:
    """Asks the candidates in their order, and round again, until one begins to answer.

    The next one is asked only while nothing was passed on, only after an error that may pass elsewhere, and only
    within ``limit`` attempts and the call's ``timeout``. Before the *same* model is asked again there is a pause,
    stretched by ``spread`` in [0, 1) so that many waiting requests do not come back together. Every attempt is
    appended to ``log`` when it begins.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        limit: int,
        first_byte: float,
        spread: float,
        clock: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.log: list[Attempt] = []
        self._candidates = candidates
        self._limit = limit
        self._first_byte = first_byte
        self._spread = spread
        self._clock = clock
        self._sleep = sleep

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        """Raises the last attempt's error."""
        time = asyncio.get_running_loop().time
        deadline = time() + call.timeout
        for number in range(self._limit):
            candidate = self._candidates[number % len(self._candidates)]
            attempt = Attempt(ref=candidate.ref, start_ns=self._clock())
            self.log.append(attempt)
            left = max(0.001, deadline - time())
            try:
                async with aclosing(
                    self._ask(candidate, replace(call, model=candidate.ref, timeout=left), attempt)
                ) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except TrimtabError as error:
                attempt.error = error
                if attempt.first_ns or not error.retryable or number + 1 == self._limit:
                    raise
                pause = self._pause(number, error)
                if time() + pause >= deadline:
                    raise
            finally:
                attempt.end_ns = self._clock()
            if pause:
                await self._sleep(pause)

    async def _ask(self, candidate: Candidate, call: Call, attempt: Attempt) -> AsyncGenerator[Chunk]:
        """One attempt, its silence and its whole length bounded. Raises ModelTimeout, or what the model raises."""
        start = asyncio.get_running_loop().time()
        deadline = start + call.timeout
        # A plain reply comes whole: its first byte is its last.
        until = min(deadline, start + self._first_byte) if call.stream else deadline
        async with aclosing(cast("Any", candidate.model(call))) as chunks:
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        chunk = await anext(chunks, None)
                except TimeoutError as error:
                    waited = "sent nothing for" if until < deadline else "was not done within"
                    raise ModelTimeout(f"{candidate.ref} {waited} {until - start:.3g} s.") from error
                if chunk is None:
                    break
                if not attempt.first_ns:
                    attempt.first_ns = self._clock()
                    until = deadline
                attempt.note(chunk)
                yield chunk
        if not attempt.first_ns:
            raise ModelError(f"{candidate.ref} ended without an answer.")

    def _pause(self, number: int, error: TrimtabError) -> float:
        """Seconds to wait before the next attempt: none when it goes to another model."""
        count = len(self._candidates)
        round_, last_of_round = divmod(number + 1, count)
        if count > 1 and last_of_round:
            return 0.0
        if error.retry_after is not None:
            return error.retry_after
        return min(LONGEST_PAUSE, PAUSE * 2.0 ** (round_ - 1)) * (0.5 + self._spread)


def absent(error: TrimtabError) -> Model:
    """A model that a route names and that is not there: asking it fails, so that the next one is tried."""

    async def model(call: Call) -> AsyncIterator[Chunk]:
        raise ModelError(str(error))
        yield Chunk()

    return model


def merge_tool_call(calls: list[dict[str, Any]], part: Mapping[str, Any]) -> None:
    """Add a tool call, or the next piece of one: a stream sends the arguments in pieces that share an index."""
    index = part.get("index")
    function = part.get("function")
    known = next((call for call in calls if index is not None and call.get("index") == index), None)
    if known is None:
        calls.append({**part, "function": dict(function) if isinstance(function, Mapping) else {}})
        return
    if isinstance(function, Mapping) and isinstance(more := function.get("arguments"), str):
        known["function"]["arguments"] = str(known["function"].get("arguments") or "") + more

"""One attempt: one model asked once, its silence and its length bounded, and what became of it written down."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from trimtab.core import Call, Chunk, Model, ModelError, ModelTimeout, TrimtabError, Usage, new_span_id
from trimtab.providers import COUNT
from trimtab.traces import price_of

from .breaker import FirstByteTimeout, cause_of
from .health import RouteState, TargetState
from .patience import Patience
from .prefix import BYTES_PER_TOKEN, Prompt, render
from .reasons import Filtered
from .route import Route
from .sureness import Sureness

#: Pieces of a stream that say nothing yet (a role, an empty text) are held back until one says something, up to this
#: many: nothing has been passed on, so another model may still be asked.
HELD = 16
#: Fields of a delta that may be there and say nothing.
_QUIET = frozenset({"role", "content", "refusal", "tool_calls"})
#: Events of other dialects that come before anything is said.
_QUIET_EVENTS = frozenset(
    {"message_start", "ping", "content_block_start", "response.created", "response.queued", "response.in_progress",
     "response.output_item.added", "response.content_part.added"}
)  # fmt: skip


class Candidate(NamedTuple):
    """A model that may be asked, under the reference it was configured by."""

    ref: str
    model: Model


class Attempt(msgspec.Struct, kw_only=True, eq=False):
    """One model asked once. Times are nanoseconds UTC; ``first_ns`` is when its first piece came, 0 for never.

    ``estimated`` says that ``usage`` is our estimate, because the answer was cut before the vendor told it. ``hedge``
    is ``won`` or ``lost`` where two were asked at once. ``cache`` says which cache answered in place of the model;
    such an attempt used no tokens, and ``saved`` is what the answer had used when it was made. ``cost`` is US dollars
    for the usage ``cost_of``. ``sureness`` reads the log-probabilities where they were asked for.
    """

    ref: str
    start_ns: int
    span_id: str = msgspec.field(default_factory=new_span_id)
    first_ns: int = 0
    end_ns: int = 0
    model: str = ""
    fingerprint: str = ""
    finish: str = ""
    usage: Usage | None = None
    error: TrimtabError | None = None
    tool_calls: list[dict[str, Any]] = msgspec.field(default_factory=list)
    estimated: bool = False
    relayed: int = 0
    hedge: str = ""
    cache: str = ""
    saved: Usage | None = None
    cost: float | None = None
    cost_of: Usage | None = None
    sureness: Sureness | None = None

    @property
    def special(self) -> bool:
        """Whether something about it is out of the ordinary."""
        return bool(self.estimated or self.hedge or self.cache or self.sureness)

    @property
    def pin(self) -> str:
        """The stamp's pin of the model that answered: ``provider/model=reported@fingerprint``."""
        return (
            self.ref + (f"={self.model}" if self.model else "") + (f"@{self.fingerprint}" if self.fingerprint else "")
        )

    def note(self, chunk: Chunk) -> None:
        """Read what a piece of the answer says about it."""
        if chunk.model:
            self.model = chunk.model
        if chunk.fingerprint:
            self.fingerprint = chunk.fingerprint
        if chunk.finish:
            self.finish = chunk.finish
        if chunk.usage is not None:
            self.usage = chunk.usage
        self.relayed += len(chunk.text)
        if self.sureness is not None:
            self.sureness.read(chunk)
        for part in chunk.tool_calls:
            merge_tool_call(self.tool_calls, part)


class Asking:
    """One attempt while it runs. ``close`` must be called, and decides what it was from how far it came.

    A plain answer is asked for as a whole where the model can (``whole``): such a model keeps to the call's time
    itself. Everything else is a stream, of one piece perhaps, and is watched over from here.
    """

    def __init__(
        self, candidate: Candidate, call: Call, *, route: Route, state: RouteState, target: TargetState,
        prompt: Prompt | None, clock: Callable[[], int],
    ) -> None:  # fmt: skip
        ref, model = candidate
        self.attempt = Attempt(ref=ref, start_ns=clock())
        if call.params.get("logprobs"):
            self.attempt.sureness = Sureness()
        self._call = call
        self._state = state
        self._target = target
        self._clock = clock
        self._time = asyncio.get_running_loop().time
        start = self._start = self._time()
        until = self._deadline = start + call.timeout
        # A plain reply comes whole: its first byte is its last.
        patience = route.first_byte if call.stream else route.attempt
        if patience and start + patience < until:
            until = start + patience
        self._until = until
        work = self._work = state.work(ref, prompt) if prompt is not None else 0.0
        self._ahead = target.queue + work
        self._closed = False
        self._counts = call.native is not None and call.native.dialect == COUNT  # tokens: no answer of a model
        self.done = False  # whether the answer is whole
        target.began(route.limits_of.get(ref), work, start)
        if prompt is not None:
            state.sent(ref, prompt, work)
        self._hedged = route.hedge is not None
        self._whole: Callable[[Call], Awaitable[Chunk]] | None = None
        if not call.stream:
            self._whole = getattr(model, "whole", None)
        if self._whole is None:
            self._patience = Patience(until, state.deadlines())
            self._chunks: AsyncGenerator[Chunk] = cast("Any", model(call))

    async def open(self) -> list[Chunk]:
        """The answer up to the first piece that says something. Raises what the model raises, or ModelTimeout."""
        if self._whole is not None:
            held = [await self._whole(self._call)]
            self.done = True
            self.attempt.note(held[0])
        else:
            held = await self._said_first()
        self.attempt.first_ns = self._clock()
        now = self._time()
        if self._until != self._deadline:
            self._until = self._deadline
            if self._whole is None:
                self._patience.extend(self._deadline)
        if self._work:
            self._target.queue -= self._work
            self._work = 0.0
        if self._counts:
            return held
        self._target.first(self._ahead, now - self._start, now)
        if self._hedged:  # when to hedge is a quantile of these
            self._state.answer_began(self._call.stream, now - self._start)
        return held

    async def _said_first(self) -> list[Chunk]:
        held: list[Chunk] = []
        native = self._call.native
        # What is made in the background is made from its first event on: nobody else is asked after it.
        background = native is not None and bool(native.body.get("background"))
        self._patience.follow()
        while True:
            chunk = await self._next()
            if chunk is None:
                if not held:
                    raise ModelError(f"{self.attempt.ref} ended without an answer.")
                return held
            held.append(chunk)
            if len(held) > HELD or not quiet(chunk) or (background and chunk.native is not None):
                return held

    async def rest(self) -> AsyncGenerator[Chunk]:
        """What follows."""
        if not self.done:
            self._patience.follow()
        while not self.done:
            chunk = await self._next()
            if chunk is not None:
                yield chunk

    async def read_on(self, pieces: list[Chunk]) -> None:
        """What follows, after what there is already."""
        while not self.done:
            chunk = await self._next()
            if chunk is not None:
                pieces.append(chunk)

    def filtered(self, opening: list[Chunk]) -> Filtered | None:
        """The error that the vendor's content filter stands for, where it leaves nothing to pass on."""
        if self.attempt.finish != "content_filter":  # the opening is all that has been heard of it
            return None
        if self._call.stream and any(chunk.text for chunk in opening):
            return None
        return Filtered(f"The content filter of {self.attempt.ref} withheld the answer.")

    async def close(self, error: TrimtabError | None = None) -> None:
        """It is over: it answered, it failed, or nobody waits for it any more."""
        if self._closed:
            return
        self._closed = True
        now = self._time()
        attempt, target = self.attempt, self._target
        attempt.end_ns = self._clock()
        target.in_flight -= 1
        if self._work:
            target.queue = max(0.0, target.queue - self._work)
        try:
            if self._whole is None:
                self._patience.close()
                await self._chunks.aclose()
        finally:
            if error is not None:
                attempt.error = error
                target.failed(cause_of(error), now - self._start, now, error.retry_after or 0.0)
            elif self.done or attempt.finish:
                target.succeeded(attempt.usage, now, None if self._counts else now - self._start)
            else:
                target.abandoned()
            if attempt.usage is None and not self.done and (attempt.first_ns or error is None):
                attempt.usage = estimated_usage(self._call, attempt)
                attempt.estimated = True
            if attempt.usage is not None:
                target.used(attempt.usage, cost_of(attempt))

    async def _next(self) -> Chunk | None:
        """The next piece; None at the end."""
        patience = self._patience
        if patience.over:
            raise self._late()
        patience.waiting = True
        try:
            chunk = await anext(self._chunks, None)
        except asyncio.CancelledError as error:
            if patience.ended():
                raise self._late() from error
            raise
        finally:
            patience.waiting = False
        if chunk is None:
            self.done = True
        else:
            self.attempt.note(chunk)
        return chunk

    def _late(self) -> ModelTimeout:
        waited = self._until - self._start
        if self._until < self._deadline and self._call.stream:
            return FirstByteTimeout(f"{self.attempt.ref} sent nothing for {waited:.3g} s.")
        return ModelTimeout(f"{self.attempt.ref} was not done within {waited:.3g} s.")


def quiet(chunk: Chunk) -> bool:
    """Whether a piece of a stream says nothing that a client could see."""
    if chunk.text or chunk.finish or chunk.tool_calls:
        return False
    if chunk.native is not None:
        return chunk.native.get("type") in _QUIET_EVENTS
    if chunk.usage:
        return False
    if chunk.body is None:
        return True
    choices = chunk.body.get("choices")
    if not isinstance(choices, list) or not choices or "message" in choices[0]:
        return False
    return all(not choice.get("finish_reason") and _silent(choice.get("delta") or {}) for choice in choices)


def _silent(delta: Mapping[str, Any]) -> bool:
    return not any(value for name, value in delta.items() if name != "role") and delta.keys() <= _QUIET


def cost_of(attempt: Attempt) -> float | None:
    """US dollars of one attempt; None when the vendor told no usage or the model has no price."""
    if attempt.cache:
        return 0.0
    if attempt.cost_of is not attempt.usage:  # asked for by the figures of the target, the ledger and the trace
        attempt.cost, attempt.cost_of = priced(attempt, attempt.usage), attempt.usage
    return attempt.cost


def priced(attempt: Attempt, usage: Usage | None) -> float | None:
    """US dollars for ``usage`` of the model of an attempt."""
    if usage is None:
        return None
    provider = attempt.ref.partition("/")[0]
    return price_of(attempt.ref, f"{provider}/{attempt.model}" if attempt.model else "", usage)


def estimated_usage(call: Call, attempt: Attempt) -> Usage:
    """Tokens of an answer that was cut, from the bytes that were sent and relayed."""
    written = attempt.relayed + sum(len(str(part["function"].get("arguments", ""))) for part in attempt.tool_calls)
    return Usage(
        input_tokens=math.ceil(sum(map(len, render(call))) / BYTES_PER_TOKEN),
        output_tokens=math.ceil(written / BYTES_PER_TOKEN),
    )


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

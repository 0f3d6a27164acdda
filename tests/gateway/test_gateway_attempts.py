"""One budget of attempts and one deadline, over all models of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from gateway_house import user

from trimtab.core import Call, Chunk, Model, ModelError, ModelTimeout, Usage
from trimtab.gateway import Attempts, Candidate

CALL = Call(model="r", messages=tuple(user("hi")), stream=True, timeout=5.0)


class Pauses(list[float]):
    """A sleep that only writes down how long."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def says(*texts: str, then: Exception | None = None, seen: list[Call] | None = None) -> Model:
    async def model(call: Call) -> AsyncIterator[Chunk]:
        if seen is not None:
            seen.append(call)
        for text in texts:
            yield Chunk(text=text, model="m", fingerprint="f")
        if then is not None:
            raise then
        yield Chunk(finish="stop", usage=Usage(input_tokens=3, output_tokens=2))

    return model


def hangs(after: tuple[str, ...] = (), closed: list[bool] | None = None) -> Model:
    async def model(call: Call) -> AsyncIterator[Chunk]:
        try:
            for text in after:
                yield Chunk(text=text)
            await asyncio.Event().wait()
        finally:
            if closed is not None:
                closed.append(True)

    return model


def chain(*models: Model, limit: int = 3, first_byte: float = 1.0, pauses: Pauses | None = None) -> Attempts:
    return Attempts(
        [Candidate(f"p/{n}", model) for n, model in enumerate(models)],
        limit=limit,
        first_byte=first_byte,
        spread=0.5,
        clock=counting(),
        sleep=pauses if pauses is not None else Pauses(),
    )


def counting() -> Callable[[], int]:
    now = iter(range(1, 10_000))
    return lambda: next(now)


async def text_of(attempts: Attempts, call: Call = CALL) -> str:
    return "".join([chunk.text async for chunk in attempts(call)])


DOWN = ModelError("down", vendor_status=503)


async def test_a_failing_model_gives_way_to_the_next_and_both_attempts_are_kept() -> None:
    seen: list[Call] = []
    attempts = chain(says(then=DOWN, seen=seen), says("hel", "lo", seen=seen))
    assert await text_of(attempts) == "hello"
    first, second = attempts.log
    assert (first.ref, first.error, first.pin) == ("p/0", DOWN, "p/0")
    assert (second.pin, second.error, second.finish) == ("p/1=m@f", None, "stop")
    assert second.usage == Usage(input_tokens=3, output_tokens=2)
    assert first.start_ns < first.end_ns < second.start_ns < second.first_ns < second.end_ns
    assert [call.model for call in seen] == ["p/0", "p/1"]
    assert all(call.timeout <= 5.0 for call in seen)


async def test_an_error_that_would_come_again_is_not_tried_elsewhere() -> None:
    attempts = chain(says(then=ModelError("bad request", vendor_status=400, retryable=False)), says("x"))
    with pytest.raises(ModelError, match="bad request"):
        await text_of(attempts)
    assert len(attempts.log) == 1


async def test_nothing_is_tried_again_once_something_was_passed_on() -> None:
    attempts = chain(says("half", then=DOWN), says("other"))
    chunks = attempts(CALL)
    assert (await anext(chunks)).text == "half"
    with pytest.raises(ModelError, match="down"):
        await anext(chunks)
    assert len(attempts.log) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
async def test_the_budget_is_for_all_models_together(limit: int) -> None:
    attempts = chain(says(then=DOWN), says(then=DOWN), limit=limit)
    with pytest.raises(ModelError):
        await text_of(attempts)
    assert [attempt.ref for attempt in attempts.log] == ["p/0", "p/1", "p/0", "p/1", "p/0"][:limit]


async def test_only_before_the_same_model_again_is_there_a_pause_and_the_vendor_names_it() -> None:
    pauses = Pauses()
    with pytest.raises(ModelError):
        await text_of(chain(says(then=DOWN), limit=4, pauses=pauses))
    assert pauses == [0.1, 0.2, 0.4]
    pauses.clear()
    busy = ModelError("busy", vendor_status=429, retry_after=1.5)
    with pytest.raises(ModelError):
        await text_of(chain(says(then=DOWN), says(then=busy), limit=4, pauses=pauses))
    assert pauses == [1.5]


async def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    pauses = Pauses()
    attempts = chain(says(then=ModelError("busy", retry_after=60.0)), pauses=pauses)
    with pytest.raises(ModelError, match="busy"):
        await text_of(attempts)
    assert (pauses, len(attempts.log)) == ([], 1)


async def test_a_silent_model_is_left_for_the_next_and_its_stream_is_closed() -> None:
    closed: list[bool] = []
    attempts = chain(hangs(closed=closed), says("hello"), first_byte=0.01)
    assert await text_of(attempts) == "hello"
    assert closed == [True]
    assert isinstance(attempts.log[0].error, ModelTimeout)
    assert str(attempts.log[0].error) == "p/0 sent nothing for 0.01 s."


async def test_the_deadline_ends_a_stream_that_stands_still_and_a_plain_reply_that_does_not_come() -> None:
    closed: list[bool] = []
    short = Call(model="r", messages=CALL.messages, stream=True, timeout=0.02)
    with pytest.raises(ModelTimeout, match=r"was not done within 0\.02"):
        await text_of(chain(hangs(("a",), closed)), short)
    plain = Call(model="r", messages=CALL.messages, timeout=0.03)
    attempts = chain(hangs(closed=closed), says("late"), first_byte=0.001)
    with pytest.raises(ModelTimeout, match="was not done within"):
        await text_of(attempts, plain)
    assert closed == [True, True]
    assert len(attempts.log) == 1  # no time is left for another


async def test_an_answer_of_nothing_at_all_is_a_failure() -> None:
    async def nothing(call: Call) -> AsyncIterator[Chunk]:
        return
        yield Chunk()

    assert await text_of(chain(nothing, says("x"))) == "x"


async def test_tool_calls_of_a_stream_are_put_together() -> None:
    async def model(call: Call) -> AsyncIterator[Chunk]:
        yield Chunk(tool_calls=({"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}},))
        yield Chunk(tool_calls=({"index": 0, "function": {"arguments": '{"a"'}},))
        yield Chunk(tool_calls=({"index": 1, "id": "c2", "function": {"name": "go", "arguments": "{}"}},))
        yield Chunk(tool_calls=({"index": 0, "function": {"arguments": ":1}"}},), finish="tool_calls")

    attempts = chain(model)
    await text_of(attempts)
    calls = attempts.log[0].tool_calls
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("c1", '{"a":1}'), ("c2", "{}")]


async def test_closing_early_closes_the_model() -> None:
    closed: list[bool] = []
    chunks = chain(hangs(("a", "b"), closed))(CALL)
    assert (await anext(chunks)).text == "a"
    await chunks.aclose()
    assert closed == [True]

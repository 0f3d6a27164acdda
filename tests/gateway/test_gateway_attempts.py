"""One budget of attempts and one deadline, over all models of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from chains import CALL, DOWN, PLAIN, USED, Chain, hangs, in_turn, says, text_of
from virtual_time import virtual

from trimtab.core import Call, Chunk, ModelError, ModelTimeout, Overloaded, Usage
from trimtab.gateway import order


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_a_failing_model_gives_way_to_the_next_and_both_attempts_are_kept() -> None:
    seen: list[Call] = []
    attempts = Chain(says(then=DOWN, seen=seen), says("hel", "lo", seen=seen)).attempts()
    assert await text_of(attempts) == "hello"
    first, second = attempts.log
    assert (first.ref, first.error, first.pin, first.usage) == ("p/0", DOWN, "p/0", None)
    assert (second.pin, second.error, second.finish) == ("p/1=m@f", None, "stop")
    assert (second.usage, second.estimated) == (USED, False)
    assert first.start_ns < first.end_ns < second.start_ns < second.first_ns < second.end_ns
    assert [call.model for call in seen] == ["p/0", "p/1"]
    assert all(call.timeout <= 5.0 for call in seen)


@virtual
async def test_an_error_that_would_come_again_is_not_tried_elsewhere() -> None:
    attempts = Chain(says(then=ModelError("bad request", vendor_status=400, retryable=False)), says("x")).attempts()
    with pytest.raises(ModelError, match="bad request"):
        await text_of(attempts)
    assert len(attempts.log) == 1


@virtual
async def test_nothing_is_tried_again_once_something_was_passed_on() -> None:
    attempts = Chain(says("half", then=DOWN), says("other")).attempts()
    chunks = attempts(CALL)
    assert (await anext(chunks)).text == "half"
    with pytest.raises(ModelError, match="down"):
        await anext(chunks)
    assert len(attempts.log) == 1
    assert (attempts.log[0].usage, attempts.log[0].estimated) == (Usage(input_tokens=2, output_tokens=1), True)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_the_budget_is_for_all_models_together(limit: int) -> None:
    @virtual
    async def checked() -> None:
        attempts = Chain(says(then=DOWN), says(then=DOWN), attempts=limit).attempts()
        with pytest.raises(ModelError):
            await text_of(attempts)
        assert [attempt.ref for attempt in attempts.log] == ["p/0", "p/1", "p/0", "p/1", "p/0"][:limit]

    checked()


@virtual
async def test_the_same_model_is_asked_again_after_a_pause_drawn_up_to_twice_the_last() -> None:
    for draw in (0.0, 0.3, 0.99):
        seen: list[float] = []

        async def fails(call: Call, seen: list[float] = seen) -> AsyncIterator[Chunk]:
            seen.append(now())
            raise DOWN
            yield Chunk()

        with pytest.raises(ModelError):
            await text_of(Chain(fails, attempts=5, breaker={"failures": {"server": 0}}).attempts(draw=draw))
        pauses = [later - earlier for earlier, later in pairwise(seen)]
        assert all(0 <= pause <= longest for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True))
        assert len({round(pause / longest, 6) for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True)}) > 2


@virtual
async def test_a_vendor_that_says_when_is_not_asked_before_and_another_is_in_the_meantime() -> None:
    busy = ModelError("busy", vendor_status=429, retry_after=1.5)
    alone = Chain(in_turn(says(then=busy), says("now"))).attempts()
    assert await text_of(alone) == "now"
    assert 1.5 <= now() <= 1.7
    since = now()
    two = Chain(in_turn(says(then=busy), says("late")), in_turn(says(then=DOWN), says("soon"))).attempts()
    assert await text_of(two) == "soon"
    assert now() - since <= 0.2
    assert [attempt.ref for attempt in two.log] == ["p/0", "p/1", "p/1"]


@virtual
async def test_a_target_whose_vendor_asked_to_wait_comes_after_the_others_until_then() -> None:
    busy = ModelError("busy", vendor_status=429, retry_after=20.0)
    chain = Chain(in_turn(says(then=busy), says("first")), says("second"))

    async def ask() -> str:
        refs = order(chain.route, 0.5, chain.state.sights(chain.route, None, {}, now()))
        return await text_of(chain.attempts(refs=refs))

    assert [await ask(), await ask()] == ["second", "second"]
    assert chain.state.targets["p/0"].asked == 1
    await asyncio.sleep(20.0)
    assert await ask() == "first"


@virtual
async def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    attempts = Chain(says(then=ModelError("busy", retry_after=60.0))).attempts()
    with pytest.raises(ModelError, match="busy"):
        await text_of(attempts)
    assert (now(), len(attempts.log)) == (0.0, 1)


@virtual
async def test_a_silent_model_is_left_for_the_next_and_its_stream_is_closed() -> None:
    closed: list[str] = []
    attempts = Chain(hangs(closed=closed, name="first"), says("hello")).attempts()
    assert await text_of(attempts) == "hello"
    assert (closed, now()) == (["first"], 1.0)
    assert isinstance(attempts.log[0].error, ModelTimeout)
    assert str(attempts.log[0].error) == "p/0 sent nothing for 1 s."


@virtual
async def test_a_stream_that_only_says_who_speaks_has_not_begun() -> None:
    """Vendors send a piece with the role at once; a client has seen nothing of the answer with it."""
    role = Chunk(body={"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})

    async def opens(call: Call) -> AsyncIterator[Chunk]:
        yield role
        await asyncio.Event().wait()

    async def answers(call: Call) -> AsyncIterator[Chunk]:
        yield role
        yield Chunk(text="hi", finish="stop", body={"choices": [{"index": 0, "delta": {"content": "hi"}}]})

    attempts = Chain(opens, answers).attempts()
    pieces = [chunk async for chunk in attempts(CALL)]
    assert [piece.text for piece in pieces] == ["", "hi"]
    assert [attempt.ref for attempt in attempts.log] == ["p/0", "p/1"]


@virtual
async def test_the_deadline_ends_a_stream_that_stands_still_and_a_plain_reply_that_does_not_come() -> None:
    closed: list[str] = []
    with pytest.raises(ModelTimeout, match="was not done within 5 s"):
        await text_of(Chain(hangs("a", closed=closed)).attempts())
    assert now() == 5.0
    attempts = Chain(hangs(closed=closed), says("late")).attempts()
    with pytest.raises(ModelTimeout, match="was not done within"):
        await text_of(attempts, PLAIN)
    assert (closed, now()) == (["", ""], 10.0)
    assert len(attempts.log) == 1  # no time is left for another


@virtual
async def test_a_plain_reply_may_have_a_limit_for_each_attempt() -> None:
    attempts = Chain(hangs(), says("in time"), timeout={"first_byte": 1.0, "attempt": 2.0}).attempts()
    assert await text_of(attempts, PLAIN) == "in time"
    assert (now(), len(attempts.log)) == (2.0, 2)


@virtual
async def test_an_answer_of_nothing_at_all_is_a_failure() -> None:
    async def nothing(call: Call) -> AsyncIterator[Chunk]:
        return
        yield Chunk()

    assert await text_of(Chain(nothing, says("x")).attempts()) == "x"


@virtual
async def test_tool_calls_of_a_stream_are_put_together() -> None:
    async def model(call: Call) -> AsyncIterator[Chunk]:
        yield Chunk(tool_calls=({"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}},))
        yield Chunk(tool_calls=({"index": 0, "function": {"arguments": '{"a"'}},))
        yield Chunk(tool_calls=({"index": 1, "id": "c2", "function": {"name": "go", "arguments": "{}"}},))
        yield Chunk(tool_calls=({"index": 0, "function": {"arguments": ":1}"}},), finish="tool_calls")

    attempts = Chain(model).attempts()
    await text_of(attempts)
    calls = attempts.log[0].tool_calls
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("c1", '{"a":1}'), ("c2", "{}")]


@virtual
async def test_closing_early_closes_the_model_and_counts_what_was_relayed() -> None:
    closed: list[str] = []
    chain = Chain(hangs("a" * 40, "b", closed=closed))
    attempts = chain.attempts()
    chunks = attempts(CALL)
    assert (await anext(chunks)).text == "a" * 40
    await chunks.aclose()
    assert closed == [""]
    cut = attempts.log[0]
    assert (cut.usage, cut.estimated, cut.error) == (Usage(input_tokens=2, output_tokens=10), True, None)
    target = chain.state.targets["p/0"]
    assert (target.in_flight, target.queue, target.cut) == (0, 0.0, 1)


@virtual
async def test_a_cancelled_request_leaves_nothing_running_whatever_it_waited_for() -> None:
    closed: list[str] = []
    for models in ([hangs(closed=closed)], [says(then=ModelError("busy", retry_after=3.0))]):
        chain = Chain(*models)
        task = asyncio.ensure_future(text_of(chain.attempts()))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert chain.state.targets["p/0"].in_flight == 0
    assert closed == [""]


CONTEXT = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Please reduce the length of the messages or completion.",
]
FILTERED = [
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "Your request was rejected as a result of our safety system.",
    "Output blocked by content filtering policy: content_filter",
]


@pytest.mark.parametrize("said", CONTEXT + FILTERED)
def test_what_one_model_cannot_read_or_will_not_say_is_asked_of_another_but_never_of_the_same(said: str) -> None:
    @virtual
    async def checked() -> None:
        refuses = says(then=ModelError(said, vendor_status=400, retryable=False))
        attempts = Chain(refuses, says("wide")).attempts()
        assert await text_of(attempts) == "wide"
        alone = Chain(refuses).attempts()
        with pytest.raises(ModelError) as caught:
            await text_of(alone)
        assert (str(caught.value), len(alone.log)) == (said, 1)
        reason = "context" if said in CONTEXT else "filter"
        others = [other for other in ("error", "context", "filter") if other != reason]
        unwanted = Chain(refuses, says("wide"), fallback_on=others).attempts()
        with pytest.raises(ModelError, match=said[:10]):
            await text_of(unwanted)

    checked()


@virtual
async def test_an_answer_that_a_filter_left_empty_is_asked_of_another_and_passed_on_when_there_is_none() -> None:
    async def withheld(call: Call) -> AsyncIterator[Chunk]:
        yield Chunk(finish="content_filter", usage=USED)

    attempts = Chain(withheld, says("fine")).attempts()
    assert await text_of(attempts) == "fine"
    assert "content filter of p/0" in str(attempts.log[0].error)
    assert attempts.log[0].usage == USED  # it was paid for
    alone = [chunk async for chunk in Chain(withheld).attempts()(CALL)]
    assert [chunk.finish for chunk in alone] == ["content_filter"]


@virtual
async def test_a_key_that_one_vendor_refuses_says_nothing_about_the_others() -> None:
    attempts = Chain(says(then=ModelError("bad key", vendor_status=401, retryable=False)), says("x")).attempts()
    assert await text_of(attempts) == "x"


@virtual
async def test_without_fallback_on_errors_the_same_model_is_tried_again_and_no_other() -> None:
    attempts = Chain(says(then=DOWN), says("x"), fallback_on=["context"]).attempts()
    with pytest.raises(ModelError):
        await text_of(attempts)
    assert [attempt.ref for attempt in attempts.log] == ["p/0"] * 3


@virtual
async def test_an_outage_is_not_amplified_beyond_the_share_of_retries() -> None:
    chain = Chain(says(then=DOWN), attempts=5, breaker={"failures": {"server": 0}})
    asked = 0
    for _ in range(1000):
        attempts = chain.attempts()
        with pytest.raises(ModelError):
            await text_of(attempts)
        asked += len(attempts.log)
        await asyncio.sleep(0.01)
    # A tenth of the traffic, the reserve, and what ten seconds and the pauses give back to a quiet route.
    assert 1000 + 100 <= asked <= 1000 + 100 + 20 + 40


@virtual
async def test_a_fallback_that_works_costs_no_retries() -> None:
    chain = Chain(says(then=DOWN), says("x"), breaker={"failures": {"server": 0}})
    for _ in range(500):
        assert await text_of(chain.attempts()) == "x"


@virtual
async def test_a_target_that_keeps_failing_is_left_alone_then_tried_with_one_request() -> None:
    seen: list[Call] = []
    chain = Chain(in_turn(*[says(then=DOWN, seen=seen)] * 5, says("back", seen=seen, after=0.5)), says("other"))
    for _ in range(8):
        assert await text_of(chain.attempts()) == "other"
    assert len(seen) == 5
    assert chain.state.targets["p/0"].breaker is not None
    assert chain.state.targets["p/0"].breaker.state(now()) == "open"
    await asyncio.sleep(10.0)
    answers = await asyncio.gather(*(text_of(chain.attempts(), PLAIN) for _ in range(5)))
    assert sorted(answers) == ["back", "other", "other", "other", "other"]  # one probe at a time
    assert chain.state.targets["p/0"].breaker.state(now()) == "closed"
    assert await text_of(chain.attempts()) == "back"


@virtual
async def test_with_every_target_resting_a_request_fails_at_once_and_says_until_when() -> None:
    chain = Chain(says(then=DOWN))
    for _ in range(2):
        with pytest.raises(ModelError):
            await text_of(chain.attempts())
    with pytest.raises(Overloaded, match=r"p/0 \(open after failures of kind server\)") as caught:
        await text_of(chain.attempts())
    assert 9 <= (caught.value.retry_after or 0) <= 10
    assert (caught.value.status, caught.value.layer) == (503, 1)


@virtual
async def test_a_target_that_is_full_is_passed_over() -> None:
    chain = Chain(says("a", after=2.0), says("b", after=2.0), targets=[
        {"model": "p/0", "max_parallel": 2}, {"model": "p/1", "max_parallel": 1}
    ])  # fmt: skip
    answers = await asyncio.gather(*(text_of(chain.attempts(), PLAIN) for _ in range(4)), return_exceptions=True)
    assert [str(answer) for answer in answers[:3]] == ["a", "a", "b"]
    assert isinstance(answers[3], Overloaded)
    assert "p/0 (at its limit)" in str(answers[3])


@virtual
async def test_a_target_is_sent_no_more_a_minute_than_its_limit() -> None:
    chain = Chain(says("a"), says("b"), targets=[{"model": "p/0", "rpm": 3}, {"model": "p/1"}])
    assert [await text_of(chain.attempts()) for _ in range(5)] == ["a", "a", "a", "b", "b"]
    await asyncio.sleep(21)
    assert [await text_of(chain.attempts()) for _ in range(2)] == ["a", "b"]

"""Decorators and blocks: the right tree, the right text, and an application that notices nothing."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import trimtab
from trimtab.core import BadInput


def test_nested_functions_make_one_tree(collected: Any) -> None:
    @trimtab.trace
    def retrieve_context(query: str) -> list[str]:
        return [query.upper()]

    @trimtab.trace(name="turn", span_type="AGENT", attributes={"team": "care"})
    def answer(question: str) -> str:
        return "re: " + retrieve_context(question)[0]

    assert answer("where?") == "re: WHERE?"
    turn, found = collected.spans["turn"], collected.spans["retrieve_context"]
    assert found.trace_id == turn.trace_id
    assert found.parent_id == turn.span_id
    assert turn.parent_id == ""
    assert (turn.kind, turn.input, turn.output) == ("agent", "where?", "re: WHERE?")
    assert (found.kind, found.input, found.output) == ("retriever", "where?", '["WHERE?"]')
    assert turn.attributes == {"team": "care"}
    assert turn.start_ns <= found.start_ns <= found.end_ns <= turn.end_ns
    assert trimtab.get_current_span() is None


def test_two_calls_are_two_traces(collected: Any) -> None:
    @trimtab.observe
    def one() -> None: ...

    @trimtab.traceable()
    def two() -> None: ...

    one()
    two()
    assert collected.spans["one"].trace_id != collected.spans["two"].trace_id


def test_errors_are_recorded_and_raised_on(collected: Any) -> None:
    @trimtab.trace
    def broken() -> None:
        raise ValueError("no stock")

    with pytest.raises(ValueError, match="no stock"):
        broken()
    span = collected.spans["broken"]
    assert (span.status, span.error) == ("error", "ValueError: no stock")
    assert trimtab.get_current_span() is None


def test_decorated_functions_keep_their_face() -> None:
    @trimtab.trace
    def plain(a: int) -> int:
        """Docs."""
        return a

    @trimtab.trace
    async def coroutine() -> None: ...

    @trimtab.trace
    def generator() -> Iterator[int]:
        yield 1

    @trimtab.trace
    async def agenerator() -> AsyncIterator[int]:
        yield 1

    assert (plain.__name__, plain.__doc__) == ("plain", "Docs.")
    assert list(inspect.signature(plain).parameters) == ["a"]
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(agenerator)


def test_methods_leave_self_out(collected: Any) -> None:
    class Shop:
        @trimtab.trace
        def ask(self, question: str) -> str:
            return question

        @trimtab.trace
        @staticmethod
        def fixed(x: int) -> int:
            return x

        @trimtab.trace
        @classmethod
        def made(cls, x: int) -> str:
            return f"{cls.__name__}{x}"

    assert (Shop().ask("q"), Shop.fixed(3), Shop.made(4)) == ("q", 3, "Shop4")
    assert collected.spans["ask"].input == "q"
    assert collected.spans["fixed"].input == '{"x": 3}'
    assert collected.spans["made"].input == '{"x": 4}'


async def test_tasks_have_their_own_running_span(collected: Any) -> None:
    @trimtab.trace
    async def child(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @trimtab.trace
    async def parent(number: int) -> list[int]:
        return list(await asyncio.gather(child(number), asyncio.create_task(child(number + 1))))

    assert await asyncio.gather(parent(10), parent(20)) == [[10, 11], [20, 21]]
    parents = {span.span_id: span for span in collected.items if span.name == "parent"}
    children = [span for span in collected.items if span.name == "child"]
    assert len(children) == 4
    for span in children:
        assert json.loads(span.input)["number"] // 10 == json.loads(parents[span.parent_id].input)["number"] // 10


async def test_a_cancelled_coroutine_ends_its_span(collected: Any) -> None:
    started = asyncio.Event()

    @trimtab.trace
    async def slow() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(slow())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert collected.spans["slow"].error == "CancelledError"


def test_a_generator_is_one_span_from_first_item_to_end(collected: Any) -> None:
    @trimtab.trace
    def inner() -> str:
        return "x"

    @trimtab.trace
    def words(count: int) -> Iterator[str]:
        for number in range(count):
            inner()
            yield f"w{number} "

    stream = words(3)
    assert collected.items == []
    assert next(stream) == "w0 "
    # While the reader holds an item, the generator is not what runs.
    assert trimtab.get_current_span() is None
    assert list(stream) == ["w1 ", "w2 "]
    span = collected.spans["words"]
    assert (span.output, span.attributes, span.status) == ("w0 w1 w2 ", {"items": 3}, "ok")
    assert all(item.parent_id == span.span_id for item in collected.items if item.name == "inner")


def test_a_generator_takes_what_is_sent_thrown_and_returned(collected: Any) -> None:
    @trimtab.trace
    def echo() -> Iterator[Any]:
        got = yield "ready"
        while got != "stop":
            try:
                got = yield got
            except KeyError as error:
                got = yield f"caught {error}"
        return "done"

    stream: Any = echo()
    assert next(stream) == "ready"
    assert stream.send("a") == "a"
    assert stream.throw(KeyError("k")) == "caught 'k'"
    with pytest.raises(StopIteration) as stop:
        stream.send("stop")
    assert stop.value.value == "done"
    assert collected.spans["echo"].status == "ok"


def test_a_generator_that_is_left_early_is_no_error(collected: Any) -> None:
    closed = []

    @trimtab.trace
    def forever() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(trimtab.get_current_span())

    stream = forever()
    next(stream)
    stream.close()
    span = collected.spans["forever"]
    assert (span.status, span.attributes) == ("ok", {"closed_early": True, "items": 1})
    assert closed == [span]


def test_a_generator_that_fails_says_what_it_gave_before(collected: Any) -> None:
    @trimtab.trace
    def broken() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        list(broken())
    span = collected.spans["broken"]
    assert (span.output, span.error) == ('[{"n": 1}]', "RuntimeError: gone")


async def test_async_generators_likewise(collected: Any) -> None:
    @trimtab.trace
    async def words() -> AsyncIterator[str]:
        got = yield "a"
        yield got or "b"

    assert [word async for word in words()] == ["a", "b"]
    assert collected.spans["words"].output == "ab"
    stream: Any = words()
    assert await anext(stream) == "a"
    assert trimtab.get_current_span() is None
    assert await stream.asend("sent") == "sent"
    await stream.aclose()
    assert collected.items[-1].attributes == {"closed_early": True, "items": 2}
    failing: Any = words()
    await anext(failing)
    with pytest.raises(KeyError):
        await failing.athrow(KeyError("k"))
    assert collected.items[-1].error == "KeyError: 'k'"


def test_blocks(collected: Any) -> None:
    with trimtab.start_span("rerank", span_type="RERANKER", attributes={"k": 3}) as span:
        span.set_inputs({"q": 1})
        span.set_outputs(["a"])
        span.set_attributes({"deep": {"x": 1}, "share": 0.5})
        span.set_status("ERROR")
        assert trimtab.get_current_span() is span
    assert (span.kind, span.input, span.output, span.status) == ("reranker", '{"q": 1}', '["a"]', "error")
    assert span.attributes == {"k": 3, "deep": '{"x": 1}', "share": 0.5}
    with pytest.raises(KeyError), trimtab.start_span("search the web"):
        raise KeyError("k")
    assert collected.spans["search the web"].kind == "retriever"
    assert collected.spans["search the web"].error == "KeyError: 'k'"


def test_session_and_tags_within_a_trace_and_before_it(collected: Any) -> None:
    def app() -> None:
        trimtab.set_session("s1")
        trimtab.set_tags({"team": "care"}, topic="parcel")
        with trimtab.start_span("first"), trimtab.start_span("inside"):
            trimtab.set_tags(topic="refund")
        with trimtab.start_span("second"):
            trimtab.set_session("s2")
            with trimtab.start_span("later"):
                pass

    contextvars.copy_context().run(app)
    spans = collected.spans
    assert (spans["first"].session, spans["inside"].session) == ("s1", "s1")
    assert spans["first"].tags == {"team": "care", "topic": "refund"}
    assert spans["inside"].tags == {}
    assert (spans["second"].session, spans["later"].session) == ("s2", "s2")
    assert spans["second"].tags == {"team": "care", "topic": "parcel"}


def test_threads_do_not_mix_and_join_when_told(collected: Any) -> None:
    barrier = threading.Barrier(4)

    def work(name: str, parent: Any = None) -> None:
        with trimtab.start_span(name, parent=parent):
            barrier.wait(10)
            with trimtab.start_span(f"{name}/child"):
                barrier.wait(10)

    with trimtab.start_span("main") as main, ThreadPoolExecutor(4) as pool:
        futures = [
            pool.submit(work, "alone"),
            pool.submit(work, "told", main),
            pool.submit(contextvars.copy_context().run, work, "copied"),
            pool.submit(work, "other"),
        ]
        for future in futures:
            future.result(10)
    spans = collected.spans
    assert spans["alone"].parent_id == spans["other"].parent_id == ""
    assert spans["alone"].trace_id != spans["other"].trace_id
    assert spans["told"].parent_id == spans["copied"].parent_id == main.span_id
    for name in ("alone", "told", "copied", "other"):
        assert spans[f"{name}/child"].parent_id == spans[name].span_id


def test_values_that_cannot_be_shown_do_not_break_the_call(collected: Any) -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    class RudeError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    @trimtab.trace
    def odd(thing: Any) -> Any:
        return thing

    @trimtab.trace
    def failing() -> None:
        raise RudeError

    rude = Rude()
    assert odd(rude) is rude
    with pytest.raises(RudeError):
        failing()
    assert collected.spans["failing"].error == "RudeError"


@pytest.mark.parametrize(("value", "kept"), [(True, 1.0), (False, 0.0), (0.25, 0.25), (1, 1.0)])
def test_feedback(collected: Any, value: Any, kept: float) -> None:
    score_id = trimtab.log_feedback("a" * 32, "thumb", value, "nice", source="human:mara")
    assert collected.scores == [
        {
            "id": score_id, "trace_id": "a" * 32, "span_id": "", "name": "thumb", "value": kept, "by": "human:mara",
            "label": "", "reason": "nice",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("value", [2, -0.1, float("nan"), "good", None])
def test_feedback_outside_its_range_is_told_at_once(collected: Any, value: Any) -> None:
    with pytest.raises(BadInput) as caught:
        trimtab.log_feedback("a" * 32, "thumb", value)
    assert caught.value.field == "value"
    assert collected.items == []


@pytest.mark.parametrize(
    ("trace_id", "name", "field"),
    [("tr-1", "thumb", "trace_id"), ("A" * 32, "thumb", "trace_id"), ("a" * 32, "a b", "name")],
)
def test_feedback_on_nothing_is_told_at_once(collected: Any, trace_id: str, name: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        trimtab.log_feedback(trace_id, name, 1)
    assert caught.value.field == field
    assert collected.items == []


def test_unknown_names_are_attribute_errors_and_known_ones_are_listed() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tracer'"):
        _ = trimtab.tracer  # type: ignore[attr-defined]
    for name in trimtab.__all__:
        assert name in dir(trimtab)
        assert getattr(trimtab, name) is not None


def test_using_the_library_without_a_server_never_fails_and_ends_quickly() -> None:
    """A fresh process: traces, feedback, no server, no key; it exits well with one warning at most."""
    code = """
import threading, trimtab
assert threading.active_count() == 1
trimtab.configure(url="http://127.0.0.1:1")
@trimtab.trace
def answer(q): return q
assert threading.active_count() == 1
for _ in range(100): answer("x")
trimtab.log_feedback("a" * 32, "thumb", 1)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("were not sent") <= 1

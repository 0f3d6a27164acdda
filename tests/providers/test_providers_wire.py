"""Recorded streams, decoded whole and in any pieces: the same Chunks come out."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_replay import WIRE, Player, plain, recorded

from trimtab.core import Call, Chunk, ModelError, Native, Usage
from trimtab.providers import MESSAGES, PRESETS, RESPONSES, Anthropic, Endpoint, Gemini, HttpClient, OpenAI

ASKED = ({"role": "user", "content": "Hi"},)
TEXT = "Grüß Gott, Wien 🏰!"


def call(**more: Any) -> Call:
    return Call(**{"model": "m", "messages": ASKED, "stream": True, **more})


def native(dialect: str) -> Native:
    body = {"model": "m", "max_tokens": 9, "input": "Hi", "messages": list(ASKED), "stream": True}
    return Native(dialect=dialect, body=body, runs=((ASKED, ASKED),))


def openai_at(http: HttpClient, kind: str = "openai") -> OpenAI:
    return OpenAI(Endpoint(name="acme", http=http, base_url="http://127.0.0.1:9/v1", api_key="sk-key"), PRESETS[kind])


def anthropic_at(http: HttpClient) -> Anthropic:
    return Anthropic(Endpoint(name="anthropic", http=http, api_key="sk-key"))


def gemini_at(http: HttpClient) -> Gemini:
    return Gemini(Endpoint(name="gemini", http=http, api_key="sk-key"))


#: Every recorded stream, who decodes it, and what is asked.
STREAMS: dict[str, tuple[Callable[[HttpClient], Any], Call]] = {
    "openai/chat-text.sse": (openai_at, call()),
    "openai/chat-parallel-calls.sse": (openai_at, call()),
    "openai/responses.sse": (openai_at, call(native=native(RESPONSES))),
    "vllm/chat-reasoning.sse": (lambda http: openai_at(http, "vllm"), call()),
    "anthropic/thinking-text-tools.sse": (anthropic_at, call()),
    "anthropic/thinking-text-tools.sse native": (anthropic_at, call(native=native(MESSAGES))),
    "gemini/stream.sse": (gemini_at, call()),
}


async def decoded(name: str, pieces: list[bytes]) -> list[Chunk]:
    adapter, asked = STREAMS[name]
    chunks = [chunk async for chunk in adapter(Player(pieces)).model("m")(asked)]
    # When an answer was made is told by the clock, where the vendor does not say.
    return [replace(c, body={**c.body, "created": 0}) if c.body is not None else c for c in chunks]


def whole(name: str) -> list[Chunk]:
    return asyncio.run(decoded(name, [recorded(name.partition(" ")[0])]))


def test_every_recorded_stream_is_decoded() -> None:
    there = {path.relative_to(WIRE).as_posix() for path in WIRE.glob("*/*.sse")}
    assert there == {name.partition(" ")[0] for name in STREAMS} | {"anthropic/overloaded.sse"}


@pytest.mark.parametrize("name", STREAMS)
async def test_byte_by_byte_is_the_same(name: str) -> None:
    data = recorded(name.partition(" ")[0])
    assert await decoded(name, [data[n : n + 1] for n in range(len(data))]) == await decoded(name, [data])


@pytest.mark.parametrize("name", STREAMS)
@settings(deadline=None, max_examples=60)
@given(cuts=st.lists(st.integers(0, 8000), max_size=12))
def test_any_split_of_the_bytes_is_the_same(name: str, cuts: list[int]) -> None:
    data = recorded(name.partition(" ")[0])
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert asyncio.run(decoded(name, pieces)) == whole(name)


@settings(deadline=None, max_examples=60)
@given(cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_a_stream_that_breaks_breaks_alike_in_any_split(cuts: list[int]) -> None:
    data = recorded("anthropic/overloaded.sse")

    def heard(pieces: list[bytes]) -> tuple[str, str, int | None, bool]:
        async def listen() -> tuple[str, str, int | None, bool]:
            said = ""
            try:
                async for chunk in anthropic_at(Player(pieces)).model("m")(call()):
                    said += chunk.text
            except ModelError as error:
                return said, error.message, error.vendor_status, error.retryable
            raise AssertionError("the stream ended as if it were whole")

        return asyncio.run(listen())

    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert heard([data[start:end] for start, end in itertools.pairwise(edges)]) == heard([data])


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def calls_of(chunks: list[Chunk]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call, put together as a client does."""
    made: dict[int, list[str]] = {}
    for part in (part for chunk in chunks for part in chunk.tool_calls):
        known = made.setdefault(part["index"], [part.get("id", ""), part["function"].get("name", ""), ""])
        known[2] += part["function"].get("arguments", "")
    return [(known[0], known[1], known[2]) for known in made.values()]


def deltas(chunks: list[Chunk], field: str) -> list[Any]:
    found = [c.body["choices"][0]["delta"].get(field) for c in chunks if c.body and c.body["choices"]]
    return [value for value in found if value is not None]


def test_openai_text() -> None:
    chunks = whole("openai/chat-text.sse")
    assert text_of(chunks) == TEXT
    assert [c.finish for c in chunks if c.finish] == ["stop"]
    assert chunks[-1].usage == Usage(input_tokens=19, output_tokens=10)
    assert chunks[-1].body is None  # the client did not ask for it
    assert {c.model for c in chunks} == {"gpt-4o-mini-2024-07-18"}


def test_openai_parallel_calls() -> None:
    chunks = whole("openai/chat-parallel-calls.sse")
    assert calls_of(chunks) == [
        ("call_A1", "get_weather", '{"city":"Paris"}'),
        ("call_B2", "get_weather", '{"city":"Oslo"}'),
    ]
    assert chunks[-2].finish == "tool_calls"


def test_responses_pass_event_by_event() -> None:
    chunks = whole("openai/responses.sse")
    events = [json.loads(line[6:]) for line in recorded("openai/responses.sse").decode().split("\n") if line[:1] == "d"]
    assert [chunk.native for chunk in chunks] == events
    assert text_of(chunks) == TEXT
    assert calls_of(chunks) == [("call_C3", "get_weather", '{"city":"Wien"}')]
    assert (chunks[-1].finish, chunks[-1].usage) == (
        "tool_calls",
        Usage(input_tokens=40, output_tokens=80, cached_tokens=16, reasoning_tokens=64),
    )


def test_vllm_reasoning() -> None:
    chunks = whole("vllm/chat-reasoning.sse")
    assert "".join(deltas(chunks, "reasoning_content")) == "The user greets."
    assert text_of(chunks) == "Hallo Wien END"


USED = Usage(input_tokens=2173, output_tokens=89, cached_tokens=2048, written_tokens=100)


def test_anthropic_in_chat() -> None:
    chunks = whole("anthropic/thinking-text-tools.sse")
    assert text_of(chunks) == TEXT
    assert "".join(deltas(chunks, "reasoning_content")) == "A greeting, then the weather."
    (thought,) = deltas(chunks, "thinking_blocks")
    assert thought[0]["thinking"] == "A greeting, then the weather."
    assert thought[0]["signature"].startswith("EqoB")
    assert calls_of(chunks) == [
        ("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", '{"city": "Wien"}'),
        ("toolu_01Uq", "get_time", "{}"),  # a call without arguments still is JSON
    ]
    assert [c.finish for c in chunks if c.finish] == ["tool_calls"]
    assert chunks[-1].usage == USED


def test_anthropic_to_its_own_clients() -> None:
    chunks = whole("anthropic/thinking-text-tools.sse native")
    assert [chunk.native["type"] for chunk in chunks if chunk.native].count("content_block_delta") == 11
    assert all(chunk.body is None for chunk in chunks)
    assert text_of(chunks) == TEXT
    assert [c.usage for c in chunks if c.usage] == [USED]


async def test_an_error_within_a_stream_of_anthropic() -> None:
    player = Player([recorded("anthropic/overloaded.sse")])
    with pytest.raises(ModelError, match="broke off: Overloaded") as caught:
        [chunk async for chunk in anthropic_at(player).model("m")(call())]
    assert (caught.value.vendor_status, caught.value.retryable) == (529, True)


def test_gemini_stream() -> None:
    chunks = whole("gemini/stream.sse")
    assert text_of(chunks) == TEXT
    assert deltas(chunks, "reasoning_content") == ["A greeting, then the weather."]
    ident = "call_mAitaLmkHPPlz7IPvtfUqQ4"
    assert calls_of(chunks) == [(f"{ident}_0", "get_weather", '{"city":"Wien"}'), (f"{ident}_1", "get_time", "{}")]
    signed = next(part for chunk in chunks for part in chunk.tool_calls)
    assert signed["extra_content"] == {"google": {"thought_signature": "CiQB0e2Kb"}}
    assert [c.finish for c in chunks if c.finish] == ["tool_calls"]
    used = Usage(input_tokens=31, output_tokens=66, cached_tokens=12, reasoning_tokens=42)
    assert (chunks[-1].usage, chunks[-1].body) == (used, None)


async def one(adapter: Any, **more: Any) -> Chunk:
    (chunk,) = [chunk async for chunk in adapter.model("m")(call(stream=False, **more))]
    return chunk


async def test_plain_replies() -> None:
    chat = await one(openai_at(plain("openai/chat.json")))
    assert (chat.text, chat.finish, chat.body) == (TEXT, "stop", json.loads(recorded("openai/chat.json")))
    response = await one(openai_at(plain("openai/responses.json")), native=native(RESPONSES))
    assert (response.text, response.finish) == (TEXT, "tool_calls")
    assert response.native == json.loads(recorded("openai/responses.json"))
    message = await one(anthropic_at(plain("anthropic/message.json")), native=native(MESSAGES))
    assert (message.text, message.usage, message.body) == (TEXT, USED, None)
    assert message.native == json.loads(recorded("anthropic/message.json"))
    found = await one(gemini_at(plain("gemini/reply.json")))
    assert (found.text, found.finish, found.tool_calls[0]["function"]["name"]) == (TEXT, "tool_calls", "get_weather")
    assert found.body is not None
    assert found.body["choices"][0]["message"]["reasoning_content"] == "A greeting."
    blocked = await one(gemini_at(plain("gemini/blocked.json")))
    assert (blocked.text, blocked.finish) == ("", "content_filter")


@pytest.mark.parametrize(("name", "adapter"), [("openai/error.json", openai_at), ("gemini/error.json", gemini_at)])
async def test_a_refusal_keeps_the_vendors_words(name: str, adapter: Any) -> None:
    with pytest.raises(ModelError, match=r"Rate limit reached|exceeded your current quota") as caught:
        await one(adapter(plain(name, status=429)))
    assert (caught.value.vendor_status, caught.value.retryable) == (429, True)

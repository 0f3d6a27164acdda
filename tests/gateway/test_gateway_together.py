"""Pieces of a stream that arrived together pass the guard as one, and nothing but plain text is ever joined."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Chunk, Usage
from trimtab.gateway.gates import together


def said(text: str, *, more: bool = False, **choice: Any) -> Chunk:
    return Chunk(
        text=text, more=more, body={"id": "c", "choices": [{"index": 0, "delta": {"content": text}, **choice}]}
    )


async def passed(chunks: Sequence[Chunk]) -> list[Chunk]:
    async def source() -> AsyncIterator[Chunk]:
        for chunk in chunks:
            yield chunk

    return [chunk async for chunk in together(source())]


async def test_what_arrived_together_is_one_piece() -> None:
    out = await passed([said("a", more=True), said("b", more=True), said("c"), said("d")])
    assert [chunk.text for chunk in out] == ["abc", "d"]
    assert out[0].body == {"id": "c", "choices": [{"index": 0, "delta": {"content": "abc"}}]}


async def test_whatever_says_more_than_text_stays_a_piece_of_its_own() -> None:
    role = Chunk(more=True, body={"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    likely = said("l", more=True, logprobs={"content": []} | {"x": 1})
    second = Chunk(text="", more=True, body={"choices": [{"index": 1, "delta": {"content": "other"}}]})
    native = Chunk(text="n", more=True, native={"type": "delta"})
    end = Chunk(finish="stop", more=True, body={"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = Chunk(usage=Usage(output_tokens=3), body={"choices": [], "usage": {}})
    call = Chunk(tool_calls=({"index": 0},), more=True, body={"choices": [{"index": 0, "delta": {"tool_calls": []}}]})
    apart = [role, likely, second, native, call, end, usage]
    assert await passed(apart) == apart
    out = await passed([said("a", more=True), said("b", more=True), end])
    assert [(chunk.text, chunk.finish) for chunk in out] == [("ab", None), ("", "stop")]


async def test_a_stream_that_ends_where_more_was_promised_loses_nothing() -> None:
    assert [chunk.text for chunk in await passed([said("a", more=True), said("b", more=True)])] == ["ab"]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.booleans(), st.booleans())))
async def test_the_text_is_the_same_however_it_arrived(parts: list[tuple[str, bool, bool]]) -> None:
    chunks = [said(text, more=more, **({"finish_reason": None} if odd else {})) for text, more, odd in parts]
    out = await passed(chunks)
    assert "".join(chunk.text for chunk in out) == "".join(text for text, _, _ in parts)
    assert all(chunk.body["choices"][0]["delta"]["content"] == chunk.text for chunk in out if chunk.body)
    assert len(out) <= len(chunks)

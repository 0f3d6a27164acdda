"""Streams told in another dialect: well-formed whatever comes, and saying the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import Chunk, ModelError, Native, Usage
from trimtab.gateway import Ask, LiveTrace
from trimtab.gateway.surfaces import Writer
from trimtab.gateway.surfaces.messages_stream import MessagesWriter
from trimtab.gateway.surfaces.messages_write import message_bytes
from trimtab.gateway.surfaces.responses_stream import ResponsesWriter
from trimtab.gateway.surfaces.responses_write import response_bytes
from trimtab.gateway.wire import whole
from trimtab.providers import MESSAGES, RESPONSES

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
ARGUMENTS = ('{"city": "Wien", "days": [1, 2]}', "{}", '{"a": {"b": null}}')


def live_of(dialect: str, **body: Any) -> LiveTrace:
    live = LiveTrace(lambda: 1_760_000_000_000_000_000)
    live.ask = Ask(model="m", messages=(), native=Native(dialect=dialect, body={"model": "m", **body}), stream=True)
    return live


def delta(finish: str | None = None, **said: Any) -> Chunk:
    """A piece in chat, as a provider makes it."""
    choice = {"index": 0, "delta": said, "finish_reason": finish, "logprobs": None}
    return Chunk(
        text=said.get("content") or "", finish=finish, model="m-1", tool_calls=tuple(said.get("tool_calls") or ()),
        body={"object": "chat.completion.chunk", "choices": [choice]},
    )  # fmt: skip


@st.composite
def streams(draw: st.DrawFn) -> list[Chunk]:
    """Thoughts, text and calls in any order, the parts of the calls mixed as some servers do."""
    calls = draw(st.integers(0, 3))
    parts: list[list[Chunk]] = []
    for index in range(calls):
        text = ARGUMENTS[index]
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
        edges = [0, *cuts, len(text)]
        head = {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": f"f{index}", "arguments": ""},
        }
        pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
        more = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
        parts.append([delta(tool_calls=[part]) for part in (head, *more)])
    parts.append([delta(content=text) for text in draw(st.lists(words, max_size=4))])
    parts.append([delta(reasoning_content=text) for text in draw(st.lists(words, max_size=2))])
    order = draw(st.permutations([n for n, group in enumerate(parts) for _ in group]))
    coming = [iter(group) for group in parts]
    made = [delta(role="assistant", content=""), *(next(coming[n]) for n in order)]
    made.append(delta("tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter"]))))
    usage = Usage(input_tokens=12, output_tokens=7, cached_tokens=2, reasoning_tokens=1)
    return [*made, Chunk(usage=usage, model="m-1")]


def events_of(writer: Writer, chunks: list[Chunk]) -> list[dict[str, Any]]:
    data = b"".join(writer.piece(chunk) for chunk in chunks) + writer.end()
    events = []
    for block in data.decode().split("\n\n")[:-1]:
        name, _, body = block.partition("\n")
        events.append(json.loads(body.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def arguments_of(chunks: list[Chunk]) -> dict[str, Any]:
    heads = [part for chunk in chunks for part in chunk.tool_calls if "id" in part]
    return {part["id"]: json.loads(ARGUMENTS[part["index"]]) for part in heads}


@settings(deadline=None, max_examples=100)
@given(streams())
def test_anthropics_events_are_well_formed_and_say_the_same(chunks: list[Chunk]) -> None:
    events = events_of(MessagesWriter(live_of(MESSAGES)), chunks)
    assert [event["type"] for event in events][:1] == ["message_start"]
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]
    blocks: list[dict[str, Any]] = []
    open_block = False
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert not open_block
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "json": ""})
            open_block = True
        else:
            assert open_block
            assert event["index"] == len(blocks) - 1
            if event["type"] == "content_block_stop":
                open_block = False
                continue
            found = event["delta"]
            field = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "json"}[found["type"]]
            blocks[-1][field] += found["partial_json" if field == "json" else field]
    assert not open_block
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == text_of(chunks)
    assert {b["id"]: json.loads(b["json"]) for b in blocks if b["type"] == "tool_use"} == arguments_of(chunks)
    end = events[-2]
    reasons = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}
    assert end["delta"]["stop_reason"] == reasons[str(chunks[-2].finish)]
    assert (end["usage"]["input_tokens"], end["usage"]["cache_read_input_tokens"]) == (10, 2)


@settings(deadline=None, max_examples=100)
@given(streams())
def test_the_events_of_a_response_are_well_formed_and_say_the_same(chunks: list[Chunk]) -> None:
    events = events_of(ResponsesWriter(live_of(RESPONSES)), chunks)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    final = events[-1]["response"]
    assert events[-1]["type"] == f"response.{final['status']}"
    heard: dict[int, str] = {}
    done: dict[int, Any] = {}
    for event in events[2:-1]:
        place = event["output_index"]
        assert place not in done  # nothing of an item comes after its end
        if event["type"] == "response.output_item.added":
            assert place == len(heard)
            assert len(done) == len(heard)  # one item after another
            heard[place] = ""
        elif event["type"].endswith(".delta"):
            heard[place] += event["delta"]
        elif event["type"] == "response.output_item.done":
            done[place] = event["item"]
    assert [done[place] for place in range(len(done))] == final["output"]
    for place, item in enumerate(final["output"]):
        parts = item.get("content")
        assert heard[place] == (item["arguments"] if item["type"] == "function_call" else parts[0]["text"])
    said = [item["content"][0]["text"] for item in final["output"] if item["type"] == "message"]
    assert "".join(said) == text_of(chunks)
    calls = {i["call_id"]: json.loads(i["arguments"]) for i in final["output"] if i["type"] == "function_call"}
    assert calls == arguments_of(chunks)
    assert final["usage"]["total_tokens"] == 19


async def put_together(chunks: list[Chunk]) -> Chunk:
    async def coming() -> Any:
        for chunk in chunks:
            yield chunk

    return await whole(coming())


async def test_a_plain_reply_put_together_from_pieces_says_the_same() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    chunk = await put_together([delta(content="Hi"), delta(tool_calls=[call]), delta("stop", tool_calls=[more])])
    message = json.loads(message_bytes(chunk, live_of(MESSAGES)))
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
    assert message["content"] == [{"type": "text", "text": "Hi"}, use]
    assert message["stop_reason"] == "tool_use"  # whatever the server called it
    response = json.loads(response_bytes(chunk, live_of(RESPONSES)))
    assert [item["type"] for item in response["output"]] == ["message", "function_call"]
    broken = delta("tool_calls", tool_calls=[call])
    assert json.loads(message_bytes(broken, live_of(MESSAGES)))["content"][0]["input"] == {"INVALID_JSON": '{"a"'}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("I am [x]. Found.", ["I am [x]. ", "tool_use", "Found."]),
        ("Found.", ["tool_use", "Found."]),
        ("", ["", "tool_use"]),
    ],
)
def test_what_the_guard_takes_out_of_one_block_moves_no_other(text: str, shown: list[str]) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {}}
    found = {"type": "text", "text": "Found.", "citations": [{"type": "char_location", "cited_text": "it"}]}
    native = {"role": "assistant", "content": [{"type": "text", "text": "I am Mary. "}, use, found]}
    message = json.loads(message_bytes(Chunk(text=text, native=native), live_of(MESSAGES)))
    assert [block.get("text", block["type"]) for block in message["content"]] == shown
    assert not text or message["content"][-1] == found


def test_a_stop_sequence_is_told_where_the_server_tells_it() -> None:
    live = live_of(MESSAGES)
    live.ask = Ask(model="m", messages=(), params={"stop": ["END"]}, native=live.ask.native, stream=True)
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}
    chunks = [delta(content="Hi"), Chunk(finish="stop", body={"choices": [choice]})]
    assert events_of(MessagesWriter(live), chunks)[-2]["delta"] == {
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
    }


def test_thoughts_are_shown_unless_the_client_turned_them_off() -> None:
    chunks = [delta(reasoning_content="hm"), delta("stop", content="Hi")]
    kinds: Callable[[LiveTrace], list[str]] = lambda live: [  # noqa: E731
        event["content_block"]["type"] for event in events_of(MessagesWriter(live), chunks) if "content_block" in event
    ]
    assert kinds(live_of(MESSAGES)) == ["thinking", "text"]
    assert kinds(live_of(MESSAGES, thinking={"type": "disabled"})) == ["text"]


def test_logprobs_and_refusals_reach_the_responses_client() -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
    choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None, "logprobs": logprobs}
    events = events_of(
        ResponsesWriter(live_of(RESPONSES)), [Chunk(text="Hi", body={"choices": [choice]}), delta("stop")]
    )
    told = next(event for event in events if event["type"] == "response.output_text.delta")
    assert told["logprobs"] == logprobs["content"]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == logprobs["content"]
    events = events_of(ResponsesWriter(live_of(RESPONSES)), [delta(refusal="No"), delta("stop", refusal=".")])
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_a_stream_that_broke_ends_with_an_error_in_the_clients_dialect() -> None:
    error = ModelError("it broke")
    message = MessagesWriter(live_of(MESSAGES))
    message.piece(delta(content="Hi"))
    told = json.loads(message.broke(error).partition(b"data: ")[2])
    assert (told["type"], told["error"]["type"], told["error"]["message"]) == ("error", "api_error", "it broke")
    response = ResponsesWriter(live_of(RESPONSES))
    response.piece(delta(content="Hi"))
    told = json.loads(response.broke(error).partition(b"data: ")[2])
    assert (told["type"], told["message"], told["sequence_number"]) == ("error", "it broke", 5)

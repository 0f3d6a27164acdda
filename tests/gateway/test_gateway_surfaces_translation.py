"""Translations there and back keep what was said, and untouched parts of a request stay byte for byte."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import BadInput, Call, Message, TooLarge
from trimtab.gateway import Ask, Key
from trimtab.gateway.ask import MAX_BODY
from trimtab.gateway.surfaces.embeddings import read_embeddings_ask
from trimtab.gateway.surfaces.messages_read import read_count_ask, read_messages_ask
from trimtab.gateway.surfaces.responses_read import read_responses_ask
from trimtab.providers.anthropic_request import native_request, request_of
from trimtab.providers.embeddings import embeddings_request
from trimtab.providers.gemini_request import request_of as gemini_request
from trimtab.providers.responses import responses_request

KEY = Key(id="k", name="k", prefix="tt-")

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
idents = st.from_regex(r"[a-z]{3}[0-9]{3}", fullmatch=True)
values = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | words, lambda inner: st.lists(inner, max_size=3))
arguments = st.dictionaries(words, values, max_size=3)


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """A conversation in chat, as a client keeps it: calls are followed by all their results, in order."""
    made: list[Message] = []
    if draw(st.booleans()):
        made.append({"role": "system", "content": draw(words)})
    for _ in range(draw(st.integers(1, 4))):
        made.append({"role": "user", "content": draw(words)})
        if draw(st.booleans()):
            called = draw(st.lists(idents, min_size=1, max_size=3, unique=True))
            calls = [
                {
                    "id": ident,
                    "type": "function",
                    "function": {"name": draw(idents), "arguments": json.dumps(draw(arguments))},
                }
                for ident in called
            ]
            made.append({"role": "assistant", "content": draw(st.none() | words), "tool_calls": calls})
            made += [{"role": "tool", "tool_call_id": ident, "content": draw(words)} for ident in called]
        made.append({"role": "assistant", "content": draw(words)})
    made.append({"role": "user", "content": draw(words)})
    return made


def told(messages: Any) -> list[tuple[Any, ...]]:
    """Roles, texts, calls and results, whatever the shape they have."""
    out: list[tuple[Any, ...]] = []
    for message in messages:
        content = message.get("content")
        text = content if isinstance(content, str) else "".join(part["text"] for part in content or ())
        calls = [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        ]
        out.append((message["role"], text, calls, message.get("tool_call_id")))
    return out


def read(body: Mapping[str, Any]) -> Ask:
    return read_messages_ask(msgspec.json.encode(body), {}, KEY)


@settings(deadline=None, max_examples=100)
@given(turns())
def test_chat_to_anthropic_and_back(messages: list[Message]) -> None:
    body = request_of("claude-x", Call(model="m", messages=tuple(messages)))
    roles = [turn["role"] for turn in body["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert told(read(body).messages) == told(messages)


@settings(deadline=None, max_examples=100)
@given(turns())
def test_gemini_is_told_the_same(messages: list[Message]) -> None:
    body = gemini_request("gemini-x", Call(model="m", messages=tuple(messages)))
    turns = [turn["role"] for turn in body["contents"]]
    assert all(one != other for one, other in itertools.pairwise(turns)), "neighbours of one role are one turn"
    parts = [part for turn in body["contents"] for part in turn["parts"]]
    system = [part["text"] for part in body.get("systemInstruction", {}).get("parts", ())]
    texts = [text for role, text, _, _ in told(messages) if text and role not in ("system", "tool")]
    assert [part["text"] for part in parts if "text" in part] == texts
    assert system == [text for role, text, _, _ in told(messages) if role == "system"]
    calls = [(name, arguments) for _, _, made, _ in told(messages) for _, name, arguments in made]
    asked = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(call["name"], call["args"]) for call in asked] == calls
    results = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
    assert results == [name for name, _ in calls], "each result names the call that it answers, in order"


def test_a_schema_is_closed_for_anthropic_where_it_says_nothing() -> None:
    inner = {"type": "object", "properties": {"type": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {"a": inner, "b": {"type": "array", "items": inner}, "c": {"anyOf": [inner, {"type": "null"}]}},
        "$defs": {"d": {**inner, "additionalProperties": True}},
    }
    shut = {**inner, "additionalProperties": False}
    wanted = {
        "type": "object",
        "properties": {"a": shut, "b": {"type": "array", "items": shut}, "c": {"anyOf": [shut, {"type": "null"}]}},
        "$defs": {"d": {**inner, "additionalProperties": True}},
        "additionalProperties": False,
    }
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    call = Call(model="m", messages=({"role": "user", "content": "x"},), params={"response_format": asked})
    assert request_of("claude-x", call)["output_config"]["format"]["schema"] == wanted
    assert "additionalProperties" not in inner, "the caller's own schema stays as it is"


@settings(deadline=None, max_examples=100)
@given(turns())
def test_chat_to_responses_and_back(messages: list[Message]) -> None:
    ask = read_responses_ask(b'{"model": "m", "input": "x"}', {}, KEY)
    assert ask.native is not None
    # Every message counts as put there by the house, in front of the client's own.
    call = Call(model="m", messages=(*messages, *ask.messages), native=ask.native)
    body = responses_request("gpt-x", call, ask.native)
    again = read_responses_ask(msgspec.json.encode(body), {}, KEY)
    assert told(again.messages) == told(call.messages)


def sent(ask: Ask, **changes: Any) -> Call:
    return replace(Call(model="m", messages=ask.messages, params=ask.params, native=ask.native), **changes)


NATIVE: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi", "citations": None}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s1"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1.50}},
                {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "secret one", "is_error": True},
                {"type": "tool_result", "tool_use_id": "t2"},
                {"type": "text", "text": "And?"},
            ],
        },
    ],
    "x_unknown": {"kept": [1, None]},
    "top_k": 5,
}


def test_an_untouched_request_goes_on_as_it_came() -> None:
    ask = read(NATIVE)
    assert ask.native is not None
    assert native_request("claude-x", sent(ask), ask.native) == {**NATIVE, "model": "claude-x", "stream": False}
    assert ask.native.only == ("x_unknown",)
    assert [m["role"] for m in ask.messages] == ["system", "user", "assistant", "tool", "tool", "user"]


def test_what_the_house_changed_is_put_into_the_request_as_it_came() -> None:
    ask = read(NATIVE)
    assert ask.native is not None
    messages = list(ask.messages)
    messages[3] = {**messages[3], "content": "[redacted]"}
    prompt = ({"role": "system", "content": "You answer for Acme."}, {"role": "user", "content": "An example"})
    params = {**ask.params, "temperature": 0.25}
    body = native_request("claude-x", sent(ask, messages=(*prompt, *messages), params=params), ask.native)
    assert body["system"] == [{"type": "text", "text": "You answer for Acme."}, *NATIVE["system"]]
    assert body["messages"][0] == {"role": "user", "content": [{"type": "text", "text": "An example"}]}
    assert body["messages"][1:3] == NATIVE["messages"][:2]
    assert body["messages"][3]["content"] == [
        {"type": "tool_result", "tool_use_id": "t1", "content": "[redacted]", "is_error": True},
        {"type": "tool_result", "tool_use_id": "t2", "content": ""},
        {"type": "text", "text": "And?"},
    ]
    assert (body["temperature"], body["top_k"], body["x_unknown"]) == (0.25, 5, NATIVE["x_unknown"])


def test_a_request_whose_messages_were_replaced_is_written_anew() -> None:
    ask = read(NATIVE)
    assert ask.native is not None
    body = native_request("claude-x", sent(ask, messages=({"role": "user", "content": "Only this"},)), ask.native)
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Only this"}]}]
    assert "system" not in body


def test_unsigned_thoughts_of_another_model_do_not_reach_anthropic() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    turn = {"role": "assistant", "content": [thought, {"type": "text", "text": "Ho"}]}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}, turn]}
    ask = read(body)
    assert ask.native is not None
    assert native_request("claude-x", sent(ask), ask.native)["messages"][1]["content"] == [turn["content"][1]]


def test_untouched_responses_go_on_as_they_came() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": "u"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Let me see.", "annotations": [{"type": "x"}]}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "secret"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "b"}]},
    ]  # fmt: skip
    given = {"model": "m", "input": items, "instructions": "Be brief.", "x_unknown": 1, "store": False}
    ask = read_responses_ask(msgspec.json.encode(given), {}, KEY)
    assert ask.native is not None
    assert responses_request("gpt-x", sent(ask), ask.native) == {**given, "model": "gpt-x", "stream": False}
    assert [m["role"] for m in ask.messages] == ["system", "user", "assistant", "tool", "tool"]
    assert [call["id"] for call in ask.messages[2]["tool_calls"]] == ["c1", "c2"]
    messages = list(ask.messages)
    messages[3] = {**messages[3], "content": "[redacted]"}
    messages.insert(0, {"role": "developer", "content": "You answer for Acme."})
    body = responses_request("gpt-x", sent(ask, messages=tuple(messages)), ask.native)
    assert body["instructions"] == "Be brief."
    assert body["input"][0] == {"role": "developer", "content": "You answer for Acme."}
    assert body["input"][1:6] == items[:5]
    assert body["input"][6] == {"type": "function_call_output", "call_id": "c1", "output": "[redacted]"}
    assert body["input"][7] == items[6]


def test_params_of_a_prompt_reach_the_responses_api_in_its_words() -> None:
    ask = read_responses_ask(b'{"model": "m", "input": "Hi", "temperature": 0.5}', {}, KEY)
    assert ask.native is not None
    schema = {"name": "x", "schema": {"type": "object"}, "strict": True}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    more = {
        "max_tokens": 9, "reasoning_effort": "low", "response_format": {"type": "json_schema", "json_schema": schema},
        "tools": [tool], "tool_choice": {"type": "function", "function": {"name": "f"}},
    }  # fmt: skip
    body = responses_request("gpt-x", sent(ask, params={**more, **ask.params}), ask.native)
    assert body == {
        "model": "gpt-x", "input": "Hi", "temperature": 0.5, "stream": False, "max_output_tokens": 9,
        "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_schema", **schema}},
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "tool_choice": {"type": "function", "name": "f"},
    }  # fmt: skip
    with pytest.raises(BadInput, match="Responses API does not know"):
        responses_request("gpt-x", sent(ask, params={"stop": ["END"]}), ask.native)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("one", "[1]"), (["one", "two"], ["[1]", "two"]), ([[1, 2], [3]], [[1, 2], [3]]), ([1, 2], [1, 2])],
)
def test_embeddings_go_on_as_they_came_or_as_the_guard_left_them(given: Any, wanted: Any) -> None:
    ask = read_embeddings_ask(msgspec.json.encode({"model": "m", "input": given, "user": "u"}), {}, KEY)
    assert ask.native is not None
    assert embeddings_request("e", sent(ask), ask.native) == {"model": "e", "input": given, "user": "u"}
    if isinstance(ask.messages[0]["content"], str) and ask.messages[0]["content"]:
        changed = ({"role": "user", "content": "[1]"}, *ask.messages[1:])
        assert embeddings_request("e", sent(ask, messages=changed), ask.native)["input"] == wanted


def message(*content: Any, role: str = "user") -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": role, "content": list(content)}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "m", "messages": []}, "max_tokens"),
        ({"model": "m", "max_tokens": True, "messages": []}, "max_tokens"),
        ({"model": "m", "max_tokens": 9}, "messages"),
        ({"model": "m", "max_tokens": 9, "messages": []}, "messages"),
        ({"model": "m", "max_tokens": 9, "messages": {}}, "messages"),
        ({"model": "m", "max_tokens": 9, "messages": [1]}, "messages[0]"),
        ({"max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}, "model"),
        (message(role="tool"), "messages[0].role"),
        (message(1), "messages[0].content[0]"),
        (message({}), "messages[0].content[0].type"),
        (message({"type": "text"}), "messages[0].content[0]"),
        (message({"type": "tool_result"}), "messages[0].content[0].tool_use_id"),
        (message({"type": "tool_use", "id": "x"}, role="assistant"), "messages[0].content[0].name"),
        ({**message({"type": "text", "text": "x"}), "system": 7}, "system"),
        ({**message({"type": "text", "text": "x"}), "system": [{"type": "image"}]}, "system[0]"),
        ({**message({"type": "text", "text": "x"}), "stream": 1}, "stream"),
        ({**message({"type": "text", "text": "x"}), "tools": [1]}, "tools[0]"),
        ({**message({"type": "text", "text": "x"}), "tools": [{}]}, "tools[0].name"),
    ],
)
def test_a_wrong_message_is_refused_by_name(body: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(body)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": 7}, "input"),
        ({"model": "m", "input": [7]}, "input[0]"),
        ({"model": "m", "input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"model": "m", "input": [{"role": "user"}]}, "input[0].content"),
        ({"model": "m", "input": [{"role": "user", "content": [{}]}]}, "input[0].content[0].type"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"model": "m", "input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"model": "m", "input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"model": "m", "input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"model": "m", "input": "x", "instructions": 7}, "instructions"),
        ({"model": "m", "input": "x", "conversation": "c"}, "conversation"),
        ({"model": "m", "input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
    ],
)
def test_a_wrong_response_is_refused_by_name(body: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_responses_ask(msgspec.json.encode(body), {}, KEY)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "m"}, "input"),
        ({"model": "m", "input": {}}, "input"),
        ({"model": "m", "input": ["x", ""]}, "input[1]"),
        ({"model": "m", "input": ["x", [1, "y"]]}, "input[1]"),
        ({"model": "m", "input": ["x"] * 2049}, "input"),
        ({"model": "m", "input": "x", "trimtab": {"prompt": "p"}}, "trimtab.prompt"),
    ],
)
def test_wrong_inputs_of_embeddings_are_refused_by_name(body: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_embeddings_ask(msgspec.json.encode(body), {}, KEY)
    assert caught.value.field == field


def test_the_guard_sees_texts_that_chat_has_no_words_for() -> None:
    result = {"type": "search_result", "title": "A page", "source": "u", "content": [{"type": "text", "text": "found"}]}
    ask = read(message({"type": "tool_result", "tool_use_id": "t", "content": [result]}, result))
    assert ask.native is not None
    assert ask.messages[0]["content"] == [{"type": "text", "text": "A page\nfound"}]
    assert ask.messages[1]["content"] == [{"type": "text", "text": "A page\nfound"}]
    assert ask.native.only == ("messages[0].content[0].content[0].type", "messages[0].content[1].type")


def test_thinking_becomes_an_effort_and_counting_needs_no_limit() -> None:
    for budget, effort in ((1024, "low"), (8000, "medium"), (32_000, "high")):
        asked = {**message({"type": "text", "text": "x"}), "thinking": {"type": "enabled", "budget_tokens": budget}}
        assert read(asked).params["reasoning_effort"] == effort
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    ask = read_count_ask(msgspec.json.encode(body), {}, KEY)
    assert (ask.stream, ask.record) == (False, False)


@pytest.mark.parametrize("reader", [read_messages_ask, read_responses_ask, read_embeddings_ask])
@settings(deadline=None, max_examples=100)
@given(
    data=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.sampled_from(["user", "text", "m", "function_call"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "model",
                        "messages",
                        "input",
                        "role",
                        "content",
                        "type",
                        "text",
                        "tools",
                        "system",
                        "stream",
                        "max_tokens",
                        "tool_choice",
                        "output_config",
                        "reasoning",
                        "include",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    ).map(msgspec.json.encode)
)
def test_whatever_comes_is_read_or_refused(reader: Any, data: bytes) -> None:
    error = BadInput("read", field="none")
    try:
        reader(data, {}, KEY)
    except BadInput as refused:
        error = refused
    assert error.field


def test_a_body_too_large_is_refused() -> None:
    with pytest.raises(TooLarge):
        read_messages_ask(b" " * (MAX_BODY + 1), {}, KEY)

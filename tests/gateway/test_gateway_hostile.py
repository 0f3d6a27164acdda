"""Bodies that no client should send: each surface reads them or says what is wrong, and never breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from gateway_house import House

from trimtab.core import Call, TrimtabError
from trimtab.gateway import Key
from trimtab.gateway.surfaces import SURFACES
from trimtab.providers import MESSAGES, RESPONSES, anthropic_request, gemini_request
from trimtab.providers.estimate import estimate_tokens
from trimtab.providers.responses import responses_request

KEY = Key(id="key_1", name="app", prefix="")
TOOL = {"type": "function", "name": "f", "function": {"name": "f", "parameters": {"type": "object"}}}
SAID = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "assistant", "content": "Yes"}]
CALLED = {
    "role": "assistant", "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}  # fmt: skip
#: Bodies in which every place that is looked at has something to look at.
FULL: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [*SAID, CALLED, {"role": "tool", "tool_call_id": "c", "content": "1"}], "tools": [TOOL],
        "tool_choice": "auto", "stream_options": {"include_usage": True}, "max_tokens": 9, "n": 1,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    },
    "/v1/responses": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "x"},
        ],
        "tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}, "include": ["message.output_text.logprobs"],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}, "verbosity": "low"},
        "reasoning": {"effort": "low"}, "truncation": "disabled", "instructions": "Be kind.",
    },
    "/v1/messages": {
        "max_tokens": 9, "system": [{"type": "text", "text": "Be kind."}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                {"type": "document", "title": "t", "source": {"type": "text", "data": "x"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "s"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "1"}]},
            ]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"},
        "metadata": {"user_id": "u"}, "service_tier": "auto", "stop_sequences": ["x"],
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    },
    "/v1/embeddings": {"input": ["Hi", [1, 2]], "dimensions": 3},
}  # fmt: skip
FULL["/v1/messages/count_tokens"] = FULL["/v1/messages"]
OURS = {"trimtab": {"tags": {"a": "b"}, "plan": ["f"], "session": "s", "sources": [{"message": 0, "kind": "tool"}]}}
#: What may stand at any of them.
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 70, 1e308, "", "x", "\u0000\ud7ff", [], [[]], [{}], [None], ["x"], {}, {"type": []},
    {"type": {}}, {"type": "text"}, {"type": "text", "text": 5}, {"type": "function"}, {"x": {}},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for name, part in inner for found in places(part, (*path, name)))]


def put(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """The body with something else at a place."""
    if not path:
        return other
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = put(value[path[0]], path[1:], other)
    return made


def sent(path: str, body: Any) -> None:
    """Read a body, and write it for every vendor, as far as its client's fault does not end it."""
    ask = SURFACES[path].read(json.dumps(body).encode(), {}, KEY)
    call = Call(
        model=ask.model, messages=ask.messages, params=ask.params, stream=ask.stream, timeout=1.0, native=ask.native
    )
    written: list[Callable[[], Any]] = [
        lambda: anthropic_request.request_of("m", call),
        lambda: gemini_request.request_of("m", call),
    ]
    native = ask.native
    if native is not None and native.dialect == RESPONSES:
        written.append(lambda: responses_request("m", call, native))
    if native is not None and native.dialect == MESSAGES:
        written.append(lambda: anthropic_request.native_request("m", call, native))
    for write in written:
        with suppress(TrimtabError):
            msgspec.json.encode(write())
    estimate_tokens(call)


@pytest.mark.parametrize("path", FULL)
def test_any_value_at_any_place_is_read_or_refused(path: str) -> None:
    body = {"model": "m", **FULL[path], **OURS}
    for spot in places(body)[1:]:
        for value in VALUES:
            status, why = 400, ""
            try:
                sent(path, put(body, spot, value))
            except TrimtabError as error:
                status = error.status
            except Exception as error:
                why = repr(error)
            assert (status in (400, 403), why) == (True, ""), (path, spot, value)


@pytest.mark.parametrize("path", FULL)
def test_the_bodies_themselves_are_read(path: str) -> None:
    ask = SURFACES[path].read(json.dumps({"model": "m", **FULL[path]}).encode(), {}, KEY)
    assert ask.model == "m"


async def test_where_there_is_nothing_clients_hear_so_in_their_own_shape(house: House) -> None:
    for path in ("/v1/completions", "/v1/assistants", "/v1/files"):
        answer = await house.call("POST", path, b"{}")
        assert (answer.status, answer.error["type"]) == (404, "invalid_request_error")
        assert answer.error["message"].startswith(f"There is no {path}. There is /v1/chat/completions, ")
    answer = await house.call("POST", "/v1/messages/batches", b"{}")
    assert (answer.status, answer.json["type"], answer.json["error"]["type"]) == (404, "error", "not_found_error")

"""The official Anthropic client, unmodified, on every kind of target."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pydantic
import pytest

TARGETS = ["anthropic/claude-x", "openai/gpt-x"]
LONG = " ".join(["morning"] * 60)
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}
ASKED: Any = [{"role": "user", "content": "Good morning to all of you"}]
CITIES: Any = [{"role": "user", "content": [{"type": "text", "text": "The weather in Paris and Oslo?"}]}]
PIXEL = "iVBORw0KGgo="


class Trip(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    city: str
    nights: int


@pytest.fixture
def client(server: Any) -> Any:
    with anthropic.Anthropic(base_url=server.url, api_key=server.key, max_retries=0, timeout=20) as made:
        yield made


@pytest.mark.parametrize("model", TARGETS)
def test_a_message_is_answered(client: Any, model: str) -> None:
    reply = client.messages.create(
        model=model, max_tokens=50, messages=ASKED, system="Be brief.", stop_sequences=["END"],
        metadata={"user_id": "u-1"}, extra_body={"temperature": 0.5},
    )  # fmt: skip
    assert [block.text for block in reply.content] == ["You said: Good morning to all of you"]
    assert (reply.stop_reason, reply.role, reply.type) == ("end_turn", "assistant", "message")
    assert (reply.usage.input_tokens, reply.usage.cache_read_input_tokens, reply.usage.output_tokens) == (10, 3, 8)
    cut = client.messages.create(model=model, max_tokens=3, messages=ASKED)
    assert (cut.content[0].text, cut.stop_reason) == ("You said: Good ", "max_tokens")
    # A reply may be passed back as it came.
    turn = {"role": "assistant", "content": reply.content}
    told = client.messages.create(
        model=model, max_tokens=50, messages=[*ASKED, turn, {"role": "user", "content": "And?"}]
    )
    assert told.content[0].text == "You said: And?"


@pytest.mark.parametrize("model", TARGETS)
async def test_a_message_is_streamed_to_the_asynchronous_client(server: Any, model: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=server.url, auth_token=server.key, api_key=None, max_retries=0) as api:
        asked: Any = [{"role": "user", "content": LONG}]
        async with api.messages.stream(model=model, max_tokens=100, messages=asked) as stream:
            pieces = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
    assert "".join(pieces) == f"You said: {LONG}"
    assert len(pieces) > 1
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 62)
    assert final.content[0].type == "text"


@pytest.mark.parametrize("model", TARGETS)
def test_the_events_of_a_stream_are_well_formed(client: Any, model: str) -> None:
    asked: Any = {"model": model, "max_tokens": 100, "messages": CITIES, "tools": [WEATHER]}
    events = list(client.messages.create(stream=True, **asked))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    blocks = [(event.type, event.index) for event in events if event.type.startswith("content_block_s")]
    assert blocks == [(f"content_block_{edge}", n) for n in range(2) for edge in ("start", "stop")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TARGETS)
def test_parallel_calls_and_their_results(client: Any, model: str, stream: bool) -> None:
    asked: Any = {"model": model, "max_tokens": 100, "tools": [WEATHER]}
    if stream:
        with client.messages.stream(messages=CITIES, **asked) as events:
            reply = events.get_final_message()
    else:
        reply = client.messages.create(messages=CITIES, **asked)
    assert reply.stop_reason == "tool_use"
    uses = [block for block in reply.content if block.type == "tool_use"]
    assert [use.input for use in uses] == [{"city": city, "days": 7} for city in ("Paris", "Oslo")]
    results = [
        {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "sunny"}]} for use in uses
    ]
    turns: Any = [*CITIES, {"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
    told = client.messages.create(messages=turns, **asked)
    assert told.content[0].text == "The tools say: sunny; sunny"
    choice = {"type": "any", "disable_parallel_tool_use": True}
    assert len(client.messages.create(messages=CITIES, tool_choice=choice, **asked).content) == 1
    named = client.messages.create(messages=ASKED, tool_choice={"type": "tool", "name": "get_weather"}, **asked)
    assert named.content[0].type == "tool_use"
    none = client.messages.create(messages=CITIES, tool_choice={"type": "none"}, **asked)
    assert none.content[0].type == "text"


@pytest.mark.parametrize("model", TARGETS)
def test_structured_output(client: Any, model: str) -> None:
    schema = Trip.model_json_schema()
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    reply = client.messages.create(model=model, max_tokens=100, messages=ASKED, output_config=config)
    assert Trip.model_validate_json(reply.content[0].text) == Trip(city="Paris", nights=7)


def test_everything_of_its_own_dialect_passes_both_ways(client: Any, strict: Any) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    content = [{"type": "text", "text": "What is this?", **cached}, image]
    asked: Any = {
        "model": "anthropic/claude-x", "max_tokens": 100, "messages": [{"role": "user", "content": content}],
        "system": [{"type": "text", "text": "Be brief.", **cached}], "tools": [{**WEATHER, **cached}],
        "service_tier": "auto", "thinking": {"type": "disabled"},
    }  # fmt: skip
    reply = client.messages.create(**asked, extra_body={"top_k": 5}, extra_headers={"anthropic-beta": "some-beta-2026"})
    assert reply.model_extra["x_unknown_to_all"] == {"kept": [1, None]}
    assert strict.last == {**asked, "top_k": 5, "model": "claude-x", "stream": False}
    assert strict.seen[-1][1]["anthropic-beta"] == "some-beta-2026"


@pytest.mark.parametrize("stream", [False, True])
def test_signed_thoughts_come_back_signed(client: Any, stream: bool) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked: Any = {"model": "anthropic/claude-x", "max_tokens": 2000, "tools": [WEATHER], "thinking": thinking}
    if stream:
        with client.messages.stream(messages=CITIES, **asked) as events:
            reply = events.get_final_message()
    else:
        reply = client.messages.create(messages=CITIES, **asked)
    assert (reply.content[0].thinking, reply.content[0].signature) == ("Let me see.", "signed-by-anthropic")
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in reply.content[1:]]
    turns: Any = [*CITIES, {"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
    told = client.messages.create(messages=turns, **asked)
    assert told.content[-1].text == "The tools say: sunny; sunny"


def test_a_conversation_can_go_on_with_another_vendor(client: Any, strict: Any) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    first = client.messages.create(
        model="anthropic/claude-x", max_tokens=2000, messages=CITIES, tools=[WEATHER], thinking=thinking
    )
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in first.content[1:]]
    turns: Any = [*CITIES, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    told = client.messages.create(model="openai/gpt-x", max_tokens=2000, messages=turns, tools=[WEATHER])
    assert told.content[0].text == "The tools say: sunny; sunny"
    assert [message["role"] for message in strict.last["messages"]] == ["user", "assistant", "tool", "tool"]
    # And back: the other vendor's answer holds nothing that Anthropic would have to have signed.
    turns += [{"role": "assistant", "content": told.content}, *ASKED]
    assert client.messages.create(model="anthropic/claude-x", max_tokens=50, messages=turns, tools=[WEATHER]).id


def test_images_and_files_reach_an_openai_target(client: Any, strict: Any) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    paper = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A page."}}
    content: Any = [{"type": "text", "text": "What is this?"}, image, paper]
    client.messages.create(model="openai/gpt-x", max_tokens=9, messages=[{"role": "user", "content": content}])
    assert strict.last["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "text", "text": "A page."},
    ]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"extra_body": {"mcp_servers": [{"name": "x"}]}}, "mcp_servers"),
        ({"container": "c-1"}, "container"),
        ({"metadata": {"user_id": "u", "other": 1}}, "metadata"),
    ],
)
def test_what_only_anthropic_has_is_refused_elsewhere(client: Any, more: Any, named: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="openai/gpt-x", max_tokens=9, messages=ASKED, **more)
    assert caught.value.body["error"]["trimtab"]["field"] == named


def test_tokens_are_counted_by_who_can(client: Any) -> None:
    raw = client.messages.with_raw_response
    asked: Any = {"messages": CITIES, "system": "Be brief.", "tools": [WEATHER]}
    exact = raw.count_tokens(model="anthropic/claude-x", **asked)
    assert exact.headers["x-trimtab-token-count"] == "provider"
    assert exact.parse().input_tokens == 12
    rough = raw.count_tokens(model="openai/gpt-x", **asked)
    assert rough.headers["x-trimtab-token-count"] == "estimate"
    assert 50 < rough.parse().input_tokens < 120
    assert "x-trimtab-trace-id" not in rough.headers  # nothing was asked of a model, nothing is recorded


def test_the_client_meets_its_own_error_types(client: Any, server: Any) -> None:
    with pytest.raises(anthropic.NotFoundError, match="nowhere") as caught:
        client.messages.create(model="nowhere", max_tokens=9, messages=ASKED)
    assert caught.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.post("/v1/messages", body={"model": "openai/gpt-x", "messages": ASKED}, cast_to=object)
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(model="openai/busy-model", max_tokens=9, messages=ASKED)
    stranger = anthropic.Anthropic(base_url=server.url, api_key="tt-wrong", max_retries=0)
    with stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model="openai/gpt-x", max_tokens=9, messages=ASKED)


def test_models_are_listed_in_its_shape(client: Any) -> None:
    listed = list(client.models.list())
    assert {"spare", "scripted/echo"} <= {model.id for model in listed}
    assert client.models.retrieve("anthropic/claude-x").type == "model"


def test_each_client_finds_the_trace_of_its_request(client: Any, server: Any) -> None:
    raw = client.messages.with_raw_response.create(model="openai/gpt-x", max_tokens=9, messages=ASKED)
    assert "model=openai/gpt-x=gpt-x-2026-01-01@fp_strict" in raw.headers["x-trimtab-stamp"]
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key) as other:
        chat = other.responses.with_raw_response.create(model="anthropic/claude-x", input="Hi")
    assert "model=anthropic/claude-x=claude-x-20260101" in chat.headers["x-trimtab-stamp"]

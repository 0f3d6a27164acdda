"""The official OpenAI client, unmodified, on every kind of target."""

from __future__ import annotations

import json
from typing import Any

import openai
import pydantic
import pytest

from trimtab.providers.presets import PRESETS

TARGETS = ["openai/gpt-x", "anthropic/claude-x"]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
FLAT: Any = {"type": "function", **WEATHER["function"], "strict": True}
ASKED: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Good morning to all of you"}]
#: Longer than what the guard holds back of a stream.
LONG = " ".join(["morning"] * 60)
#: Takes the guard out: what it holds back comes in other pieces, and without log-probabilities.
UNGUARDED: Any = {"trimtab": {"pins": {"guards": ""}}}
CITIES: Any = [{"role": "user", "content": "The weather in Paris and Oslo?"}]


class Trip(pydantic.BaseModel):
    city: str
    nights: int


@pytest.fixture
def client(server: Any) -> Any:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0, timeout=20) as made:
        yield made


@pytest.mark.parametrize("model", TARGETS)
def test_a_chat_is_answered(client: Any, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=ASKED, max_tokens=50, temperature=0.5, stop=["END"])
    assert reply.choices[0].message.content == "You said: Good morning to all of you"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens == 13
    assert reply.usage.prompt_tokens_details.cached_tokens == 3
    cut = client.chat.completions.create(model=model, messages=ASKED, max_completion_tokens=3)
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("You said: Good ", "length")


@pytest.mark.parametrize("model", TARGETS)
async def test_a_chat_is_streamed_to_the_asynchronous_client(server: Any, model: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": LONG}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == f"You said: {LONG}"
    assert len(chunks) > 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (67, 62)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TARGETS)
def test_parallel_calls_and_their_results(client: Any, model: str, stream: bool) -> None:
    ask: Any = {"model": model, "tools": [WEATHER], "tool_choice": "auto"}
    if stream:
        with client.chat.completions.stream(messages=CITIES, **ask) as events:
            choice = events.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(messages=CITIES, **ask).choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"city": c, "days": 7} for c in ("Paris", "Oslo")
    ]
    turn = {"role": "assistant", "content": None, "tool_calls": [c.model_dump(include=_CALL) for c in calls]}
    results = [{"role": "tool", "tool_call_id": c.id, "content": f"sunny {n}"} for n, c in enumerate(calls)]
    told = client.chat.completions.create(messages=[*CITIES, turn, *results], **ask)
    assert told.choices[0].message.content == "The tools say: sunny 0; sunny 1"
    one = client.chat.completions.create(
        messages=CITIES, parallel_tool_calls=False, **{**ask, "tool_choice": "required"}
    )
    assert len(one.choices[0].message.tool_calls) == 1
    none = client.chat.completions.create(messages=CITIES, **{**ask, "tool_choice": "none"})
    assert none.choices[0].message.tool_calls is None


_CALL: Any = {"id": True, "type": True, "function": {"name", "arguments"}}


@pytest.mark.parametrize("model", TARGETS)
def test_structured_output(client: Any, model: str) -> None:
    reply = client.chat.completions.parse(model=model, messages=ASKED, response_format=Trip)
    assert reply.choices[0].message.parsed == Trip(city="Paris", nights=7)


def test_what_only_the_vendor_knows_reaches_both_sides(client: Any, strict: Any) -> None:
    reply = client.chat.completions.create(
        model="openai/gpt-x", messages=ASKED, n=2, logprobs=True, top_logprobs=1, seed=7,
        extra_body={"prediction": {"type": "content", "content": "x"}},
    )  # fmt: skip
    assert len(reply.choices) == 2
    assert reply.choices[1].logprobs.content[0].logprob == -0.25
    assert reply.service_tier == "default"
    assert strict.last["prediction"] == {"type": "content", "content": "x"}
    assert strict.last["seed"] == 7
    asked: Any = {"model": "openai/gpt-x", "messages": ASKED, "n": 2, "logprobs": True, "extra_body": UNGUARDED}
    chunks = list(client.chat.completions.create(stream=True, **asked))
    assert {c.choices[0].index for c in chunks} == {0, 1}
    assert any(c.choices[0].logprobs for c in chunks)


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 7), ("logit_bias", {"1": 2}), ("n", 2), ("response_format", {"type": "json_object"})]
)
def test_what_has_no_counterpart_is_refused_by_name(client: Any, field: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="anthropic/claude-x", messages=ASKED, **{field: value})
    assert caught.value.param == field


def test_the_vendors_own_refusals_come_through(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="openai/gpt-x", messages=ASKED, temperature=3)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="anthropic/claude-x", messages=ASKED, temperature=1.5)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="openai/busy-model", messages=ASKED)
    assert client.chat.completions.create(model="spare", messages=ASKED).model == "claude-x-20260101"


@pytest.mark.parametrize("model", ["openai/gpt-x", "chat/gpt-x"])
def test_embeddings(client: Any, strict: Any, model: str) -> None:
    reply = client.embeddings.create(model=model, input=["one", "two"])
    assert [item.embedding for item in reply.data] == [[1.0, 2.0], [1.0, 2.0]]
    assert reply.usage.total_tokens == 4
    client.embeddings.create(model=model, input=[[1, 2, 3]], dimensions=2, encoding_format="float")
    assert strict.last == {"model": "gpt-x", "input": [[1, 2, 3]], "dimensions": 2, "encoding_format": "float"}
    client.embeddings.create(model=model, input="one alone")
    assert strict.last["input"] == "one alone"
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        client.embeddings.create(model="anthropic/claude-x", input="one")
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=model, input=[""])
    assert caught.value.param == "input[0]"


def test_simulated_embeddings_are_near_for_shared_words(client: Any) -> None:
    texts = ["refund policy", "the policy for a refund", "harbour lighthouse"]
    first, second, third = (
        item.embedding for item in client.embeddings.create(model="scripted/echo", input=texts).data
    )
    assert sum(a * b for a, b in zip(first, second, strict=True)) > 0.9
    assert abs(sum(a * b for a, b in zip(first, third, strict=True))) < 0.5


def test_models_are_listed_and_found(client: Any) -> None:
    listed = {model.id for model in client.models.list()}
    assert {"spare", "openai/busy-model", "scripted/echo"} <= listed
    assert client.models.retrieve("openai/gpt-never-listed").owned_by == "openai"
    assert client.models.retrieve("spare").owned_by == "route"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nowhere/gpt-x")


# Responses.

SPOKEN = ["openai/gpt-x", "old/gpt-x", "chat/gpt-x", "anthropic/claude-x"]


@pytest.mark.parametrize("model", SPOKEN)
def test_a_response_is_given(client: Any, model: str) -> None:
    reply = client.responses.create(model=model, instructions="Be brief.", input="Good morning to you")
    assert reply.output_text == "You said: Good morning to you"
    assert (reply.status, reply.object) == ("completed", "response")
    assert reply.usage.input_tokens == 11
    assert reply.usage.input_tokens_details.cached_tokens == 3
    cut = client.responses.create(model=model, input="Good morning to you", max_output_tokens=3)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    # Output items may be passed back as they came.
    again = client.responses.create(
        model=model, input=[{"role": "user", "content": "Hi"}, *reply.output, *_then("And?")]
    )
    assert again.output_text == "You said: And?"


def _then(text: str) -> Any:
    return [{"role": "user", "content": [{"type": "input_text", "text": text}]}]


@pytest.mark.parametrize("model", SPOKEN)
def test_a_response_is_streamed(client: Any, model: str) -> None:
    with client.responses.stream(model=model, input=LONG) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == f"You said: {LONG}"
    assert final.usage.output_tokens == 62
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds.count("response.output_text.delta") > 1
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", SPOKEN)
def test_a_response_calls_functions_and_gets_their_results(client: Any, model: str, stream: bool) -> None:
    asked: Any = {"model": model, "tools": [FLAT]}
    if stream:
        with client.responses.stream(input=CITIES, **asked) as events:
            reply = events.get_final_response()
    else:
        reply = client.responses.create(input=CITIES, **asked)
    calls = [item for item in reply.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": c, "days": 7} for c in ("Paris", "Oslo")]
    results = [{"type": "function_call_output", "call_id": c.call_id, "output": "sunny"} for c in calls]
    output = [item.model_dump(exclude={"parsed_arguments"}, exclude_none=True) for item in reply.output]
    told = client.responses.create(input=[*CITIES, *output, *results], **asked)
    assert told.output_text == "The tools say: sunny; sunny"


@pytest.mark.parametrize("model", SPOKEN)
def test_a_response_has_structured_output(client: Any, model: str) -> None:
    reply = client.responses.parse(model=model, input="A trip, please", text_format=Trip)
    assert reply.output_parsed == Trip(city="Paris", nights=7)


def test_reasoning_items_go_out_and_come_back(client: Any, strict: Any) -> None:
    asked: Any = {"model": "openai/gpt-x", "reasoning": {"effort": "low"}, "store": False, "tools": [FLAT]}
    reply = client.responses.create(input=CITIES, include=["reasoning.encrypted_content"], **asked)
    assert reply.output[0].encrypted_content == "sealed-by-openai"
    assert reply.model_extra["x_unknown_to_all"] == {"kept": [1, None]}
    results = [{"type": "function_call_output", "call_id": c.call_id, "output": "sunny"} for c in reply.output[1:]]
    told = client.responses.create(input=[*CITIES, *reply.output, *results], **asked)
    assert told.output_text == "The tools say: sunny; sunny"
    assert strict.last["input"][1]["encrypted_content"] == "sealed-by-openai"


def test_signed_thoughts_of_anthropic_survive_the_responses_client(client: Any) -> None:
    asked: Any = {"model": "anthropic/claude-x", "tools": [FLAT]}
    # Thinking has no field of its own in the Responses API: a prompt or route sets it; here the chat client does.
    chat = client.chat.completions.create(
        model="anthropic/claude-x", messages=CITIES, tools=[WEATHER], max_tokens=2000,
        extra_body={"thinking": {"type": "enabled", "budget_tokens": 1024}},
    )  # fmt: skip
    message = chat.choices[0].message
    assert message.model_extra["reasoning_content"] == "Let me see."
    results = [{"role": "tool", "tool_call_id": c.id, "content": "sunny"} for c in message.tool_calls]
    turn = message.model_dump(exclude_none=True)
    told = client.chat.completions.create(
        model="anthropic/claude-x", messages=[*CITIES, turn, *results], tools=[WEATHER], max_tokens=2000,
        extra_body={"thinking": {"type": "enabled", "budget_tokens": 1024}},
    )  # fmt: skip
    assert told.choices[0].message.content == "The tools say: sunny; sunny"
    assert client.responses.create(input="Hi", **asked).output_text == "You said: Hi"


@pytest.mark.parametrize("model", ["chat/gpt-x", "anthropic/claude-x"])
@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("tools", [{"type": "web_search"}], "tools[0].type"),
        ("max_tool_calls", 3, "max_tool_calls"),
        ("prompt", {"id": "pmpt_1"}, "prompt"),
        ("truncation", "auto", "truncation"),
        ("include", ["file_search_call.results"], "include[0]"),
    ],
)
def test_what_only_the_responses_api_has_is_refused_elsewhere(
    client: Any, model: str, field: str, value: Any, named: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input="Hi", **{field: value})
    assert caught.value.param == named


def test_headers_of_the_configuration_go_with_every_request(client: Any, strict: Any) -> None:
    client.chat.completions.create(model="chat/gpt-x", messages=ASKED)
    path, headers, _ = strict.seen[-1]
    assert (path, headers["x-team"]) == ("/v1/chat/completions", "blue")
    assert PRESETS["groq"].base_url != strict.url

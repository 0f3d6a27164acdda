"""LangChain and Pydantic AI, unmodified, on every kind of target."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pydantic
import pytest
import pytest_asyncio
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

# Both frameworks keep their HTTP clients for the whole process, and so need one event loop for all tests.
one_loop = pytest.mark.asyncio(loop_scope="module")

OPENAI, ANTHROPIC = "openai/gpt-x", "anthropic/claude-x"
TARGETS = [OPENAI, ANTHROPIC]
LONG = " ".join(["morning"] * 60)


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def closed_at_the_end() -> AsyncIterator[None]:
    """Nobody else closes the HTTP clients that the frameworks keep."""
    yield
    for kept in gc.get_objects():
        if isinstance(kept, httpx2.AsyncClient):
            await kept.aclose()
        elif isinstance(kept, httpx2.Client):
            kept.close()


class Trip(pydantic.BaseModel):
    """A trip."""

    city: str
    nights: int


@tool
def get_weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"{city}: sunny for {days} days"


def langchain(server: Any, face: str, model: str, **more: Any) -> Any:
    if face == "chat":
        return ChatOpenAI(model=model, base_url=f"{server.url}/v1", api_key=server.key, max_retries=0, **more)
    if face == "responses":
        more = {**more, "use_responses_api": True}
        return ChatOpenAI(model=model, base_url=f"{server.url}/v1", api_key=server.key, max_retries=0, **more)
    return ChatAnthropic(
        model_name=model, base_url=server.url, api_key=server.key, max_retries=0, timeout=20, stop=None, max_tokens=500
    )


@one_loop
@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("face", ["chat", "responses", "messages"])
async def test_langchain_asks_and_streams(server: Any, face: str, model: str) -> None:
    chat = langchain(server, face, model)
    reply = chat.invoke([("system", "Be brief."), ("human", "Good morning")])
    assert reply.text == "You said: Good morning"
    assert reply.usage_metadata["output_tokens"] == 4
    pieces = [piece.text async for piece in chat.astream(LONG)]
    assert "".join(pieces) == f"You said: {LONG}"
    assert len(pieces) > 1


@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("face", ["chat", "responses", "messages"])
def test_langchain_calls_tools(server: Any, face: str, model: str) -> None:
    chat = langchain(server, face, model).bind_tools([get_weather])
    asked: list[Any] = [HumanMessage("The weather in Paris and Oslo?")]
    reply = chat.invoke(asked)
    assert [call["args"] for call in reply.tool_calls] == [{"city": city, "days": 7} for city in ("Paris", "Oslo")]
    results = [ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in reply.tool_calls]
    told = chat.invoke([*asked, reply, *results])
    assert told.text == "The tools say: Paris: sunny for 7 days; Oslo: sunny for 7 days"


@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("face", ["chat", "messages"])
def test_langchain_gets_structured_output(server: Any, face: str, model: str) -> None:
    made = langchain(server, face, model).with_structured_output(Trip).invoke("A trip to Paris, please")
    assert made == Trip(city="Paris", nights=7)


def test_langchain_embeds(server: Any) -> None:
    made = OpenAIEmbeddings(
        model=OPENAI, base_url=f"{server.url}/v1", api_key=server.key, check_embedding_ctx_length=False
    )
    assert made.embed_documents(["one", "two"]) == [[1.0, 2.0], [1.0, 2.0]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=20) as made:
        yield made


def pydantic_model(server: Any, http: Any, face: str, model: str) -> Any:
    if face == "messages":
        return AnthropicModel(
            model, provider=AnthropicProvider(base_url=server.url, api_key=server.key, http_client=http)
        )
    made = OpenAIProvider(base_url=f"{server.url}/v1", api_key=server.key, http_client=http)
    return OpenAIChatModel(model, provider=made) if face == "chat" else OpenAIResponsesModel(model, provider=made)


@one_loop
@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("face", ["chat", "responses", "messages"])
async def test_pydantic_ai_runs_an_agent_with_tools(server: Any, http: Any, face: str, model: str) -> None:
    agent = Agent(pydantic_model(server, http, face, model), instructions="Be brief.")
    asked: list[str] = []

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """The weather of a city."""
        asked.append(city)
        return f"{city}: sunny"

    result = await agent.run("The weather in Paris and Oslo?")
    assert result.output == "The tools say: Paris: sunny; Oslo: sunny"
    assert sorted(asked) == ["Oslo", "Paris"]
    assert result.usage.requests == 2


@one_loop
@pytest.mark.parametrize("model", TARGETS)
@pytest.mark.parametrize("face", ["chat", "responses", "messages"])
async def test_pydantic_ai_gets_structured_output_and_streams(server: Any, http: Any, face: str, model: str) -> None:
    made = pydantic_model(server, http, face, model)
    assert (await Agent(made, output_type=Trip).run("A trip to Paris, please")).output == Trip(city="Paris", nights=7)
    async with Agent(made).run_stream(LONG) as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == f"You said: {LONG}"
    assert len(pieces) > 1

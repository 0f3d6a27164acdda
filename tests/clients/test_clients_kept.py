"""Responses that a provider keeps, through the official client: continued, fetched, cancelled, made in the background.

Two keys share the provider's accounts, and two accounts share a route.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from strict_provider import OPENAI_KEY, SECOND_KEY, Strict

from waiting import until

MODEL = "openai/gpt-x"
WEATHER: Any = {
    "type": "function", "name": "get_weather", "strict": True,
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"], "additionalProperties": False,
    },
}  # fmt: skip


def connected(server: Any, key: str) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20)


def made_key(server: Any, name: str, **limits: Any) -> str:
    status, _, made = server.ask("POST", "/api/keys", {"name": name, **limits})
    assert status == 201, made
    return str(made["secret"])


@pytest.fixture(scope="session")
def keys(server: Any) -> tuple[str, str]:
    return made_key(server, "kept one"), made_key(server, "kept two")


@pytest.fixture
def mine(server: Any, keys: tuple[str, str]) -> Iterator[Any]:
    with connected(server, keys[0]) as client:
        yield client


@pytest.fixture
def other(server: Any, keys: tuple[str, str]) -> Iterator[Any]:
    with connected(server, keys[1]) as client:
        yield client


@contextmanager
def down(strict: Strict, key: str) -> Iterator[None]:
    strict.down.add(key)
    try:
        yield
    finally:
        strict.down.discard(key)


def account_of(strict: Strict) -> str:
    """The key of the account that was asked last."""
    return strict.seen[-1][1]["authorization"].removeprefix("Bearer ")


def settled(server: Any, model: str) -> dict[str, Any]:
    """The sums of a model in the usage ledger."""
    rows = server.ask("GET", "/api/usage?by=model&days=1")[2]["usage"]
    return next((row for row in rows if row["model"] == model), {"requests": 0, "cost_usd": 0.0, "interrupted": 0})


# Continuing.


def test_a_response_goes_on_from_an_earlier_one(mine: Any, strict: Strict) -> None:
    first = mine.responses.create(model=MODEL, input="My name is Ada", store=True)
    second = mine.responses.create(model=MODEL, input="Good morning", previous_response_id=first.id)
    assert second.output_text == "You said: Good morning"
    assert (second.previous_response_id, second.status) == (first.id, "completed")
    assert first.id.startswith("resp_")
    assert second.id not in (first.id, strict.accounts[OPENAI_KEY].responses)
    assert strict.last["previous_response_id"] in strict.accounts[OPENAI_KEY].responses
    assert "My name is Ada" not in json.dumps(strict.last)
    read = mine.responses.input_items.list(second.id, order="asc").to_dict()
    assert "My name is Ada" in json.dumps(read)  # the earlier turn was read too


def test_a_stream_goes_on_and_is_gone_on_from(mine: Any) -> None:
    first = mine.responses.create(model=MODEL, input="Hello there")
    with mine.responses.stream(model=MODEL, input="And more", previous_response_id=first.id) as stream:
        events = list(stream)
        second = stream.get_final_response()
    begun = [event.response.id for event in events if event.type == "response.created"]
    assert (begun, second.previous_response_id) == ([second.id], first.id)
    third = mine.responses.create(model=MODEL, input="The end", previous_response_id=second.id)
    assert third.output_text == "You said: The end"


async def test_results_of_calls_go_on_from_the_calls(server: Any, keys: tuple[str, str]) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=keys[0], max_retries=0) as client:
        first = await client.responses.create(model=MODEL, input="The weather in Paris and Oslo?", tools=[WEATHER])
        calls = [item for item in first.output if item.type == "function_call"]
        assert [json.loads(call.arguments)["city"] for call in calls] == ["Paris", "Oslo"]
        results: Any = [{"type": "function_call_output", "call_id": c.call_id, "output": "sunny"} for c in calls]
        told = await client.responses.create(model=MODEL, input=results, previous_response_id=first.id, tools=[WEATHER])
        assert told.output_text == "The tools say: sunny; sunny"
        stream = await client.responses.create(
            model=MODEL, input="Thanks", previous_response_id=told.id, stream=True, tools=[WEATHER]
        )
        last = [event async for event in stream][-1]
        assert last.type == "response.completed"
        assert last.response.previous_response_id == told.id


def test_another_key_finds_nothing(mine: Any, other: Any, strict: Strict) -> None:
    kept = mine.responses.create(model=MODEL, input="A secret of mine")
    asked = len(strict.seen)
    for ident in (kept.id, "resp_1", f"resp_{'0' * 48}", f"{kept.id[:-1]}!", f"{kept.id}x"):
        with pytest.raises(openai.BadRequestError) as caught:
            other.responses.create(model=MODEL, input="Hi", previous_response_id=ident)
        assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")
        assert f"Previous response with id {ident!r} not found." in caught.value.message
    own = next(iter(strict.accounts[OPENAI_KEY].responses))  # the account's own id opens nothing either
    calls: list[Callable[[str], Any]] = [
        other.responses.retrieve, other.responses.delete, other.responses.cancel, other.responses.input_items.list
    ]  # fmt: skip
    for call in calls:
        for ident in (kept.id, own):
            with pytest.raises(openai.NotFoundError, match="not found"):
                call(ident)
    assert len(strict.seen) == asked  # nobody was asked
    assert mine.responses.retrieve(kept.id).output_text == "You said: A secret of mine"


def test_what_is_not_kept_cannot_be_gone_on_from(mine: Any) -> None:
    kept = mine.responses.create(model=MODEL, input="Hi", store=False)
    with pytest.raises(openai.BadRequestError) as caught:
        mine.responses.create(model=MODEL, input="And?", previous_response_id=kept.id)
    assert caught.value.code == "previous_response_not_found"
    assert "Send the earlier items in input" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        mine.responses.retrieve(kept.id)


@pytest.mark.parametrize("model", ["anthropic/claude-x", "chat/gpt-x", "old/gpt-x"])
def test_models_that_keep_nothing_say_what_to_do(mine: Any, model: str) -> None:
    reply = mine.responses.create(model=model, input="Hi")
    assert reply.store is False
    kept = mine.responses.create(model=MODEL, input="Hi")
    for ident in (reply.id, kept.id):
        with pytest.raises(openai.BadRequestError, match="Send the earlier items in input") as caught:
            mine.responses.create(model=model, input="And?", previous_response_id=ident)
        assert caught.value.param == "previous_response_id"
    with pytest.raises(openai.BadRequestError) as caught:
        mine.responses.create(model=model, input="Hi", background=True)
    assert caught.value.param == "background"
    with pytest.raises(openai.BadRequestError) as caught:
        mine.responses.create(model=model, input="Hi", conversation="conv_1")
    assert caught.value.param == "conversation"


def test_a_conversation_stays_at_its_account(mine: Any, strict: Strict) -> None:
    seen: set[str] = set()
    while len(seen) < 2:  # the route draws one of two accounts for each conversation
        first = mine.responses.create(model="both", input="Hello")
        account = account_of(strict)
        seen.add(account)
        for _ in range(3):
            first = mine.responses.create(model="both", input="More", previous_response_id=first.id)
            assert account_of(strict) == account
        assert mine.responses.retrieve(first.id).id == first.id
        assert account_of(strict) == account
    assert seen == {OPENAI_KEY, SECOND_KEY}


def test_an_account_that_is_down_is_named(mine: Any, strict: Strict) -> None:
    first = mine.responses.create(model="second/gpt-x", input="Hello")
    with down(strict, SECOND_KEY):
        assert mine.responses.create(model="both", input="Anew").status == "completed"
        with pytest.raises(openai.InternalServerError, match="Only the account second knows the earlier turns"):
            mine.responses.create(model="both", input="More", previous_response_id=first.id)
        with pytest.raises(openai.InternalServerError):
            mine.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError, match="has no model of second, which alone keeps it") as caught:
        mine.responses.create(model="first", input="More", previous_response_id=first.id)
    assert caught.value.param == "previous_response_id"


def test_an_answer_from_the_cache_opens_nothing(mine: Any, other: Any, server: Any) -> None:
    asked: Any = {"model": "first", "input": "A question of many"}
    first = mine.responses.create(**asked)
    hit = other.responses.with_raw_response.create(**asked)
    assert hit.headers["x-trimtab-cache"] == "hit"
    again = hit.parse()
    assert (again.output_text, again.store) == (first.output_text, False)
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(again.id)
    # Another turn on from it is asked of the model, whatever the cache holds.
    for _ in range(2):
        more = mine.responses.with_raw_response.create(model="first", input="More", previous_response_id=first.id)
        assert "x-trimtab-cache" not in more.headers


# Fetching.


def test_a_response_is_fetched_listed_and_deleted(mine: Any, strict: Strict) -> None:
    first = mine.responses.create(model=MODEL, input="One")
    second = mine.responses.create(model=MODEL, input="Two", previous_response_id=first.id)
    raw = mine.responses.with_raw_response.retrieve(second.id, include=["message.output_text.logprobs"])
    got = raw.parse()
    assert "x-trimtab-cost-usd" not in raw.headers
    assert (got.id, got.output_text, got.usage) == (second.id, second.output_text, second.usage)
    assert got.model_extra["x_unknown_to_all"] == {"kept": [1, None]}
    assert mine.responses.retrieve(got.previous_response_id).output_text == first.output_text
    page = mine.responses.input_items.list(second.id, order="asc", limit=2)
    assert [item.role for item in page.data] == ["user", "assistant"]
    assert "output" not in (page.model_extra or {})
    assert page.has_more
    assert mine.responses.delete(second.id) is None
    with pytest.raises(openai.NotFoundError) as caught:
        mine.responses.retrieve(second.id)
    assert second.id in caught.value.message
    with pytest.raises(openai.BadRequestError) as refused:
        mine.responses.create(model=MODEL, input="Three", previous_response_id=second.id)
    assert refused.value.code == "previous_response_not_found"
    assert mine.responses.retrieve(first.id).id == first.id
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response") as told:
        mine.responses.cancel(first.id)
    assert not any(ident in told.value.message for ident in strict.accounts[OPENAI_KEY].responses)


def test_what_cannot_be_fetched_is_refused_by_name(mine: Any, server: Any, keys: tuple[str, str]) -> None:
    kept = mine.responses.create(model=MODEL, input="One")
    with pytest.raises(openai.BadRequestError, match="Only a response that was created with stream=true"):
        mine.responses.retrieve(kept.id, stream=True)
    mine_too = {"authorization": f"Bearer {keys[0]}"}
    assert server.ask("PUT", f"/v1/responses/{kept.id}", headers=mine_too)[0] == 405
    assert server.ask("GET", f"/v1/responses/{kept.id}/cancel", headers=mine_too)[0] == 405
    assert server.ask("GET", f"/v1/responses/{kept.id}/nothing", headers=mine_too)[0] == 404
    assert server.ask("GET", f"/v1/responses/{kept.id}", headers={"authorization": "Bearer tt-wrong"})[0] == 401
    assert server.ask("GET", f"/v1/responses/{kept.id}?include=%zz{'x' * 3000}", headers=mine_too)[0] == 400
    assert server.ask("GET", f"/v1/responses/{kept.id}?nonsense=1", headers=mine_too)[0] == 400


def test_the_guard_reads_what_is_fetched(server: Any, mine: Any, strict: Strict) -> None:
    secret = "sk-live-4eC39HqLyjWDarjtT1zdp7dc4eC39HqLyjWDarjt"
    said = mine.responses.create(model=MODEL, input=f"Repeat {secret}")
    assert secret not in said.output_text
    account = strict.accounts[OPENAI_KEY]
    kept = account.responses[list(account.responses)[-1]]
    kept["output"][0]["content"][0]["text"] = f"It is {secret}"
    got = mine.responses.retrieve(said.id)
    assert got.output_text.startswith("It is [redacted")
    more = mine.responses.create(model=MODEL, input="And?", previous_response_id=said.id)
    assert secret not in json.dumps(mine.responses.input_items.list(more.id).to_dict())


# In the background.


def polled(client: Any, ident: str) -> Any:
    for _ in range(20):
        got = client.responses.with_raw_response.retrieve(ident)
        if got.parse().status not in ("queued", "in_progress"):
            return got
    raise AssertionError("it did not end")


def test_a_response_is_made_in_the_background_and_paid_once(server: Any) -> None:
    before = settled(server, "openai/priced")
    with connected(server, made_key(server, "background", budget_usd=5.0, period="day")) as client:
        raw = client.responses.with_raw_response.create(
            model="openai/priced", input="Hello", background=True, max_output_tokens=100
        )
        queued = raw.parse()
        assert (queued.status, queued.background, queued.usage) == ("queued", True, None)
        assert "x-trimtab-cost-usd" not in raw.headers
        assert client.responses.retrieve(queued.id).status == "in_progress"
        assert settled(server, "openai/priced")["requests"] == before["requests"]
        done = polled(client, queued.id)
        got = done.parse()
        assert (got.status, got.output_text) == ("completed", "You said: Hello")
        cost = (got.usage.input_tokens * 1000 + got.usage.output_tokens * 2000) / 1e6
        assert float(done.headers["x-trimtab-cost-usd"]) == pytest.approx(cost, abs=0.002)
        for _ in range(3):
            assert "x-trimtab-cost-usd" not in client.responses.with_raw_response.retrieve(queued.id).headers
        after = settled(server, "openai/priced")
        assert after["requests"] == before["requests"] + 1
        assert after["cost_usd"] - before["cost_usd"] == pytest.approx(float(done.headers["x-trimtab-cost-usd"]))
        assert client.responses.create(model=MODEL, input="And?", previous_response_id=queued.id).status == "completed"
        path = f"/api/traces/{done.headers['x-trimtab-trace-id']}"
        spans = until(lambda: server.ask("GET", path)[2].get("spans"))
        root = next(span for span in spans if not span["parent_id"])
        assert root["attributes"]["background_of"] == raw.headers["x-trimtab-trace-id"]
        assert (root["output"], root["attributes"]["gateway"]) == ("You said: Hello", False)


def test_pending_responses_hold_their_money(server: Any) -> None:
    # A thousand tokens of output cost two dollars.
    asked: Any = {"model": "openai/priced", "input": "please never end", "background": True, "max_output_tokens": 1000}
    with connected(server, made_key(server, "holding", budget_usd=3.0, period="day")) as client:
        queued = client.responses.create(**asked)
        keys = {key["name"]: key["id"] for key in server.ask("GET", "/api/keys")[2]["keys"]}
        budget = server.ask("GET", f"/api/keys/{keys['holding']}/usage")[2]["budget"]
        assert budget["spent_usd"] == 0
        assert budget["reserved_usd"] > 2
        cancelled = client.responses.cancel(queued.id)
        assert (cancelled.status, cancelled.usage) == ("cancelled", None)
        budget = server.ask("GET", f"/api/keys/{keys['holding']}/usage")[2]["budget"]
        assert budget["reserved_usd"] == 0
        assert budget["spent_usd"] > 2  # nobody said what it used: it is charged as it was reserved
        failed = client.responses.create(**{**asked, "input": "please fail", "max_output_tokens": 10})
        assert polled(client, failed.id).parse().status == "failed"
        spent = server.ask("GET", f"/api/keys/{keys['holding']}/usage")[2]["budget"]["spent_usd"]
        assert spent == budget["spent_usd"]


def test_the_background_is_where_a_provider_has_one(mine: Any, strict: Strict) -> None:
    assert mine.responses.create(model="mixed", input="Hi", background=True).status == "queued"
    assert strict.seen[-1][0] == "/v1/responses"
    assert mine.responses.create(model="anthropic/claude-x", input="Hi", background=False).status == "completed"


# Several processes, and a restart.


def test_ids_hold_over_processes_and_restarts(strict: Strict, start_server: Callable[..., Any], tmp_path: Path) -> None:
    config = tmp_path / "trimtab.yaml"
    config.write_text(
        f"providers:\n  openai: {{kind: openai, base_url: '{strict.url}', api_key: env:STRICT_OPENAI}}\n"
        "prices:\n  openai/priced: {input: 1000, output: 2000}\n"
    )
    env = {"STRICT_OPENAI": OPENAI_KEY, "TRIMTAB_ADMIN_KEY": "tt-kept-admin-0123456789"}
    server = start_server(config=config, env=env, arguments=("--workers", "2"))
    secret = made_key(server, "app")
    first = ""
    for n in range(12):  # each from a connection of its own: whichever process takes it knows the id
        with connected(server, secret) as client:
            more: Any = {"previous_response_id": first} if first else {}
            first = client.responses.create(model=MODEL, input=f"Turn {n}", **more).id
    with connected(server, secret) as client:
        queued = client.responses.create(model="openai/priced", input="Hello", background=True)
        lost = client.responses.create(model="openai/priced", input="please never end", background=True)
        found = client.responses.create(model="openai/priced", input="Hello again", background=True)
    for _ in range(6):
        with connected(server, secret) as client:
            last = polled(client, queued.id).parse()
    assert last.status == "completed"
    assert settled(server, "openai/priced")["requests"] == 1
    server.stop()
    server.start()
    with connected(server, secret) as client:
        assert client.responses.retrieve(first).output_text == "You said: Turn 11"
        assert client.responses.create(model=MODEL, input="On", previous_response_id=first).status == "completed"
        assert client.responses.retrieve(lost.id).status == "in_progress"
        sums = settled(server, "openai/priced")  # what was pending is charged as it was reserved
        assert (sums["requests"], sums["interrupted"]) == (3, 2)
        done = polled(client, found.id)  # until somebody sees how it ended
        assert (done.parse().status, "x-trimtab-cost-usd" in done.headers) == ("completed", True)
        after = settled(server, "openai/priced")
        assert (after["requests"], after["interrupted"]) == (3, 1)
        assert after["cost_usd"] < sums["cost_usd"]

"""Streams of responses that are made in the background, through the official client: left, resumed, cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from strict_provider import OPENAI_KEY, Strict
from test_clients_kept import MODEL, connected, made_key, polled, settled

from waiting import until

PRICED = "openai/priced"
STORY = "please wait and repeat: once upon a time there was a fox, and it slept."


@pytest.fixture(scope="session")
def keys(server: Any) -> tuple[str, str]:
    return made_key(server, "streams one"), made_key(server, "streams two")


@pytest.fixture
def mine(server: Any, keys: tuple[str, str]) -> Iterator[Any]:
    with connected(server, keys[0]) as client:
        yield client


def left(server: Any, client: Any, most: int, **body: Any) -> list[Any]:
    """The first events of a stream whose client then hangs up, which the gateway has noticed."""
    events = []
    with client.responses.create(input=STORY, background=True, stream=True, **body) as stream:
        for event in stream:
            events.append(event)
            if len(events) == most:
                break
    noticed(server, stream)
    return events


def noticed(server: Any, stream: Any) -> None:
    """Wait until the gateway knows that nobody reads a stream any more: then its trace is there."""
    path = f"/api/traces/{stream.response.headers['x-trimtab-trace-id']}"
    until(lambda: server.ask("GET", path)[2].get("spans"))


def said(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def shown(events: list[Any]) -> list[dict[str, Any]]:
    """The events without the cost, which is told once."""
    found = [json.loads(event.to_json()) for event in events]
    for event in found:
        event.get("response", {}).pop("trimtab", None)
    return found


def test_a_background_stream_gives_the_providers_events(mine: Any, strict: Strict) -> None:
    stream = mine.responses.create(model=MODEL, input="Hello there", background=True, stream=True)
    events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert (strict.last["background"], strict.last["stream"]) == (True, True)
    final = events[-1].response
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}
    assert final.id not in strict.accounts[OPENAI_KEY].responses
    assert (final.background, final.output_text, said(events)) == (True, *["You said: Hello there"] * 2)
    again = list(mine.responses.retrieve(final.id, stream=True))
    assert shown(again) == shown(events)
    for after in (0, 4, len(events) - 2, len(events) - 1):
        more = list(mine.responses.retrieve(final.id, stream=True, starting_after=after, include_obfuscation=False))
        assert shown(more) == [event for event in shown(events) if event["sequence_number"] > after]
    assert mine.responses.create(model=MODEL, input="And?", previous_response_id=final.id).status == "completed"


def test_the_helper_of_the_client_reads_it(mine: Any) -> None:
    with mine.responses.stream(model=MODEL, input="Hello there", background=True) as stream:
        for event in stream:
            if event.type == "response.created":
                ident = event.response.id
                break
    with mine.responses.stream(response_id=ident, starting_after=0) as stream:
        assert stream.get_final_response().output_text == "You said: Hello there"


async def test_a_client_that_hangs_up_goes_on_later(server: Any, keys: tuple[str, str], strict: Strict) -> None:
    before = settled(server, PRICED)
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=keys[0], max_retries=0) as client:
        stream = await client.responses.create(model=PRICED, input=STORY, background=True, stream=True)
        events = [await anext(stream) for _ in range(3)]
        await stream.close()
        await asyncio.to_thread(noticed, server, stream)
        ident = events[0].response.id  # type: ignore[union-attr]  # the first says that it is made
        assert (await client.responses.retrieve(ident)).status == "in_progress"
        assert settled(server, PRICED)["requests"] == before["requests"]
        middle = await client.responses.retrieve(ident, stream=True, starting_after=2)
        events.append(await anext(middle))
        await middle.close()
        await asyncio.to_thread(noticed, server, middle)
        assert [event.sequence_number for event in events] == [0, 1, 2, 3]
        strict.accounts[OPENAI_KEY].go_on()
        events += [event async for event in await client.responses.retrieve(ident, stream=True, starting_after=3)]
        assert [event.sequence_number for event in events] == sorted(event.sequence_number for event in events)
        assert events[-1].type == "response.completed"
        assert said(events) == events[-1].response.output_text
        assert "once upon a time" in said(events)
        cost = events[-1].response.model_extra["trimtab"]["cost_usd"]
        assert cost > 0
        again = [event async for event in await client.responses.retrieve(ident, stream=True, starting_after=3)]
        assert "trimtab" not in again[-1].response.model_extra  # type: ignore[union-attr]
        after = settled(server, PRICED)
        assert after["requests"] == before["requests"] + 1
        assert after["cost_usd"] - before["cost_usd"] == pytest.approx(cost)


def test_a_response_is_cancelled_in_the_middle_of_its_stream(mine: Any, server: Any) -> None:
    before = settled(server, PRICED)
    with mine.responses.create(
        model=PRICED, input=STORY, background=True, stream=True, max_output_tokens=100
    ) as stream:
        events = [next(stream) for _ in range(3)]
        ident = events[0].response.id
        assert mine.responses.cancel(ident).status == "cancelled"
        assert "response.completed" not in [event.type for event in stream]  # and it ends
    assert mine.responses.retrieve(ident).status == "cancelled"
    assert [event.type for event in mine.responses.retrieve(ident, stream=True, starting_after=2)][-1:] != [
        "response.completed"
    ]
    after = until(lambda: (sums := settled(server, PRICED))["requests"] > before["requests"] and sums)
    assert after["requests"] == before["requests"] + 1
    assert after["interrupted"] == before["interrupted"] + 1  # nobody said what it used


def test_another_key_gets_no_stream(mine: Any, server: Any, keys: tuple[str, str], strict: Strict) -> None:
    ident = left(server, mine, 1, model=MODEL)[0].response.id
    asked = len(strict.seen)
    with connected(server, keys[1]) as other:
        for name in (ident, next(iter(strict.accounts[OPENAI_KEY].responses))):
            with pytest.raises(openai.NotFoundError, match="not found"):
                other.responses.retrieve(name, stream=True)
    assert len(strict.seen) == asked
    strict.accounts[OPENAI_KEY].go_on()


@pytest.mark.parametrize("model", ["anthropic/claude-x", "chat/gpt-x", "old/gpt-x"])
def test_models_that_keep_nothing_stream_nothing_in_the_background(mine: Any, model: str) -> None:
    mine.responses.create(model=model, input="Hi")  # a server without the API is known by now
    with pytest.raises(openai.BadRequestError) as caught:
        mine.responses.create(model=model, input="Hi", background=True, stream=True)
    assert caught.value.param == "background"


def test_the_guard_reads_a_stream_that_is_resumed(mine: Any, strict: Strict) -> None:
    secret = "sk-live-4eC39HqLyjWDarjtT1zdp7dc4eC39HqLyjWDarjt"
    events = list(mine.responses.create(model=MODEL, input="Say the word", background=True, stream=True))
    account = strict.accounts[OPENAI_KEY]
    telling = account._telling[list(account._telling)[-1]]
    telling._events = [event.replace("word", secret) for event in telling._events]
    numbers = [event.sequence_number for event in events if event.type == "response.output_text.delta"]
    for after in (None, 0, *numbers):
        query: Any = {} if after is None else {"starting_after": after}
        again = list(mine.responses.retrieve(events[0].response.id, stream=True, **query))
        text = json.dumps(shown(again))
        assert secret not in text
        assert "[redacted" in again[-1].response.output_text


def test_budgets_hold_what_a_stream_may_cost(server: Any, strict: Strict) -> None:
    asked: Any = {"model": PRICED, "max_output_tokens": 1000}  # which cost two dollars
    with connected(server, made_key(server, "streams budget", budget_usd=3.0, period="day")) as client:
        ident = left(server, client, 2, **asked)[0].response.id
        keys = {key["name"]: key["id"] for key in server.ask("GET", "/api/keys")[2]["keys"]}
        path = f"/api/keys/{keys['streams budget']}/usage"
        budget = until(lambda: (found := server.ask("GET", path)[2]["budget"])["reserved_usd"] > 2 and found)
        assert budget["spent_usd"] == 0
        strict.accounts[OPENAI_KEY].go_on()
        streams = [client.responses.retrieve(ident, stream=True, starting_after=n) for n in (0, 1)]
        ends = [list(stream)[-1] for stream in streams]  # both are open before either is read
        assert [end.type for end in ends] == ["response.completed"] * 2
        told = [end.response.model_extra.get("trimtab") for end in ends]
        (paid,) = [each["cost_usd"] for each in told if each]
        budget = server.ask("GET", path)[2]["budget"]
        assert (budget["reserved_usd"], budget["spent_usd"]) == (0, pytest.approx(paid))


def test_a_stream_goes_on_after_a_restart(strict: Strict, start_server: Callable[..., Any], tmp_path: Path) -> None:
    config = tmp_path / "trimtab.yaml"
    config.write_text(
        f"providers:\n  openai: {{kind: openai, base_url: '{strict.url}', api_key: env:STRICT_OPENAI}}\n"
        "prices:\n  openai/priced: {input: 1000, output: 2000}\n"
    )
    env = {"STRICT_OPENAI": OPENAI_KEY, "TRIMTAB_ADMIN_KEY": "tt-streams-admin-0123456789"}
    server = start_server(config=config, env=env)
    secret = made_key(server, "app", budget_usd=100.0, period="day")
    with connected(server, secret) as client:
        ident = left(server, client, 3, model=PRICED)[0].response.id
    server.stop()
    server.start()
    with connected(server, secret) as client:
        sums = settled(server, PRICED)
        assert (sums["requests"], sums["interrupted"]) == (1, 1)  # charged as it was reserved
        strict.accounts[OPENAI_KEY].go_on()
        events = list(client.responses.retrieve(ident, stream=True, starting_after=2))
        assert events[0].sequence_number == 3
        assert said(events) == events[-1].response.output_text
        cost = events[-1].response.model_extra["trimtab"]["cost_usd"]
        sums = settled(server, PRICED)
        assert (sums["requests"], sums["interrupted"], sums["cost_usd"]) == (1, 0, pytest.approx(cost))
        assert "x-trimtab-cost-usd" not in polled(client, ident).headers
        keys = {key["name"]: key["id"] for key in server.ask("GET", "/api/keys")[2]["keys"]}
        budget = server.ask("GET", f"/api/keys/{keys['app']}/usage")[2]["budget"]
        assert (budget["reserved_usd"], budget["spent_usd"]) == (0, pytest.approx(cost))

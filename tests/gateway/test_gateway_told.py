"""What a client is told besides the answer: what it cost, and the id by which it is found again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_house import Answer, House, http_reply, user

from trimtab.core import Usage, now_ns
from trimtab.gateway import LiveTrace
from trimtab.gateway.attempt import Attempt
from trimtab.traces import parse_query

BODY = {"id": "c", "object": "chat.completion", "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
], "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}}  # fmt: skip
SURFACES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": user("Hi"), "stream_options": {"include_usage": True}},
    "/v1/messages": {"messages": user("Hi"), "max_tokens": 50},
    "/v1/responses": {"input": "Hi"},
}


async def told(house: House, path: str, model: str, *, stream: bool) -> Answer:
    body = {"model": model, "stream": stream, **SURFACES[path]}
    if not stream:
        body.pop("stream_options", None)
    return await house.call("POST", path, json.dumps(body).encode(), key=house.admin)


def last_words(answer: Answer) -> list[Any]:
    """Every ``trimtab`` in the events of a stream, wherever a surface puts it."""
    datas = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: {")]
    events = [json.loads(data) for data in datas]
    return [found for e in events if (found := e.get("trimtab") or (e.get("response") or {}).get("trimtab"))]


@pytest.mark.parametrize("path", SURFACES)
async def test_a_whole_answer_says_what_it_cost(house: House, path: str) -> None:
    answer = await told(house, path, "scripted/steady", stream=False)
    spans, _ = await house.trace(answer)
    assert spans[0].cost_usd
    assert float(answer.headers["x-trimtab-cost-usd"]) == pytest.approx(spans[0].cost_usd, abs=1e-9)
    assert b'"trimtab"' not in answer.body, "a plain answer passes untouched"


@pytest.mark.parametrize("path", SURFACES)
async def test_a_stream_says_what_it_cost_in_its_last_piece(house: House, path: str) -> None:
    answer = await told(house, path, "scripted/steady", stream=True)
    spans, _ = await house.trace(answer)
    assert "x-trimtab-cost-usd" not in answer.headers, "nobody knows it yet"
    assert last_words(answer) == [{"cost_usd": pytest.approx(spans[0].cost_usd, abs=1e-9)}]


async def test_a_stream_that_was_not_asked_for_its_usage_gets_no_piece_more(house: House) -> None:
    answer = await house.ask({"model": "scripted/steady", "stream": True, "messages": user("Hi")})
    assert last_words(answer) == []
    assert all(event == "[DONE]" or event["choices"] for event in answer.events)


@pytest.mark.parametrize("path", SURFACES)
async def test_a_model_without_a_price_is_unpriced_and_not_free(house: House, path: str) -> None:
    house.vendor.reply = lambda headers, body: http_reply(200, BODY)
    plain = await told(house, path, "vendor/m", stream=False)
    assert plain.headers["x-trimtab-cost-usd"] == "unpriced"


async def test_an_answer_from_the_cache_costs_nothing(house: House) -> None:
    await house.publish("routes", "cached", {"targets": [{"model": "scripted/steady"}], "cache": {"ttl": 60}})
    ask = {"model": "cached", "messages": user("Hi"), "temperature": 0}
    first, second = await house.ask(ask), await house.ask(ask)
    assert float(first.headers["x-trimtab-cost-usd"]) > 0
    assert (second.headers["x-trimtab-cache"], second.headers["x-trimtab-cost-usd"]) == ("hit", "0.000000000")


def test_attempts_that_were_paid_for_count_together_and_an_unpriced_answer_is_unpriced() -> None:
    live, used = LiveTrace(now_ns), Usage(input_tokens=1_000_000)
    assert live.cost is None
    priced = [Attempt(ref="openai/gpt-4o-mini", start_ns=1, usage=used) for _ in range(2)]
    unknown = Attempt(ref="openai/nobody-knows", start_ns=1, usage=used)
    live.attempts = [Attempt(ref="openai/gpt-4o-mini", start_ns=1), *priced]
    assert live.cost == pytest.approx(0.30), "the first one failed before it used anything"
    live.attempts = [unknown, *priced]
    assert live.cost == pytest.approx(0.30)
    live.attempts = [*priced, unknown]
    assert live.cost is None


@pytest.mark.parametrize(("path", "header"), [("/v1/chat/completions", "x-request-id"), ("/v1/messages", "request-id")])
async def test_the_id_stands_where_the_clients_of_the_vendor_look_for_it(house: House, path: str, header: str) -> None:
    answer = await told(house, path, "scripted/steady", stream=False)
    assert answer.headers[header] == answer.headers["x-trimtab-trace-id"]
    body = json.dumps({"model": "no-such-route", **SURFACES[path]}).encode()
    refused = await house.call("POST", path, body, key=house.admin)
    assert refused.status == 404
    assert refused.headers[header] == refused.headers["x-trimtab-trace-id"]


async def test_the_vendors_own_id_of_a_request_that_failed_is_kept_for_its_support(house: House) -> None:
    head = b"HTTP/1.1 500 X\r\nx-request-id: req_8f3a\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
    house.vendor.reply = lambda headers, body: [head]
    answer = await house.ask({"model": "vendor/m", "messages": user("Hi")}, key=house.admin)
    assert answer.status == 502
    spans, _ = await house.trace(answer)
    assert {span.attributes.get("vendor_request") for span in spans if span.kind == "llm"} == {"req_8f3a"}
    assert "req_8f3a" not in spans[0].error, "errors that are alike read alike"


@pytest.mark.parametrize("query", ["name=plain", "route=plain/1", "route~plain/"])
async def test_the_queries_that_the_docs_give_find_what_a_route_served(house: House, query: str) -> None:
    answer = await house.ask({"model": "plain", "messages": user("Hi")})
    await house.trace(answer)
    found = await house.spans.query(parse_query(query))
    assert [span.trace_id for span in found.spans] == [answer.headers["x-trimtab-trace-id"]]

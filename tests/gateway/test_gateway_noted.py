"""What the gateway notes with a request for those who watch: its sureness, its budget, its embedding, its index."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from gateway_house import House, http_reply, piece, sse_reply, user
from tenant_house import Clock, Tenant, tenant

from trimtab.core import INDEX_SOURCE, INDEX_WATERMARK, VECTOR, Chunk
from trimtab.gateway.checks import plan_of, tightest
from trimtab.gateway.limitset import read_limits
from trimtab.gateway.sureness import Sureness
from trimtab.knowledge import Document
from trimtab.providers import Providers, ProviderSpec
from trimtab.store import Level
from trimtab.watch import MEASURES, traffic_of

TOLD = {"content": [
    {"token": "A", "logprob": -0.5, "top_logprobs": [{"token": "B", "logprob": -0.1}]}, {"token": "!", "logprob": -0.3},
]}  # fmt: skip


@pytest.fixture
def spoken(house: House) -> House:
    """The house, and a route to the vendor on loopback."""
    url = f"http://127.0.0.1:{house.vendor.port}/v1"
    specs = {"vendor": ProviderSpec(kind="openai", base_url=url, api_key="k")}
    house.gateway.providers = Providers(specs, http=house.http, scripted=house.scripted)
    return house


def chat(logprobs: Mapping[str, Any] | None) -> list[bytes]:
    message = {"role": "assistant", "content": "A!"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
    return http_reply(200, {"id": "1", "object": "chat.completion", "model": "gpt-x", "choices": [choice]})


async def test_the_log_probabilities_of_an_answer_are_noted_where_they_were_asked_for(spoken: House) -> None:
    spoken.vendor.reply = lambda headers, body: chat(TOLD)
    body = {"model": "vendor/gpt-x", "messages": user("Hi"), "logprobs": True}
    spans, _ = await spoken.trace(await spoken.ask(body))
    assert [spans[0].attributes["logprob"], spans[-1].attributes["logprob"]] == [-0.2, -0.2]
    (seen,) = traffic_of(spans)
    assert MEASURES["certainty"].of(seen) == -0.2
    silent, _ = await spoken.trace(await spoken.ask({**body, "logprobs": False}))
    assert "logprob" not in silent[0].attributes


async def test_a_vendor_that_gives_none_has_none_noted(spoken: House) -> None:
    spoken.vendor.reply = lambda headers, body: chat(None)
    answer = await spoken.ask({"model": "vendor/gpt-x", "messages": user("Hi"), "logprobs": True})
    spans, _ = await spoken.trace(answer)
    assert spans[0].status == "ok"
    assert "logprob" not in spans[0].attributes


async def test_those_of_a_stream_are_added_up(spoken: House) -> None:
    def said(text: str, *values: float) -> dict[str, Any]:
        made = piece(text)
        made["choices"][0]["logprobs"] = {"content": [{"token": text, "logprob": value} for value in values]}
        return made

    spoken.vendor.reply = lambda headers, body: sse_reply(said("A", -0.5), said("!", -0.1, -0.3), piece("", "stop"))
    body = {"model": "vendor/gpt-x", "messages": user("Hi"), "logprobs": True, "stream": True}
    spans, _ = await spoken.trace(await spoken.ask(body))
    assert spans[0].attributes["logprob"] == pytest.approx(-0.3)


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(), Chunk(body={"choices": []}), Chunk(body={"choices": 7}), Chunk(body={"choices": ["x"]}),
        Chunk(body={"choices": [{"logprobs": {"content": [7, {"logprob": "x"}, {"logprob": None}]}}]}),
        Chunk(body={"choices": [{"index": 1, "logprobs": TOLD}]}), Chunk(native={"logprobs": "x"}),
    ],
)  # fmt: skip
def test_what_holds_no_log_probabilities_adds_nothing(chunk: Chunk) -> None:
    sureness = Sureness()
    sureness.read(chunk)
    assert sureness.mean is None


def test_events_of_the_responses_api_tell_them_too() -> None:
    sureness = Sureness()
    sureness.read(Chunk(native={"type": "response.output_text.delta", "logprobs": TOLD["content"]}))
    assert sureness.mean == pytest.approx(-0.2)


async def embed(house: House, given: Any, vectors: list[Any]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    reply = {"object": "list", "data": data, "model": "e-1", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    house.vendor.reply = lambda headers, body: http_reply(200, reply)
    body = json.dumps({"model": "vendor/e-1", "input": given}).encode()
    spans, _ = await house.trace(await house.call("POST", "/v1/embeddings", body))
    return dict(spans[0].attributes)


async def test_the_embedding_of_one_text_leaves_a_sketch(spoken: House) -> None:
    assert (await embed(spoken, "how?", [[3.0, 4.0]]))[VECTOR] == {"norm": 5.0, "dimensions": 2, "first": [3.0, 4.0]}
    packed = base64.b64encode(struct.pack("<2f", 3.0, 4.0)).decode()
    assert (await embed(spoken, "how?", [packed]))[VECTOR]["norm"] == 5.0


async def test_documents_that_are_embedded_leave_none(spoken: House) -> None:
    assert VECTOR not in await embed(spoken, ["one", "two"], [[3.0, 4.0], [1.0, 0.0]])
    assert VECTOR not in await embed(spoken, "how?", ["no vector"])


async def test_a_search_says_up_to_when_its_index_has_the_sources(house: House) -> None:
    def lag(spans: list[Any]) -> float | None:
        (seen,) = traffic_of(spans)
        return MEASURES["index_lag"].of(seen)

    body = {"model": "support", "messages": user("When do access keys expire?")}
    spans, _ = await house.trace(await house.ask(body))
    (search,) = [span for span in spans if span.kind == "retriever"]
    served = house.registry.versions("corpora", "docs")[0]
    assert (search.attributes[INDEX_WATERMARK], search.attributes[INDEX_SOURCE]) == (served.created_ns,) * 2
    assert lag(spans) == 0.0
    newer = [Document(id="new", title="New", source="new.md", text="Keys never expire.", updated_ns=10**18)]
    built = await house.corpora.build("docs", newer, author="test")
    again, _ = await house.trace(await house.ask(body))
    assert lag(again) == pytest.approx((built.created_ns - served.created_ns) / 86_400e9)
    assert house.registry.newest_ns("corpora", "nothing") == 0


@pytest.fixture
async def tenancy(house: House) -> AsyncIterator[Tenant]:
    made = await tenant(house, Clock())
    house.gateway.clock = made.clock
    yield made
    await made.close()


async def test_a_request_within_a_budget_says_what_is_left_of_it(tenancy: Tenant) -> None:
    house = tenancy.house
    _, secret = await house.keys.create("poor", limits={"budget_usd": 1.0, "period": "day"})
    first, _ = await house.trace(await house.ask({"model": "plain", "messages": user("Hi")}, key=secret))
    budget = first[0].attributes["budget"]
    assert budget["left"] == 1.0
    # 14:13:20 UTC.
    assert budget["time"] == pytest.approx(1 - (14 * 3600 + 13 * 60 + 20) / 86_400, abs=1e-3)
    (seen,) = traffic_of(first)
    assert MEASURES["budget_left"].of(seen) == 1.0
    free, _ = await house.trace(await house.ask({"model": "plain", "messages": user("Hi")}))
    assert "budget" not in free[0].attributes


async def test_a_budget_that_is_nearly_spent_is_short(tenancy: Tenant) -> None:
    house = tenancy.house
    _, secret = await house.keys.create("poor", limits={"budget_usd": 0.0002, "period": "day"})
    body = {"model": "plain", "messages": user("Hi"), "max_tokens": 1}
    left = []
    for _ in range(40):
        answer = await house.ask(body, key=secret)
        if answer.status != 200:
            break
        spans, _ = await house.trace(answer)
        left.append(spans[0].attributes["budget"]["left"])
    assert left == sorted(left, reverse=True)
    assert left[-1] < left[0]


def test_the_tightest_budget_is_the_one_that_lasts_the_shortest() -> None:
    clock = Clock()
    scopes = [("key", "k", "k", read_limits({"budget_usd": 10.0, "period": "month"})),
              ("team", "t", "t", read_limits({"budget_usd": 1.0, "period": "day", "rpm": 5}))]  # fmt: skip
    checks = plan_of(scopes)
    of = {"key": Level(used=9 * 10**9), "team": Level(used=10**8, reserved=10**8)}
    levels = [of[check.scope] if check.what == "budget_usd" else Level(used=3) for check in checks]
    # A tenth is left of a month of which 0.314 are to come, 0.8 of a day of which 0.407 are.
    assert tightest(checks, levels, clock()) == {"left": 0.1, "time": pytest.approx(0.3135, abs=1e-3)}
    of["team"] = Level(used=95 * 10**7)
    levels = [of[check.scope] if check.what == "budget_usd" else Level(used=3) for check in checks]
    assert tightest(checks, levels, clock()) == {"left": 0.05, "time": pytest.approx(0.4074, abs=1e-3)}
    assert tightest(checks, [], clock()) == {}

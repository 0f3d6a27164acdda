"""Groups, comparisons and completion over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from trimtab.core import Score, Span, Stamp, TrimtabError
from trimtab.store import SpanStore
from trimtab.traces import routes

NOW = 1_795_600_000 * 10**9
MINUTE = 60 * 10**9


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrimtabError)
    return JSONResponse({"detail": str(error), "field": error.field, "mend": error.mend}, error.status)


@pytest.fixture
def app(store: SpanStore) -> Starlette:
    return Starlette(routes=routes(store, clock=lambda: NOW), exception_handlers={TrimtabError: _problem})


def _span(n: int, **fields: Any) -> Span:
    start = NOW - n * 10 * MINUTE
    plain = {"trace_id": f"{n:032x}", "span_id": f"{n:016x}", "name": "ask", "kind": "llm", "start_ns": start}
    return Span(**(plain | {"end_ns": start + 10**9} | fields))


@pytest.fixture
async def filled(store: SpanStore) -> SpanStore:
    """40 traces, ten minutes apart: the newer half by another prompt that fails more often."""
    spans = [
        _span(
            n,
            model=f"m-{n % 3}",
            cost_usd=0.5,
            stamp=Stamp(prompt="a/2" if n < 20 else "a/1"),
            status="error" if n < 20 and n % 2 else "ok",
            tags={"team": "blue", "two words": "x"},
        )
        for n in range(1, 41)
    ]
    scores = [
        Score(id=str(n), trace_id=span.trace_id, name="quality", value=0.5, by="x", time_ns=span.end_ns)
        for n, span in enumerate(spans)
    ]
    await store.write(spans, scores)
    return store


@pytest.fixture
def query(ask: Any, app: Starlette) -> Any:
    async def send(status: int = 200, **body: Any) -> Any:
        answer = await ask(app, "POST", "/api/spans/query", json.dumps(body).encode())
        assert answer.status == status, answer.json()
        return answer.json()

    return send


async def test_groups_by_language_and_by_fields_are_the_same(filled: SpanStore, query: Any) -> None:
    said = await query(q="prompt=a/1 | by model | count, sum cost | top 2")
    fields = {"by": ["model"], "measures": ["count", "sum:cost_usd"], "limit": 2}
    built = await query(filters=[{"column": "stamp.prompt", "op": "=", "value": "a/1"}], **fields)
    assert said == built
    assert said["by"] == ["model"]
    assert [group["values"] for group in said["groups"]] == [[7.0, 3.5], [7.0, 3.5]]


async def test_a_course_of_time_reads_from_its_start(filled: SpanStore, query: Any) -> None:
    for body in ({"q": "| by time:1h | count", "since": "24h"}, {"by": ["time:3600"], "since": "24h"}):
        starts = [group["keys"][0] for group in (await query(**body))["groups"]]
        assert starts == sorted(starts)
        assert len(starts) == 7


async def test_without_groups_it_is_a_page(filled: SpanStore, query: Any) -> None:
    page = await query(q="prompt=a/2 has:cost", limit=5)
    assert len(page["spans"]) == 5
    assert page["cursor"]
    more = await query(q="prompt=a/2 has:cost", limit=50, cursor=page["cursor"])
    assert len(more["spans"]) == 14
    assert len((await query(filters=[{"column": "model", "op": "in", "value": ["m-0", "m-1"]}]))["spans"]) == 27


async def test_two_versions(filled: SpanStore, query: Any) -> None:
    answer = await query(q="| errors, avg score:quality | compare prompt=a/1 with prompt=a/2")
    (row,) = answer["compared"]
    errors, quality = row["deltas"]
    assert (errors["before"], errors["after"], errors["n_before"], errors["n_after"]) == (0.0, 10 / 19, 21, 19)
    assert errors["clear"]
    assert errors["low"] > 0
    assert (quality["difference"], quality["clear"]) == (0.0, False)
    sides = {side: {"column": "prompt", "op": "=", "value": f"a/{n}"} for side, n in (("before", 1), ("after", 2))}
    built = await query(measures=["errors", "avg:score:quality"], order="-errors", compare=sides)
    assert built == answer


async def test_the_window_before(filled: SpanStore, query: Any) -> None:
    answer = await query(q="| count, errors | compare previous", since="190m", until_ns=NOW)
    (row,) = answer["compared"]
    assert [delta["n_before"] for delta in row["deltas"]] == [19, 19]
    assert row["deltas"][1]["before"] == pytest.approx(1 / 19, abs=1e-9) or row["deltas"][1]["before"] == 0.0
    refused = await query(400, q="| count | compare previous")
    assert refused["field"] == "since"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"q": "| by modle"}, "q"),
        ({"by": ["modle"]}, "by[0]"),
        ({"measures": []}, "measures"),
        ({"measures": ["p42:cost_usd"]}, "measures[0]"),
        ({"by": ["model"], "limit": 10_001}, "limit"),
        ({"by": ["model"], "order": "size"}, "order"),
        ({"since": "yesterday"}, "since"),
        ({"since": "1h", "since_ns": 5}, "since"),
        ({"q": "words", "text": "more"}, "text"),
        ({"limit": 1001}, "limit"),
        ({"compare": "next"}, "compare"),
        ({"filters": [{"column": "model", "op": "in", "value": "m"}]}, "filter"),
        ({"filters": [{"column": "model", "op": "exists", "value": 3}]}, "filter"),
    ],
)
async def test_what_does_not_fit_is_named(filled: SpanStore, query: Any, body: dict[str, Any], field: str) -> None:
    answer = await query(400, **body)
    assert answer["field"] == field
    assert answer["mend"]


@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("mod", "model"),
        ("model=", "m-1"),
        ("prompt=", "a/2"),
        ("tag:", "tag:team"),
        ("tag:team=", "blue"),
        ("score:", "score:quality"),
        ("name=", "ask"),
        ("| by ", "time:1h"),
    ],
)
async def test_completion_knows_the_values(filled: SpanStore, ask: Any, app: Starlette, text: str, among: str) -> None:
    answer = await ask(app, "GET", "/api/spans/complete", query=f"q={text.replace('|', '%7C').replace(' ', '%20')}")
    assert answer.status == 200
    assert among in [one["text"] for one in answer.json()["suggestions"]]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "999999999"])
async def test_a_cursor_is_a_number(ask: Any, app: Starlette, cursor: str) -> None:
    answer = await ask(app, "GET", "/api/spans/complete", query=f"q=a&cursor={cursor}")
    assert (answer.status, answer.json()["field"]) == (400, "cursor")


async def test_a_long_text_is_not_completed(ask: Any, app: Starlette) -> None:
    answer = await ask(app, "GET", "/api/spans/complete", query=f"q={'a' * 5000}")
    assert (answer.status, answer.json()["field"]) == (400, "q")

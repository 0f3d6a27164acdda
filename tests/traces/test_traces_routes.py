"""Traces and scores over HTTP, on a real store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trimtab.core import Score, Span, Stamp, TrimtabError, new_span_id, new_trace_id
from trimtab.store import SpanStore
from trimtab.traces import routes

SECOND = 10**9
NOW = 1_790_000_000 * SECOND
STAMP = Stamp(model="openai/gpt-4o", prompt="support/7")


@pytest.fixture
def app(store: SpanStore) -> Starlette:
    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, TrimtabError)
        body = {"field": error.field, "detail": error.message, "mend": error.mend}
        return JSONResponse(body, error.status)

    return Starlette(routes=routes(store, clock=lambda: NOW), exception_handlers={TrimtabError: problem})


def _root(number: int, **changes: Any) -> Span:
    span = Span(
        trace_id=new_trace_id(), span_id=new_span_id(), name="turn", kind="chain", start_ns=NOW - number * SECOND,
        end_ns=NOW - number * SECOND + 5, project="shop", model="gpt-4o", stamp=STAMP, tags={"topic": "parcel"},
        input="where is it", output="there", cost_usd=0.01, attributes={"a": 1},
    )  # fmt: skip
    return replace(span, **changes)


async def _nothing(store: SpanStore) -> bool:
    """Whether the store is empty."""
    await store.flush()
    batch = await store.tail("")
    return not batch.spans and not batch.scores


async def _traces(ask: Any, app: Starlette, query: str) -> Any:
    answer = await ask(app, "GET", "/api/traces", query=query)
    assert answer.status == 200, answer.body
    return answer.json()


async def test_list_newest_first_in_pages(ask: Any, app: Starlette, store: SpanStore) -> None:
    spans = [_root(number) for number in range(5)]
    await store.write(spans)
    seen, cursor = [], ""
    while True:
        page = await _traces(ask, app, f"limit=2&cursor={cursor}")
        seen += [row["trace_id"] for row in page["traces"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert seen == [span.trace_id for span in spans]


async def test_a_row_is_readable_and_light(ask: Any, app: Starlette, store: SpanStore) -> None:
    messages = json.dumps([{"role": "system", "content": "s"}, {"role": "user", "content": "why " * 500}])
    await store.write([_root(1, input=messages)])
    row = (await _traces(ask, app, ""))["traces"][0]
    assert row["input"] == ("why " * 500)[:1000]
    assert "attributes" not in row
    assert row["duration_ns"] == 5
    assert row["stamp"]["prompt"] == "support/7"
    assert row["cost_usd"] == 0.01


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter=model:=:gpt-4o", [1, 2, 3]),
        ("filter=tag:topic:=:parcel&filter=stamp.prompt:!=:support/7", [3]),
        ("filter=duration_ms:<:1", [1, 2, 3]),
        ("q=prompt%3Dsupport/8", [3]),
        ("q=score:cites<0.5", [2]),
        ("q=umbrella", [3]),
        ("since=150s", [1, 2]),
        ("since=2h&until=2m", [2, 3]),
        (f"since={NOW - 61 * SECOND}", [1]),
        ("since=2026-09-21T14:12:20Z", [1]),
        ("since=2026-09-21T16:12:20%2B02:00", [1]),
        ("since=2026-09-21T16:12:20+02:00", [1]),
        ("q=status=error", []),
    ],
)
async def test_filters(ask: Any, app: Starlette, store: SpanStore, query: str, expected: list[int]) -> None:
    spans = {
        1: _root(60),
        2: _root(121),
        3: _root(200, stamp=Stamp(prompt="support/8"), output="an Umbrella"),
    }
    score = Score(id="x", trace_id=spans[2].trace_id, name="cites", value=0.0, by="check:cites", time_ns=NOW)
    await store.write(list(spans.values()), [score])
    rows = (await _traces(ask, app, query))["traces"]
    assert [row["trace_id"] for row in rows] == [spans[number].trace_id for number in expected]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=ten", "limit"),
        ("limit=1001", "limit"),
        ("since=yesterday", "since"),
        ("until=99999999999999999999", "until"),
        ("filter=model", "filter"),
        ("filter=modle:=:x", "filter"),
        ("filter=model:like:x", "filter"),
        ("q=modle%3Dx", "q"),
        ("cursor=nonsense", "cursor"),
    ],
)
async def test_bad_questions_name_the_parameter(ask: Any, app: Starlette, query: str, field: str) -> None:
    answer = await ask(app, "GET", "/api/traces", query=query)
    assert (answer.status, answer.json()["field"]) == (400, field)
    assert answer.json()["mend"]


async def test_one_trace(ask: Any, app: Starlette, store: SpanStore) -> None:
    root = _root(1)
    child = replace(root, span_id=new_span_id(), parent_id=root.span_id, start_ns=root.start_ns + 1)
    score = Score(id="s", trace_id=root.trace_id, name="thumb", value=1.0, by="user", time_ns=NOW)
    await store.write([child, root], [score])
    answer = await ask(app, "GET", f"/api/traces/{root.trace_id.upper()}")
    found = answer.json()
    assert (answer.status, found["id"]) == (200, root.trace_id)
    assert [span["span_id"] for span in found["spans"]] == [root.span_id, child.span_id]
    assert found["spans"][0]["attributes"] == {"a": 1}
    assert [score["name"] for score in found["scores"]] == ["thumb"]


@pytest.mark.parametrize("trace_id", ["0" * 31 + "1", "nonsense", "%2e%2e"])
async def test_an_unknown_trace_is_named(ask: Any, app: Starlette, trace_id: str) -> None:
    answer = await ask(app, "GET", f"/api/traces/{trace_id}")
    assert answer.status == 404
    assert trace_id in answer.json()["detail"]


async def test_span_query(ask: Any, app: Starlette, store: SpanStore) -> None:
    root = _root(1)
    child = replace(root, span_id=new_span_id(), parent_id=root.span_id, kind="llm")
    await store.write([root, child])
    body = {"roots": False, "filters": [{"column": "kind", "op": "=", "value": "llm"}], "limit": 5}
    answer = await ask(app, "POST", "/api/spans/query", json.dumps(body).encode())
    assert [span["span_id"] for span in answer.json()["spans"]] == [child.span_id]
    assert answer.json()["spans"][0]["attributes"] == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"limit": 0}',
        b'{"limit": "5"}',
        b'{"roots": 1}',
        b'{"root": true}',
        b'{"since_ns": -1}',
        b'{"until_ns": 99999999999999999999}',
        b'{"filters": [{"column": "x", "op": "=", "value": "y"}]}',
        b'{"filters": [{"column": "cost_usd", "op": "<", "value": "cheap"}]}',
        b'{"text": "\xff"}',
        b"[" * 10_000,
    ],
)
async def test_bad_span_queries(ask: Any, app: Starlette, body: bytes) -> None:
    answer = await ask(app, "POST", "/api/spans/query", body)
    assert answer.status == 400
    assert answer.json()["field"]


async def test_a_large_body_is_refused(ask: Any, app: Starlette) -> None:
    answer = await ask(app, "POST", "/api/scores", b" " * (20 << 20))
    assert (answer.status, answer.json()["field"]) == (413, "body")


async def test_a_score_takes_over_what_its_trace_knows(ask: Any, app: Starlette, store: SpanStore) -> None:
    root = _root(1)
    child = replace(root, span_id=new_span_id(), parent_id=root.span_id, stamp=Stamp(knowledge="docs/2"), tags={})
    bare = replace(child, span_id=new_span_id(), stamp=Stamp())
    await store.write([root, child, bare])
    bodies = [
        {
            "trace_id": root.trace_id.upper(),
            "name": "thumb",
            "value": True,
            "reason": "kind",
            "label": "up",
            "id": "mine",
        },
        {"trace_id": root.trace_id, "span_id": child.span_id, "name": "fit", "value": 0.5, "by": "human:mara"},
        {"trace_id": root.trace_id, "span_id": bare.span_id, "name": "fit", "value": 0},
    ]
    for _ in range(2):
        answer = await ask(app, "POST", "/api/scores", json.dumps(bodies).encode())
        assert answer.status == 201
        assert len(answer.json()["ids"]) == 3
    found = await store.trace(root.trace_id)
    assert found is not None
    thumb = [score for score in found.scores if score.name == "thumb"]
    # An id of the sender's own makes a retry safe.
    assert thumb == [
        Score(
            id="mine", trace_id=root.trace_id, name="thumb", value=1.0, by="user", time_ns=NOW, label="up",
            reason="kind", slice="parcel", project="shop", stamp=STAMP,
        )
    ]  # fmt: skip
    fits = {(score.span_id, score.by, score.stamp) for score in found.scores if score.name == "fit"}
    assert fits == {(child.span_id, "human:mara", child.stamp), (bare.span_id, "user", STAMP)}


async def test_feedback_that_overtakes_the_recorder_still_finds_its_trace(
    ask: Any, app: Starlette, store: SpanStore
) -> None:
    root = _root(1)
    assert store.offer([root])
    body = {"trace_id": root.trace_id, "name": "thumb", "value": 1}
    assert (await ask(app, "POST", "/api/scores", json.dumps(body).encode())).status == 201
    found = await store.trace(root.trace_id)
    assert found is not None
    assert found.scores[0].stamp == STAMP


async def test_a_score_on_an_unknown_trace_is_kept(ask: Any, app: Starlette, store: SpanStore) -> None:
    trace_id = new_trace_id()
    body = {"trace_id": trace_id, "name": "thumb", "value": 0.0}
    answer = await ask(app, "POST", "/api/scores", json.dumps(body).encode())
    assert answer.status == 201
    found = await store.scores(since_ns=0, until_ns=0)
    assert [(score.id, score.trace_id, score.stamp) for score in found] == [
        (answer.json()["ids"][0], trace_id, Stamp())
    ]


GOOD = {"trace_id": "a" * 32, "name": "thumb", "value": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ([GOOD] * 1001, "body"),
        ({}, "body"),
        ("thumb", "body"),
        ({**GOOD, "colour": "red"}, "body"),
        ({**GOOD, "value": "good"}, "value"),
        ({**GOOD, "trace_id": "a"}, "trace_id"),
        ({**GOOD, "span_id": "zz"}, "span_id"),
        ({**GOOD, "name": ""}, "name"),
        ({**GOOD, "name": "a b"}, "name"),
        ({**GOOD, "value": 1.5}, "value"),
        ({**GOOD, "value": -0.1}, "value"),
        ({**GOOD, "reason": "x" * 20_001}, "reason"),
        ([GOOD, {**GOOD, "value": 5}], "[1].value"),
    ],
)
async def test_bad_scores_name_the_field_and_store_nothing(
    ask: Any, app: Starlette, store: SpanStore, body: Any, field: str
) -> None:
    answer = await ask(app, "POST", "/api/scores", json.dumps(body).encode())
    assert (answer.status, answer.json()["field"]) == (400, field)
    assert await _nothing(store)

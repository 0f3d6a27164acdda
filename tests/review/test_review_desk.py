"""Review at work: queues from traces, runs and datasets, blind work, landing, disputes; and the routes and commands."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from trimtab.core import BadInput, Conflict, NotFound, Score, Span, Stamp, TrimtabError
from trimtab.evals import Label, People, RunLog
from trimtab.registry import Registry
from trimtab.review import Gathering, Plan, ReviewLog, Reviews, routes
from trimtab.store import Metadata, SpanStore

PASSAGES = [{"number": 1, "title": "Terms", "text": "Within 30 days.", "source": "terms.md"}]


class Clock:
    ns = 1_795_000_000 * 10**9

    def __call__(self) -> int:
        self.ns += 10**9
        return self.ns


class Desk:
    """Reviews on real rooms."""

    def __init__(self, metadata: Metadata, spans: SpanStore, registry: Registry, clock: Clock) -> None:
        self.people, self.spans, self.registry, self.clock = People(metadata), spans, registry, clock
        gathering = Gathering(registry=registry, spans=spans, runs=RunLog(metadata), traces_of=self.traces_of)
        self.reviews = Reviews(ReviewLog(metadata), gathering, self.people, spans, clock=clock)

    async def traces_of(self, incident: int) -> list[str]:
        return [f"{n:032x}" for n in range(1, 4)] if incident == 318 else []

    async def fill(self) -> None:
        found, scores = [], []
        for n in range(1, 7):
            found.append(
                Span(
                    trace_id=f"{n:032x}", span_id=f"{n:016x}", name="chat", kind="chain", start_ns=n, end_ns=n + 5,
                    input=f"Question {n}?", output=f"Answer {n}.", tags={"topic": "billing" if n % 2 else "other"},
                    stamp=Stamp(model="secret-model", prompt="secret-prompt/7"), session=f"s{n}",
                    attributes={"gateway": True, "finish": "stop", "passages": PASSAGES},
                )
            )  # fmt: skip
            scores.append(Score(id=f"j{n}", trace_id=f"{n:032x}", name="quality", value=0.0, by="judge:secret-judge",
                                time_ns=n, reason="secret reason"))  # fmt: skip
        await self.spans.write(spans=found, scores=scores)
        golden = [{"input": f"G{n}", "answer": f"A{n}", "expected": "fail" if n < 12 else "pass"} for n in range(20)]
        await self.registry.register("datasets", "golden", {"cases": golden}, author="ilse")

    async def queue(self, **more: Any) -> str:
        wanted = {"name": "refunds", "source": {"query": ""}, "experts": ["mara", "jonas"], **more}
        return (await self.reviews.create(Plan.of(wanted), "ilse")).id

    async def work(self, queue: str, who: str, value: float | None = 1.0, critique: str = "") -> None:
        while (item := (await self.reviews.turn(queue, who)).item) is not None:
            known = {"bad": 0.0, "good": 1.0}.get(item.known, value)
            await self.reviews.save(queue, who, item.position, {"": known}, critique or "it is wrong")
        await self.reviews.finish(queue, who)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = Clock()
    metadata, spans = Metadata.open(tmp_path / "m.db"), SpanStore.open(tmp_path / "spans", clock=clock)
    made = Desk(metadata, spans, await Registry.load(metadata, clock=clock), clock)
    await made.fill()
    yield made
    spans.close()
    metadata.close()


async def test_a_reviewer_sees_neither_version_nor_judge_nor_what_others_said(desk: Desk) -> None:
    queue = await desk.queue(planted="datasets:/golden/1", plant=4)
    await desk.work(queue, "jonas", 0.0, "jonas says it is wrong")
    app = TestClient(Starlette(routes=routes(desk.reviews)))
    body = app.get(f"/api/review/queues/{queue}/next", params={"who": "mara"}).text
    assert "Answer" in body or "A" in body
    for secret in ("secret", "jonas", "known", "golden"):
        assert secret not in body


async def test_labels_land_when_a_batch_ends_and_planted_items_do_not(desk: Desk) -> None:
    queue = await desk.queue(planted="datasets:/golden/1", plant=20, dataset="support")
    await desk.work(queue, "mara", 0.0, "no such rule")
    found = await desk.people.labels("support")
    assert len(found) == 6
    assert {(label.by, label.value, label.critique, label.blind) for label in found} == {
        ("mara", 0.0, "no such rule", True)
    }
    assert {label.group for label in found} == {f"s{n}" for n in range(1, 7)}
    trace = await desk.spans.trace(f"{1:032x}")
    assert trace is not None
    (score,) = [score for score in trace.scores if score.by == "human:mara"]
    assert (score.name, score.value, score.reason, score.slice) == ("review", 0.0, "no such rule", "billing")
    assert score.stamp.prompt == "secret-prompt/7"
    ended = await desk.reviews.finish(queue, "mara")
    assert len(await desk.people.labels("support")) == 6, "finishing twice lands once"
    assert ended.oversight.caught is not None
    assert (ended.oversight.caught.n, ended.oversight.reliable) == (12, True)
    assert {item.known for item, _ in ended.rows} == {"bad", "good", ""}


async def test_a_no_needs_a_reason_and_every_criterion_a_verdict(desk: Desk) -> None:
    criteria = [{"name": "grounded", "ask": "Supported?"}, {"name": "helps", "ask": "Helpful?"}]
    queue = await desk.queue(criteria=criteria)
    item = (await desk.reviews.turn(queue, "mara")).item
    assert item is not None
    for verdicts, critique, field in (
        ({"grounded": 1.0}, "", "helps"), ({"grounded": 0.0, "helps": 1.0}, "  ", "critique"),
        ({"grounded": 0.4, "helps": 1.0}, "", "grounded"), ({"grounded": 1.0, "helps": 1.0, "x": 1.0}, "", "x"),
        ({"grounded": 1.0, "helps": 1.0}, "x" * 4001, "critique"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as refused:
            await desk.reviews.save(queue, "mara", item.position, verdicts, critique)
        assert refused.value.field == field
    await desk.reviews.save(queue, "mara", item.position, {"grounded": None, "helps": 1.0})
    with pytest.raises(NotFound):
        await desk.reviews.turn(queue, "stranger")
    with pytest.raises(Conflict):
        await desk.reviews.save(queue, "stranger", item.position, {"grounded": 1.0, "helps": 1.0})


async def test_undo_takes_back_the_last_word_and_nothing_after_the_end(desk: Desk) -> None:
    queue = await desk.queue()
    first = (await desk.reviews.turn(queue, "mara")).item
    assert first is not None
    assert await desk.reviews.undo(queue, "mara") is None
    await desk.reviews.save(queue, "mara", first.position, {"": 1.0})
    second = (await desk.reviews.turn(queue, "mara")).item
    assert second is not None
    await desk.reviews.skip(queue, "mara", second.position)
    assert await desk.reviews.undo(queue, "mara") == second.position
    assert await desk.reviews.undo(queue, "mara") == first.position
    assert (await desk.reviews.turn(queue, "mara")).number == 1
    with pytest.raises(Conflict):
        await desk.reviews.finish(queue, "mara")
    await desk.work(queue, "mara")
    assert await desk.reviews.undo(queue, "mara") is None
    with pytest.raises(Conflict):
        await desk.reviews.save(queue, "mara", first.position, {"": 0.0}, "later")


async def test_a_disagreement_is_settled_by_a_third_word(desk: Desk) -> None:
    queue = await desk.queue(dataset="support", source={"traces": [f"{1:032x}"]})
    with pytest.raises(BadInput):
        await desk.reviews.settle(queue, "ilse", 0, {"": 0.0}, "nobody differs yet")
    await desk.work(queue, "mara", 1.0)
    await desk.work(queue, "jonas", 0.0)
    dispute = await desk.reviews.dispute(queue)
    assert dispute is not None
    assert {m.reviewer: m.verdicts[""] for m in dispute.said} == {"mara": 1.0, "jonas": 0.0}
    with pytest.raises(BadInput):
        await desk.reviews.settle(queue, "ilse", 0, {"": 1.0}, "")
    await desk.reviews.settle(queue, "ilse", 0, {"": 0.0}, "rule 4.2 says so")
    assert await desk.reviews.dispute(queue) is None
    with pytest.raises(Conflict):
        await desk.reviews.settle(queue, "ilse", 0, {"": 0.0}, "again")
    labels: list[Label] = await desk.people.labels("support")
    assert sorted((label.by, label.value) for label in labels) == [("ilse", 0.0), ("jonas", 0.0), ("mara", 1.0)]


async def test_closing_lands_what_was_saved(desk: Desk) -> None:
    queue = await desk.queue(dataset="support")
    item = (await desk.reviews.turn(queue, "mara")).item
    assert item is not None
    await desk.reviews.save(queue, "mara", item.position, {"": 1.0})
    closed = await desk.reviews.close(queue)
    assert closed.closed_ns > 0
    assert (await desk.reviews.close(queue)).closed_ns == closed.closed_ns
    assert len(await desk.people.labels("support")) == 1
    assert (await desk.reviews.turn(queue, "jonas")).finished
    assert await desk.reviews.log.waiting() == 0


async def test_sources(desk: Desk) -> None:
    for source, n in (
        ({"query": "tag:topic=billing"}, 3), ({"incident": 318}, 3), ({"traces": ["f" * 32, f"{2:032x}"]}, 1),
        ({"dataset": "datasets:/golden/1", "limit": 5}, 5), ({"query": "", "limit": 2}, 2),
    ):  # fmt: skip
        assert len(await desk.reviews.log.items(await desk.queue(source=source))) == n, source
    for source, field in (
        ({"incident": 9}, "source.incident"), ({"incident": "x"}, "source.incident"), ({"limit": 3}, "source"),
        ({"query": "", "limit": 0}, "source.limit"), ({"traces": "x"}, "source.traces"),
        ({"query": "", "x": 1}, "source"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as refused:
            await desk.queue(source=source)
        assert refused.value.field == field
    good = {"cases": [{"input": "a", "answer": "b", "expected": "pass"}]}
    await desk.registry.register("datasets", "good", good, author="x")
    with pytest.raises(BadInput) as refused:
        await desk.queue(planted="datasets:/good/1")
    assert refused.value.field == "planted"


async def test_the_routes(desk: Desk) -> None:
    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, TrimtabError)
        return JSONResponse({"field": error.field}, error.status)

    app = TestClient(Starlette(routes=routes(desk.reviews), exception_handlers={TrimtabError: answer}))
    start = "/api/review/queues"
    made = app.post(
        start, json={"name": "q", "source": {"query": "", "limit": 1}, "experts": ["mara"], "actor": "ilse"}
    )
    assert (made.status_code, made.json()["actor"]) == (201, "ilse")
    queue = f"{start}/{made.json()['id']}"
    turn = app.get(f"{queue}/next", params={"who": "mara"}).json()
    assert (turn["number"], turn["owed"], turn["criteria"][0]["ask"]) == (1, 1, "Is this answer good?")
    bad = app.post(f"{queue}/marks", json={"who": "mara", "item": 0, "verdicts": {"": "maybe"}})
    assert (bad.status_code, bad.json()["field"]) == (400, "verdicts.")
    for body in ({"who": 3}, {"who": "mara", "item": "0"}, {"who": "mara", "item": 0}, [1]):
        assert app.post(f"{queue}/marks", json=body).status_code == 400
    assert app.post(f"{queue}/marks", content=b"{").status_code == 400
    assert app.post(f"{queue}/marks", json={"who": "mara", "item": 0, "skip": True}).status_code == 204
    assert app.post(f"{queue}/undo", json={"who": "mara"}).json() == {"item": 0}
    said = {"who": "mara", "item": 0, "verdicts": {"": "no"}, "critique": "wrong", "shown_ns": 1}
    assert app.post(f"{queue}/marks", json=said).status_code == 204
    ended = app.post(f"{queue}/finish", json={"who": "mara"}).json()
    assert ended["items"][0]["hidden"]["model"] == "secret-model"
    assert app.get(f"{queue}/report").json()["reliable"] is False
    assert app.post(f"{queue}/settle", json={"item": 0, "verdicts": {"": "no"}, "critique": "x"}).status_code == 400
    assert app.post(f"{queue}/close", json={}).json()["closed_ns"] > 0
    (listed,) = app.get(start).json()["queues"]
    assert listed["standing"] == {"mara": {"owed": 1, "done": 1, "saved": 1}}
    assert app.get(f"{start}/none/report").status_code == 404
    assert json.loads(app.get(f"{queue}/next", params={"who": "mara"}).text)["item"] is None

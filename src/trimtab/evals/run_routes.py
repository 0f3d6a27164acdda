"""Evaluation over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, actor_of, body_as, whole_number

from .estimate import AUTO, method_named
from .gate import power_of
from .labels import labels_from, labels_to_jsonl
from .rendering import markdown, plain
from .run_junit import junit
from .run_plan import plan_from
from .run_reports import Reports, labels_with_ids
from .runs import Runs

#: Largest body, in bytes: cases may be spelled in it.
MAX_BODY = 64 << 20
_JUNIT_CASES = 10_000
_LARGE = 1 << 18


def run_routes(runs: Runs, reports: Reports) -> list[Route]:
    """``/api/evals/runs`` and what is asked of runs: results, comparison, gate, stability, labels, calibration."""
    desk = _Desk(runs, reports)
    paths = (
        ("GET", "/api/evals/runs", desk.listed), ("POST", "/api/evals/runs", desk.create),
        ("GET", "/api/evals/runs/{id}", desk.show), ("DELETE", "/api/evals/runs/{id}", desk.remove),
        ("POST", "/api/evals/runs/{id}/stop", desk.stop), ("POST", "/api/evals/runs/{id}/resume", desk.resume),
        ("GET", "/api/evals/runs/{id}/results", desk.results), ("GET", "/api/evals/runs/{id}/junit", desk.junit),
        ("GET", "/api/evals/runs/{id}/rate", desk.rate), ("GET", "/api/evals/runs/{id}/stability", desk.stability),
        ("POST", "/api/evals/runs/{id}/calibrate", desk.calibrate),
        ("POST", "/api/evals/runs/{id}/refine", desk.refine), ("POST", "/api/evals/runs/{id}/examples", desk.examples),
        ("GET", "/api/evals/compare", desk.compare),
        ("GET", "/api/evals/gate", desk.gate), ("GET", "/api/evals/power", desk.power),
        ("GET", "/api/evals/judges/{name}", desk.judge), ("GET", "/api/evals/labels", desk.labels),
        ("POST", "/api/evals/labels", desk.add_labels),
    )  # fmt: skip
    return [Route(path, endpoint, methods=[method]) for method, path, endpoint in paths]


class _Desk:
    def __init__(self, runs: Runs, reports: Reports) -> None:
        self._runs = runs
        self._reports = reports

    async def listed(self, request: Request) -> Response:
        asked = request.query_params
        limit = _whole(request, "limit", 50, 1, 500)
        states = tuple(s for s in asked.get("state", "").split(",") if s)
        before = _whole(request, "cursor", 0, 0, 2**63 - 1)
        found = await self._reports.log.recent(limit=limit, before_ns=before, states=states, name=asked.get("name", ""))
        cursor = str(found[-1].time_ns) if len(found) == limit else ""
        return _json({"runs": await self._reports.listed(found), "cursor": cursor})

    async def create(self, request: Request) -> Response:
        body = await _body(request)
        estimate = body.pop("estimate", False)
        actor = _actor(request, body.pop("actor", ""))
        plan = plan_from(body)
        if estimate is True:
            found = await self._runs.estimate(plan)
            power = power_of(cases=found["cases"], repeats=found["repeats"])
            return _json({**found, "power": plain(power)})
        return _json(asdict(await self._runs.create(plan, actor)), 201)

    async def show(self, request: Request) -> Response:
        rates = request.query_params.get("rates", "") in ("1", "true")
        return _json(await self._reports.detail(await self._runs.show(_id(request)), rates=rates))

    async def remove(self, request: Request) -> Response:
        await self._runs.remove(_id(request))
        return Response(status_code=204)

    async def stop(self, request: Request) -> Response:
        body = await _body(request)
        return _json(asdict(await self._runs.cancel(_id(request), _actor(request, body.get("actor", "")))))

    async def resume(self, request: Request) -> Response:
        body = await _body(request)
        limit = body.get("max_cost_usd")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or limit <= 0):
            raise BadInput("must be a number above 0.", field="max_cost_usd", mend="Leave it out for no change.")
        return _json(asdict(await self._runs.resume(_id(request), max_cost_usd=limit)))

    async def results(self, request: Request) -> Response:
        run = await self._reports.log.get(_id(request))
        found = await self._reports.log.results(
            run.id,
            limit=_whole(request, "limit", 50, 1, 1000),
            offset=_whole(request, "offset", 0, 0, 10**9),
            failures=request.query_params.get("failures", "") in ("1", "true"),
            case_id=request.query_params.get("case", ""),
        )
        return _json({"results": found})

    async def junit(self, request: Request) -> Response:
        run = await self._reports.log.get(_id(request))
        gate = await self._gate(request, run.id) if _compares(request) else None
        rows = await self._reports.log.results(run.id, limit=_JUNIT_CASES)
        return Response(await asyncio.to_thread(junit, run, rows, gate), media_type="application/xml")

    async def rate(self, request: Request) -> Response:
        asked = request.query_params
        found = await self._reports.rate(
            _id(request), asked.get("score", ""), labels=asked.get("labels", ""), method=_method(request)
        )
        return _shown(found)

    async def stability(self, request: Request) -> Response:
        asked = request.query_params
        same = _number(request, "same", 0.0) if "same" in asked else None
        found = await self._reports.stability(
            _id(request), asked.get("score", ""), embeddings=asked.get("embeddings", ""), same=same
        )
        return _shown(found)

    async def calibrate(self, request: Request) -> Response:
        body = await _body(request)
        found, differ = await self._reports.calibrate(
            _id(request), _text(body, "score"), labels=_text(body, "labels"), test_share=_share(body)
        )  # fmt: skip
        shown = [plain(item) for item in differ]
        return _json({**plain(found), "markdown": markdown(found), "disagreements": shown})

    async def refine(self, request: Request) -> Response:
        body = await _body(request)
        score, labels, model = (_text(body, name) for name in ("score", "labels", "model"))
        return _json(await self._reports.refine(_id(request), score, labels=labels, model=model))

    async def examples(self, request: Request) -> Response:
        body = await _body(request)
        count = body.get("count", 6)
        if isinstance(count, bool) or not isinstance(count, int):
            raise BadInput("must be a whole number.", field="count", mend="6 is usual.")
        found = await self._reports.examples(
            _id(request), _text(body, "score"), count=count, labels=_text(body, "labels"), test_share=_share(body),
            actor=_actor(request, body.get("actor", "")), note=_text(body, "note"),
        )  # fmt: skip
        return _json(found, 201)

    async def compare(self, request: Request) -> Response:
        asked = request.query_params
        new, old, score = _needed(request, "new"), _needed(request, "old"), asked.get("score", "")
        found = await self._reports.compare(new, old, score)
        points = await self._reports.points(new, old, score) if asked.get("points") in ("1", "true") else []
        return _json({**plain(found), "markdown": markdown(found), **({"points": points} if points else {})})

    async def gate(self, request: Request) -> Response:
        return _shown(await self._gate(request, _needed(request, "run")))

    async def _gate(self, request: Request, run_id: str) -> Any:
        asked = request.query_params
        floor = _number(request, "floor", 0.0) if "floor" in asked else None
        return await self._reports.gate(
            run_id, asked.get("baseline", ""), score=asked.get("score", ""), floor=floor,
            max_drop=_number(request, "max_drop", 0.05), alpha=_number(request, "alpha", 0.05),
            any_time=asked.get("any_time", "") in ("1", "true"), labels=asked.get("labels", ""),
            method=_method(request),
        )  # fmt: skip

    async def power(self, request: Request) -> Response:
        steady = _number(request, "steadiness", 0.0) if "steadiness" in request.query_params else None
        found = power_of(
            cases=_whole(request, "cases", 300, 1, 10**6), repeats=_whole(request, "repeats", 1, 1, 100),
            drop=_number(request, "drop", 0.05), rate=_number(request, "rate", 0.8), steadiness=steady,
        )  # fmt: skip
        return _shown(found)

    async def judge(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        past = await self._reports.people.calibrations(name)
        judge = request.query_params.get("judge", past[-1]["record"]["judge"] if past else "")
        return _json({"name": name, "status": await self._reports.status(name, judge), "calibrations": past})

    async def labels(self, request: Request) -> Response:
        asked = request.query_params
        found = await self._reports.people.labels(_needed(request, "dataset"), criterion=asked.get("criterion"))
        return Response(labels_to_jsonl(found), media_type="application/x-ndjson")

    async def add_labels(self, request: Request) -> Response:
        body = await _body(request)
        dataset, given = _text(body, "dataset"), body.get("labels")
        if not dataset:
            raise BadInput("is missing.", field="dataset", mend="Name the dataset that the cases are from.")
        if isinstance(given, list):
            given = "".join(msgspec.json.encode(item).decode() + "\n" for item in given)
        if not isinstance(given, str) or not given.strip():
            raise BadInput("must be labels, or their text as JSON lines or CSV.", field="labels")
        labels = await asyncio.to_thread(labels_from, given)
        new = await self._reports.people.add_labels(dataset, labels_with_ids(dataset, labels))
        return _json({"dataset": dataset, "labels": len(labels), "new": new}, 201)


def _shown(record: Any) -> Response:
    return _json({**plain(record), "markdown": markdown(record)})


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _id(request: Request) -> str:
    return str(request.path_params["id"])


async def _body(request: Request) -> dict[str, Any]:
    data = await request.body()
    # A body may hold very many cases: those are read in a thread.
    decode = functools.partial(body_as, data, dict, mend="Send a JSON object.", most=MAX_BODY)
    return await asyncio.to_thread(decode) if len(data) > _LARGE else decode()


def _actor(request: Request, said: object) -> str:
    return actor_of(request.scope, said if isinstance(said, str) else "")[:200]


def _compares(request: Request) -> bool:
    return bool({"baseline", "floor"} & set(request.query_params))


def _method(request: Request) -> str:
    return method_named(request.query_params.get("method", "") or AUTO)


def _needed(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise BadInput(f"The query has no {name}.", field=name, mend=f"Add ?{name}=... to the address.")
    return value


def _whole(request: Request, name: str, default: int, least: int, most: int) -> int:
    return whole_number(request.query_params, name, default, most, least=least)


def _number(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        raise BadInput(f"{text[:40]!r} is not a number.", field=name, mend="Give one such as 0.05.") from None
    if not 0 <= value <= 1:
        raise BadInput(f"{text[:40]!r} is out of range.", field=name, mend="Give 0 to 1.")
    return value


def _share(body: Mapping[str, Any]) -> float:
    share = body.get("test_share", 0.5)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise BadInput("must be a number above 0 and at most 1.", field="test_share", mend="0.5 is usual.")
    return float(share)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > 500:
        raise BadInput("must be text of at most 500 characters.", field=name)
    return value

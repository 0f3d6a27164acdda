"""The false-positive budget: a policy is measured on the team's own traffic, when asked and before it goes live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trimtab.core import BadInput, Conflict

from .measure import Case, Report, cases_from, measure
from .policy import compile_policy
from .sample import builtin, good

#: Finds the content of the policy at an address. Raises NotFound.
ResolvePolicy = Callable[[str], Mapping[str, Any]]
#: The latest good requests of the team, newest first, at most so many.
Traffic = Callable[[int], Awaitable[Sequence[str]]]
#: Makes a case of the trace that was stopped wrongly (trace id, note, who says so). Raises NotFound.
Wrong = Callable[[str, str, str], Awaitable[Mapping[str, Any]]]

#: Seconds of one measurement: asked for, and before an activation.
SECONDS, AT_ACTIVATION = 60.0, 8.0
#: Requests of the team's own that are measured before an activation, and at most when asked for.
RECENT, MOST_RECENT = 400, 5_000
DEFAULT_ADDRESS = "guards:/default@production"


class BudgetCheck:
    """Whether a policy may go live. Called by the registry before a label moves to a version or a rollout starts."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def __call__(self, content: Mapping[str, Any]) -> None:
        """Raises Conflict, with the numbers, for a policy that stops more good requests than its budget.

        Only a policy that names ``budget.false_positives`` is measured.
        """
        policy = compile_policy(content)
        if policy.budget.false_positives is None:
            return
        recent = await traffic_cases(self._traffic, RECENT)
        report = await asyncio.to_thread(measure, policy, [*recent, *good()], seconds=AT_ACTIVATION)
        if report.over:
            raise Conflict(
                f"The policy goes over its budget of false positives: {report.refusal()}.",
                field="budget.false_positives",
                mend="Raise a threshold, let the scanner flag instead of block, or give the policy a larger budget.",
            )


def budget_routes(resolve_policy: ResolvePolicy, traffic: Traffic, wrong: Wrong) -> list[Route]:
    """``POST /api/guard/test`` measures a policy; ``POST /api/guard/wrong`` says that a block was a mistake."""

    async def test(request: Request) -> JSONResponse:
        body = _object(await request.body(), ("policy", "content", "cases", "traffic", "builtin", "budget", "seconds"))
        content = body.get("content")
        if content is not None and not isinstance(content, Mapping):
            raise BadInput("must be an object", field="content", mend="Send the content of a policy.")
        policy = compile_policy(content if content is not None else resolve_policy(_address(body)))
        given = body.get("cases", [])
        if not isinstance(given, list):
            raise BadInput("must be a list", field="cases", mend='Send [{"text": "...", "label": "benign"}].')
        cases = cases_from(given)
        if body.get("builtin", not given):
            cases += builtin()
        cases += await traffic_cases(traffic, int(_number(body, "traffic", 0, 0, MOST_RECENT)))
        budget = _number(body, "budget", 0.0, 0, 1) if body.get("budget") is not None else None
        seconds = _number(body, "seconds", SECONDS, 0.1, SECONDS)
        report: Report = await asyncio.to_thread(measure, policy, cases, budget=budget, seconds=seconds)
        return JSONResponse({"policy": body.get("policy") or DEFAULT_ADDRESS, **report.told()})

    async def mistake(request: Request) -> JSONResponse:
        body = _object(await request.body(), ("trace_id", "note", "actor"))
        trace, note = body.get("trace_id"), body.get("note", "")
        if not isinstance(trace, str) or not trace.strip():
            raise BadInput("must be text", field="trace_id", mend="Give the id of the trace that was stopped.")
        if not isinstance(note, str):
            raise BadInput("must be text", field="note", mend="Say why it was wrong, or leave it out.")
        actor = str(getattr(request.state, "actor", "") or body.get("actor") or "api")
        return JSONResponse(dict(await wrong(trace.strip().lower(), note[:2000], actor)), 201)

    return [
        Route("/api/guard/test", test, methods=["POST"]),
        Route("/api/guard/wrong", mistake, methods=["POST"]),
    ]


async def traffic_cases(traffic: Traffic, count: int) -> list[Case]:
    """The team's latest requests as cases that ought to pass."""
    if count <= 0:
        return []
    return [Case(text=text, attack=False, group="traffic") for text in await traffic(count) if text.strip()]


def _address(body: Mapping[str, Any]) -> str:
    address = body.get("policy") or DEFAULT_ADDRESS
    if not isinstance(address, str):
        raise BadInput("must be text", field="policy", mend=f"Write for example {DEFAULT_ADDRESS}.")
    return address


def _object(raw: bytes, known: Sequence[str]) -> Mapping[str, Any]:
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}", mend="Send an object.") from None
    if not isinstance(body, dict):
        raise BadInput("the body is not an object", mend="Send an object.")
    for key in body:
        if key not in known:
            raise BadInput("is not a known field", field=key, mend=f"The fields are {', '.join(known)}.")
    return body


def _number(body: Mapping[str, Any], key: str, default: float, least: float, most: float) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadInput("is out of range", field=key, mend=f"Write a number from {least:g} to {most:g}.")
    return float(value)

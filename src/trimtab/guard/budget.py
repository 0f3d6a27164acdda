"""The false-positive budget: a policy is measured on the team's own traffic, when asked and before it goes live."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from trimtab.core import BadInput, Conflict, Later, Version, actor_of, body_as, only

from .default import DEFAULT_ADDRESS
from .measure import ORDINARY, WRONG, Case, Report, cases_from, measure
from .measurements import Measurements
from .policy import compile_policy
from .sample import builtin

if TYPE_CHECKING:
    from starlette import responses, routing
    from starlette.requests import Request
else:
    responses, routing = Later("starlette.responses"), Later("starlette.routing")


class Exchange(NamedTuple):
    """A request of the team's own, and its answer where that is known, with what the answer's scanners may know."""

    asked: str
    answered: str = ""
    passages: tuple[str, ...] = ()
    system: str = ""


#: Finds the version of the policy at an address. Raises NotFound.
ResolveVersion = Callable[[str], Version]
#: The latest good requests of the team, newest first, at most so many. The answers come with those that the policy of
#: that name looked at: what another policy lets out says nothing of this one.
Traffic = Callable[[int, str], Awaitable[Sequence[Exchange]]]
#: Requests whose block somebody called wrong, newest first, at most so many.
Wrongs = Callable[[int], Awaitable[Sequence[str]]]
#: Makes a case of the trace that was stopped wrongly (trace id, note, who says so). Raises NotFound.
Wrong = Callable[[str, str, str], Awaitable[Mapping[str, Any]]]

#: Seconds of one measurement: asked for, and before an activation.
SECONDS, AT_ACTIVATION = 60.0, 8.0
#: Requests of the team's own that are measured before an activation, and at most when asked for.
RECENT, MOST_RECENT = 400, 5_000
#: Requests of wrong blocks that a measurement looks at again.
MOST_WRONG = 500


class BudgetCheck:
    """Whether a policy may go live. Called by the registry before a label moves to a version or a rollout starts."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring

    async def __call__(self, version: Version) -> None:
        """Raises Conflict, with the numbers, for a policy that stops more good requests than its budget.

        Only a policy that names ``budget.false_positives`` is measured. The figures are kept like any others.
        """
        if compile_policy(version.content, version.digest).budget.false_positives is None:
            return
        report = await self._measuring.of(
            version, cases=builtin(), traffic=RECENT, seconds=AT_ACTIVATION, by="the activation"
        )
        if report.over:
            raise Conflict(
                f"The policy goes over its budget of false positives: {report.refusal()}.",
                field="budget.false_positives",
                mend="Raise a threshold, let the scanner flag instead of block, or give the policy a larger budget.",
            )


class Measuring:
    """Measures policies by their address, and keeps what came of it. ``wrongs`` are requests whose block was wrong."""

    def __init__(self, resolve: ResolveVersion, traffic: Traffic, wrongs: Wrongs, measurements: Measurements) -> None:
        self._resolve = resolve
        self._traffic = traffic
        self._wrongs = wrongs
        self.measurements = measurements

    async def run(
        self,
        address: str,
        *,
        content: Mapping[str, Any] | None = None,
        cases: Sequence[Case] = (),
        traffic: int = 0,
        budget: float | None = None,
        seconds: float = SECONDS,
        by: str = "",
    ) -> dict[str, Any]:
        """The report on the policy at an address, which is kept, or on a content, which is not."""
        if content is None:
            version = self._resolve(address)
            report = await self.of(version, cases=cases, traffic=traffic, budget=budget, seconds=seconds, by=by)
        else:
            every = [*await traffic_cases(self._traffic, traffic), *cases]
            report = await asyncio.to_thread(measure, compile_policy(content), every, budget=budget, seconds=seconds)
        return {"policy": address, **report.told()}

    async def of(
        self,
        version: Version,
        *,
        cases: Sequence[Case] = (),
        traffic: int = 0,
        budget: float | None = None,
        seconds: float = SECONDS,
        by: str = "",
    ) -> Report:
        """The report on a version, which is kept. What its budget counts is looked at first, and of that the team's own
        requests: time may run out."""
        policy = compile_policy(version.content, version.digest)
        every = await traffic_cases(self._traffic, traffic, version.name)
        every += [Case(text=text, attack=False, group=WRONG) for text in await self._wrongs(MOST_WRONG)]
        every += cases
        every.sort(key=lambda case: case.attack or case.group not in ORDINARY)
        report: Report = await asyncio.to_thread(measure, policy, every, budget=budget, seconds=seconds)
        await self.measurements.keep(version.name, version.number, report.told(), by)
        return report


def budget_routes(measuring: Measuring, wrong: Wrong) -> list[routing.Route]:
    """``POST /api/guard/test`` measures a policy, ``GET /api/guard/tests`` lists what was measured, and
    ``POST /api/guard/wrong`` says that a block was a mistake."""

    async def test(request: Request) -> responses.JSONResponse:
        known = ("policy", "content", "cases", "traffic", "builtin", "budget", "seconds")
        body = only(body_as(await request.body(), dict), known)
        content = body.get("content")
        if content is not None and not isinstance(content, Mapping):
            raise BadInput("must be an object", field="content", mend="Send the content of a policy.")
        given = body.get("cases", [])
        if not isinstance(given, list):
            raise BadInput("must be a list", field="cases", mend='Send [{"text": "...", "label": "benign"}].')
        cases = cases_from(given)
        if body.get("builtin", not given):
            cases += builtin()
        told = await measuring.run(
            _address(body),
            content=content,
            cases=cases,
            traffic=int(_number(body, "traffic", 0, 0, MOST_RECENT)),
            budget=_number(body, "budget", 0.0, 0, 1) if body.get("budget") is not None else None,
            seconds=_number(body, "seconds", SECONDS, 0.1, SECONDS),
            by=actor_of(request.scope),
        )
        return responses.JSONResponse(told)

    async def tests(request: Request) -> responses.JSONResponse:
        query = request.query_params
        try:
            limit, number = int(query.get("limit", "50")), int(query.get("number", "0"))
        except ValueError:
            raise BadInput("must be whole numbers", field="limit, number") from None
        found = await measuring.measurements.list(query.get("name", ""), number=number, limit=limit)
        return responses.JSONResponse({"measurements": [each.shown() for each in found]})

    async def mistake(request: Request) -> responses.JSONResponse:
        body = only(body_as(await request.body(), dict), ("trace_id", "note", "actor"))
        trace, note = body.get("trace_id"), body.get("note", "")
        if not isinstance(trace, str) or not trace.strip():
            raise BadInput("must be text", field="trace_id", mend="Give the id of the trace that was stopped.")
        if not isinstance(note, str):
            raise BadInput("must be text", field="note", mend="Say why it was wrong, or leave it out.")
        actor = actor_of(request.scope, str(body.get("actor") or ""))
        return responses.JSONResponse(dict(await wrong(trace.strip().lower(), note[:2000], actor)), 201)

    return [
        routing.Route("/api/guard/test", test, methods=["POST"]),
        routing.Route("/api/guard/tests", tests, methods=["GET"]),
        routing.Route("/api/guard/wrong", mistake, methods=["POST"]),
    ]


async def traffic_cases(traffic: Traffic, count: int, policy: str = "") -> list[Case]:
    """The team's latest requests as cases that ought to pass, with the answers that the policy of that name let out."""
    if count <= 0:
        return []
    return [
        Case(
            text=each.asked, attack=False, group="traffic", answer=each.answered, passages=each.passages,
            system=each.system,
        )
        for each in await traffic(count, policy)
        if each.asked.strip()
    ]  # fmt: skip


def _address(body: Mapping[str, Any]) -> str:
    address = body.get("policy") or DEFAULT_ADDRESS
    if not isinstance(address, str):
        raise BadInput("must be text", field="policy", mend=f"Write for example {DEFAULT_ADDRESS}.")
    return address


def _number(body: Mapping[str, Any], key: str, default: float, least: float, most: float) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadInput("is out of range", field=key, mend=f"Write a number from {least:g} to {most:g}.")
    return float(value)

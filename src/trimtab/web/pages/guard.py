"""The guard: what it stops rightly and wrongly, what it did lately, and a box to try a text in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import BadInput, Breakdown, Conflict, Filter, NotFound, Score, Span, SpanQuery, TrimtabError, Version
from trimtab.guard import (
    DEFAULT_ADDRESS,
    STAGES,
    WRONG_BLOCK,
    WRONG_BLOCKS,
    Context,
    Measurement,
    Policy,
    builtin,
    compile_policy,
)
from trimtab.guard.trial import LONGEST, Trial, trial
from trimtab.web import words
from trimtab.web.frame import Frame, actor
from trimtab.web.guardview import (
    SHOWN,
    WIDTH,
    found_rows,
    headline,
    hits_by_rule,
    questions,
    scanner_rows,
    share_of,
    traces_with,
)
from trimtab.web.house import House

DAY_NS = 86_400 * words.SECOND
WEEK = 7
#: Spans of the guard that one page looks at.
MOST_SPANS = 1000
#: The team's own requests in a measurement that is asked for here, and the seconds it may take.
TRAFFIC, SECONDS = 400, 30.0
SOURCES = (("user", "a user"), ("document", "a document"), ("tool", "a tool's result"))
_MOST_POLICIES = 100


class Tried(NamedTuple):
    """What was typed into the box, and what came of it."""

    text: str = ""
    stage: str = "input"
    source: str = "user"
    shown: Trial | None = None
    refused: str = ""


async def guards(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /guard``."""
    house, now = frame.house, frame.house.clock()
    names = house.registry.names("guards")[:_MOST_POLICIES]
    spans, waiting = await asyncio.gather(_guard_spans(house, now), house.guarding.approvals.list())
    rows = await asyncio.gather(*(_listed(house, name, spans) for name in names))
    return frame.page(
        request, "guards.html", title="Guard", nav="/guard", rows=rows, waiting_calls=len(waiting),
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def _listed(house: House, name: str, spans: Sequence[Span]) -> dict[str, Any]:
    version = current(house, name)
    last = await house.guarding.measuring.measurements.last(name, version.number)
    mine = [span for span in spans if span.stamp.guard.startswith(f"{name}/")]
    return {
        "name": name, "version": version, "live": house.registry.labels("guards", name).get("production"),
        "last": last, "share": share_of(last.report["false_positives"]) if last else "",
        "over": bool(last and last.report["over_budget"]), "blocked": len(traces_with(mine, "block", None)),
        "routes": _routes_with(house, name),
    }  # fmt: skip


async def guard(request: Request, frame: Frame, tried: Tried | None = None) -> HTMLResponse:
    """``GET /guard/{name}?v=3&show=flag``."""
    house, now, name = frame.house, frame.house.clock(), str(request.path_params["name"])
    version = _asked(house, name, request.query_params.get("v", ""))
    show = request.query_params.get("show", "block")
    show = show if show in dict(SHOWN) else "block"
    spans, last, blocks, said = await asyncio.gather(
        _guard_spans(house, now, name),
        house.guarding.measuring.measurements.last(name, version.number),
        _blocked(house, name, now - WEEK * DAY_NS),
        house.spans.scores(since_ns=now - WEEK * DAY_NS, until_ns=now + 1, name=WRONG_BLOCK, limit=1000),
    )
    recent = [span for span in spans if span.start_ns >= now - DAY_NS]
    found = traces_with(spans, show)
    roots = await house.spans.query(_of(found)) if found else None
    policy, broken = _compiled(version)
    wrong = _wrongs(said, name)
    return frame.page(
        request, "guard.html", title=f"{name} {version.number}", nav="/guard", name=name, version=version,
        live=house.registry.labels("guards", name).get("production"), routes=_routes_with(house, name), last=last,
        head=headline(last.report) if last else None, since=_since(last, wrong), broken=broken, width=WIDTH,
        rows=scanner_rows(policy, last.report if last else None, hits_by_rule(recent)) if policy else (),
        found=found_rows(spans, show, questions(roots.spans if roots else ()), {s.trace_id for s in wrong}),
        show=show, shown=_tabs(show, version.number if request.query_params.get("v") else 0), blocks=blocks,
        wrong=len(wrong), kept=WRONG_BLOCKS in house.registry.names("datasets"), cut=len(spans) >= MOST_SPANS,
        tried=tried or Tried(), stages=STAGES, sources=SOURCES, longest=LONGEST,
        incidents=await house.desk.list(limit=50),
        status=400 if tried and tried.refused else 200,
    )  # fmt: skip


def _tabs(show: str, number: int) -> list[tuple[str, str, bool]]:
    """The kinds of findings that may be shown; the version stays the one that was asked for."""
    kept = f"v={number}&" if number else ""
    return [(f"?{kept}show={key}#recent", title, key == show) for key, title in SHOWN]


async def try_text(request: Request, frame: Frame) -> HTMLResponse:
    """``POST /guard/{name}/try`` with ``text``, ``stage`` and ``source``: nothing of it is stored."""
    house, name, form = frame.house, str(request.path_params["name"]), await request.form()
    stage = str(form.get("stage", "input"))
    source = str(form.get("source", "user"))
    tried = Tried(
        text=str(form.get("text", "")).replace("\r\n", "\n"), stage=stage if stage in STAGES else "input",
        source=source if source in dict(SOURCES) else "user",
    )  # fmt: skip
    policy, broken = _compiled(_asked(house, name, request.query_params.get("v", "")))
    if policy is None:
        tried = tried._replace(refused=broken)
    elif not tried.text.strip():
        tried = tried._replace(refused="Type or paste a text first.")
    elif len(tried.text) > LONGEST:
        tried = tried._replace(refused=f"A text here has at most {words.count(LONGEST)} characters.")
    else:
        context = Context(source="assistant" if tried.stage != "input" else tried.source)
        tried = tried._replace(shown=await asyncio.to_thread(trial, policy, tried.stage, tried.text, context))
    return await guard(request, frame, tried)


async def measure(request: Request, frame: Frame) -> Response:
    """``POST /guard/{name}/measure``: the built-in cases, the team's latest requests and the blocks called wrong."""
    house, name = frame.house, str(request.path_params["name"])
    version = _asked(house, name, request.query_params.get("v", ""))
    try:
        await house.guarding.measuring.run(
            version.address, cases=builtin(), traffic=TRAFFIC, seconds=SECONDS, by=actor(request)
        )
    except BadInput as error:
        raise Conflict(f"the policy cannot be measured: {error}", mend="Register a version that compiles.") from error
    asked = f"?v={version.number}" if request.query_params.get("v") else ""
    return RedirectResponse(f"/guard/{quote(name)}{asked}", status_code=303)


async def wrong(request: Request, frame: Frame) -> Response:
    """``POST /guard/{name}/wrong`` with ``trace_id``: the request becomes a case that a policy must let through."""
    form = await request.form()
    trace_id, show = str(form.get("trace_id", "")), str(form.get("show", ""))
    await frame.house.guarding.wrong(trace_id[:64].lower(), str(form.get("note", ""))[:2000], actor(request))
    asked = f"?show={show}" if show in dict(SHOWN) and show != "block" else ""
    return RedirectResponse(f"/guard/{quote(str(request.path_params['name']))}{asked}#recent", status_code=303)


def current(house: House, name: str) -> Version:
    """The version that is live, else the newest. Raises NotFound."""
    if name not in house.registry.names("guards"):
        raise NotFound(f"There is no guard policy {name[:100]!r}.", mend="The list shows which there are.")
    live = house.registry.labels("guards", name).get("production")
    return house.registry.version("guards", name, live) if live else house.registry.versions("guards", name)[-1]


def _asked(house: House, name: str, number: str) -> Version:
    version = current(house, name)
    known = number.isascii() and number.isdigit() and len(number) < 9
    return house.registry.version("guards", name, int(number)) if known else version


def _compiled(version: Version) -> tuple[Policy | None, str]:
    try:
        return compile_policy(version.content, version.digest), ""
    except TrimtabError as error:
        return None, str(error)


def _routes_with(house: House, name: str) -> list[str]:
    """The live routes that name this policy; the default one stands in for those that name none."""
    found = []
    for route in house.registry.names("routes")[:200]:
        try:
            content = house.registry.resolve(f"routes:/{route}").version.content
        except TrimtabError:
            continue
        address = str(content.get("guard") or DEFAULT_ADDRESS)
        if address.removeprefix("guards:/").partition("@")[0].partition("/")[0] == name:
            found.append(route)
    return found


async def _guard_spans(house: House, now: int, name: str = "") -> list[Span]:
    """The newest spans of the guard of the last week, of one policy or of all."""
    mine = (Filter(column="stamp.guard", op="contains", value=f"{name}/"),) if name else ()
    query = SpanQuery(
        since_ns=now - (WEEK if name else 1) * DAY_NS, until_ns=now + 1, roots=False, limit=MOST_SPANS,
        filters=(Filter(column="kind", op="=", value="guardrail"), *mine),
    )  # fmt: skip
    page = await house.spans.query(query)
    return [span for span in page.spans if not name or span.stamp.guard.startswith(f"{name}/")]


def _of(traces: Sequence[str]) -> SpanQuery:
    return SpanQuery(filters=(Filter(column="trace_id", op="in", value=tuple(traces)),), limit=len(traces))


async def _blocked(house: House, name: str, since_ns: int) -> int:
    """How many requests the policy did not let through."""
    stopped = (
        Filter(column="score:allowed", op="=", value=0.0),
        Filter(column="stamp.guard", op="contains", value=f"{name}/"),
    )
    groups = await house.spans.groups(Breakdown(query=SpanQuery(since_ns=since_ns, filters=stopped)))
    return int(groups[0].values[0] or 0) if groups else 0


def _wrongs(said: Sequence[Score], name: str) -> list[Score]:
    return [score for score in said if score.stamp.guard.startswith(f"{name}/")]


def _since(last: Measurement | None, wrong: Sequence[Score]) -> int:
    """Blocks that were called wrong after the last measurement."""
    return sum(score.time_ns > last.time_ns for score in wrong) if last else 0

"""A recorded request as a regression case. Errors are raised for the web layer."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, NotFound, actor_of, body_as
from trimtab.registry import Registry
from trimtab.store import Spans
from trimtab.traces import question

from .dataset import REGRESSION, Case, add_cases


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    dataset: str = "regressions"
    expected: str = ""
    note: str = ""
    actor: str = ""


def case_routes(registry: Registry, store: Spans) -> list[Route]:
    """``POST /api/traces/{id}/case``: the trace's question, with its tags, joins a dataset as a new version of it."""

    async def keep(request: Request) -> Response:
        mend = 'Send {"dataset": "regressions", "expected": "...", "note": "..."}.'
        body = body_as(await request.body(), _Body, mend=mend)
        trace_id = str(request.path_params["id"]).lower()
        trace = await store.trace(trace_id)
        if trace is None or not trace.spans:
            raise NotFound(f"there is no trace {trace_id[:40]!r}", field="id", mend="Look at `trimtab trace list`.")
        root = next((span for span in trace.spans if not span.parent_id), trace.spans[0])
        asked = question(root.input).strip()
        if not asked:
            raise BadInput("the trace has no question to ask again", field="id", mend="Choose one with an input.")
        case = Case(
            input=asked, expected=body.expected, tags=dict(root.tags), source_trace=trace_id, note=body.note[:2000]
        )
        actor = actor_of(request.scope, body.actor)
        version = await add_cases(
            registry, body.dataset, [case], actor=actor, note=f"a case from trace {trace_id}", kind=REGRESSION
        )
        answer = {"dataset": body.dataset, "version": version.pin, "cases": len(version.content["cases"])}
        return Response(msgspec.json.encode(answer), 201, media_type="application/json")

    return [Route("/api/traces/{id}/case", keep, methods=["POST"])]

"""Tool calls that wait for a person: each with where its arguments came from, and a deadline that counts down."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import BadInput, NotFound, TrimtabError
from trimtab.web.frame import Frame, actor

MOST_WAITING, MOST_PAST = 100, 50


async def approvals(request: Request, frame: Frame, refused: TrimtabError | None = None) -> HTMLResponse:
    """``GET /guard/approvals``. ``refused``: why a decision was not taken; what was typed is kept."""
    queue = frame.house.guarding.approvals
    form = await request.form() if refused else {}
    every = await queue.list(every=True, limit=MOST_PAST + MOST_WAITING)
    return frame.page(
        request, "approvals.html", title="Approvals", nav="/guard", calls=await queue.list(limit=MOST_WAITING),
        past=[one for one in every if one.state != "waiting"][:MOST_PAST], refused=refused,
        at=str(request.path_params.get("id", "")), typed=str(form.get("note", "")),
        status=refused.status if refused else 200, incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def decide(request: Request, frame: Frame) -> Response:
    """``POST /guard/approvals/{id}`` with ``decision`` (approve or refuse) and ``note``. A refusal needs a reason."""
    approval_id, form = str(request.path_params["id"]), await request.form()
    decision, note = str(form.get("decision", "")), str(form.get("note", "")).strip()
    try:
        if decision not in ("approve", "refuse"):
            raise BadInput("Neither approve nor refuse was chosen.", field="decision")
        if decision == "refuse" and not note:
            raise BadInput("A refusal needs a reason: the client reads it.", field="note")
        await frame.house.guarding.approvals.decide(
            approval_id, approve=decision == "approve", by=actor(request), note=note
        )
    except NotFound:
        raise
    except TrimtabError as refused:
        return await approvals(request, frame, refused)
    return RedirectResponse("/guard/approvals", status_code=303)

"""Allowing replays of an incident to cost more than their bound, on its page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from trimtab.core import NotFound, TrimtabError
from trimtab.web.frame import Frame, actor

from .incident import incident_id, incident_page


async def replay(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/replay``: allow replays as many calls more as they ask for. A refusal is shown on the
    page."""
    number = incident_id(request)
    try:
        await frame.house.desk.allow_replays(number, actor(request))
    except NotFound:
        raise
    except TrimtabError as refused:
        return await incident_page(request, frame, unacted=refused)
    return RedirectResponse(f"/incidents/{number}#replays-h", status_code=303)

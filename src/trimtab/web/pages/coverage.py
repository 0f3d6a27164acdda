"""Which control covers which item of the OWASP lists, tested by which suite, and what none covers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.guard.coverage import CONTROLS, ITEMS, LISTS
from trimtab.web.frame import Frame

CSS = {"covered": "pass", "partly": "unsure", "outside": "none"}


async def coverage(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /guard/coverage``."""
    lists = [(title, [item for item in ITEMS if item.id.startswith(short)]) for short, title in LISTS.items()]
    return frame.page(
        request, "coverage.html", title="Coverage", nav="/guard", lists=lists, controls=CONTROLS, css_of=CSS,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip

"""The first run: what to change in a program so that its first trace arrives."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.web.frame import Frame, newest_request

LANGUAGES = (("python", "Python"), ("curl", "curl"), ("otel", "OpenTelemetry"))
LAYERS = (
    (1, "Model", "which model answered, how fast, how often it failed"),
    (2, "Knowledge", "which passages were found and how old they are"),
    (3, "Prompt", "which prompt version was used"),
    (4, "Safety", "what was blocked, and what should not have been"),
    (5, "Operations", "routes, fallbacks, judges"),
)


def start_context(request: Request) -> dict[str, Any]:
    """What the start page says: the address is the one the reader came by."""
    asked = request.query_params.get("lang", "")
    language = asked if any(asked == key for key, _ in LANGUAGES) else "python"
    return {
        "base_url": f"{request.url.scheme}://{request.url.netloc}",
        "port": request.url.port or (443 if request.url.scheme == "https" else 80),
        "language": language,
        "languages": LANGUAGES,
        "layers": LAYERS,
    }


async def start(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /start``: the same content at an address of its own; it stays when traces are there."""
    arrived = bool((await frame.house.spans.query(newest_request())).spans)
    return frame.page(
        request, "start.html", title="Start", nav="/", live=not arrived, arrived=arrived, **start_context(request)
    )

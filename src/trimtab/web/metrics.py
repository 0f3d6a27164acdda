"""Health for supervisors and figures for Prometheus, where they are asked for by way of the pages (``vitals``)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from .frame import Frame
from .vitals import METRICS_TYPE, metrics_text, ready_text


async def healthz(request: Request, frame: Frame) -> Response:
    """The process runs and answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request, frame: Frame) -> Response:
    """The stores answer; an error of theirs becomes its own status."""
    return PlainTextResponse(await ready_text(frame.house))


async def metrics(request: Request, frame: Frame) -> Response:
    """``GET /metrics``."""
    return PlainTextResponse(await metrics_text(frame.house), media_type=METRICS_TYPE)

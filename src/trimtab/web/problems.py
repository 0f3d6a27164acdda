"""Errors as answers: Problem Details (RFC 9457) for programs, a page with the mend for people."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trimtab.core import LimitReached, NotFound, TrimtabError

from .frame import Frame
from .security import HEADERS

log = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]


def problem(error: TrimtabError) -> dict[str, Any]:
    """The Problem Details object of an error of ours."""
    return {
        "type": f"urn:trimtab:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "field": error.field,
        "mend": error.mend,
        "layer": None if error.layer is None else int(error.layer),
    }


def wait_header(error: TrimtabError) -> dict[str, str]:
    """``retry-after`` in whole seconds, where the error knows when to come back."""
    return {} if error.retry_after is None else {"retry-after": str(max(1, math.ceil(error.retry_after)))}


def as_ours(error: Exception) -> TrimtabError:
    """Any exception as one of ours. What we did not raise on purpose tells a stranger nothing about itself."""
    if isinstance(error, TrimtabError):
        return error
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.NOT_FOUND:
            return NotFound("There is nothing at this address.", mend="Check the address, or start from the Stack.")
        if error.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            return LimitReached(error.detail)
        other = TrimtabError(f"{error.detail}.".replace("..", "."))
        other.status = error.status_code
        other.code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return other
    return TrimtabError("Something went wrong inside Trimtab.", mend="The server's log has the details.")


def wants_json(request: Request) -> bool:
    """Programs ask under /api and /v1, or say that they accept JSON and no HTML."""
    accept = request.headers.get("accept", "")
    return request.url.path.startswith(("/api/", "/v1/")) or ("json" in accept and "html" not in accept)


def handler(frame: Frame) -> Handler:
    """One handler for every error that leaves a route."""

    async def answer(request: Request, raised: Exception) -> Response:
        error = as_ours(raised)
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(raised, TrimtabError):
            log.error("%s %s failed", request.method, request.url.path, exc_info=raised)
        # Said here as well as by the middleware: the answer to a mistake of ours is made outside of it.
        headers = {
            **HEADERS,
            "cache-control": "no-store",
            **(getattr(raised, "headers", None) or {}),
            **wait_header(error),
        }
        if wants_json(request):
            return JSONResponse(
                problem(error), status_code=error.status, headers=headers, media_type="application/problem+json"
            )
        response = frame.page(
            request, "error.html", title=problem(error)["title"], status=error.status, error=problem(error)
        )
        response.headers.update(headers)
        return response

    return answer

"""What the traces' HTTP reads and answers: bodies, limits and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.core import BadInput, TooLarge, body_as

T = TypeVar("T")

_BODY_LIMIT = 4 * 1024 * 1024
_AGO = re.compile(r"(\d+)([smhd])")
_AGO_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def limit_of(text: str | int, most: int = 1000) -> int:
    """A number from 1 to ``most``. Raises BadInput for ``limit``."""
    limit = int(text) if str(text).isascii() and str(text).isdecimal() and len(str(text)) < 9 else 0
    if not 1 <= limit <= most:
        raise BadInput(f"{str(text)[:40]!r} is not a limit", field="limit", mend=f"Give a number from 1 to {most}.")
    return limit


def time_of(text: str, field: str, now: int) -> int:
    """Nanoseconds UTC from ISO 8601, from so long ago (``15m``, ``2h``, ``7d``) or from nanoseconds; 0 for nothing."""
    text = text.strip()
    if not text:
        return 0
    ago = _AGO.fullmatch(text)
    if ago and len(ago[1]) < 10:
        return max(1, now - int(ago[1]) * _AGO_SECONDS[ago[2]] * 1_000_000_000)
    if text.isascii() and text.isdecimal() and 15 <= len(text) <= 18 + 1 and int(text) < 1 << 63:
        return int(text)
    try:
        # A "+" in a query string arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if " " in text[10:] and "T" in text else text)
    except ValueError:
        raise BadInput(
            f"{text[:40]!r} is not a time",
            field=field,
            mend="Write ISO 8601 (2026-11-01T12:00:00Z), so long ago (15m, 2h, 7d) or nanoseconds.",
        ) from None
    return max(1, round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000) * 1000)


def bounded_ns(value: int, field: str) -> int:
    """Nanoseconds that a database can hold. Raises BadInput for ``field``."""
    if not 0 <= value < 1 << 63:
        raise BadInput(f"{value} is not a time in nanoseconds", field=field, mend="Give nanoseconds since 1970 UTC.")
    return value


async def body_of(request: Request, kind: type[T] | Any) -> T:
    """The body as ``kind``. Raises TooLarge, and BadInput that names the place which does not fit."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _BODY_LIMIT:
            raise TooLarge(f"the body is over {_BODY_LIMIT >> 20} MiB", field="body", mend="Send less at once.")
        parts.append(part)
    decoded: T = body_as(b"".join(parts), kind, mend="Send JSON of that shape.", needed=True)
    return decoded


def json_answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")

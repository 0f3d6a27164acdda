"""What vendors have in common: how they say no, and how their JSON is read without trusting it."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.core import ModelError, now_ns

from .exchange import Response

#: An error's body is read up to this many bytes, and its message shown up to this many characters.
ERROR_BODY = 1 << 16
ERROR_TEXT = 500

_RETRYABLE = frozenset({408, 409, 429})


def decode(data: bytes | str, vendor: str) -> dict[str, Any]:
    """One JSON object. Raises ModelError (retryable) when the vendor sent anything else."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{vendor} answered with something that is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{vendor} answered with JSON that is not an object.")
    return value


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one: a vendor's null or list where an object belongs."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """The value if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def number(value: object) -> int:
    """The value if it is a whole number of at least 0, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


async def refusal(response: Response, vendor: str, secret: str) -> ModelError:
    """The error behind a status of 300 and more, in the vendor's own words, with the key cut out of them."""
    try:
        body = await response.read(ERROR_BODY)
    except ModelError:
        body = b""  # the status alone says enough
    error = ModelError(
        f"{vendor} answered {response.status}: {redact(_words(body), secret) or 'no reason given'}",
        vendor_status=response.status,
        retryable=retryable(response.status),
        retry_after=retry_after(response.headers, now_ns() / 1e9),
    )
    ident = response.headers.get("x-request-id") or response.headers.get("request-id") or ""
    error.vendor_request = redact(ident[:ERROR_TEXT], secret)
    return error


def complaint(error: object, vendor: str, secret: str) -> ModelError:
    """The error in an event of a stream that had begun well."""
    found = mapping(error)
    status = number(found.get("code")) or number(found.get("status"))
    if not 400 <= status < 600:
        status = 0
    words = _message(error) or "no reason given"
    return ModelError(
        f"{vendor} broke off: {redact(words, secret)}",
        vendor_status=status,
        retryable=retryable(status) if status else True,
    )


def retryable(status: int) -> bool:
    """Whether the same request may succeed elsewhere or later."""
    return status in _RETRYABLE or status >= 500


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from ``retry-after-ms`` or ``retry-after`` (seconds or a date; ``now`` is seconds since 1970)."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            return float(value) * scale
    try:
        when = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, when.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def redact(words: str, secret: str) -> str:
    """Cut the key out of a vendor's message, also where it is shown in part (its beginning, then anything)."""
    if len(secret) >= 8:
        words = words.replace(secret, "[key]")
        words = re.sub(re.escape(secret[:8]) + r"\S*", "[key]", words)
    elif secret:
        words = words.replace(secret, "[key]")
    words = " ".join(words.split())
    return words if len(words) <= ERROR_TEXT else words[:ERROR_TEXT] + "..."


def _words(body: bytes) -> str:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    return _message(value) or body.decode("utf-8", "replace")


def _message(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return _message(value[0])
    found = mapping(value)
    for name in ("error", "message", "detail"):
        if found.get(name) and (words := _message(found[name])):
            return words
    return ""

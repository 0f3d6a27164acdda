"""One HTTP request to the server, with the standard library only."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import lru_cache
from typing import Any

from trimtab.core import TrimtabError

from .settings import Settings

_ANSWER_LIMIT = 16 * 1024 * 1024
_TRY_AGAIN = frozenset({429, 502, 503, 504})


class Unreachable(TrimtabError):
    """The server did not answer, or asks to come back later."""

    status = 503
    retryable = True
    code = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes
    #: By their names in small letters.
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The body's JSON object; an empty one when it holds none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def problem(self) -> str:
        """What went wrong, in the server's words."""
        said = self.json()
        parts = [str(said[name]) for name in ("detail", "message", "mend") if said.get(name)]
        return f"{self.status} {' '.join(parts)}".strip()


def call(
    settings: Settings,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    encoding: str = "",
    known: str = "",
    timeout: float = 5.0,
) -> Answer:
    """Send JSON and read the answer, whatever its status. ``timeout`` is seconds for each step of the connection;
    ``known`` are the tags of what need not be sent again.

    Raises Unreachable when there is no answer, or one that asks to come back (429, 502, 503, 504).
    """
    headers = {"accept": "application/json"}
    if body is not None:
        headers["content-type"] = "application/json"
    if encoding:
        headers["content-encoding"] = encoding
    if known:
        headers["if-none-match"] = known
    if settings.key:
        headers["authorization"] = f"Bearer {settings.key}"
    request = urllib.request.Request(settings.url + path, data=body, headers=headers, method=method)
    try:
        with _opener(settings.loopback).open(request, timeout=timeout) as response:
            return Answer(status=response.status, body=response.read(_ANSWER_LIMIT), headers=_lower(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            answer = Answer(status=error.code, body=_rest(error), headers=_lower(error.headers))
        if error.code in _TRY_AGAIN:
            raise Unreachable(answer.problem, retry_after=_seconds(error.headers.get("retry-after", ""))) from None
        return answer
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise Unreachable(
            f"{settings.url} does not answer: {reason}", mend="Start it with `trimtab up`, or call trimtab.configure."
        ) from None


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _rest(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_ANSWER_LIMIT)
    except (OSError, http.client.HTTPException):
        return b""


def _seconds(text: str) -> float | None:
    return float(text) if text.isdecimal() and len(text) < 6 else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another server."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


@lru_cache(maxsize=2)
def _opener(loopback: bool) -> urllib.request.OpenerDirector:
    # A proxy cannot reach this machine's own loopback.
    proxies = [urllib.request.ProxyHandler({})] if loopback else []
    return urllib.request.build_opener(_NoRedirect(), *proxies)

"""The CLI's side of the control API: it talks to a running server, and so needs no second door to the store."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, TypeVar

import click

from trimtab.core import BadInput, TrimtabError

TIMEOUT_S = 30.0
#: Seconds in which a stream may say nothing: the server may have much to look through for the next piece.
STREAM_TIMEOUT_S = 300.0
_PART = 1 << 16
F = TypeVar("F", bound=Callable[..., Any])


class Unreachable(TrimtabError):
    code = "unreachable"


class Remote:
    """A server's control API."""

    def __init__(self, server: str, key: str) -> None:
        self._server = server.rstrip("/")
        self._key = key
        # The server is the user's own: proxies set for the outside world do not apply to it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, **query: Any) -> Any:
        """GET; parameters that are None or empty are left out."""
        kept = [(k, v) for k, value in query.items() for v in (value if isinstance(value, tuple) else (value,))]
        text = urllib.parse.urlencode([(k, v) for k, v in kept if v not in (None, "")])
        return self._ask("GET", path + (f"?{text}" if text else ""), None)

    def text(self, path: str) -> str:
        """GET a text."""
        with self._open("GET", path, None, TIMEOUT_S) as answer:
            return answer.read().decode()

    def post(self, path: str, body: Mapping[str, Any], *, timeout: float = TIMEOUT_S) -> Any:
        """POST a JSON body. ``timeout`` is seconds."""
        return self._ask("POST", path, json.dumps(body).encode(), timeout)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH with a JSON body."""
        return self._ask("PATCH", path, json.dumps(body).encode())

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """PUT a JSON body."""
        return self._ask("PUT", path, json.dumps(body).encode())

    def delete(self, path: str, **query: Any) -> Any:
        """DELETE; parameters that are empty are left out."""
        text = urllib.parse.urlencode([(k, v) for k, v in query.items() if v not in (None, "")])
        return self._ask("DELETE", path + (f"?{text}" if text else ""), None)

    def parts(self, path: str, **query: Any) -> Iterator[bytes]:
        """GET a stream, piece by piece as it comes; parameters that are None or empty are left out."""
        text = urllib.parse.urlencode([(k, v) for k, v in query.items() if v not in (None, "")])
        with self._open("GET", path + (f"?{text}" if text else ""), None, STREAM_TIMEOUT_S) as answer:
            while part := answer.read1(_PART):  # type: ignore[attr-defined]
                yield part

    def _ask(self, method: str, path: str, body: bytes | None, timeout: float = TIMEOUT_S) -> Any:
        with self._open(method, path, body, timeout) as answer:
            return json.loads(answer.read() or b"null")

    @contextmanager
    def _open(self, method: str, path: str, body: bytes | None, timeout: float) -> Iterator[IO[bytes]]:
        """The answer to a request, to be read. Raises BadInput for what the server refuses."""
        request = urllib.request.Request(self._server + path, data=body, method=method)
        request.add_header("accept", "application/json")
        if body is not None:
            request.add_header("content-type", "application/json")
        if self._key:
            request.add_header("authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                problem = _problem(error)
            raise problem from None
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"no Trimtab server answers at {self._server} ({reason}).",
                mend="Start one with `trimtab up`, or name another with --server.",
            ) from None


def _problem(error: urllib.error.HTTPError) -> TrimtabError:
    try:
        problem = json.loads(error.read())
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    if isinstance(told := problem.get("error"), dict):  # of the paths that models are asked at
        return BadInput(str(told.get("message") or f"the server answered {error.code}."))
    return BadInput(
        str(problem.get("detail") or f"the server answered {error.code}."),
        field=str(problem.get("field") or ""),
        mend=str(problem.get("mend") or ""),
    )


def server_options(function: F) -> F:
    """The options of every command that talks to a server; the command gets one ``remote``."""

    @click.option(
        "--server",
        envvar="TRIMTAB_URL",
        default="http://127.0.0.1:4100",
        show_default=True,
        help="Where the server is.",
    )
    @click.option("--key", envvar="TRIMTAB_API_KEY", default="", help="An admin key; not needed on this machine.")
    def wrapped(*args: Any, server: str, key: str, **kwargs: Any) -> Any:
        return function(*args, remote=Remote(server, key), **kwargs)

    wrapped.__name__ = function.__name__
    wrapped.__doc__ = function.__doc__
    # Carry over the options that were declared under this decorator.
    wrapped.__click_params__ = wrapped.__click_params__ + getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]

"""``POST /v1/traces`` and ``/v1/logs``: OTLP over HTTP as plain ASGI apps, answered after everything is committed.

What cannot be kept is named in ``partial_success``; a request that cannot be read is a 400 that says why.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from trimtab.core import BadInput, Score, Span, TooLarge, TrimtabError, now_ns
from trimtab.store import SpanStore

from .events import Heard, Window, hear
from .flow import Flow
from .logs import decode_logs, encode_logs_response
from .masking import Mask
from .otlp import decode, encode_response, encode_status
from .roots import Roots
from .scores import scored
from .translation import Translated, translate

#: Bytes of a request as sent, and after decompression.
BODY_LIMIT = 32 * 1024 * 1024
DECODED_LIMIT = 64 * 1024 * 1024
# Bodies above this are decoded in a thread, so that one large request does not hold up the others.
_INLINE_LIMIT = 256 * 1024
_PROTOBUF, _JSON, _PROBLEM = "application/x-protobuf", "application/json", "application/problem+json"
# HTTP status -> gRPC code, for google.rpc.Status.
_CODES = {400: 3, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14}
_REASONS_TOLD = 5


#: Reads a request and keeps what it can: the reasons why some of it was not.
Keep = Callable[[bytes, bool], Awaitable[list[str]]]
Answer = Callable[..., bytes]


def otlp_app(
    store: SpanStore,
    *,
    clock: Callable[[], int] = now_ns,
    window: Window | None = None,
    mask: Mask | None = None,
) -> ASGIApp:
    """The receiver of spans as an ASGI app for one path. ``clock`` gives nanoseconds UTC; ``window`` is what the
    receiver of logs was given, and ``mask`` takes out what must not be stored."""
    roots, flow = Roots(), Flow()
    waiting = window or Window()

    async def keep(body: bytes, json: bool) -> list[str]:
        def read() -> Translated:
            return translate(waiting.join(decode(body, json=json)), clock())

        spans, rejected, guessed = read() if len(body) <= _INLINE_LIMIT else await asyncio.to_thread(read)
        if spans:
            complete = roots.complete(flow.observe(spans, guessed))
            kept: Sequence[Span] = mask(complete, ())[0] if mask else complete
            await store.write(kept)
            roots.forget(spans)
            waiting.forget((span.trace_id, span.span_id) for span in spans)
        return rejected

    return _app(keep, encode_response)


def logs_app(
    store: SpanStore,
    *,
    clock: Callable[[], int] = now_ns,
    window: Window | None = None,
    mask: Mask | None = None,
) -> ASGIApp:
    """The receiver of log records: GenAI's verdicts become scores, its messages the conversation of their span, which
    they are stored under at once. What comes before its span waits in ``window`` to be joined to it."""
    waiting = window or Window()

    async def keep(body: bytes, json: bool) -> list[str]:
        now = clock()

        def read() -> tuple[Heard, Translated]:
            heard = hear(decode_logs(body, json=json), now)
            return heard, translate(heard.spans, now)

        heard, talks = read() if len(body) <= _INLINE_LIMIT else await asyncio.to_thread(read)
        spans: Sequence[Span] = talks.spans
        scores: Sequence[Score] = await scored(store, heard.scores, now)
        if mask:
            spans, scores = mask(spans, scores)
        if spans or scores:
            await store.write(spans, scores)
            waiting.hold(heard.spans, now)
        return heard.rejected + talks.rejected

    return _app(keep, encode_logs_response)


def _app(keep: Keep, encode: Answer) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        json = kind == _JSON
        try:
            _check(scope["method"], kind)
            body = _decompressed(await _body(receive), headers.get("content-encoding", ""))
            rejected = await keep(body, json)
        except _Gone:
            return
        except TrimtabError as error:
            await _refuse(send, error, kind)
            return
        reason = "; ".join(rejected[:_REASONS_TOLD])
        if len(rejected) > _REASONS_TOLD:
            reason += f"; and {len(rejected) - _REASONS_TOLD} more"
        await _answer(send, 200, kind, encode(len(rejected), reason, json=json))

    return app


class _Gone(Exception):
    """The client went away while it was sending."""


class _WrongMethod(BadInput):
    status = 405
    code = "method_not_allowed"


class _WrongType(BadInput):
    status = 415
    code = "unsupported_media_type"


def _check(method: str, kind: str) -> None:
    if method != "POST":
        raise _WrongMethod(f"{method} is not allowed here", mend="Send it with POST.")
    if kind not in (_PROTOBUF, _JSON):
        raise _WrongType(
            f"{kind or 'no content type'} cannot be read", field="content-type", mend=f"Send {_PROTOBUF} or {_JSON}."
        )


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_LIMIT:
            raise TooLarge(f"the body is over {BODY_LIMIT >> 20} MiB", field="body", mend="Send smaller batches.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _decompressed(body: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise _WrongType(
            f"content encoding {encoding!r} cannot be read", field="content-encoding", mend="Send gzip or identity."
        )
    out: list[bytes] = []
    room = DECODED_LIMIT
    while body:
        stream = zlib.decompressobj(wbits=31)
        try:
            out.append(stream.decompress(body, room + 1))
        except zlib.error as error:
            raise BadInput(f"the gzip body is broken: {error}", field="body", mend="Send it whole.") from None
        room -= len(out[-1])
        if room < 0:
            raise TooLarge(
                f"the body is over {DECODED_LIMIT >> 20} MiB decompressed", field="body", mend="Send smaller batches."
            )
        if not stream.eof:
            raise BadInput("the gzip body ends too early", field="body", mend="Send it whole.")
        body = stream.unused_data
    return b"".join(out)


async def _refuse(send: Send, error: TrimtabError, kind: str) -> None:
    extra: list[tuple[bytes, bytes]] = []
    if error.retryable:
        extra.append((b"retry-after", str(max(1, round(error.retry_after or 1))).encode()))
    if error.status == 405:
        extra.append((b"allow", b"POST"))
    if kind in (_PROTOBUF, _JSON):
        body = encode_status(_CODES.get(error.status, 2), str(error), json=kind == _JSON)
        await _answer(send, error.status, kind, body, extra)
        return
    problem = {
        "type": f"urn:trimtab:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "field": error.field,
        "mend": error.mend,
    }
    await _answer(send, error.status, _PROBLEM, msgspec.json.encode(problem), extra)


async def _answer(
    send: Send, status: int, kind: str, body: bytes, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *(extra or ())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

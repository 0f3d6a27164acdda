"""``POST /v1/traces`` and ``/v1/logs``: OTLP over HTTP as plain ASGI apps, answered after everything is committed.

What cannot be kept is named in ``partial_success``; a request that cannot be read is a 400 that says why.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Collection, Sequence

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from trimtab.core import BadInput, Score, Span, TooLarge, TrimtabError, now_ns
from trimtab.store import Spans

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
#: HTTP status -> gRPC code, for google.rpc.Status.
CODES = {400: 3, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14}
_REASONS_TOLD = 5


#: Reads a request and keeps what it can: the reasons why some of it was not.
Keep = Callable[[bytes, bool], Awaitable[list[str]]]
Answer = Callable[..., bytes]


class Receiver:
    """What becomes of requests with spans and with log records, whatever they came by.

    ``clock`` gives nanoseconds UTC, ``mask`` takes out what must not be stored, and ``window`` holds the messages that
    came before their span.
    """

    def __init__(
        self,
        store: Spans,
        *,
        clock: Callable[[], int] = now_ns,
        window: Window | None = None,
        mask: Mask | None = None,
    ) -> None:
        self._store, self._clock, self._mask = store, clock, mask
        self._window = window or Window()
        self._roots, self._flow = Roots(), Flow()

    async def spans(self, body: bytes, json: bool) -> list[str]:
        """Keep the spans of an ExportTraceServiceRequest; returns once they are committed, with a reason for each that
        cannot be kept. Raises BadInput for what is no such request, and what the store raises."""

        def read() -> Translated:
            return translate(self._window.join(decode(body, json=json)), self._clock())

        spans, rejected, guessed = read() if len(body) <= _INLINE_LIMIT else await asyncio.to_thread(read)
        if spans:
            complete = self._roots.complete(self._flow.observe(spans, guessed))
            kept: Sequence[Span] = self._mask(complete, ())[0] if self._mask else complete
            await self._store.write(kept)
            self._roots.forget(spans)
            self._window.forget((span.trace_id, span.span_id) for span in spans)
        return rejected

    async def logs(self, body: bytes, json: bool) -> list[str]:
        """Keep the log records of an ExportLogsServiceRequest: GenAI's verdicts become scores, its messages the
        conversation of their span, which they are stored under at once. Returns and raises as ``spans`` does."""
        now = self._clock()

        def read() -> tuple[Heard, Translated]:
            heard = hear(decode_logs(body, json=json), now)
            return heard, translate(heard.spans, now, exported=False)

        heard, talks = read() if len(body) <= _INLINE_LIMIT else await asyncio.to_thread(read)
        spans: Sequence[Span] = talks.spans
        scores: Sequence[Score] = await scored(self._store, heard.scores, now)
        if self._mask:
            spans, scores = self._mask(spans, scores)
        if spans or scores:
            await self._store.write(spans, scores)
            self._window.hold(heard.spans, now)
        return heard.rejected + talks.rejected

    def forget(self, trace_ids: Collection[str]) -> None:
        """Drop what is remembered of these traces."""
        self._roots.drop(trace_ids)
        self._flow.drop(trace_ids)
        self._window.drop(trace_ids)


def otlp_app(receiver: Receiver) -> ASGIApp:
    """The receiver of spans as an ASGI app for one path."""
    return _app(receiver.spans, encode_response)


def logs_app(receiver: Receiver) -> ASGIApp:
    """The receiver of log records as an ASGI app for one path."""
    return _app(receiver.logs, encode_logs_response)


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
        await _answer(send, 200, kind, encode(len(rejected), told(rejected), json=json))

    return app


def told(rejected: Sequence[str]) -> str:
    """The first reasons, and how many more there are."""
    reason = "; ".join(rejected[:_REASONS_TOLD])
    return reason + (f"; and {len(rejected) - _REASONS_TOLD} more" if len(rejected) > _REASONS_TOLD else "")


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
        body = encode_status(CODES.get(error.status, 2), str(error), json=kind == _JSON)
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

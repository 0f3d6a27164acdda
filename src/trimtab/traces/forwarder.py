"""Everything that is stored, sent on to another OpenTelemetry collector: spans as traces, scores as log records.

The store is the queue: what could not be sent yet is still in it, so nothing waits in memory, and a restart goes on
from the position that was kept.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from trimtab.core import Span, TrimtabError
from trimtab.store import Batch, Spans

from .messages import compact
from .otlpout import request_of, scores_of

_LOG = logging.getLogger("trimtab.forwarder")
POSITION = "export.otlp.position"
_BATCH = 500
#: About so many characters go in one request.
_REQUEST_SIZE = 2_000_000
_TIMEOUT_S, _FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 1.0, 60.0
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_PATH = "/v1/traces"


class Reply(Protocol):
    """What an HTTP client answers with."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def read(self, limit: int = ...) -> bytes: ...


class Http(Protocol):
    """Any HTTP client."""

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = ...,
        *,
        timeout: float,  # noqa: ASYNC109
    ) -> Reply: ...


class Memory(Protocol):
    """Where the position is kept."""

    async def get(self, name: str) -> Any | None: ...
    async def put(self, name: str, value: Any) -> None: ...


class Forwarder:
    """One task. ``endpoint`` is a collector's address, with or without ``/v1/traces``.

    Begins with what is stored from the first start on. A batch that the collector cannot take now is tried again with
    growing pauses, for as long as it takes; one that it refuses for good is passed over, counted and logged.
    """

    def __init__(
        self,
        *,
        store: Spans,
        memory: Memory,
        http: Http,
        endpoint: str,
        headers: Mapping[str, str] | None = None,
        first_pause: float = _FIRST_PAUSE_S,
    ) -> None:
        base = endpoint.rstrip("/").removesuffix(_PATH)
        self._traces, self._logs = f"{base}{_PATH}", f"{base}/v1/logs"
        self._store, self._memory, self._http = store, memory, http
        self._headers = {
            **(headers or {}), "content-type": "application/x-protobuf", "content-encoding": "gzip",
        }  # fmt: skip
        self._first_pause = first_pause
        self._task: asyncio.Task[None] | None = None
        self._position = ""
        self._scores_wanted = True
        self.sent = self.refused = self.failures = 0

    async def start(self) -> None:
        """Take up the position of the last run, then begin."""
        kept = await self._memory.get(POSITION)
        self._position = str(kept) if kept is not None else await self._store.end()
        await self._memory.put(POSITION, self._position)
        self._task = asyncio.create_task(self._forever(), name="trimtab-forwarder")

    async def stop(self) -> None:
        """End the task; what was not sent is sent after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def turn(self) -> bool:
        """Send one batch. False when there was none. Raises TrimtabError when it is to be tried again."""
        batch = await self._store.tail(self._position, _BATCH)
        if batch.position == self._position:
            return False
        await self._send(batch)
        self._position = batch.position
        await self._memory.put(POSITION, self._position)
        return bool(batch.spans or batch.scores)

    async def _forever(self) -> None:
        pause = self._first_pause
        while True:
            try:
                if not await self.turn():
                    await self._store.wait(1.0)
                pause = self._first_pause
            except TrimtabError as error:
                self.failures += 1
                if pause == self._first_pause:
                    _LOG.warning("spans cannot be sent on, and are kept until they can: %s", error)
                await asyncio.sleep(error.retry_after or pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            except Exception:  # house: except because a chore that dies silently is worse than one that goes on
                _LOG.exception("the forwarder: unexpected")
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _send(self, batch: Batch) -> None:
        for spans in _parts(batch.spans):
            await self._post(self._traces, lambda spans=spans: request_of(spans), len(spans))  # type: ignore[misc]
        if batch.scores and self._scores_wanted:
            await self._post(self._logs, lambda: scores_of(batch.scores), len(batch.scores))

    async def _post(self, url: str, make: Callable[[], Any], items: int) -> None:
        packed = await asyncio.to_thread(lambda: gzip.compress(make().SerializeToString(), 1))
        reply = await self._http.request("POST", url, self._headers, packed, timeout=_TIMEOUT_S)
        said = (await reply.read()).decode(errors="replace")[:300]
        if 200 <= reply.status < 300:
            self.sent += items
            return
        if reply.status in _AGAIN:
            raise _Later(f"{url} answered {reply.status} {said}", retry_after=_seconds(reply.headers))
        if url == self._logs and reply.status in (404, 405, 501):
            # Many collectors take traces only.
            self._scores_wanted = False
            _LOG.warning("%s answered %d: scores are not sent on", url, reply.status)
            return
        self.refused += items
        _LOG.error("%s refused %d spans or scores for good: %d %s", url, items, reply.status, said)


def _parts(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """The spans in requests of a size that collectors take."""
    part: list[Span] = []
    size = 0
    for span in spans:
        part.append(span)
        size += len(span.input) + len(span.output) + len(compact(dict(span.attributes)))
        if size > _REQUEST_SIZE:
            yield part
            part, size = [], 0
    if part:
        yield part


class _Later(TrimtabError):
    """The collector asks to come back."""

    status = 503
    retryable = True
    code = "unavailable"


def _seconds(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    return min(float(text), _LONGEST_PAUSE_S) if text.isdecimal() and len(text) < 6 else None

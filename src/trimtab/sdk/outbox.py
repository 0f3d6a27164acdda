"""What leaves the process: finished spans as OTLP, feedback as scores, by one exporter."""

from __future__ import annotations

import atexit
import gzip
import json
import logging
import math
import os
import re
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from trimtab.core import BadInput, new_trace_id, now_ns

from .capture import cut
from .connection import Answer, Unreachable, call
from .exporter import Exporter, Lost
from .inference import remember
from .livespan import LiveSpan
from .settings import Settings, current_settings
from .wire import encode

_LOG = logging.getLogger("trimtab")
_EXIT_SECONDS = 2.0
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SCORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Feedback = dict[str, Any]
#: The trace of the last span that ended in this thread or task.
LAST: ContextVar[str] = ContextVar("trimtab_last", default="")


class Losses:
    """How many spans were lost that no export has told of yet."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing was lost: for the child of a fork, whose parent tells of its own."""
        # A signal or the garbage collector may end a span in the midst of a count.
        self._lock = threading.RLock()
        self.spans = 0

    def add(self, spans: int) -> None:
        """So many more were lost; less than 0 were told of."""
        with self._lock:
            self.spans += spans

    def gave_up(self, items: Sequence[LiveSpan | Feedback]) -> None:
        """These were never delivered."""
        self.add(sum(isinstance(item, LiveSpan) for item in items))


def _send(items: list[LiveSpan | Feedback]) -> Lost | None:
    """Deliver a batch, the spans first, so that the feedback finds its trace. Raises TrimtabError.

    Spans that were answered are taken out of the batch: they are neither sent nor counted again when the feedback does
    not arrive.
    """
    settings = current_settings()
    spans = [item for item in items if isinstance(item, LiveSpan)]
    scores = [item for item in items if not isinstance(item, LiveSpan)]
    losses = []
    if spans:
        told = LOSSES.spans
        answer = call(settings, "POST", "/v1/traces", gzip.compress(encode(spans, told), 1), encoding="gzip")
        items[:] = scores
        losses += _lost(answer, len(spans), settings) or _rejected(answer)
        lost = sum(each.items for each in losses)
        # A span tells of earlier losses: where none was kept, nobody was told.
        LOSSES.add(lost - told if lost < len(spans) else lost)
    if scores:
        try:
            answer = call(settings, "POST", "/api/scores", json.dumps(scores).encode())
        except Unreachable:
            for each in losses:
                EXPORTER.count(each)
            raise
        losses += _lost(answer, len(scores), settings)
    return Lost(sum(lost.items for lost in losses), "; ".join(lost.reason for lost in losses)) if losses else None


def _lost(answer: Answer, count: int, settings: Settings) -> list[Lost]:
    return [] if 200 <= answer.status < 300 else [Lost(count, f"{settings.url} answered {answer.problem}")]


def _rejected(answer: Answer) -> list[Lost]:
    """The spans of an export that the server cannot keep."""
    told = answer.json().get("partialSuccess") or {}
    count = int(told.get("rejectedSpans") or 0)
    return [Lost(count, str(told.get("errorMessage")))] if count else []


LOSSES = Losses()
EXPORTER: Exporter[LiveSpan | Feedback] = Exporter(_send, gave_up=LOSSES.gave_up)
atexit.register(EXPORTER.end, _EXIT_SECONDS)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=EXPORTER.reset)
    os.register_at_fork(after_in_child=LOSSES.reset)


def finish(span: LiveSpan) -> None:
    """End a span and queue it."""
    span.end_ns = now_ns()
    LAST.set(span.trace_id)
    try:
        remember(span)
    except Exception:  # house: except because guessing what a span is must not break the application
        _LOG.debug("trimtab: a span's kind could not be guessed", exc_info=True)
    try:
        span.project = current_settings().project
    except BadInput:
        # The exporter says what is wrong with the address.
        span.project = ""
    EXPORTER.offer(span)


def flush(timeout: float = 10.0) -> bool:
    """Wait until everything recorded so far has been sent or given up; False after ``timeout`` seconds."""
    return EXPORTER.flush(timeout)


def log_feedback(
    trace_id: str,
    name: str,
    value: float | bool,
    rationale: str = "",
    *,
    span_id: str = "",
    source: str = "user",
    label: str = "",
) -> str:
    """Say what somebody thinks of a trace: ``value`` from 0 (bad) to 1 (good), or a boolean. Returns the score's id.

    It is sent in the background, after the spans recorded before it. Raises BadInput for a value outside 0 to 1, and
    for what is no trace id or no name.
    """
    if not _TRACE_ID.fullmatch(str(trace_id)):
        raise BadInput(f"{trace_id!r} is no trace id", field="trace_id", mend="Give a span's trace_id, 32 hex digits.")
    if not _SCORE_NAME.fullmatch(str(name)):
        raise BadInput(f"{name!r} is no score name", field="name", mend="Use letters, digits, '.', '_' and '-'.")
    number = float(value) if isinstance(value, int | float) else math.nan
    if not 0 <= number <= 1:
        raise BadInput(f"{value!r} is no score", field="value", mend="Scale it to 0 (bad) to 1 (good).")
    score_id = f"sco_{new_trace_id()}"
    EXPORTER.offer(
        {
            "id": score_id, "trace_id": trace_id, "span_id": span_id, "name": name, "value": number, "by": source,
            "label": cut(label, 500), "reason": cut(rationale, 19_000),
        }
    )  # fmt: skip
    return score_id

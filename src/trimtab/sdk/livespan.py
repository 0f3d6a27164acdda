"""A span while it runs in the application, and the context that says which one is running."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

from trimtab.core import KINDS, new_span_id, new_trace_id, now_ns

from .capture import cut, text_of

_ERROR_LIMIT = 2000
_EARLIER_KEPT = 16
_TYPES = {"chat_model": "llm", "completion": "llm", "parser": "chain", "workflow": "chain", "task": "chain"}


class LiveSpan:
    """One piece of work in progress. Its methods never raise."""

    __slots__ = (
        "above", "attributes", "earlier", "end_ns", "error", "guessed", "input", "kind", "name", "output", "parent_id",
        "project", "root", "session", "span_id", "speaks", "start_ns", "status", "tags", "trace_id",
    )  # fmt: skip

    def __init__(self, name: str, *, kind: str, parent: LiveSpan | None, session: str = "") -> None:
        self.name = cut(str(name), 500)
        self.kind = kind
        self.trace_id: str = parent.trace_id if parent else new_trace_id()
        self.span_id = new_span_id()
        self.parent_id = parent.span_id if parent else ""
        self.root: LiveSpan = parent.root if parent else self
        self.above = parent
        # Whether the kind is only a guess, and whether a model was asked within.
        self.guessed = self.speaks = False
        # Of a root: what the finished spans under it returned.
        self.earlier: deque[Any] = deque(maxlen=_EARLIER_KEPT)
        self.session: str = session or (parent.session if parent else "")
        self.tags: dict[str, str] = {}
        self.attributes: dict[str, Any] = {}
        self.status, self.error = "ok", ""
        self.input = self.output = ""
        self.project = ""
        self.end_ns = 0
        self.start_ns = now_ns()

    def set_inputs(self, value: Any) -> None:
        """What went in: text, or anything that can be shown as JSON."""
        self.input = text_of(value)

    def set_outputs(self, value: Any) -> None:
        """What came out."""
        self.output = text_of(value)

    def set_attribute(self, key: str, value: Any) -> None:
        """Anything else that is worth keeping. Numbers and booleans stay what they are, the rest becomes text."""
        self.attributes[str(key)] = value if isinstance(value, bool | int | float) else text_of(value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Several attributes at once."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_tag(self, name: str, value: Any) -> None:
        """A tag of the whole trace, by which it can be filtered; ``topic`` is what scores are sliced by."""
        self.root.tags[cut(str(name), 100)] = cut(str(value), 200)

    def set_status(self, status: str) -> None:
        """``OK`` or ``ERROR``, in any case."""
        self.status = "error" if str(status).lower() == "error" else "ok"

    def record_exception(self, error: BaseException) -> None:
        """Mark the span as failed."""
        self.status = "error"
        self.error = cut(f"{type(error).__name__}: {error}" if _shown(error) else type(error).__name__, _ERROR_LIMIT)


def _shown(error: BaseException) -> bool:
    """Whether the exception's own text can be had and is not empty."""
    try:
        return bool(str(error))
    except Exception:  # house: except because an application's exception may fail to print itself
        return False


_CURRENT: ContextVar[LiveSpan | None] = ContextVar("trimtab_span", default=None)
_SESSION: ContextVar[str] = ContextVar("trimtab_session", default="")
_TAGS: ContextVar[Mapping[str, str]] = ContextVar("trimtab_tags", default={})  # noqa: B039  it is never changed


def get_current_span() -> LiveSpan | None:
    """The span that runs here and now, in this thread or task."""
    return _CURRENT.get()


def set_session(session: str) -> None:
    """Say which conversation this is: for the running trace, or for those that start from here on in this context."""
    text = cut(str(session), 500)
    span = _CURRENT.get()
    if span is None:
        _SESSION.set(text)
        return
    span.session = span.root.session = text


def set_tags(tags: Mapping[str, Any] | None = None, **more: Any) -> None:
    """Tag the running trace, or those that start from here on in this context: ``set_tags(topic="billing")``."""
    every = {**(tags or {}), **more}
    span = _CURRENT.get()
    if span is not None:
        for name, value in every.items():
            span.set_tag(name, value)
        return
    _TAGS.set({**_TAGS.get(), **{cut(str(name), 100): cut(str(value), 200) for name, value in every.items()}})


class Sticky(NamedTuple):
    """What may keep a caller on one version while it is rolled out: conversation, user, or this very request."""

    session: str = ""
    user: str = ""
    request: str = ""


def sticky() -> Sticky:
    """Who is being served here and now, as far as the application has said."""
    span = _CURRENT.get()
    if span is None:
        return Sticky(_SESSION.get(), _TAGS.get().get("user", ""))
    return Sticky(span.session, span.root.tags.get("user", ""), span.trace_id)


def open_span(name: str, kind: str, parent: LiveSpan | None = None, *, guessed: bool = False) -> LiveSpan:
    """A new span under ``parent``, else under the running one, else as the root of a new trace. ``guessed`` says that
    nobody named the kind."""
    parent = parent or _CURRENT.get()
    if parent is not None:
        span = LiveSpan(name, kind=kind, parent=parent)
    else:
        span = LiveSpan(name, kind=kind, parent=None, session=_SESSION.get())
        span.tags.update(_TAGS.get())
    span.guessed = guessed
    if kind == "llm":
        above = parent
        while above is not None and not above.speaks:
            above.speaks = True
            above = above.above
    return span


@contextmanager
def running(span: LiveSpan) -> Iterator[None]:
    """Make ``span`` the running one within the block."""
    token: Token[LiveSpan | None] = _CURRENT.set(span)
    try:
        yield
    finally:
        # A block may end in another context than it began in, which has its own running span.
        with suppress(ValueError):
            _CURRENT.reset(token)


def kind_of(span_type: str, name: str) -> str:
    """The kind that was named (MLflow's names too), else what the name gives away, else a step."""
    kind = str(span_type).strip().lower()
    kind = _TYPES.get(kind, kind)
    return kind if kind in KINDS else kind_by_name(name) or "chain"


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_BEGINNINGS = {
    "retriev": "retriever", "rerank": "reranker", "embed": "embedding", "guardrail": "guardrail",
    "moderat": "guardrail",
}  # fmt: skip


def kind_by_name(name: str) -> str:
    """The kind that a name's words give away (``retrieveContext``, ``web_search``); empty when they do not."""
    for word in _WORD.findall(name):
        small = word.lower()
        for beginning, kind in _BEGINNINGS.items():
            if small.startswith(beginning):
                return kind
        if small.endswith("search") and small != "research":
            return "retriever"
    return ""

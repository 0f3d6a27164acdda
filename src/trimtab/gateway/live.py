"""The trace of one request while it is being served: what will be its spans and its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from trimtab.core import (
    Chunk,
    GuardRefused,
    Layer,
    Message,
    Score,
    Span,
    Stamp,
    TrimtabError,
    Usage,
    new_span_id,
    new_trace_id,
)
from trimtab.traces import price

from .ask import Ask
from .attempts import Attempt

GONE = "client went away"

_NOT_ASKED = Ask(model="", messages=())


class LiveTrace:
    """Filled in by the steps of ``serve``; ``finish`` makes the spans and scores of it."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.trace_id = new_trace_id()
        self.root_id = new_span_id()
        self.start_ns = clock()
        self.draw = fraction(self.trace_id)
        self.ask = _NOT_ASKED
        self.stamp = Stamp()
        self.route = ""  # the route's or model's name once it is known to exist
        self.arms: dict[str, str] = {}
        self.passages: list[dict[str, Any]] = []
        self.allowed: float | None = None  # the guard's verdict; None when no policy took part
        self.why = ""
        self.attempts: Sequence[Attempt] = ()
        self.call_messages: tuple[Message, ...] = ()
        self.gone = False
        self._kept: tuple[tuple[Message, ...], Mapping[str, Any]] | None = None
        self._steps: list[Span] = []
        self._answer: list[str] = []
        self._first_ns = 0
        self._finish = ""
        self._status, self._error = "ok", ""
        self._layer: Layer | None = None

    # What the steps say.

    def keep_as(self, messages: tuple[Message, ...], variables: Mapping[str, Any]) -> None:
        """Keep these in place of what was asked: what the guard redacted must not come to lie in the store."""
        self._kept = (messages, variables)

    def step(self, name: str, kind: str, since_ns: int, layer: Layer, **more: Any) -> None:
        """One finished step: a child of the root. ``more`` are fields of Span."""
        self._steps.append(
            Span(
                trace_id=self.trace_id,
                span_id=new_span_id(),
                parent_id=self.root_id,
                name=name,
                kind=kind,
                start_ns=since_ns,
                end_ns=self.clock(),
                layer=layer,
                **more,
            )
        )

    def passing(self, chunk: Chunk) -> None:
        """A piece of the answer is about to leave."""
        if not self._first_ns:
            self._first_ns = self.clock()
            self.stamp = replace(self.stamp, model=self.attempts[-1].pin)
        if chunk.text:
            self._answer.append(chunk.text)
        if chunk.finish:
            self._finish = chunk.finish

    def failed(self, error: TrimtabError) -> None:
        """The request ended in an error of ours or of the model's."""
        self._status = "refused" if isinstance(error, GuardRefused) else "error"
        self._error, self._layer = str(error), error.layer

    def broke(self, error: BaseException) -> None:
        """The request ended in a mistake of Trimtab's. Only its type is kept: the text may hold anything."""
        self._status, self._error, self._layer = "error", f"internal error ({type(error).__name__})", None

    def stopped(self, end: BaseException) -> None:
        """Nobody waits for the rest of the answer, or the task that serves it was cancelled for another reason."""
        if not self._finish:
            self.gone = self.gone or isinstance(end, GeneratorExit)
            self._status, self._error = "error", GONE if self.gone else "cancelled"

    # What comes of it.

    @property
    def question(self) -> str:
        """The last thing the user said."""
        return last_user_text(self._asked()[0])

    def finish(self) -> tuple[list[Span], list[Score]]:
        """The spans of the whole request, root first, and the guard's score."""
        if self.attempts:
            self.stamp = replace(self.stamp, model=self.attempts[-1].pin)
        shared: dict[str, Any] = {"project": self.ask.project, "session": self.ask.session, "tags": self.ask.tags}
        # What was searched for is what the user said, as far as it may be kept.
        asked = {"retriever": self.question}
        steps = [replace(s, stamp=self.stamp, input=asked.get(s.kind, ""), **shared) for s in self._steps]
        calls = [self._call_span(attempt, shared) for attempt in self.attempts]
        return [self._root(shared), *steps, *calls], list(self._scores())

    def _asked(self) -> tuple[tuple[Message, ...], Mapping[str, Any]]:
        return self._kept or (self.ask.messages, self.ask.variables)

    def _root(self, shared: Mapping[str, Any]) -> Span:
        last = self.attempts[-1] if self.attempts else None
        messages, variables = self._asked()
        ask = {
            "model": self.ask.model,
            "messages": messages,
            "params": self.ask.params,
            "stream": self.ask.stream,
            "prompt": self.ask.prompt,
            "variables": variables,
        }
        attributes: dict[str, Any] = {
            "gateway": bool(self.route),
            "ask": ask,
            "finish": self._finish,
            "attempts": len(self.attempts),
            "passages": self.passages,
            "arms": self.arms,
            "key": self.ask.key.id if self.ask.key else "",
        }
        if last and last.tool_calls:
            attributes["tool_calls"] = last.tool_calls
        costs = [cost for attempt in self.attempts if (cost := cost_of(attempt)) is not None]
        return Span(
            trace_id=self.trace_id,
            span_id=self.root_id,
            name=self.route or self.ask.model,
            kind="chain",
            start_ns=self.start_ns,
            end_ns=self.clock(),
            status=self._status,
            error=self._error,
            layer=self._layer,
            stamp=self.stamp,
            cost_usd=sum(costs) if costs and last and cost_of(last) is not None else None,
            ttft_ns=self._first_ns - self.start_ns if self._first_ns else None,
            input=last_user_text(messages),
            output="".join(self._answer),
            attributes=attributes,
            **shared,
            **_model_fields(last),
        )

    def _call_span(self, attempt: Attempt, shared: Mapping[str, Any]) -> Span:
        answered = attempt is self.attempts[-1]
        error = attempt.error
        attributes: dict[str, Any] = {"ref": attempt.ref, "finish": attempt.finish}
        if attempt.tool_calls:
            attributes["tool_calls"] = attempt.tool_calls
        cut = self._error if answered and not error and self._error in (GONE, "cancelled") else ""
        return Span(
            trace_id=self.trace_id,
            span_id=attempt.span_id,
            parent_id=self.root_id,
            name=attempt.ref,
            kind="llm",
            start_ns=attempt.start_ns,
            end_ns=attempt.end_ns or self.clock(),
            status="error" if error or cut else "ok",
            error=str(error) if error else cut,
            layer=Layer.MODEL,
            stamp=replace(self.stamp, model=attempt.pin),
            cost_usd=cost_of(attempt),
            ttft_ns=attempt.first_ns - attempt.start_ns if attempt.first_ns else None,
            input=msgspec.json.encode(self.call_messages).decode(),
            # What was let through, not what the model said: the guard may have redacted the rest.
            output="".join(self._answer) if answered else "",
            attributes=attributes,
            **shared,
            **_model_fields(attempt),
        )

    def _scores(self) -> Iterator[Score]:
        if self.allowed is None:
            return
        yield Score(
            id=f"{self.trace_id}:allowed",
            trace_id=self.trace_id,
            span_id=self.root_id,
            name="allowed",
            value=self.allowed,
            by=f"guard:{self.stamp.guard.rpartition('/')[0]}",
            by_version=self.stamp.guard,
            reason=self.why,
            time_ns=self.clock(),
            slice=self.ask.tags.get("topic", ""),
            project=self.ask.project,
            stamp=self.stamp,
        )


def fraction(trace_id: str) -> float:
    """A number in [0, 1) that is uniform over trace ids and the same for the same one: a request's own random draw."""
    return int(trace_id[:13], 16) / 16**13


def last_user_text(messages: Sequence[Message]) -> str:
    """The text of the last message of the user; of several parts, those that are text."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "\n".join(part["text"] for part in content or () if part.get("type") == "text")
    return ""


def cost_of(attempt: Attempt) -> float | None:
    """US dollars of one attempt; None when the vendor told no usage or the model has no price."""
    if attempt.usage is None:
        return None
    provider = attempt.ref.partition("/")[0]
    cost = price(f"{provider}/{attempt.model}", attempt.usage) if attempt.model else None
    return price(attempt.ref, attempt.usage) if cost is None else cost


def _model_fields(attempt: Attempt | None) -> dict[str, Any]:
    """The fields of a span that say which model answered, and how much it read and wrote."""
    if attempt is None:
        return {}
    provider, _, model = attempt.ref.partition("/")
    usage: Usage | None = attempt.usage
    return {
        "provider": provider,
        "model": model,
        "fingerprint": attempt.fingerprint,
        "input_tokens": usage and usage.input_tokens,
        "output_tokens": usage and usage.output_tokens,
        "cached_tokens": usage and usage.cached_tokens,
        "reasoning_tokens": usage and usage.reasoning_tokens,
    }

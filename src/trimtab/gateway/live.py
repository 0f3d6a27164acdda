"""The trace of one request while it is being served: what will be its spans and its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from trimtab.core import (
    Chunk,
    Forbidden,
    GuardRefused,
    Layer,
    LimitReached,
    Message,
    Score,
    Span,
    Stamp,
    TrimtabError,
    Usage,
    new_span_id,
    new_trace_id,
)
from trimtab.guard import Restorer, Vault
from trimtab.providers import EMBEDDINGS
from trimtab.traces import price_of

from .ask import Ask
from .attempts import Attempt
from .wire import rewritten

GONE = "client went away"

_NOT_ASKED = Ask(model="", messages=())
_NO_STAMP = Stamp()
_NO_HEADERS: Mapping[str, str] = {}
_NO_VAULT = Vault(frozenset())


class LiveTrace:
    """Filled in by the steps of ``serve``; ``finish`` makes the spans and scores of it."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.trace_id = new_trace_id()
        self.root_id = new_span_id()
        self.start_ns = clock()
        self.draw = fraction(self.trace_id)
        self.ask = _NOT_ASKED
        self.stamp = _NO_STAMP
        self.route = ""  # the route's or model's name once it is known to exist
        self.arms: dict[str, str] = {}
        self.partials: dict[str, str] = {}  # the pins of the prompts that the prompt puts in, by address
        self.passages: list[dict[str, Any]] = []
        self.allowed: float | None = None  # the guard's verdict; None when no policy took part
        self.why = ""
        self.vault: Vault | None = None  # what the guard hid in the question and gives back in the answer
        self._restorers: dict[int, Restorer] = {}
        self.attempts: Sequence[Attempt] = ()
        self.call_messages: tuple[Message, ...] = ()
        self.gone = False
        self.size = 0  # bytes of the body, once they are known
        self.limit_headers: Mapping[str, str] = _NO_HEADERS
        self.cache = ""  # hit or miss, where the route has a cache and the request may use it
        self.cache_wish = ""  # what the client said about it
        self._kept: tuple[tuple[Message, ...], Mapping[str, Any]] | None = None
        self._steps: list[Span] = []
        self._answer: list[str] = []
        self._first_ns = 0
        self._finish = ""
        self._status, self._error = "ok", ""
        self._over_limit = False
        self._layer: Layer | None = None

    # What the steps say.

    def pinned(self, **pins: str) -> None:
        """Note which version serves a layer, by the stamp's own names."""
        self.stamp = _stamped(self.stamp, **pins)

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
            self._pin_model()
        if chunk.text:
            self._answer.append(chunk.text)
        if chunk.finish:
            self._finish = chunk.finish

    def restored(self, chunk: Chunk) -> Chunk:
        """The piece as the caller may read it: what the guard hid in the question stands in the answer again."""

        def put_back(index: int, text: str, last: bool) -> str:
            restorer = self._restorers.get(index) or self._restorers.setdefault(index, Restorer(self.vault or _NO_VAULT))
            return restorer.feed(text, last=last)

        return rewritten(chunk, put_back)

    def hide(self, arguments: str, shown: str) -> None:
        """Keep other arguments of a tool call than the model wrote: what the guard took out must not lie in the store."""
        for attempt in self.attempts:
            for call in attempt.tool_calls:
                if call.get("function", {}).get("arguments") == arguments:
                    call["function"] = {**call["function"], "arguments": shown}

    def rest(self) -> Chunk | None:
        """What still waits for the rest of a placeholder when a stream ends without saying so."""
        restorer = self._restorers.get(0)
        text = restorer.feed("", last=True) if restorer is not None else ""
        return Chunk(text=text) if text else None

    def failed(self, error: TrimtabError) -> None:
        """The request ended in an error of ours or of the model's."""
        self._status = "refused" if isinstance(error, GuardRefused | LimitReached | Forbidden) else "error"
        self._error, self._layer = str(error), error.layer
        self._over_limit = isinstance(error, LimitReached)

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
        self._pin_model()
        shared: dict[str, Any] = {"project": self.ask.project, "session": self.ask.session, "tags": self.ask.tags}
        # What was searched for is what the user said, as far as it may be kept.
        asked = {"retriever": self.question} if self._steps else {}
        steps = [replace(s, stamp=self.stamp, input=asked.get(s.kind, ""), **shared) for s in self._steps]
        costs = [cost_of(attempt) for attempt in self.attempts]
        calls = [self._call_span(attempt, cost, shared) for attempt, cost in zip(self.attempts, costs, strict=True)]
        return [self._root(costs, shared), *steps, *calls], list(self._scores())

    def _pin_model(self) -> None:
        if self.attempts and (pin := self.attempts[-1].pin) != self.stamp.model:
            self.stamp = _stamped(self.stamp, model=pin)

    @property
    def _embeds(self) -> bool:
        return self.ask.native is not None and self.ask.native.dialect == EMBEDDINGS

    def _asked(self) -> tuple[tuple[Message, ...], Mapping[str, Any]]:
        return self._kept or (self.ask.messages, self.ask.variables)

    def _root(self, costs: Sequence[float | None], shared: Mapping[str, Any]) -> Span:
        last = self.attempts[-1] if self.attempts else None
        messages, variables = self._asked()
        ask = {
            "model": self.ask.model,
            "messages": list(messages),
            "params": self.ask.params,
            "stream": self.ask.stream,
            "prompt": self.ask.prompt,
            "variables": variables,
        }
        attributes: dict[str, Any] = {
            # Embeddings are no answer that could be scored or asked again.
            # Who was over a limit was not served, so nobody is to judge an answer.
            "gateway": bool(self.route) and not self._embeds and not self._over_limit,
            "ask": ask,
            "finish": self._finish,
            "attempts": len(self.attempts),
            "passages": self.passages,
            "arms": self.arms,
            "key": self.ask.key.id if self.ask.key else "",
        }
        if self.partials:
            attributes["partials"] = self.partials
        if last and last.tool_calls:
            attributes["tool_calls"] = last.tool_calls
        if self.cache:
            attributes["cache"] = self.cache
        if last:
            attributes.update(_special(last))
        priced = [cost for cost in costs if cost is not None]
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
            cost_usd=sum(priced) if priced and costs[-1] is not None else None,
            ttft_ns=self._first_ns - self.start_ns if self._first_ns else None,
            input=last_user_text(messages),
            output="".join(self._answer),
            attributes=attributes,
            **shared,
            **_model_fields(last),
        )

    def _call_span(self, attempt: Attempt, cost: float | None, shared: Mapping[str, Any]) -> Span:
        answered = attempt is self.attempts[-1]
        error = attempt.error
        attributes: dict[str, Any] = {"ref": attempt.ref, "finish": attempt.finish, **_special(attempt)}
        if attempt.tool_calls:
            attributes["tool_calls"] = attempt.tool_calls
        cut = self._error if answered and not error and self._error in (GONE, "cancelled") else ""
        return Span(
            trace_id=self.trace_id,
            span_id=attempt.span_id,
            parent_id=self.root_id,
            name=attempt.ref,
            kind="embedding" if self._embeds else "llm",
            start_ns=attempt.start_ns,
            end_ns=attempt.end_ns or self.clock(),
            status="error" if error or cut else "ok",
            error=str(error) if error else cut,
            layer=Layer.MODEL,
            stamp=self.stamp if answered else _stamped(self.stamp, model=attempt.pin),
            cost_usd=cost,
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


@lru_cache(maxsize=4096)
def _stamped(stamp: Stamp, **pins: str) -> Stamp:
    """The stamp with these pins. Thousands of requests share a handful of stamps, so they share the objects too."""
    return replace(stamp, **pins)


def fraction(trace_id: str) -> float:
    """A number in [0, 1) that is uniform over trace ids and the same for the same one: a request's own random draw.

    It is made of the end of the id: its beginning may be a time.
    """
    return int(trace_id[-13:], 16) / 16**13


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
    if attempt.cache:
        return 0.0
    return _priced(attempt, attempt.usage)


def _priced(attempt: Attempt, usage: Usage | None) -> float | None:
    if usage is None:
        return None
    provider = attempt.ref.partition("/")[0]
    return price_of(attempt.ref, f"{provider}/{attempt.model}" if attempt.model else "", usage)


def _special(attempt: Attempt) -> dict[str, Any]:
    """What is out of the ordinary about an attempt, as attributes of its span."""
    found: dict[str, Any] = {}
    if attempt.estimated:
        found["estimated"] = True
    if attempt.hedge:
        found["hedge"] = attempt.hedge
    if attempt.cache:
        found |= {"cached_by": attempt.cache, "saved_usd": _priced(attempt, attempt.saved)}
    return found


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

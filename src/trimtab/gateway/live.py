"""The trace of one request while it is being served: what will be its spans and its score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    ModelError,
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

from .ask import Ask
from .attempt import Attempt, cost_of, priced
from .wire import rewritten

GONE = "client went away"

_NOT_ASKED = Ask(model="", messages=())
_NO_STAMP = Stamp()
_NOTHING: Mapping[str, str] = {}
_NO_VAULT = Vault(frozenset())
_encode = msgspec.json.encode


class LiveTrace:
    """Filled in by the steps of ``serve``; ``finish`` makes the spans and scores of it."""

    # What most requests leave as it is stands here, and costs them nothing.
    ask = _NOT_ASKED
    stamp = _NO_STAMP
    route = ""  # the route's or model's name once it is known to exist
    partials: Mapping[str, str] = _NOTHING  # the pins of the prompts that the prompt puts in, by address
    tool_pins: Mapping[str, str] = _NOTHING  # the digests of the request's tools as they are pinned
    arms: Mapping[str, str] = _NOTHING  # of running rollouts, by their ids
    passages: Sequence[Mapping[str, Any]] = ()
    allowed: float | None = None  # the guard's verdict; None when no policy took part
    why = ""
    approved: frozenset[str] = frozenset()  # calls by their digest that a person let through in this request
    vault: Vault | None = None  # what the guard hid in the question and gives back in the answer
    attempts: Sequence[Attempt] = ()
    call_messages: tuple[Message, ...] = ()
    gone = False
    size = 0  # bytes of the body, once they are known
    limit_headers: Sequence[tuple[bytes, bytes]] = ()  # what its limits stand at, as its client hears it
    cache = ""  # hit or miss, where the route has a cache and the request may use it
    cache_wish = ""  # what the client said about it
    notes: Mapping[str, Any] = _NOTHING  # what else is kept with the request: its tightest budget, its embedding
    kept: Mapping[str, str] = _NOTHING  # what the trace says of responses that a provider keeps: their ids for clients
    pending = False  # the provider still makes the answer, in the background
    paid = False  # it was made in the background, and was paid for when its end was heard
    _kept: tuple[tuple[Message, ...], Mapping[str, Any]] | None = None
    _steps: tuple[Span, ...] = ()
    _first_ns = 0
    _finish = ""
    _status = "ok"
    _error = ""
    _over_limit = False
    _layer: Layer | None = None

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.trace_id = new_trace_id()
        self.root_id = new_span_id()
        self.start_ns = clock()
        self.draw = fraction(self.trace_id)
        self._restorers: dict[int, Restorer] = {}
        self._answer: list[str] = []

    # What the steps say.

    def pinned(self, **pins: str) -> None:
        """Note which version serves a layer, by the stamp's own names."""
        self.stamp = _stamped(self.stamp, **pins)

    def keep_as(self, messages: tuple[Message, ...], variables: Mapping[str, Any]) -> None:
        """Keep these in place of what was asked: what the guard redacted must not come to lie in the store."""
        self._kept = (messages, variables)

    def step(self, name: str, kind: str, since_ns: int, layer: Layer, **more: Any) -> None:
        """One finished step: a child of the root. ``more`` are fields of Span."""
        span = Span(
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
        self._steps = (*self._steps, span)

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
            restorer = self._restorers.get(index) or self._restorers.setdefault(
                index, Restorer(self.vault or _NO_VAULT)
            )
            return restorer.feed(text, last=last)

        return rewritten(chunk, put_back)

    def hide(self, arguments: str, shown: str) -> None:
        """Keep other arguments of a tool call than the model wrote: what the guard took out is not to be stored."""
        for attempt in self.attempts:
            for call in attempt.tool_calls:
                if call.get("function", {}).get("arguments") == arguments:
                    call["function"] = {**call["function"], "arguments": shown}
        self._steps = tuple(replace(step, input=shown) if step.input == arguments else step for step in self._steps)

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
        """Nobody waits for the rest of the answer, or the task that serves it was cancelled for another reason. Who
        leaves an answer that is kept comes back for it."""
        if not (self._finish or self.pending or self.ask.stored):
            self.gone = self.gone or isinstance(end, GeneratorExit)
            self._status, self._error = "error", GONE if self.gone else "cancelled"

    # What comes of it.

    @property
    def question(self) -> str:
        """The last thing the user said."""
        return last_user_text(self._asked()[0])

    @property
    def cost(self) -> float | None:
        """US dollars of all attempts so far; None where the one that answers has no price, or nobody was asked."""
        attempts = self.attempts
        if len(attempts) == 1:
            return cost_of(attempts[0])
        return _sum([cost_of(attempt) for attempt in attempts]) if attempts else None

    def finish(self) -> tuple[list[Span], list[Score]]:
        """The spans of the whole request, root first, and the guard's score."""
        self._pin_model()
        ask, attempts = self.ask, self.attempts
        embeds = ask.native is not None and ask.native.dialect == EMBEDDINGS
        answer = "".join(self._answer)
        models = [_model_fields(attempt) for attempt in attempts]
        spans = [self._root(models, answer, embeds)]
        if self._steps:  # what was searched for is what the user said, as far as it may be kept
            shared: dict[str, Any] = {"project": ask.project, "session": ask.session, "tags": ask.tags}
            asked = {"retriever": self.question}
            for s in self._steps:
                # Of what a controller answers, too, only what was let through.
                said = answer if "dual.plan" in s.attributes else s.output
                spans.append(replace(s, stamp=self.stamp, input=asked.get(s.kind, s.input), output=said, **shared))
        kind = "embedding" if embeds else "llm"
        for attempt, fields in zip(attempts, models, strict=True):
            spans.append(self._call_span(attempt, fields, answer, kind))
        # Who was over a limit came no further than the limit: the guard has seen nothing of it. What somebody only
        # hears again was judged before.
        unseen = self._over_limit or (ask.stored is not None and not attempts)
        return spans, [self._score()] if self.allowed is not None and not unseen else []

    def _pin_model(self) -> None:
        if self.attempts and (pin := self.attempts[-1].pin) != self.stamp.model:
            self.stamp = _stamped(self.stamp, model=pin)

    def _asked(self) -> tuple[tuple[Message, ...], Mapping[str, Any]]:
        return self._kept or (self.ask.messages, self.ask.variables)

    def _root(self, models: Sequence[Mapping[str, Any]], answer: str, embeds: bool) -> Span:
        ask = self.ask
        last = self.attempts[-1] if self.attempts else None
        messages, variables = self._asked()
        attributes: dict[str, Any] = {
            # Embeddings are no answer that could be scored or asked again.
            # Who was over a limit was not served, so nobody is to judge an answer.
            # An answer that is still to come, or that somebody only fetches, is none here.
            "gateway": bool(self.route) and not (embeds or self._over_limit or self.pending or ask.stored),
            "ask": {
                "model": ask.model,
                "messages": list(messages),
                "params": ask.params,
                "stream": ask.stream,
                "prompt": ask.prompt,
                "variables": variables,
                **({"sources": [each._asdict() for each in ask.sources]} if ask.sources else {}),
            },
            "finish": self._finish,
            "attempts": len(self.attempts),
            "passages": list(self.passages),
            "arms": self.arms,
            "key": ask.key.id if ask.key else "",
        }
        if self.partials:
            attributes["partials"] = self.partials
        if ask.plan is not None:
            attributes["plan"] = list(ask.plan)
        if self.cache:
            attributes["cache"] = self.cache
        if self.notes:
            attributes |= self.notes
        if self.kept:
            attributes |= self.kept
        if last is not None:
            if last.tool_calls:
                attributes["tool_calls"] = last.tool_calls
            if last.special:
                attributes |= _special(last)
        return Span(
            trace_id=self.trace_id,
            span_id=self.root_id,
            name=self.route or ask.model,
            kind="chain",
            start_ns=self.start_ns,
            end_ns=self.clock(),
            status=self._status,
            error=self._error,
            layer=self._layer,
            stamp=self.stamp,
            ttft_ns=self._first_ns - self.start_ns if self._first_ns else None,
            input=last_user_text(messages),
            output=answer,
            attributes=attributes,
            project=ask.project,
            session=ask.session,
            tags=ask.tags,
            **_together(models),
        )

    def _call_span(self, attempt: Attempt, fields: Mapping[str, Any], answer: str, kind: str) -> Span:
        ask = self.ask
        answered = attempt is self.attempts[-1]
        error = attempt.error
        attributes: dict[str, Any] = {"ref": attempt.ref, "finish": attempt.finish}
        if attempt.special:
            attributes |= _special(attempt)
        if attempt.tool_calls:
            attributes["tool_calls"] = attempt.tool_calls
        if isinstance(error, ModelError) and error.vendor_request:
            attributes["vendor_request"] = error.vendor_request
        cut = self._error if answered and not error and self._error in (GONE, "cancelled") else ""
        return Span(
            trace_id=self.trace_id,
            span_id=attempt.span_id,
            parent_id=self.root_id,
            name=attempt.ref,
            kind=kind,
            start_ns=attempt.start_ns,
            end_ns=attempt.end_ns or self.clock(),
            status="error" if error or cut else "ok",
            error=str(error) if error else cut,
            layer=Layer.MODEL,
            stamp=self.stamp if answered else _stamped(self.stamp, model=attempt.pin),
            ttft_ns=attempt.first_ns - attempt.start_ns if attempt.first_ns else None,
            input=_encode(self.call_messages).decode(),
            # What was let through, not what the model said: the guard may have redacted the rest.
            output=answer if answered else "",
            attributes=attributes,
            project=ask.project,
            session=ask.session,
            tags=ask.tags,
            **fields,
        )

    def _score(self) -> Score:
        return Score(
            id=f"{self.trace_id}:allowed",
            trace_id=self.trace_id,
            span_id=self.root_id,
            name="allowed",
            value=self.allowed or 0.0,
            by=f"guard:{self.stamp.guard.rpartition('/')[0]}",
            by_version=self.stamp.guard,
            reason=self.why,
            time_ns=self.clock(),
            slice=self.ask.tags.get("topic", ""),
            project=self.ask.project,
            stamp=self.stamp,
        )


def _stamped(
    stamp: Stamp, *, model: str = "", knowledge: str = "", prompt: str = "", guard: str = "", route: str = ""
) -> Stamp:
    """The stamp with these pins. Thousands of requests share a handful of stamps, so they share the objects too."""
    return _stamp(
        model or stamp.model, knowledge or stamp.knowledge, prompt or stamp.prompt, guard or stamp.guard,
        route or stamp.route,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _stamp(model: str, knowledge: str, prompt: str, guard: str, route: str) -> Stamp:
    return Stamp(model=model, knowledge=knowledge, prompt=prompt, guard=guard, route=route)


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


def _special(attempt: Attempt) -> dict[str, Any]:
    """What is out of the ordinary about an attempt, as attributes of its span."""
    found: dict[str, Any] = {}
    if attempt.estimated:
        found["estimated"] = True
    if attempt.hedge:
        found["hedge"] = attempt.hedge
    if attempt.cache:
        found |= {"cached_by": attempt.cache, "saved_usd": priced(attempt, attempt.saved)}
    if attempt.sureness is not None and (mean := attempt.sureness.mean) is not None:
        found["logprob"] = round(mean, 5)
    return found


def _together(models: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The fields of the whole request: those of the attempt that answered, and what all of them cost."""
    if len(models) < 2:
        return models[0] if models else _NOTHING
    return {**models[-1], "cost_usd": _sum([fields["cost_usd"] for fields in models])}


def _sum(costs: Sequence[float | None]) -> float | None:
    """What attempts cost together; None where the last one, which answered, has no price."""
    return None if costs[-1] is None else sum(cost for cost in costs if cost is not None)


def _model_fields(attempt: Attempt) -> dict[str, Any]:
    """The fields of a span that say which model answered, how much it read and wrote, and what that cost."""
    provider, _, model = attempt.ref.partition("/")
    usage: Usage | None = attempt.usage
    return {
        "provider": provider,
        "model": model,
        "fingerprint": attempt.fingerprint,
        "cost_usd": cost_of(attempt),
        "input_tokens": usage and usage.input_tokens,
        "output_tokens": usage and usage.output_tokens,
        "cached_tokens": usage and usage.cached_tokens,
        "reasoning_tokens": usage and usage.reasoning_tokens,
    }

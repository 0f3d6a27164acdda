"""``@trace`` and ``start_span``: the application's own work as spans."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast, overload

from .capture import TEXT_LIMIT, arguments_text
from .inference import asks
from .livespan import LiveSpan, kind_of, open_span, running
from .outbox import finish

P = ParamSpec("P")
R = TypeVar("R")

_ITEMS_KEPT = 1000


@contextmanager
def start_span(
    name: str = "span",
    span_type: str = "",
    attributes: Mapping[str, Any] | None = None,
    *,
    parent: LiveSpan | None = None,
) -> Iterator[LiveSpan]:
    """A span around a block of code: ``with trimtab.start_span("rerank", span_type="RERANKER") as span:``.

    It goes under the span that runs in this thread or task. A new thread starts with none: give it ``parent``, or
    start it with ``contextvars.copy_context().run``.
    """
    span = open_span(name, kind_of(span_type, name), parent, guessed=not span_type)
    span.set_attributes(attributes or {})
    try:
        with running(span):
            yield span
    except BaseException as error:  # house: except because every way out of the block ends the span, and is raised on
        span.record_exception(error)
        raise
    finally:
        finish(span)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What every call of one decorated function has in common."""

    name: str
    kind: str
    guessed: bool
    attributes: Mapping[str, Any]
    signature: inspect.Signature | None

    def begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> LiveSpan:
        span = open_span(self.name, self.kind, guessed=self.guessed)
        span.set_attributes(self.attributes)
        span.input = arguments_text(self.signature, args, kwargs)
        if span.kind == "llm":
            asks(span, span.input)
        return span


@overload
def trace(func: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def trace(
    *, name: str = "", span_type: str = "", attributes: Mapping[str, Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def trace(
    func: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    span_type: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Record every call of a function as a span: arguments, result or error, and how long it took.

    For functions, coroutines, generators and async generators, as ``@trace`` or ``@trace(name=..., span_type=...)``.
    A generator's span lasts from its first item to its end, and its items are the output.
    """
    if func is None:
        return functools.partial(_decorated, name=name, span_type=span_type, attributes=attributes)
    return _decorated(func, name=name, span_type=span_type, attributes=attributes)


def _decorated(func: Any, *, name: str, span_type: str, attributes: Mapping[str, Any] | None) -> Any:
    if isinstance(func, staticmethod | classmethod):
        inner = _decorated(func.__func__, name=name, span_type=span_type, attributes=attributes)
        return type(func)(inner)
    title = name or getattr(func, "__name__", type(func).__name__)
    plan = _Plan(
        name=title,
        kind=kind_of(span_type, title),
        guessed=not span_type,
        attributes=dict(attributes or {}),
        signature=_signature(func),
    )
    if inspect.isasyncgenfunction(func):
        wrapper: Any = _async_generator(func, plan)
    elif inspect.isgeneratorfunction(func):
        wrapper = _generator(func, plan)
    elif inspect.iscoroutinefunction(func):
        wrapper = _coroutine(func, plan)
    else:
        wrapper = _function(func, plan)
    return functools.wraps(func)(wrapper)


def _signature(func: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(func)
    except (TypeError, ValueError):
        # Some functions written in C tell nothing about their parameters.
        return None


def _function(func: Callable[..., Any], plan: _Plan) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = plan.begin(args, kwargs)
        try:
            with running(span):
                result = func(*args, **kwargs)
            span.set_outputs(result)
            return result
        except BaseException as error:  # house: except because every way out ends the span, and is raised on
            span.record_exception(error)
            raise
        finally:
            finish(span)

    return wrapper


def _coroutine(func: Callable[..., Any], plan: _Plan) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = plan.begin(args, kwargs)
        try:
            with running(span):
                result = await func(*args, **kwargs)
            span.set_outputs(result)
            return result
        except BaseException as error:  # house: except because every way out ends the span, and is raised on
            span.record_exception(error)
            raise
        finally:
            finish(span)

    return wrapper


class _Items:
    """What a generator has yielded so far, bounded."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._count = self._size = 0

    def add(self, item: Any) -> None:
        self._count += 1
        self._size += len(item) if isinstance(item, str) else 1
        if len(self._items) < _ITEMS_KEPT or (isinstance(item, str) and self._size <= TEXT_LIMIT):
            self._items.append(item)

    def settle(self, span: LiveSpan) -> None:
        if self._items and all(isinstance(item, str) for item in self._items):
            span.set_outputs("".join(self._items))
        elif self._items:
            span.set_outputs(self._items)
        span.set_attribute("items", self._count)


def _generator(func: Callable[..., Any], plan: _Plan) -> Callable[..., Any]:
    def driven(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, Any]:
        span, items = plan.begin(args, kwargs), _Items()
        inner = cast(Generator[Any, Any, Any], func(*args, **kwargs))
        step: Callable[[], Any] = functools.partial(next, inner)
        try:
            while True:
                # The span runs while the generator does, not while its reader holds an item.
                with running(span):
                    try:
                        item = step()
                    except StopIteration as stop:
                        return stop.value
                items.add(item)
                try:
                    step = functools.partial(inner.send, (yield item))
                except GeneratorExit:
                    with running(span):
                        inner.close()
                    raise
                except BaseException as error:  # house: except because what is thrown in belongs to the generator
                    step = functools.partial(inner.throw, error)
        except GeneratorExit:
            span.set_attribute("closed_early", True)
            raise
        except BaseException as error:  # house: except because every way out ends the span, and is raised on
            span.record_exception(error)
            raise
        finally:
            items.settle(span)
            finish(span)

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from driven(args, kwargs))

    return wrapper


def _async_generator(func: Callable[..., Any], plan: _Plan) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span, items = plan.begin(args, kwargs), _Items()
        inner = cast(AsyncGenerator[Any, Any], func(*args, **kwargs))
        step: Callable[[], Any] = inner.__anext__
        try:
            while True:
                with running(span):
                    try:
                        item = await step()
                    except StopAsyncIteration:
                        return
                items.add(item)
                try:
                    step = functools.partial(inner.asend, (yield item))
                except GeneratorExit:
                    with running(span):
                        await inner.aclose()
                    raise
                except BaseException as error:  # house: except because what is thrown in belongs to the generator
                    step = functools.partial(inner.athrow, error)
        except GeneratorExit:
            span.set_attribute("closed_early", True)
            raise
        except BaseException as error:  # house: except because every way out ends the span, and is raised on
            span.record_exception(error)
            raise
        finally:
            items.settle(span)
            finish(span)

    return wrapper

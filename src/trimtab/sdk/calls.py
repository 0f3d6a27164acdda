"""Calls of other people's clients as spans: patching a method, following what it returns, plain or streamed.

The client's own behaviour stays as it is: what it returns is what the application gets, and what it raises is raised.
How one API is read, and nothing else, is a ``Reader``.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trimtab.core import TrimtabError

from .inference import asks
from .livespan import LiveSpan, open_span, running
from .outbox import finish
from .prompts import filled_in
from .settings import current_settings

_LOG = logging.getLogger("trimtab")
_RAW = "x-stainless-raw-response"
_LOCK = threading.Lock()
# What was patched, with what it was before.
_ORIGINALS: dict[tuple[type, str], Callable[..., Any]] = {}


class Reader:
    """One call in the making: its span, and the answer as far as it has come. A subclass reads one API."""

    title = "chat"
    kind = "llm"
    provider = ""

    def __init__(self, span: LiveSpan) -> None:
        self.span = span
        self.started = time.monotonic()
        self._first = self._done = False

    def ask(self, kwargs: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Note what is asked for beyond the model; the messages in OpenTelemetry's shape."""
        raise NotImplementedError

    def whole(self, body: Any) -> None:
        """Read a plain answer."""
        raise NotImplementedError

    def piece(self, chunk: Any) -> None:
        """Read one piece of a stream."""
        raise NotImplementedError

    def close(self) -> None:
        """No more pieces come: put the answer together."""

    def note(self, **attributes: Any) -> None:
        """Set attributes that have a value; a double underscore in a name stands for a dot."""
        for name, value in attributes.items():
            if value is not None and value != "":
                self.span.attributes[name.replace("__", ".")] = value

    def first(self) -> None:
        """The first words arrived."""
        if not self._first:
            self._first = True
            self.note(gen_ai__response__time_to_first_chunk=time.monotonic() - self.started)

    def fail(self, error: BaseException) -> None:
        """The call failed."""
        self.span.record_exception(error)
        self.note(error__type=type(error).__name__)
        self.end()

    def end(self) -> None:
        """Send the span, once."""
        if self._done:
            return
        self._done = True
        _quietly(self.close)
        finish(self.span)


class Place(NamedTuple):
    """A method to patch, how its calls are read, and whether it returns a manager that makes the call on entry."""

    owner: type
    name: str
    reader: type[Reader]
    manager: bool = False


def patch(places: Iterable[Place], *, disable: bool) -> None:
    """Patch these methods (again is harmless), or with ``disable`` put them back as they were."""
    with _LOCK:
        for place in places:
            key = place[:2]
            if disable and key in _ORIGINALS:
                setattr(*key, _ORIGINALS.pop(key))
            elif not disable and key not in _ORIGINALS and hasattr(*key):
                original = _ORIGINALS[key] = getattr(*key)
                # The clients' own decorators hide that a method is a coroutine.
                waits = inspect.iscoroutinefunction(inspect.unwrap(original))
                wrap = _managed if place.manager else _async if waits else _sync
                setattr(*key, wrap(original, place.reader))


def _sync(original: Callable[..., Any], reader: type[Reader]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        record, kwargs = _begin(reader, self, kwargs)
        try:
            with running(record.span):
                result = original(self, *args, **kwargs)
        except BaseException as error:  # house: except because every failure ends the span, and is raised on
            record.fail(error)
            raise
        if hasattr(result, "_iterator"):
            return watched(record, result)
        _quietly(_read, record, result, _is_raw(kwargs))
        record.end()
        return result

    return create


def _async(original: Callable[..., Any], reader: type[Reader]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        record, kwargs = _begin(reader, self, kwargs)
        try:
            with running(record.span):
                result = await original(self, *args, **kwargs)
        except BaseException as error:  # house: except because every failure ends the span, and is raised on
            record.fail(error)
            raise
        if hasattr(result, "_iterator"):
            return watched_async(record, result)
        body = result
        if _is_raw(kwargs):
            try:
                parsed = result.parse()
                body = await parsed if inspect.isawaitable(parsed) else parsed
            except Exception:  # house: except because recording an answer must not break it
                _LOG.debug("trimtab: an answer could not be recorded", exc_info=True)
        _quietly(_read, record, body)
        record.end()
        return result

    return create


def _managed(original: Callable[..., Any], reader: type[Reader]) -> Callable[..., Any]:
    """A method that returns a context manager, which calls the vendor when it is entered."""

    @functools.wraps(original)
    def stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        manager = original(self, *args, **kwargs)
        name = next((name for name in vars(manager) if name.endswith("__api_request")), "")
        request = getattr(manager, name, None) if name else None
        if callable(request):
            setattr(manager, name, _requested(request, reader, self, kwargs))
        elif inspect.isawaitable(request):
            setattr(manager, name, _awaited(request, reader, self, kwargs))
        return manager

    return stream


def _requested(request: Callable[[], Any], reader: type[Reader], client: Any, kwargs: dict[str, Any]) -> Any:
    def made() -> Any:
        record, _ = _begin(reader, client, kwargs)
        try:
            with running(record.span):
                result = request()
        except BaseException as error:  # house: except because every failure ends the span, and is raised on
            record.fail(error)
            raise
        return watched(record, result)

    return made


async def _awaited(request: Any, reader: type[Reader], client: Any, kwargs: dict[str, Any]) -> Any:
    record, _ = _begin(reader, client, kwargs)
    try:
        with running(record.span):
            result = await request
    except BaseException as error:  # house: except because every failure ends the span, and is raised on
        record.fail(error)
        raise
    return watched_async(record, result)


def _begin(reader: type[Reader], resource: Any, kwargs: dict[str, Any]) -> tuple[Reader, dict[str, Any]]:
    """A span for the call, and the call's arguments, with a trace header when they go to a Trimtab gateway."""
    model = kwargs.get("model")
    name = f"{reader.title} {model}" if isinstance(model, str) else reader.title
    record = reader(open_span(name, reader.kind))
    try:
        return record, _asked(record, resource, kwargs)
    except Exception:  # house: except because recording a call must not break it
        _LOG.debug("trimtab: a call could not be recorded", exc_info=True)
        return record, kwargs


def _asked(record: Reader, resource: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    client = getattr(resource, "_client", None)
    address = str(getattr(client, "base_url", ""))
    gateway = _is_gateway(address)
    made = type(client).__name__.lower()
    hosted = next((named for part, named in _HOSTS.items() if part in made), record.provider)
    record.note(
        gen_ai__provider__name="trimtab" if gateway else hosted,
        gen_ai__request__model=str(kwargs.get("model") or ""),
        server__address=address,
    )
    for name in ("temperature", "top_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "seed"):
        value = kwargs.get(name)
        if isinstance(value, int | float):
            record.span.attributes[f"gen_ai.request.{name}"] = value
    messages = record.ask(kwargs)
    if messages:
        said = as_json(messages)
        record.note(gen_ai__input__messages=said)
        asks(record.span, said, _question(messages))
    prompt = filled_in(_written(kwargs))
    if prompt is not None:
        record.span.attributes.update(prompt.attributes)
    if gateway:
        kwargs = {**kwargs, "extra_headers": _with_trace(kwargs.get("extra_headers"), record.span)}
    return kwargs


def _written(kwargs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All that the application wrote, wherever the API wants it, as messages."""
    told = [{"role": "system", "content": kwargs[name]} for name in ("system", "instructions") if kwargs.get(name)]
    given = kwargs.get("messages") or kwargs.get("input")
    return [*told, *([{"role": "user", "content": given}] if isinstance(given, str) else plain_messages(given))]


_HOSTS = {"azure": "azure.ai.openai", "bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai"}


def _question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last message of a user."""
    for message in reversed(messages):
        if message.get("role") == "user":
            parts = [part for part in message.get("parts", ()) if part.get("type") == "text"]
            return "\n".join(str(part.get("content")) for part in parts)
    return ""


def _is_gateway(address: str) -> bool:
    try:
        return current_settings().covers(address)
    except (TrimtabError, ValueError):
        return False


def _with_trace(headers: Any, span: LiveSpan) -> dict[str, Any]:
    """The caller's headers, and W3C's ``traceparent`` unless the caller sent its own."""
    given = dict(headers or {})
    if not any(str(name).lower() == "traceparent" for name in given):
        given["traceparent"] = f"00-{span.trace_id}-{span.span_id}-01"
    return given


def _is_raw(kwargs: Mapping[str, Any]) -> bool:
    """Whether ``with_raw_response`` wraps a plain answer. What ``with_streaming_response`` has not read, nor do we."""
    headers = kwargs.get("extra_headers")
    if not isinstance(headers, Mapping) or kwargs.get("stream"):
        return False
    return any(str(name).lower() == _RAW and value in ("raw", "true") for name, value in headers.items())


def _read(record: Reader, result: Any, raw: bool = False) -> None:
    body = result.parse() if raw else result
    if hasattr(body, "model_dump"):
        record.whole(body)


def watched(record: Reader, stream: Any) -> Any:
    """The same stream, read on its way to the application."""
    inner, close = stream._iterator, stream.close

    def pieces() -> Iterator[Any]:
        try:
            for chunk in inner:
                _quietly(record.piece, chunk)
                yield chunk
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as error:  # house: except because every failure ends the span, and is raised on
            record.span.record_exception(error)
            raise
        finally:
            record.end()

    def closed() -> None:
        try:
            close()
        finally:
            record.end()

    stream._iterator, stream.close = pieces(), closed
    return stream


def watched_async(record: Reader, stream: Any) -> Any:
    """The same stream, read on its way to the application."""
    inner, close = stream._iterator, stream.close

    async def pieces() -> AsyncIterator[Any]:
        try:
            async for chunk in inner:
                _quietly(record.piece, chunk)
                yield chunk
        except GeneratorExit:
            await inner.aclose()
            raise
        except BaseException as error:  # house: except because every failure ends the span, and is raised on
            record.span.record_exception(error)
            raise
        finally:
            record.end()

    async def closed() -> None:
        try:
            await close()
        finally:
            record.end()

    stream._iterator, stream.close = pieces(), closed
    return stream


def _quietly(step: Callable[..., None], *args: Any) -> None:
    try:
        step(*args)
    except Exception:  # house: except because recording an answer must not break it
        _LOG.debug("trimtab: an answer could not be recorded", exc_info=True)


def plain_messages(messages: Any) -> list[Mapping[str, Any]]:
    """The messages as mappings; what is no sequence of messages is the client's to refuse."""
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return []
    return [message if isinstance(message, Mapping) else dumped(message) for message in messages]


def dumped(message: Any) -> Mapping[str, Any]:
    """A client's own object as a mapping; an empty one when it is none."""
    dump = getattr(message, "model_dump", None)
    found = dump(exclude_none=True) if callable(dump) else {}
    return found if isinstance(found, Mapping) else {}


def as_json(value: Any) -> str:
    """Any value as JSON text; what JSON has no form for as its own text."""
    return json.dumps(value, ensure_ascii=False, default=str)

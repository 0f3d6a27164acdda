"""``trimtab.openai.autolog()``: every chat completion of the official ``openai`` client becomes an ``llm`` span.

Plain, streaming, sync and async; asked and answering model, tokens, messages, answer and error. The client's own
behaviour stays as it is: what it returns is what the application gets, and what it raises is raised.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from trimtab.core import ConfigError, TrimtabError
from trimtab.sdk import LiveSpan, current_settings, finish, open_span, prompt_of, running

_LOG = logging.getLogger("trimtab")
_METHODS = ("create", "parse")
_LOCK = threading.Lock()
# What was patched, with what it was before.
_ORIGINALS: dict[tuple[type, str], Callable[..., Any]] = {}


def autolog(disable: bool = False) -> None:
    """Start recording (again is harmless), or with ``disable`` put the client back as it was.

    Raises ConfigError when the ``openai`` package is not installed.
    """
    try:
        from openai.resources.chat.completions import AsyncCompletions, Completions
    except ImportError:
        raise ConfigError("the openai package is not installed", mend="Run: pip install openai") from None
    with _LOCK:
        for owner, wrap in ((Completions, _sync), (AsyncCompletions, _async)):
            for name in _METHODS:
                place = (owner, name)
                if disable and place in _ORIGINALS:
                    setattr(owner, name, _ORIGINALS.pop(place))
                elif not disable and place not in _ORIGINALS and hasattr(owner, name):
                    _ORIGINALS[place] = getattr(owner, name)
                    setattr(owner, name, wrap(_ORIGINALS[place]))


def _sync(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        record, kwargs = _begin(self, kwargs)
        try:
            with running(record.span):
                result = original(self, *args, **kwargs)
        except BaseException as error:  # house: except because every failure ends the span, and is raised on
            record.fail(error)
            raise
        return _settle(record, result, _watched)

    return create


def _async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        record, kwargs = _begin(self, kwargs)
        try:
            with running(record.span):
                result = await original(self, *args, **kwargs)
        except BaseException as error:  # house: except because every failure ends the span, and is raised on
            record.fail(error)
            raise
        return _settle(record, result, _watched_async)

    return create


class _Record:
    """One call in the making: its span, and the answer as far as it has come."""

    def __init__(self, span: LiveSpan) -> None:
        self.span = span
        self._started = time.monotonic()
        self._texts: list[str] = []
        self._tools: dict[int, dict[str, str]] = {}
        self._done = False

    def note(self, **attributes: Any) -> None:
        """Set attributes that have a value; a double underscore in a name stands for a dot."""
        for name, value in attributes.items():
            if value is not None and value != "":
                self.span.attributes[name.replace("__", ".")] = value

    def whole(self, body: Any) -> None:
        """Read a plain answer."""
        self._facts(body)
        choices = getattr(body, "choices", None) or []
        messages = [_message(choice.message) for choice in choices if getattr(choice, "message", None) is not None]
        self.note(gen_ai__response__finish_reasons=[str(c.finish_reason) for c in choices if c.finish_reason] or None)
        if messages:
            self.note(gen_ai__output__messages=_json(messages))

    def piece(self, chunk: Any) -> None:
        """Read one piece of a stream."""
        self._facts(chunk)
        for choice in getattr(chunk, "choices", None) or []:
            delta = getattr(choice, "delta", None)
            text = getattr(delta, "content", None)
            if text:
                if not self._texts:
                    self.note(gen_ai__response__time_to_first_chunk=time.monotonic() - self._started)
                self._texts.append(str(text))
            for call in getattr(delta, "tool_calls", None) or []:
                self._tool(call)
            if getattr(choice, "finish_reason", None):
                self.note(gen_ai__response__finish_reasons=[str(choice.finish_reason)])

    def _tool(self, call: Any) -> None:
        known = self._tools.setdefault(int(call.index or 0), {"id": "", "name": "", "arguments": ""})
        known["id"] = known["id"] or str(call.id or "")
        if call.function is not None:
            known["name"] += call.function.name or ""
            known["arguments"] += call.function.arguments or ""

    def _facts(self, body: Any) -> None:
        self.note(
            gen_ai__response__model=getattr(body, "model", None),
            gen_ai__response__id=getattr(body, "id", None),
            openai__response__system_fingerprint=getattr(body, "system_fingerprint", None),
        )
        usage = getattr(body, "usage", None)
        if usage is not None:
            read, written = _details(usage, "prompt_tokens_details"), _details(usage, "completion_tokens_details")
            self.note(
                gen_ai__usage__input_tokens=getattr(usage, "prompt_tokens", None),
                gen_ai__usage__output_tokens=getattr(usage, "completion_tokens", None),
                gen_ai__usage__cache_read__input_tokens=getattr(read, "cached_tokens", None),
                gen_ai__usage__reasoning__output_tokens=getattr(written, "reasoning_tokens", None),
            )

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
        if self._texts or self._tools:
            parts: list[dict[str, str]] = [{"type": "text", "content": "".join(self._texts)}] if self._texts else []
            parts += [{"type": "tool_call", **call} for _, call in sorted(self._tools.items())]
            self.note(gen_ai__output__messages=_json([{"role": "assistant", "parts": parts}]))
        finish(self.span)


def _details(usage: Any, name: str) -> Any:
    return getattr(usage, name, None)


def _begin(resource: Any, kwargs: dict[str, Any]) -> tuple[_Record, dict[str, Any]]:
    """A span for the call, and the call's arguments, with a trace header when they go to a Trimtab gateway."""
    model = kwargs.get("model")
    record = _Record(open_span(f"chat {model}" if isinstance(model, str) else "chat", "llm"))
    try:
        return record, _asked(record, resource, kwargs)
    except Exception:  # house: except because recording a call must not break it
        _LOG.debug("trimtab: a call could not be recorded", exc_info=True)
        return record, kwargs


def _asked(record: _Record, resource: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    client = getattr(resource, "_client", None)
    address = str(getattr(client, "base_url", ""))
    gateway = _is_gateway(address)
    azure = "azure" in type(client).__name__.lower()
    messages = _plain_messages(kwargs.get("messages"))
    prompt = prompt_of(messages)
    record.note(
        gen_ai__provider__name="trimtab" if gateway else "azure.ai.openai" if azure else "openai",
        gen_ai__request__model=str(kwargs.get("model") or ""),
        gen_ai__input__messages=_json([_message(message) for message in messages]) if messages else None,
        gen_ai__prompt__name=prompt[0] if prompt else None,
        gen_ai__prompt__version=str(prompt[1]) if prompt else None,
        server__address=address,
    )
    for name in ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed"):
        value = kwargs.get(name)
        if isinstance(value, int | float):
            record.span.attributes[f"gen_ai.request.{name}"] = value
    if gateway:
        kwargs = {**kwargs, "extra_headers": _with_trace(kwargs.get("extra_headers"), record.span)}
    return kwargs


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


def _settle(record: _Record, result: Any, watched: Callable[[_Record, Any], Any]) -> Any:
    """Read the answer, or follow the stream; the application gets what the client returned."""
    if hasattr(result, "_iterator"):
        return watched(record, result)
    try:
        # with_raw_response wraps the answer; with_streaming_response leaves it unread, and so do we.
        body = result if hasattr(result, "choices") else _parsed(result)
        if body is not None:
            record.whole(body)
    except Exception:  # house: except because recording an answer must not break it
        _LOG.debug("trimtab: an answer could not be recorded", exc_info=True)
    record.end()
    return result


def _parsed(result: Any) -> Any:
    if type(result).__name__ != "LegacyAPIResponse":
        return None
    body = result.parse()
    return body if hasattr(body, "choices") else None


def _watched(record: _Record, stream: Any) -> Any:
    """The same stream, read on its way to the application."""
    inner, close = stream._iterator, stream.close

    def pieces() -> Iterator[Any]:
        try:
            for chunk in inner:
                _take(record, chunk)
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


def _watched_async(record: _Record, stream: Any) -> Any:
    """The same stream, read on its way to the application."""
    inner, close = stream._iterator, stream.close

    async def pieces() -> AsyncIterator[Any]:
        try:
            async for chunk in inner:
                _take(record, chunk)
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


def _take(record: _Record, chunk: Any) -> None:
    try:
        record.piece(chunk)
    except Exception:  # house: except because recording an answer must not break it
        _LOG.debug("trimtab: a piece of an answer could not be recorded", exc_info=True)


def _plain_messages(messages: Any) -> list[Mapping[str, Any]]:
    """The messages as mappings; what is no sequence of messages is the client's to refuse."""
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return []
    return [message if isinstance(message, Mapping) else _dumped(message) for message in messages]


def _dumped(message: Any) -> Mapping[str, Any]:
    dump = getattr(message, "model_dump", None)
    found = dump(exclude_none=True) if callable(dump) else {}
    return found if isinstance(found, Mapping) else {}


def _message(message: Any) -> dict[str, Any]:
    """A message in OpenTelemetry's shape: a role and parts."""
    known = message if isinstance(message, Mapping) else _dumped(message)
    role, content = str(known.get("role") or "assistant"), known.get("content")
    parts: list[Any] = []
    if role == "tool":
        parts.append({"type": "tool_call_response", "id": known.get("tool_call_id"), "response": content})
    elif isinstance(content, str):
        parts.append({"type": "text", "content": content})
    elif isinstance(content, Sequence):
        parts.extend(content)
    if known.get("refusal"):
        parts.append({"type": "text", "content": known["refusal"]})
    for call in known.get("tool_calls") or ():
        function = call.get("function") or {}
        named = {"name": function.get("name"), "arguments": function.get("arguments")}
        parts.append({"type": "tool_call", "id": call.get("id"), **named})
    return {"role": role, "parts": parts}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)

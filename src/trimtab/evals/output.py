"""What a scorer sees of one answered request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from operator import attrgetter
from typing import Any, Self

import msgspec

from trimtab.core import Layer, Span, Stamp, swift

#: Projects whose name begins so hold Trimtab's own calls (judges, probes); they are never scored as traffic.
OWN_PROJECTS = "trimtab"


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One answer with what led to it.

    ``passages`` are those the model was given, each with ``number``, ``title``, ``source``, ``text`` and
    ``updated_ns``. ``finish`` is the model's reason to stop ("" if it never did). ``status`` is ok, error or refused,
    ``layer`` the layer at fault. ``attempts`` counts calls to models. ``asked_corpus`` says that retrieval took part.
    ``time_ns`` is when the answer was complete. ``tool_calls`` are those it asks for, in OpenAI's shape, and ``steps``
    what an agent or a solution did, one after the other. ``cost_usd`` is None where no price is known. ``repeat`` says
    which of several answers to one case it is. The rest tells where a score of it belongs.
    """

    text: str
    question: str
    passages: Sequence[Mapping[str, Any]] = ()
    finish: str = "stop"
    status: str = "ok"
    layer: int | None = None
    attempts: int = 1
    asked_corpus: bool = False
    time_ns: int = 0
    trace_id: str = ""
    span_id: str = ""
    slice: str = ""
    project: str = "default"
    stamp: Stamp = field(default_factory=Stamp)
    tool_calls: Sequence[Mapping[str, Any]] = ()
    steps: Sequence[Any] = ()
    latency_ms: float = 0.0
    cost_usd: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    repeat: int = 0

    @classmethod
    def from_trace(cls, spans: Sequence[Span]) -> Self | None:
        """The Output of a gateway trace; None when its root span is not among ``spans``. The root says everything."""
        root = next((s for s in spans if not s.parent_id and s.attributes.get("gateway") is True), None)
        if root is None:
            return None
        attempts = root.attributes.get("attempts")
        return cls(
            text=root.output,
            question=root.input,
            passages=_objects(root.attributes.get("passages")),
            finish=str(root.attributes.get("finish") or ""),
            status=root.status,
            layer=root.layer,
            attempts=attempts if isinstance(attempts, int) else sum(s.kind == "llm" for s in spans),
            asked_corpus=bool(root.stamp.knowledge),
            time_ns=root.end_ns,
            trace_id=root.trace_id,
            span_id=root.span_id,
            slice=root.tags.get("topic", ""),
            project=root.project,
            stamp=root.stamp,
            tool_calls=_objects(root.attributes.get("tool_calls")),
            latency_ms=(root.end_ns - root.start_ns) / 1e6,
            cost_usd=root.cost_usd,
            input_tokens=root.input_tokens or 0,
            output_tokens=root.output_tokens or 0,
        )

    @property
    def answered(self) -> bool:
        """Whether there is an answer whose text can be looked at."""
        return self.status == "ok" and bool(self.text.strip())

    @property
    def models_fault(self) -> bool:
        """Whether it failed in the model or at its vendor."""
        return self.status == "error" and self.layer == Layer.MODEL

    @property
    def traffic(self) -> bool:
        """Whether it is somebody's request and not one of Trimtab's own."""
        return not self.project.startswith(OWN_PROJECTS)

    @property
    def tools(self) -> list[tuple[str, Any]]:
        """Each tool call as its name and its decoded arguments; arguments that are no JSON stay text."""
        return [read_tool_call(call) for call in self.tool_calls]

    def to_json(self) -> bytes:
        """Everything that differs from its default, as JSON."""
        values = zip(_DEFAULTS, _every_field(self), _DEFAULTS.values(), strict=True)
        kept = {name: value for name, value, default in values if value != default}
        return msgspec.json.encode(kept, enc_hook=str)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """What ``to_json`` wrote."""
        values = msgspec.json.decode(data)
        stamp = Stamp(**values.pop("stamp", {}))
        return cls(**{"text": "", "question": "", **values, "stamp": stamp})


_DEFAULTS: Mapping[str, Any] = {
    f.name: Stamp() if f.name == "stamp" else ("" if f.default is MISSING else f.default) for f in fields(Output)
}

_every_field = attrgetter(*_DEFAULTS)


def read_tool_call(call: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and arguments of a tool call, in OpenAI's shape or plain as ``{"name", "arguments"}``."""
    inner = call.get("function")
    named = inner if isinstance(inner, Mapping) else call
    arguments = named.get("arguments", {})
    if isinstance(arguments, str):
        with suppress(msgspec.DecodeError, RecursionError):
            arguments = msgspec.json.decode(arguments or "{}")
    return str(named.get("name", "")), arguments


def _objects(value: object) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple([item for item in value if type(item) is dict or isinstance(item, Mapping)])

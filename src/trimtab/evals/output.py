"""What a scorer sees of one answered request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

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
    ``time_ns`` is when the answer was complete. The rest tells where a score of it belongs.
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

    @classmethod
    def from_trace(cls, spans: Sequence[Span]) -> Self | None:
        """The Output of a gateway trace; None when its root span is not among ``spans``. The root says everything."""
        root = next((s for s in spans if not s.parent_id and s.attributes.get("gateway") is True), None)
        if root is None:
            return None
        passages = root.attributes.get("passages")
        attempts = root.attributes.get("attempts")
        return cls(
            text=root.output,
            question=root.input,
            passages=tuple(p for p in passages if isinstance(p, Mapping)) if isinstance(passages, list | tuple) else (),
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

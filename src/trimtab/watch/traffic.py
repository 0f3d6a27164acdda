"""The gateway's requests among finished spans, as the watch looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trimtab.core import Layer, Span
from trimtab.evals import OWN_PROJECTS

#: Characters of a request's texts that are looked at: more says no more.
SHOWN = 4000


class Traffic:
    """One request as the gateway recorded it, with what several measures ask of it.

    ``passages`` are those that the model was given, ``text`` all that they say, in lower case. ``ok`` tells whether it
    was answered by a model and not by a cache, ``limited`` whether it was turned away by a limit before anything else.
    """

    __slots__ = ("_text", "limited", "ok", "passages", "root", "spans")

    def __init__(self, root: Span, spans: Sequence[Span]) -> None:
        self.root, self.spans = root, spans
        found = root.attributes.get("passages")
        listed = found if isinstance(found, list | tuple) else ()
        self.passages: Sequence[Mapping[str, Any]] = [p for p in listed if type(p) is dict or isinstance(p, Mapping)]
        self.ok = root.status == "ok" and "cache" not in root.attributes
        self.limited = _limited(root)
        self._text: str | None = None

    @property
    def text(self) -> str:
        """What the passages say, put together when a measure first asks: most requests of a busy server ask none."""
        if self._text is None:
            told = [f"{p.get('title', '')} {p.get('text', '')}"[:SHOWN] for p in self.passages]
            self._text = "\n".join(told).lower()
        return self._text


def traffic_of(spans: Iterable[Span]) -> list[Traffic]:
    """The gateway's complete requests among spans, those that a limit turned away too; Trimtab's own are left out."""
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    found = []
    for trace in traces.values():
        for span in trace:
            if not span.parent_id and (span.attributes.get("gateway") is True or _limited(span)):
                if not span.project.startswith(OWN_PROJECTS):
                    found.append(Traffic(span, trace))
                break
    return found


def _limited(root: Span) -> bool:
    """Whether a limit turned a request away: the gateway keeps it as one that is nobody's answer."""
    return root.status == "refused" and root.layer == Layer.OPERATIONS and root.attributes.get("gateway") is False

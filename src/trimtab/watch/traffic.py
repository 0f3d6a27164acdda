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
        self.limited = turned_away(root)
        self._text: str | None = None

    @property
    def text(self) -> str:
        """What the passages say, put together when a measure first asks: most requests of a busy server ask none."""
        if self._text is None:
            told = [f"{p.get('title', '')} {p.get('text', '')}"[:SHOWN] for p in self.passages]
            self._text = "\n".join(told).lower()
        return self._text


#: A request, as its root and all its spans.
Request = tuple[Span, list[Span]]


def requests_of(spans: Iterable[Span]) -> list[Request]:
    """The gateway's complete requests among spans; those that a limit turned away too, Trimtab's own not."""
    return sorted_out(spans)[0]


def sorted_out(spans: Iterable[Span]) -> tuple[list[Request], dict[str, list[Span]]]:
    """The same, and the spans that are of none of them, by trace."""
    traces: dict[str, list[Span]] = {}
    roots: list[Span] = []
    for span in spans:
        trace = traces.get(span.trace_id)
        if trace is None:
            traces[span.trace_id] = [span]
        else:
            trace.append(span)
        if not span.parent_id and (span.attributes.get("gateway") is True or turned_away(span)):
            roots.append(span)
    found = []
    for root in roots:
        spans_of_it = traces.pop(root.trace_id, None)  # the first of two roots is the one that counts
        if spans_of_it is not None and not root.project.startswith(OWN_PROJECTS):
            found.append((root, spans_of_it))
    return found, traces


def traffic_of(spans: Iterable[Span]) -> list[Traffic]:
    """The same, as measures look at them."""
    return [Traffic(root, trace) for root, trace in requests_of(spans)]


def turned_away(root: Span) -> bool:
    """Whether a limit turned a request away: the gateway keeps it as one that is nobody's answer."""
    return root.status == "refused" and root.layer == Layer.OPERATIONS and root.attributes.get("gateway") is False

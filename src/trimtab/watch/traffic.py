"""The gateway's requests among finished spans, as the watch looks at them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any

from trimtab.core import Layer, Span
from trimtab.evals import OWN_PROJECTS

#: Characters of a request's texts that are looked at: more says no more.
SHOWN = 4000
#: Seconds of traffic that may be under way at once: spans come late, and not every clock is right.
_REMEMBERED_SECONDS = 64
#: Requests whose session or user is remembered.
_REMEMBERED_OWNERS = 50_000
_NOBODY = ("", "")


class Traffic:
    """One request as the gateway recorded it, with what several measures ask of it.

    ``passages`` are those that the model was given, ``text`` all that they say, in lower case. ``ok`` tells whether it
    was answered by a model and not by Trimtab's cache, ``limited`` whether it was turned away by a limit before
    anything else.
    """

    __slots__ = ("_text", "limited", "ok", "passages", "root", "spans")

    def __init__(self, root: Span, spans: Sequence[Span]) -> None:
        self.root, self.spans = root, spans
        found = root.attributes.get("passages")
        listed = found if isinstance(found, list | tuple) else ()
        self.passages: Sequence[Mapping[str, Any]] = [p for p in listed if type(p) is dict or isinstance(p, Mapping)]
        self.ok = root.status == "ok" and root.attributes.get("cache", "miss") == "miss"
        self.limited = turned_away(root)
        self._text: str | None = None

    @property
    def text(self) -> str:
        """What the passages say, put together when a measure first asks: most requests of a busy server ask none."""
        if self._text is None:
            told = [f"{p.get('title', '')} {p.get('text', '')}"[:SHOWN] for p in self.passages]
            self._text = "\n".join(told).lower()
        return self._text


class Ranks:
    """The place of a request in its second of traffic: the first ones of each are measured."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def of(self, time_ns: int) -> int:
        """The next place in the second of this time, from 1."""
        second, counts = time_ns // 10**9, self._counts
        rank = counts[second] = counts.get(second, 0) + 1
        # A wrong clock has seconds of its own: it neither ends nor renews the one of the others.
        if len(counts) > _REMEMBERED_SECONDS:
            del counts[next(iter(counts))]
        return rank


class Owners:
    """Whose the newest requests were, until their scores come."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def own(self, roots: Iterable[Span]) -> None:
        """These requests belong to the sessions and users that their roots name."""
        known = self._of
        for root in roots:
            session, user = root.session, root.tags.get("user", "")
            if session or user:
                known[root.trace_id] = session, user
        while len(known) > _REMEMBERED_OWNERS:
            known.popitem(last=False)

    def of(self, trace_id: str) -> tuple[str, str]:
        """Its session and user, empty where they are not known."""
        return self._of.get(trace_id, _NOBODY)


#: A request, as its root and all its spans.
Request = tuple[Span, list[Span]]


def requests_of(spans: Iterable[Span]) -> list[Request]:
    """The gateway's complete requests among spans; those that a limit turned away too, Trimtab's own not."""
    return sorted_out(spans)[0]


def sorted_out(spans: Iterable[Span]) -> tuple[list[Request], dict[str, list[Span]]]:
    """The same, and the spans that are of none of them, by trace."""
    spans = list(spans)
    roots = roots_of(spans)
    traces, others = traces_of(spans, roots, roots)
    return [(root, traces[root.trace_id]) for root in not_own(roots.values())], others


def roots_of(spans: Iterable[Span]) -> dict[str, Span]:
    """The roots of the gateway's requests by trace, Trimtab's own too. The first of two is the one that counts."""
    roots: dict[str, Span] = {}
    for span in spans:
        if not span.parent_id and (span.attributes.get("gateway") is True or turned_away(span)):
            roots.setdefault(span.trace_id, span)
    return roots


def not_own(roots: Iterable[Span]) -> list[Span]:
    """Those of them that are not Trimtab's own."""
    found = []
    project, own = "", False
    for root in roots:
        if root.project != project:
            project, own = root.project, root.project.startswith(OWN_PROJECTS)
        if not own:
            found.append(root)
    return found


def traces_of(
    spans: Iterable[Span], roots: Container[str], wanted: Collection[str]
) -> tuple[dict[str, list[Span]], dict[str, list[Span]]]:
    """The spans of the requests that are wanted, and those that belong to no root, by trace."""
    traces: dict[str, list[Span]] = {trace_id: [] for trace_id in wanted}
    others: dict[str, list[Span]] = {}
    for span in spans:
        trace_id = span.trace_id
        if trace_id in traces:
            traces[trace_id].append(span)
        elif trace_id not in roots:
            others.setdefault(trace_id, []).append(span)
    return traces, others


def traffic_of(spans: Iterable[Span]) -> list[Traffic]:
    """The same, as measures look at them."""
    return [Traffic(root, trace) for root, trace in requests_of(spans)]


def turned_away(root: Span) -> bool:
    """Whether a limit turned a request away: the gateway keeps it as one that is nobody's answer."""
    return root.status == "refused" and root.layer == Layer.OPERATIONS and root.attributes.get("gateway") is False

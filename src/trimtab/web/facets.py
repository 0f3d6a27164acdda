"""Facets: what the bad requests of a list have in common that the others have not, most different first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import Score, Span

from . import words
from .querybar import condition
from .verdicts import verdict

MOST_FACETS, MOST_VALUES, MOST_TAGS = 6, 5, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetRow:
    """One value: its share among the bad and among the rest, in percent, and how many requests have it."""

    value: str
    bad: float
    rest: float
    n: int
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One dimension, its most different values first."""

    title: str
    rows: tuple[FacetRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """The dimensions, and what the shares are of."""

    facets: tuple[Facet, ...]
    bad: int
    rest: int


def facets(spans: Sequence[Span], scores: Mapping[str, Sequence[Score]]) -> Facets:
    """Compare the requests that failed, were refused or scored low with the others."""
    bad = [_is_bad(span, scores.get(span.trace_id, ())) for span in spans]
    many, few = sum(bad), len(spans) - sum(bad)
    if not many or not few:
        return Facets(facets=(), bad=many, rest=few)
    found: list[tuple[float, Facet]] = []
    for column, title in _columns(spans):
        values = [_value(span, column) for span in spans]
        among_bad = Counter(value for value, is_bad in zip(values, bad, strict=True) if is_bad)
        among_rest = Counter(value for value, is_bad in zip(values, bad, strict=True) if not is_bad)
        every = among_bad + among_rest
        if len(every) < 2:
            continue
        shares = {value: (among_bad[value] / many, among_rest[value] / few) for value in every}
        apart = sum(abs(a - b) for a, b in shares.values()) / 2
        order = sorted(every, key=lambda value: (-abs(shares[value][0] - shares[value][1]), -every[value], value))
        rows = tuple(_row(column, value, shares[value], every[value]) for value in order[:MOST_VALUES])
        found.append((apart, Facet(title=title, rows=rows)))
    found.sort(key=lambda one: -one[0])
    return Facets(facets=tuple(facet for _, facet in found[:MOST_FACETS]), bad=many, rest=few)


def _is_bad(span: Span, scores: Sequence[Score]) -> bool:
    return span.status != "ok" or verdict(span, scores).css == "fail"


def _columns(spans: Sequence[Span]) -> list[tuple[str, str]]:
    tags = Counter(name for span in spans for name in span.tags)
    known = [
        ("prompt", "Prompt"), ("model", "Model that answered"), ("knowledge", "Knowledge"), ("guard", "Guard"),
        ("route", "Route"), ("name", "Name"),
    ]  # fmt: skip
    return known + [(f"tag:{name}", name) for name, _ in tags.most_common(MOST_TAGS) if name.isprintable()]


def _value(span: Span, column: str) -> str:
    kind, _, name = column.partition(":")
    if kind == "tag":
        return str(span.tags.get(name, ""))
    if column in ("prompt", "knowledge", "guard", "route"):
        return str(getattr(span.stamp, column))
    return span.model if column == "model" else span.name


def _row(column: str, value: str, shares: tuple[float, float], n: int) -> FacetRow:
    text = words.pin(value) if value and column in ("prompt", "knowledge", "guard", "route") else value
    return FacetRow(
        value=words.snippet(text, 40) or "none",
        bad=round(100 * shares[0], 1),
        rest=round(100 * shares[1], 1),
        n=n,
        query="" if set(column) & set(' ",=<>~!()') else condition(column, value),
    )

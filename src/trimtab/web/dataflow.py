"""A dual-LLM run from its trace: the plan, what every variable carries, and what was refused. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import Span

from . import words

PLAN, STEP, AS, SOURCES, VALUE = "dual.plan", "dual.step", "dual.as", "dual.sources", "dual.value"
VERDICT, REASONS, REFUSED = "dual.verdict", "dual.reasons", "dual.refused"
#: Lines of a plan, arguments of a call, rounds of one step and names of one set that are shown.
MOST_STEPS, MOST_ARGUMENTS, MOST_RUNS, MOST_NAMES = 200, 30, 1000, 12
_DEEPEST = 8
#: A step with its number and how deep it stands.
Line = tuple[str, int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where data came from; ``trusted`` for the user, outside for a tool."""

    name: str
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a call as the plan writes it, with the sources of all its values."""

    name: str
    written: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A step of the plan. ``runs`` counts how often it ran, ``refused`` how often it was not let through."""

    number: str
    depth: int
    kind: str
    what: str
    arguments: tuple[Argument, ...]
    sets: str
    runs: int
    word: str
    css: str
    reasons: tuple[str, ...]
    span_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What a variable carries, who may read it, and the steps that take it."""

    name: str
    by: str
    sources: tuple[Source, ...]
    readers: str
    used: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFlow:
    """The whole run. ``refused`` is why it ended before its end."""

    request: str
    answer: str
    refused: str
    steps: tuple[StepRow, ...]
    variables: tuple[Variable, ...]


def planned(spans: Sequence[Span]) -> Span | None:
    """The span of a trace that holds a plan; None where no dual-LLM run is in it."""
    return next((span for span in spans if isinstance(span.attributes.get(PLAN), str)), None)


def dataflow(spans: Sequence[Span]) -> DataFlow | None:
    """The run in a trace; None where there is none. What a sender wrote wrongly is left out."""
    root = planned(spans)
    if root is None:
        return None
    plan = _decoded(root.attributes.get(PLAN))
    lines = list(_lines(plan, "", 0))[:MOST_STEPS] if isinstance(plan, list) else []
    ran: dict[str, list[Span]] = {}
    for span in spans:
        runs = ran.setdefault(str(span.attributes.get(STEP) or ""), [])
        if len(runs) < MOST_RUNS:
            runs.append(span)
    steps = tuple(_step(number, depth, step, ran.get(number, ())) for number, depth, step in lines)
    return DataFlow(
        request=words.snippet(root.input, 500), answer=words.snippet(root.output, 500),
        refused=words.snippet(str(root.attributes.get(REFUSED) or ""), 500), steps=steps,
        variables=tuple(_variables(lines, ran)),
    )  # fmt: skip


def _decoded(written: object) -> Any:
    try:
        return json.loads(written) if isinstance(written, str) else None
    except (ValueError, RecursionError):
        return None


def _lines(steps: object, within: str, depth: int) -> Iterator[Line]:
    """Every step with the number that it has in the trace."""
    if not isinstance(steps, list) or depth > _DEEPEST:
        return
    for at, step in enumerate(steps, 1):
        if isinstance(step, Mapping):
            yield f"{within}{at}", depth, step
            yield from _lines(step.get("steps"), f"{within}{at}.", depth + 1)
            yield from _lines(step.get("else"), f"{within}{at}.e", depth + 1)


def _step(number: str, depth: int, step: Mapping[str, Any], spans: Sequence[Span]) -> StepRow:
    kind = next((kind for kind in ("call", "read", "each", "if", "answer") if kind in step), "step")
    held = [span for span in spans if span.attributes.get(VERDICT) in ("block", "escalate")]
    failed = [span for span in held if span.status == "error"]
    reasons = [str(reason) for span in held for reason in _list(_decoded(span.attributes.get(REASONS)))]
    word, css = ("", "none")
    if kind in ("call", "read"):
        word, css = ("not reached", "none") if not spans else ("ran", "pass")
        if failed:
            word, css = "refused", "fail"
        elif held:
            word, css = "let through by a person", "unsure"
    return StepRow(
        number=number, depth=depth, kind=kind, what=_what(kind, step), arguments=_arguments(step, spans),
        sets=words.snippet(str(step.get("as") or ""), 64), runs=len(spans), word=word, css=css,
        reasons=tuple(words.snippet(reason, 200) for reason in dict.fromkeys(reasons))[:MOST_NAMES],
        span_id=(failed or held or spans)[0].span_id if spans else "",
    )  # fmt: skip


def _what(kind: str, step: Mapping[str, Any]) -> str:
    if kind == "read":
        return words.snippet(f"{step['read']}: {step.get('question') or ''}", 200)
    if kind == "each":
        return words.snippet(f"{step['each']}, at most {step.get('most', 100)} rounds", 120)
    return words.snippet(str(step.get(kind) or ""), 200)


def _arguments(step: Mapping[str, Any], spans: Sequence[Span]) -> tuple[Argument, ...]:
    written = step.get("arguments")
    if not isinstance(written, Mapping):
        written = {"text": step["read"]} if "read" in step else {}
    known: dict[str, set[str]] = {}
    for span in spans:
        flow = _decoded(span.attributes.get(SOURCES))
        for name, sources in flow.items() if isinstance(flow, Mapping) else ():
            known.setdefault(str(name), set()).update(str(source) for source in _list(sources))
    return tuple(
        Argument(
            name=words.snippet(str(name), 60),
            written=words.snippet(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 120),
            sources=_sources(known.get(str(name), ())),
        )
        for name, value in list(written.items())[:MOST_ARGUMENTS]
    )


def _variables(lines: Sequence[Line], ran: Mapping[str, Sequence[Span]]) -> Iterator[Variable]:
    """Every variable that a call or a reader sets, with what its values carried."""
    for number, _, step in lines:
        name = step.get("as")
        if not isinstance(name, str) or not ("call" in step or "read" in step):
            continue
        values = [_decoded(span.attributes.get(VALUE)) for span in ran.get(number, ())]
        known = [value for value in values if isinstance(value, Mapping)]
        readers = [value["readers"] for value in known if isinstance(value.get("readers"), list)]
        common = sorted(set.intersection(*({str(r) for r in each} for each in readers))) if readers else []
        yield Variable(
            name=words.snippet(name, 64), by=number,
            sources=_sources({str(source) for value in known for source in _list(value.get("sources"))}),
            readers=_readers(common, narrowed=bool(readers), known=bool(known)),
            used=", ".join(_uses(name, number, lines)),
        )  # fmt: skip


def _readers(common: Sequence[str], *, narrowed: bool, known: bool) -> str:
    if not narrowed:
        return "anybody" if known else "never set"
    return words.snippet(", ".join(common), 200) or "nobody"


def _uses(name: str, by: str, lines: Sequence[Line]) -> list[str]:
    """The steps that take a variable, by their numbers."""
    found = []
    for number, _, step in lines:
        own = {key: value for key, value in step.items() if key not in ("steps", "else", "schema", "question", "as")}
        text = json.dumps(own, ensure_ascii=False)
        at = text.find(f"${name}")
        while at >= 0 and _goes_on(text, at + len(name) + 1):
            at = text.find(f"${name}", at + 1)
        if at >= 0 and number != by:
            found.append(number)
    return found[:MOST_NAMES]


def _goes_on(text: str, at: int) -> bool:
    """Whether the name that ends here is only the beginning of a longer one."""
    return at < len(text) and (text[at].isalnum() or text[at] == "_")


def _sources(names: object) -> tuple[Source, ...]:
    listed = sorted(names) if isinstance(names, set) else _list(names)
    return tuple(Source(name=words.snippet(str(name), 60), trusted=name == "user") for name in listed[:MOST_NAMES])


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

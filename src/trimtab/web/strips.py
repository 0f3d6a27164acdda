"""Six hours of every target in cells of ten minutes: errors, first token, breaker. Pure but for one question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import Breakdown, Filter, SpanQuery
from trimtab.gateway import RouteHealth
from trimtab.stats import wilson
from trimtab.store import Group

from . import words
from .charts import EMPTY, Run, level, runs
from .deviation import value_z
from .window import Window, window

#: As the breaker log has them, and as the store sums them.
SIZES = (("6h", 600, 36),)
MOST_STRIPS = 60
_CALLS = Filter(column="kind", op="in", value=("llm", "embedding"))
#: Breaker: class of a cell. Not looked at is hatched, never grey.
_STATES: Mapping[str, str] = {"closed": "q0", "half-open": "q3", "open": "q5"}


#: Shares of failed calls, at the lower end of their interval, from which a cell is drawn as q1 to q5.
_SHARES = (0.0, 0.01, 0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One target. ``errors``, ``first`` and ``breaker`` are drawn; the words say the same for who does not see them."""

    route: str
    ref: str
    errors: tuple[Run, ...]
    errors_said: str
    first: tuple[Run, ...]
    first_said: str
    breaker: tuple[Run, ...]
    breaker_said: str


def strip_window(now_ns: int) -> Window:
    """The window that the strips show."""
    return window("6h", now_ns, sizes=SIZES)


def strip_question(shown: Window) -> Breakdown:
    """Calls, errors and first token of each model in each cell. The store has these summed, so that no span is read."""
    return Breakdown(
        query=SpanQuery(since_ns=shown.since_ns, until_ns=shown.until_ns, roots=False, filters=(_CALLS,)),
        by=("model", f"time:{shown.cell_s}"),
        measures=("count", "errors", "p50:ttft_ms"),
        limit=10_000,
    )


def strips(
    routes: Iterable[RouteHealth],
    groups: Sequence[Group],
    breaker_of: Callable[[str, str], Mapping[int, str]],
    shown: Window,
) -> tuple[tuple[Strip, ...], int]:
    """A strip for each target that was asked, in the order given, and how many are not shown.

    Errors and first token are the model's over all routes; the breaker is the target's own.
    """
    cells: dict[str, dict[int, Group]] = {}
    for group in groups:
        at = shown.cell_of(int(group.keys[1]))
        if at is not None:
            cells.setdefault(str(group.keys[0]), {})[at] = group
    targets = [(route.name, target.ref) for route in routes for target in route.targets]
    made = [_strip(name, ref, cells.get(_model(ref), {}), breaker_of(name, ref), shown) for name, ref in targets]
    seen = [strip for strip in made if strip.errors or strip.breaker_said]
    return tuple(seen[:MOST_STRIPS]), max(0, len(seen) - MOST_STRIPS)


def _model(ref: str) -> str:
    return ref.partition("/")[2] or ref


def _strip(route: str, ref: str, cells: Mapping[int, Group], stood: Mapping[int, str], shown: Window) -> Strip:
    found = [cells.get(at) for at in range(shown.cells)]
    counted = [None if g is None else (int(g.values[1] or 0), int(g.values[0] or 0)) for g in found]
    first = [None if g is None else g.values[2] for g in found]
    asked, failed = sum(n for _, n in filter(None, counted)), sum(bad for bad, _ in filter(None, counted))
    worst = max((bad / n for bad, n in filter(None, counted) if n), default=0.0)
    known = sorted(value for value in first if value is not None)
    by_cell = {shown.cell_of(start): state for start, state in stood.items()}
    states = [by_cell.get(at, "") for at in range(shown.cells)]
    return Strip(
        route=route,
        ref=ref,
        errors=runs([EMPTY if cell is None else _errors(*cell) for cell in counted]),
        errors_said=f"{words.percent(failed / asked)} of {words.count(asked)}, at worst {words.percent(worst)}"
        if asked
        else "",
        first=runs(
            [EMPTY if value is None else level(z or 0.0) for value, z in zip(first, value_z(first), strict=True)]
        ),
        first_said=f"{words.duration(known[len(known) // 2] / 1000)}, at worst {words.duration(known[-1] / 1000)}"
        if known
        else "",
        breaker=runs([_STATES.get(state, "qx") for state in states]),
        breaker_said=_stood(states),
    )


def _errors(bad: int, n: int) -> str:
    """The class of a cell: by what is sure to have failed, so that a target that always fails is not its own usual."""
    low, _ = wilson(bad, n)
    return f"q{sum(low >= share for share in _SHARES) if bad else 0}"


def _stood(states: Sequence[str]) -> str:
    """In how many of the cells that were looked at the breaker was not closed."""
    looked = [state for state in states if state]
    if not looked:
        return ""
    left_alone = sum(state == "open" for state in looked)
    if left_alone:
        return f"open in {left_alone} of {words.count(len(looked))}"
    probed = sum(state == "half-open" for state in looked)
    return f"half open in {probed} of {words.count(len(looked))}" if probed else "closed throughout"

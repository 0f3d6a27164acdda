"""Two sides of the same question: rates with intervals, everything else with what it rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trimtab.core import Breakdown, Filter, SpanQuery
from trimtab.stats import newcombe_difference
from trimtab.store import Group
from trimtab.traces import Compared
from trimtab.traces.comparing import compare, versions, widened, windows

ASKED = Breakdown(by=("model",), measures=("count", "errors", "p95:duration_ms", "avg:score:quality"))
#: What ``widened`` asks besides, in its order.
MEASURES = (*ASKED.measures, "count:duration_ms", "count:score:quality", "min:score:quality", "max:score:quality")


def group(*keys: str | int, values: tuple[float | None, ...]) -> Group:
    return Group(keys=keys, values=values)


def one(compared: list[Compared], *keys: str | int) -> Compared:
    return next(row for row in compared if row.keys == keys)


BEFORE = [
    group("gpt", values=(200.0, 4.0, 900.0, 0.8, 200.0, 100.0, 0.0, 1.0)),
    group("gone", values=(10.0, 0.0, 100.0, None, 10.0, 0.0, None, None)),
]
AFTER = [
    group("gpt", values=(100.0, 12.0, 950.0, 0.5, 100.0, 50.0, 0.0, 1.0)),
    group("new", values=(5.0, 5.0, None, 2.0, 0.0, 3.0, 1.0, 3.0)),
]


def test_what_is_asked_besides() -> None:
    assert widened(ASKED).measures == MEASURES
    assert widened(ASKED).limit == 10_000


def test_error_rates_have_newcombes_interval() -> None:
    errors = one(compare(ASKED, BEFORE, AFTER), "gpt").deltas[1]
    expected = newcombe_difference(12, 100, 4, 200)
    assert (errors.before, errors.after, errors.n_before, errors.n_after) == (0.02, 0.12, 200, 100)
    assert (errors.difference, errors.low, errors.high) == (pytest.approx(0.1), expected.low, expected.high)
    assert errors.clear
    same = one(compare(ASKED, BEFORE, BEFORE), "gpt").deltas[1]
    assert (same.difference, same.clear) == (0.0, False)


def test_a_score_within_one_has_an_interval_and_any_other_has_none() -> None:
    compared = compare(ASKED, BEFORE, AFTER)
    score = one(compared, "gpt").deltas[3]
    assert (score.n_before, score.n_after, score.difference) == (100, 50, pytest.approx(-0.3))
    assert score.low is not None
    assert score.high is not None
    assert -0.5 < score.low < -0.3 < score.high < 0
    wide = [group("gpt", values=(100.0, 12.0, 950.0, 2.0, 100.0, 50.0, 0.0, 7.0))]
    assert one(compare(ASKED, BEFORE, wide), "gpt").deltas[3].low is None


def test_percentiles_and_counts_have_a_difference_only() -> None:
    count, _, late, _ = one(compare(ASKED, BEFORE, AFTER), "gpt").deltas
    assert (count.before, count.after, count.difference, count.low) == (200.0, 100.0, -100.0, None)
    assert (late.difference, late.low, late.n_before, late.clear) == (50.0, None, 200, False)


def test_groups_of_one_side_only() -> None:
    compared = compare(ASKED, BEFORE, AFTER)
    assert [row.keys for row in compared] == [("gpt",), ("new",), ("gone",)]
    gone, new = one(compared, "gone").deltas, one(compared, "new").deltas
    assert (gone[0].before, gone[0].after, gone[0].difference) == (10.0, 0.0, -10.0)
    assert (gone[1].before, gone[1].after, gone[1].difference) == (0.0, None, None)
    assert (new[1].before, new[1].after, new[1].low) == (None, 1.0, None)
    assert [row.keys for row in compare(replace(ASKED, limit=2), BEFORE, AFTER)] == [("gpt",), ("new",)]


def test_the_window_before_is_as_long_and_its_times_are_moved() -> None:
    asked = Breakdown(query=SpanQuery(since_ns=1000, until_ns=1600), by=("time:60", "kind"))
    before, after = windows(asked)
    assert (before.query.since_ns, before.query.until_ns, after) == (400, 1000, asked)
    old = [group(420, "llm", values=(2.0,))]
    new = [group(1020, "llm", values=(3.0,))]
    (row,) = compare(asked, old, new, shift_ns=600)
    assert (row.keys, row.deltas[0].difference) == ((1020, "llm"), 1.0)


def test_two_versions_differ_in_one_condition() -> None:
    kept = Filter(column="kind", op="=", value="llm")
    old, new = (Filter(column="stamp.prompt", op="=", value=f"a/{n}") for n in (1, 2))
    before, after = versions(Breakdown(query=SpanQuery(filters=(kept,))), old, new)
    assert (before.query.filters, after.query.filters) == ((kept, old), (kept, new))

"""Charts over time, the explorer's tables and facets, as pure functions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Breakdown, Score, Span, Stamp
from trimtab.store import Group
from trimtab.web.dashboard import interval
from trimtab.web.exploring import compared_rows, conditions, measure_title, table, text_of, time_plots
from trimtab.web.facets import facets
from trimtab.web.timeplot import HEIGHT, MOST_CURVES, Caption, Series, curves, every, nice, stacked, written
from trimtab.web.window import Window

SECOND = 10**9


def test_a_missing_value_is_a_gap_and_never_zero() -> None:
    plot = curves(Caption(title="t", note="n", text=str), [Series(name="a", values=[1.0, None, 3.0, 4.0], value="4")])
    assert plot.curves[0].line.count("M") == 2
    assert plot.top == "5.0"
    empty = curves(Caption(title="t", note="n", text=str), [Series(name="a", values=[None] * 4, value="none")])
    assert (empty.curves[0].line, empty.top) == ("", "")
    assert empty.sentence == "t, n: nothing was measured."


@given(st.lists(st.lists(st.none() | st.floats(0, 1e9), min_size=3, max_size=3), min_size=1, max_size=5))
def test_bars_stay_within_their_chart(values: list[list[float | None]]) -> None:
    plot = stacked(Caption(title="t", note="n", text=str), [Series(name="a", values=one, value="") for one in values])
    for bar in plot.bars:
        assert bar.height > 0
        assert bar.y + bar.height <= HEIGHT + 0.01 * len(values)
        assert bar.y >= -0.8 * len(values)


@given(st.floats(1e-12, 1e12))
def test_the_top_of_an_axis_is_a_round_number_above(value: float) -> None:
    assert value * (1 - 1e-8) <= nice(value) <= 2.5000001 * value


def test_lengths_of_time_as_people_and_the_language_say_them() -> None:
    assert [every(s) for s in (30, 60, 600, 3600, 86_400)] == [
        "by 30 s", "by minute", "by 10 min", "by hour", "by day of UTC",
    ]  # fmt: skip
    assert [written(s) for s in (30, 60, 600, 3600, 21_600, 86_400)] == ["30s", "1m", "10m", "1h", "6h", "1d"]


def test_an_interval_of_a_mean_holds_it_and_narrows() -> None:
    assert interval(0, 0, 0) is None
    shares = [interval(n, n * 0.8, n * 0.8) for n in (10, 1000)]
    graded = [interval(n, n * 3.0, n * 10.0) for n in (10, 1000)]
    for one in (*shares, *graded):
        assert one is not None
        assert one[1] <= one[0] <= one[2]
    wide, narrow = shares
    assert wide is not None
    assert narrow is not None
    assert narrow[2] - narrow[1] < wide[2] - wide[1]


def test_buckets_need_not_begin_with_the_window() -> None:
    window = Window(name="", cell_s=60, cells=60, since_ns=240 * SECOND, until_ns=3840 * SECOND, live=True)
    asked = Breakdown(by=("time:600",), measures=("count",))
    groups = [Group(keys=(0,), values=(3.0,)), Group(keys=(600 * SECOND,), values=(5.0,))]
    (plot,) = time_plots(asked, groups, window)
    assert (plot.shift, plot.cells) == (0.4, 6.0)
    assert "8." in plot.sentence


def test_more_groups_than_can_be_told_apart_are_left_to_the_table() -> None:
    asked = Breakdown(by=("time:60", "model"), measures=("p95:duration_ms",))
    window = Window(name="", cell_s=60, cells=2, since_ns=0, until_ns=120 * SECOND, live=True)
    groups = [Group(keys=(0, f"m{n}"), values=(float(n),)) for n in range(9)]
    (plot,) = time_plots(asked, groups, window)
    assert [curve.name for curve in plot.curves] == [f"m{n}" for n in range(8, 8 - MOST_CURVES, -1)]
    assert plot.note.endswith("the 5 largest of 9")
    shown = table(asked, groups, None, lambda more: f"/traces?q={more}")
    assert len(shown.rows) == 9
    assert shown.rows[0].cells[0].percent == 0
    assert shown.rows[-1].cells[0].percent == 100


def test_conditions_of_a_group_can_be_asked_again() -> None:
    by, keys = ("stamp.prompt", "tag:team", "session", "time:60"), ("a/1", "two words", "", 0)
    assert conditions(by, keys) == 'prompt=a/1 tag:team="two words" no:session'


def test_measures_in_words_and_their_units() -> None:
    assert measure_title("p95:duration_ms") == "p95 duration"
    assert measure_title("avg:score:quality") == "Mean quality"
    assert text_of("p95:duration_ms", 1500) == "1.5 s"
    assert text_of("sum:cost_usd", 2.1) == "$2.10"
    assert text_of("avg:score:quality", None) == "none"
    assert text_of("count", 1234.0) == "1,234"
    assert compared_rows(Breakdown(), [], None) == ()


def request(number: int, prompt: str, *, good: bool = True, **tags: str) -> tuple[Span, Score]:
    span = Span(
        trace_id=f"{number}", span_id="r", name="n", kind="chain", start_ns=number, end_ns=number + 1, model="m",
        stamp=Stamp(prompt=prompt), tags=tags,
    )  # fmt: skip
    score = Score(id=f"{number}", trace_id=f"{number}", name="quality", value=float(good), by="check:x", time_ns=0)
    return span, score


def test_the_facet_that_tells_bad_from_good_comes_first() -> None:
    made = [request(n, f"a/{1 + n % 2}", good=n % 2 == 0, topic=("x", "y", "z")[n % 3]) for n in range(60)]
    found = facets([span for span, _ in made], {span.trace_id: (score,) for span, score in made})
    assert (found.bad, found.rest) == (30, 30)
    assert [facet.title for facet in found.facets] == ["Prompt", "topic"]
    rows = {row.query: row for row in found.facets[0].rows}
    assert (rows["prompt=a/2"].bad, rows["prompt=a/2"].rest, rows["prompt=a/2"].n) == (100.0, 0.0, 30)
    nothing = facets([span for span, _ in made], {})
    assert nothing.facets == ()

"""Geometry: strips, lines with gaps, marks that fold, trees of spans, differences of texts."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Span
from trimtab.web.charts import (
    EMPTY,
    Point,
    Scale,
    band_path,
    level,
    line_path,
    place_marks,
    runs,
    share_of,
    time_ticks,
)  # fmt: skip
from trimtab.web.textdiff import difference
from trimtab.web.waterfall import FEW, MOST, Bar, waterfall
from trimtab.web.window import SIZES, fitting, window

SECOND = 10**9


@given(st.lists(st.sampled_from(["q0", "q3", "qx", EMPTY]), max_size=90))
def test_runs_say_the_same_as_the_cells(cells: list[str]) -> None:
    found = runs(cells)
    drawn = [EMPTY] * len(cells)
    for run in found:
        drawn[run.x : run.x + run.width] = [run.css] * run.width
    assert drawn == cells
    assert all(a.css != b.css or a.x + a.width < b.x for a, b in itertools.pairwise(found))


def test_levels_begin_at_their_thresholds() -> None:
    assert [level(z) for z in (None, -9.0, 1.99, 2, 3, 4, 6, 9)] == ["qx", "q0", "q0", "q1", "q2", "q3", "q4", "q5"]


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    x, y = Scale(low=0, high=4, start=0, end=40), Scale(low=0, high=1, start=10, end=0)
    points = [Point(x=i, mean=0.5, low=0.4, high=0.6, n=9) for i in range(4)]
    assert line_path([points[0], points[1], None, points[3]], x, y).count("M") == 2
    assert band_path([None, None], x, y) == ""
    assert line_path([points[0], points[1]], x, y) == "M0 5L10 5"


@given(st.lists(st.floats(0, 100), max_size=30))
def test_marks_nearer_than_fourteen_pixels_fold_and_none_is_lost(places: list[float]) -> None:
    marks = [(x, "v14 50 %") for x in sorted(places)]
    placed = place_marks(marks, plot_px=800)
    assert [i for p in placed for i in p.members] == list(range(len(marks)))
    for one, two in itertools.pairwise(placed):
        assert (marks[two.members[0]][0] - marks[one.members[-1]][0]) / 100 * 800 >= 14
    assert all(p.text in ("", "v14 50 %", f"{len(p.members)} changes") for p in placed)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_texts_of_marks_never_cover_each_other(places: list[float]) -> None:
    placed = place_marks([(x, "support v2 to all") for x in sorted(places)], plot_px=800)
    spans = []
    for p in placed:
        centre, need = p.x * 8, len(p.text) * 6.3 + 12
        if p.text:
            spans.append((centre - need, centre) if p.flip else (centre, centre + need))
    spans.sort()
    assert all(a[1] <= b[0] + 1e-6 for a, b in itertools.pairwise(spans))


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_ticks_are_round_few_and_inside(length_s: int, start_s: int) -> None:
    since, until = start_s * SECOND, (start_s + length_s) * SECOND
    ticks = time_ticks(since, until)
    assert all(since <= t < until for t in ticks)
    assert len(ticks) <= 13
    assert all(t % (10 * SECOND) == 0 for t in ticks)


@given(st.sampled_from([s[0] for s in SIZES]), st.integers(10**18, 2 * 10**18))
def test_a_window_holds_now_and_its_cells_are_whole(name: str, now: int) -> None:
    shown = window(name, now)
    assert shown.live
    assert shown.since_ns < now < shown.until_ns
    assert shown.cell_of(now) == shown.cells - 1
    assert shown.cell_of(shown.since_ns - 1) is None
    assert shown.since_ns % (shown.cell_s * SECOND) == 0
    assert shown.length_ns == shown.cells * shown.cell_s * SECOND


@given(st.integers(0, 23 * 3600))
def test_the_fitting_window_holds_the_first_request(age_s: int) -> None:
    now = 1_795_000_000 * SECOND + 7
    shown = window(fitting(now - age_s * SECOND, now), now)
    assert shown.since_ns <= now - age_s * SECOND


def test_an_earlier_window_is_not_live() -> None:
    now = 1_795_000_000 * SECOND
    assert not window("1h", now, now - 7200 * SECOND).live
    assert window("1h", now, now + 1).live
    assert window("nonsense", now).name == "15m"


def span(span_id: str, parent: str, start: int, end: int) -> Span:
    return Span(trace_id="t", span_id=span_id, parent_id=parent, name=span_id, kind="chain", start_ns=start, end_ns=end)


def drawn(spans: list[Span]) -> tuple[Bar, ...]:
    return waterfall(spans).bars


def test_a_waterfall_goes_depth_first_by_start() -> None:
    found = drawn([span("a", "", 0, 100), span("c", "a", 50, 90), span("b", "a", 10, 40), span("d", "b", 20, 30)])
    assert [(b.name, b.depth) for b in found] == [("a", 0), ("b", 1), ("d", 2), ("c", 1)]
    assert (found[1].x, found[1].width) == (10, 30)


def test_orphans_and_circles_are_shown_and_not_looped() -> None:
    found = drawn([span("x", "gone", 0, 5), span("p", "q", 1, 2), span("q", "p", 1, 2), span("s", "s", 3, 4)])
    assert sorted(b.name for b in found) == ["p", "q", "s", "x"]
    assert drawn([]) == ()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20))
def test_every_bar_lies_inside_the_chart(shapes: list[tuple[int, int, int]]) -> None:
    spans = [span(str(i), str(parent), start, start + length) for i, (parent, start, length) in enumerate(shapes)]
    found = drawn(spans)
    assert len(found) == len(spans)
    assert all(0 <= b.x <= 100 and b.width > 0 and b.x + b.width <= 100.5 for b in found)


def test_many_children_are_folded_but_not_those_that_matter() -> None:
    children = [span(f"c{n:04}", "root", n, n + 1) for n in range(1000)]
    below = [span(f"g{n}", "c0500", 500, 501) for n in range(3)]
    failed = replace(span("bad", "c0700", 700, 701), status="error")
    everything = [span("root", "", 0, 1000), *children, *below, failed]
    fall = waterfall(everything)
    names = [bar.name for bar in fall.bars if not bar.hidden]
    assert names == ["root", *(f"c{n:04}" for n in range(FEW)), "c0700", "bad"]
    (fold,) = [bar for bar in fall.bars if bar.hidden]
    assert (fold.span_id, fold.depth, fold.hidden) == ("root", 1, len(everything) - len(names))
    assert (fall.spans, fall.earlier, fall.later) == (1005, None, None)
    chosen = waterfall(everything, chosen="g1")
    assert [bar.name for bar in chosen.bars if not bar.hidden] == [
        "root", *(f"c{n:04}" for n in range(FEW)), "c0500", "g0", "g1", "g2", "c0700", "bad",
    ]  # fmt: skip


def test_an_opened_fold_is_drawn_a_window_at_a_time() -> None:
    everything = [span("root", "", 0, 1000), *(span(f"c{n:04}", "root", n, n + 1) for n in range(999))]
    names: list[str] = []
    at: int | None = 0
    while at is not None:
        fall = waterfall(everything, opened=["root"], first=at)
        assert len(fall.bars) <= MOST
        assert (fall.first, fall.lines) == (at, 1000)
        names += [bar.name for bar in fall.bars]
        at = fall.later
    assert names == ["root", *(f"c{n:04}" for n in range(999))]
    there = waterfall(everything, opened=["root"], chosen="c0555")
    assert "c0555" in [bar.name for bar in there.bars]
    assert there.earlier == there.first - MOST
    assert waterfall(everything, opened=["root"], first=10**8).first == 999


@given(st.lists(st.integers(0, 60), max_size=150), st.integers(0, 150))
def test_no_span_is_lost_or_drawn_twice(parents: list[int], chosen: int) -> None:
    everything = [span(str(n), str(parent), n, n + 1) for n, parent in enumerate(parents)]
    fall = waterfall(everything, chosen=str(chosen))
    names = [bar.name for bar in fall.bars if not bar.hidden]
    assert len(names) == len(set(names))
    assert len(names) + sum(bar.hidden for bar in fall.bars) == len(everything)
    assert chosen >= len(everything) or str(chosen) in names


def test_share_of_a_window_is_clamped() -> None:
    assert [share_of(t, 100, 200) for t in (0, 100, 150, 200, 999)] == [0, 0, 50, 100, 100]
    assert share_of(5, 7, 7) == 0


TEXT = st.lists(st.sampled_from(["Cite the passage.", "Be brief.", "", "Use two sentences at most."]), max_size=9)


@given(TEXT, TEXT)
def test_a_difference_can_be_read_back_into_both_texts(old: list[str], new: list[str]) -> None:
    found = difference("\n".join(old), "\n".join(new))
    before, after = "\n".join(old).splitlines(), "\n".join(new).splitlines()
    for line in found.lines:
        text = "".join(p.text for p in line.pieces)
        if line.old is not None:
            assert text == before[line.old - 1]
        if line.new is not None:
            assert text == after[line.new - 1]
    assert found.added - found.removed == len(after) - len(before)
    if before != after:
        assert found.added + found.removed > 0


def test_words_are_marked_inside_a_rewritten_line_and_far_lines_are_folded() -> None:
    same = "\n".join(f"line {i}" for i in range(20))
    found = difference(f"{same}\nUse two sentences.", f"{same}\nUse three sentences.")
    marked = [p.text for line in found.lines for p in line.pieces if p.changed]
    assert marked == ["two", "three"]
    assert found.lines[0].sign == "…"
    assert "17 lines the same" in found.lines[0].pieces[0].text

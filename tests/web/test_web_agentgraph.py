"""Steps and the agent graph: what folds, what follows what, and that the drawing holds together."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from web_house import agent_run

from trimtab.core import Layer, Span
from trimtab.web.agentgraph import Box, Graph, graph, lines
from trimtab.web.steps import BEGIN, END, MOST_DRAWN, MOST_SIBLINGS, Flow, Step, flow
from trimtab.web.waterfall import by_layer

MS = 10**6


def span(span_id: str, parent: str, name: str, start: int, end: int, kind: str = "tool", status: str = "ok") -> Span:
    return Span(
        trace_id="t", span_id=span_id, parent_id=parent, name=name, kind=kind, start_ns=start * MS, end_ns=end * MS,
        status=status,
    )  # fmt: skip


def step(found: Flow, name: str) -> Step:
    return next(one for one in found.steps if one.key.name == name)


def ways(found: Flow) -> dict[tuple[str, str], int]:
    names = {BEGIN: "begin", END: "end"} | {at: one.key.name for at, one in enumerate(found.steps)}
    return {(names[edge.start], names[edge.end]): edge.times for edge in found.edges}


def overlapping(boxes: tuple[Box, ...]) -> list[tuple[str, str]]:
    """Boxes that lie on each other though neither is the other's frame."""
    found = []
    for at, a in enumerate(boxes):
        for b in boxes[at + 1 :]:
            apart = (
                a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
            )  # fmt: skip
            within = a.frame and a.x <= b.x and b.x + b.width <= a.x + a.width and a.y <= b.y
            if not apart and not (within and b.y + b.height <= a.y + a.height):
                found.append((a.name, b.name))
    return found


def test_a_chain_is_drawn_in_its_order() -> None:
    found = flow([span("r", "", "run", 0, 30), span("a", "r", "find", 0, 10), span("b", "r", "answer", 10, 30)])
    assert ways(found) == {("begin", "find"): 1, ("find", "answer"): 1, ("answer", "end"): 1}
    assert [one.rank for one in found.steps] == [0, 1]


def test_what_ran_together_stands_side_by_side_and_folds_with_its_like() -> None:
    spans = [span("r", "", "run", 0, 100), span("p", "r", "plan", 0, 10, "llm")]
    spans += [span(f"s{n}", "r", "search", 10, 20 + n) for n in range(38)]
    spans += [span("f", "r", "fetch", 11, 30), span("z", "r", "answer", 60, 70, "llm")]
    found = flow(spans)
    search, fetch = step(found, "search"), step(found, "fetch")
    assert (search.times, search.at_once) == (38, 38)
    assert search.duration_ns == sum(10 + n for n in range(38)) * MS
    assert search.rank == fetch.rank == 1
    drawn = graph(found)
    boxes = {box.name: box for box in drawn.boxes if box.step}
    assert boxes["search"].y == boxes["fetch"].y
    assert boxes["search"].note.startswith("× 38, ")
    assert boxes["plan"].y < boxes["search"].y < boxes["answer"].y


def test_a_loop_leads_back_and_is_counted() -> None:
    spans = [span("r", "", "run", 0, 1000)]
    for loop in range(5):
        spans += [span(f"p{loop}", "r", "plan", loop * 20, loop * 20 + 10, "llm")]
        spans += [span(f"s{loop}", "r", "search", loop * 20 + 10, loop * 20 + 20)]
    spans.append(span("z", "r", "answer", 100, 110, "llm"))
    found = flow(spans)
    assert ways(found) == {
        ("begin", "plan"): 1, ("plan", "search"): 5, ("search", "plan"): 4, ("search", "answer"): 1,
        ("answer", "end"): 1,
    }  # fmt: skip
    back = [wire for wire in graph(found).wires if wire.css == "back"]
    assert [wire.text for wire in back] == ["× 4"]
    assert "1 way back" in graph(found).sentence


def test_a_retry_is_what_follows_its_own_failure() -> None:
    spans = [
        span("r", "", "run", 0, 100), span("a", "r", "book", 0, 10, status="error"), span("b", "r", "book", 10, 20),
        span("c", "r", "book", 20, 30),
    ]  # fmt: skip
    book = step(flow(spans), "book")
    assert (book.times, book.failed, book.retries, book.span_id) == (3, 1, 1, "a")
    (line,) = lines(flow(spans))
    assert line.failed == "1 failed, 1 retry"
    assert line.then == "book × 2, the end"


def test_branches_are_several_followers() -> None:
    """Two runs of one step go different ways."""
    spans = [span("r", "", "run", 0, 1000)]
    for at, way in enumerate(("refund", "delivery", "refund")):
        turn = f"t{at}"
        spans += [
            span(turn, "r", "turn", at * 100, at * 100 + 90),
            span(f"{turn}a", turn, "classify", at * 100, at * 100 + 10),
            span(f"{turn}b", turn, way, at * 100 + 10, at * 100 + 20),
        ]  # fmt: skip
    inside = step(flow(spans), "turn").inside
    assert inside is not None
    assert ways(inside)["classify", "refund"] == 2
    assert ways(inside)["classify", "delivery"] == 1


def test_names_that_differ_in_their_numbers_are_one_step_only_where_there_are_too_many() -> None:
    few = [span("r", "", "run", 0, 100), *(span(f"s{n}", "r", f"page {n}", n, n + 1) for n in range(MOST_SIBLINGS))]
    assert len(flow(few).steps) == MOST_SIBLINGS
    many = [
        span("r", "", "run", 0, 100),
        *(span(f"s{n}", "r", f"page {n}", n, n + 1) for n in range(MOST_SIBLINGS + 1)),
    ]
    (folded,) = flow(many).steps
    assert (folded.key.name, folded.times, folded.names) == ("page #", MOST_SIBLINGS + 1, MOST_SIBLINGS + 1)
    words = [span("r", "", "run", 0, 999), *(span(f"s{n}", "r", "x" * (n + 1), n, n + 1) for n in range(40))]
    rest = next(one for one in flow(words).steps if not one.key.name)
    assert rest.times == rest.names == 40 - MOST_SIBLINGS // 2
    assert any(box.name == f"{rest.names} other tools" for box in graph(flow(words)).boxes)


def test_hidden_spans_are_counted_and_can_be_drawn_by_themselves() -> None:
    spans = [span("0", "", "run", 0, 1000)]
    spans += [span(f"{n}", f"{n - 1}", f"level {'i' * n}", 0, 1000) for n in range(1, 9)]
    found = flow(spans)
    deepest = found.steps[0]
    while deepest.inside is not None:
        deepest = deepest.inside.steps[0]
    assert deepest.hidden > 0
    assert any(box.inside == f"{deepest.hidden} spans inside" for box in graph(found).boxes)
    below = flow(spans, top=deepest.span_id)
    assert below.steps[0].span_id == str(int(deepest.span_id) + 1)


def test_circles_and_lost_parents_are_drawn_and_not_dropped() -> None:
    spans = [span("a", "b", "one", 0, 10), span("b", "a", "two", 5, 15), span("c", "gone", "three", 20, 30)]
    assert {one.key.name for one in flow(spans).steps} == {"one", "two", "three"}
    assert overlapping(graph(flow(spans)).boxes) == []


def test_ten_thousand_spans_come_to_a_few_boxes() -> None:
    draw = random.Random(5)
    spans = [span("r", "", "run", 0, 10**6)]
    for number in range(10_000):
        start = draw.randrange(10**6)
        parent = "r" if number < 200 else f"n{draw.randrange(200)}"
        spans.append(span(f"n{number}", parent, f"tool {draw.randrange(400)}", start, start + draw.randrange(50)))
    drawn = graph(flow(spans))
    assert len(drawn.boxes) <= MOST_DRAWN + 2 * MOST_SIBLINGS
    assert "10,000 spans" in drawn.sentence
    assert overlapping(drawn.boxes) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.sampled_from("abcdef"), st.integers(0, 60), st.integers(0, 20), st.booleans()),
        max_size=25,
    )
)
def test_any_tree_has_every_span_once_and_no_box_on_another(made: list[tuple[int, str, int, int, bool]]) -> None:
    spans = [span("0", "", "run", 0, 100)]
    for parent, name, start, length, good in made:
        spans.append(
            span(
                str(len(spans)),
                str(min(parent, len(spans) - 1)),
                name,
                start,
                start + length,
                status="ok" if good else "error",
            )
        )
    found = flow(spans)
    drawn = graph(found)
    assert overlapping(drawn.boxes) == []
    assert all(box.x >= 0 and box.x + box.width <= drawn.width + 1e-6 for box in drawn.boxes)
    assert sum(one.times + one.hidden for one in every(found)) == max(1, len(spans) - 1)
    starts = {edge.start for edge in found.edges}
    assert set(range(len(found.steps))) <= starts, "every step leads on or to the end"


def every(found: Flow) -> list[Step]:
    return [one for top in found.steps for one in (top, *(every(top.inside) if top.inside else ()))]


def test_the_story_of_an_agent_in_words() -> None:
    found = flow(agent_run(0, "a" * 32))
    text = {line.name: line for line in lines(found)}
    assert text["search"].times == "12, 4 at once"
    assert "plan × 2" in text["search"].then
    assert text["page #"].depth == 1
    assert text["book"].failed == "1 failed, 1 retry"
    drawn: Graph = graph(found)
    assert drawn.width < 700
    assert drawn.sentence.startswith("Agent graph: ")


def test_time_by_layer_counts_overlapping_spans_once() -> None:
    spans = [
        span("r", "", "run", 0, 100),
        Span(trace_id="t", span_id="a", parent_id="r", name="a", kind="llm", layer=Layer.MODEL, start_ns=0,
             end_ns=40 * MS, cost_usd=0.01),
        Span(trace_id="t", span_id="b", parent_id="r", name="b", kind="llm", layer=Layer.MODEL, start_ns=20 * MS,
             end_ns=60 * MS, cost_usd=0.02, status="error"),
    ]  # fmt: skip
    rows = by_layer(spans)
    assert [row.layer for row in rows] == [1, 2, 3, 4, 5]
    assert (rows[0].time, rows[0].share, rows[0].cost, rows[0].failed) == ("60 ms", "60 %", "3.0 ¢", 1)
    assert rows[0].bars == ((0.0, 60.0),)
    assert (rows[1].spans, rows[1].time, rows[1].bars) == (0, "", ())

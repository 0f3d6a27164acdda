"""Who is asked, what is said of them: the pure parts of review, beside an independent reference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score  # type: ignore[import-untyped]
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from trimtab.core import BadInput
from trimtab.review import Criterion, Expert, Item, Mark, Plan, Queue, assign, disputes, report

QUEUE = Queue(
    id="q", name="q", dataset="d", criteria=(Criterion(name="", ask="Good?"),),
    experts=(Expert(who="mara"), Expert(who="jonas")),
)  # fmt: skip


def items(n: int, planted: str = "", slice: str = "") -> list[Item]:
    return [Item(position=p, case=f"c{p}", known=planted, slice=slice) for p in range(n)]


def mark(position: int, who: str, value: float | None, **more: Any) -> Mark:
    wanted = {"state": "saved", "verdicts": {"": value}, "done_ns": 5, "shown_ns": 10**9, "saved_ns": 3 * 10**9, **more}
    return Mark(position=position, reviewer=who, **wanted)


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 6), st.text(max_size=5))
def test_every_item_goes_to_as_many_people_as_wanted_and_nobody_has_much_more_than_others(
    n: int, people: int, overlap: int, seed: str
) -> None:
    experts = [Expert(who=f"e{k}") for k in range(people)]
    marks = assign(items(n), experts, overlap=overlap, seed=seed)
    assert set(Counter(m.position for m in marks).values()) == {min(overlap, people)}
    loads = Counter(m.reviewer for m in marks)
    assert max(loads.values()) - min(loads.get(e.who, 0) for e in experts) <= 1
    for expert in experts:
        own = [m.place for m in marks if m.reviewer == expert.who]
        assert sorted(own) == list(range(len(own)))
    assert assign(items(n), experts, overlap=overlap, seed=seed) == marks


def test_items_go_to_those_who_know_them_then_to_those_who_are_asked_about_everything() -> None:
    mara, jonas, ilse = Expert(who="mara", slices=("billing",)), Expert(who="jonas", tags={"lang": "de"}), Expert(
        who="ilse"
    )  # fmt: skip
    work = [
        Item(position=0, case="a", slice="billing"), Item(position=1, case="b", hidden={"tags": {"lang": "de"}}),
        Item(position=2, case="c", slice="other"),
    ]  # fmt: skip
    one = {m.position: m.reviewer for m in assign(work, [mara, jonas, ilse], overlap=1, seed="s")}
    assert one == {0: "mara", 1: "jonas", 2: "ilse"}
    two = assign(work, [mara, jonas, ilse], overlap=2, seed="s")
    assert {m.reviewer for m in two if m.position == 0} == {"mara", "ilse"}
    assert {m.reviewer for m in two if m.position == 2} == {"ilse"}, "who does not know it is not asked"
    assert {m.reviewer for m in assign(work[2:], [mara, jonas], overlap=1, seed="s")} <= {"mara", "jonas"}


def test_planted_items_go_to_everybody_in_an_order_of_their_own() -> None:
    experts = [Expert(who=f"e{k}") for k in range(3)]
    marks = assign([*items(30, "bad")], experts, overlap=1, seed="s")
    assert set(Counter(m.position for m in marks).values()) == {3}
    orders = [[m.position for m in sorted(marks, key=lambda m: m.place) if m.reviewer == e.who] for e in experts]
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize(("n", "caught", "reliable"), [(9, 9, False), (10, 10, True), (20, 12, False), (20, 15, True)])
def test_oversight_is_relied_on_only_when_the_lower_bound_is_above_a_half(n: int, caught: int, reliable: bool) -> None:
    planted = items(n, "bad")
    marks = [mark(p, "mara", 0.0 if p < caught else 1.0) for p in range(n)]
    found = report(QUEUE, planted, marks)
    mara = found.people[0]
    assert mara.caught is not None
    low, high = proportion_confint(caught, n, method="wilson")
    assert [mara.caught.low, mara.caught.high] == pytest.approx([low, high], abs=1e-9)
    assert mara.reliable is reliable
    assert found.reliable is reliable
    assert ("too weak to rely on" in found.why) is not reliable
    assert mara.seconds == 2.0


def test_nothing_is_told_of_planted_items_before_a_batch_ends() -> None:
    marks = [mark(p, "mara", 0.0, done_ns=0) for p in range(12)]
    mara = report(QUEUE, items(12, "bad"), marks).people[0]
    assert (mara.caught, mara.false_alarms, mara.finished, mara.why) == (None, None, False, "not finished")


def test_false_alarms_are_the_good_ones_that_were_refused() -> None:
    marks = [mark(p, "mara", 0.0 if p < 3 else 1.0) for p in range(12)]
    mara = report(QUEUE, items(12, "good"), marks).people[0]
    assert mara.false_alarms is not None
    assert (mara.false_alarms.value, mara.caught, mara.reliable) == (0.25, None, False)
    assert "no bad answer was planted" in mara.why


def test_kappa_of_a_pair_is_that_of_scikit_learn_and_planted_items_do_not_count() -> None:
    said = [(1.0, 1.0)] * 14 + [(0.0, 0.0)] * 7 + [(1.0, 0.0)] * 3 + [(0.0, 1.0)] * 2
    marks = [mark(p, who, pair[k]) for p, pair in enumerate(said) for k, who in enumerate(("mara", "jonas"))]
    planted = [Item(position=99, case="x", known="bad")]
    marks += [mark(99, "mara", 0.0), mark(99, "jonas", 1.0)]
    found = report(QUEUE, [*items(len(said)), *planted], marks)
    (pair,) = found.pairs
    assert pair.kappa is not None
    assert pair.kappa.value == pytest.approx(cohen_kappa_score(*zip(*said, strict=True)), abs=1e-9)
    assert (pair.n, pair.few, found.disputed) == (26, False, 5)
    assert found.criteria[0].alpha is not None
    assert (found.criteria[0].yes, found.criteria[0].no) == (33, 19)


def test_people_who_say_one_thing_only_have_no_kappa_and_cannot_tell_is_no_side() -> None:
    marks = [mark(p, who, 1.0) for p in range(4) for who in ("mara", "jonas")]
    marks[0] = mark(0, "mara", None)
    found = report(QUEUE, items(4), marks)
    assert (found.pairs[0].kappa, found.pairs[0].n, found.pairs[0].few) == (None, 3, True)
    assert (found.criteria[0].cannot_tell, found.people[0].cannot_tell) == (1, 1)


def test_a_dispute_needs_two_who_are_done_and_ends_when_it_is_settled() -> None:
    work = items(3)
    both = [mark(0, "mara", 1.0), mark(0, "jonas", 0.0), mark(1, "mara", 1.0), mark(1, "jonas", None)]
    assert disputes(QUEUE, work, both) == [0]
    assert disputes(QUEUE, work, [both[0], mark(0, "jonas", 0.0, done_ns=0)]) == []
    assert disputes(QUEUE, work, [*both, mark(0, "ilse", 0.0, role="settle")]) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"), ({"source": {}}, "source"), ({"experts": []}, "experts"), ({"wrong": 1}, "wrong"),
        ({"experts": ["mara", "mara"]}, "experts[1].who"), ({"experts": [{"who": "a", "x": 1}]}, "experts[0]"),
        ({"criteria": [{"name": "a b", "ask": "?"}]}, "criteria[0].name"),
        ({"criteria": [{"name": "a"}]}, "criteria[0]"),
        ({"criteria": [{"name": str(n), "ask": "?"} for n in range(4)]}, "criteria"), ({"overlap": 0}, "overlap"),
        ({"plant": True}, "plant"), ({"note": "x" * 201}, "note"),
        ({"experts": [{"who": "a", "slices": "b"}]}, "experts[0]"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        Plan.of({"name": "q", "source": {"query": ""}, "experts": ["mara"], **change})
    assert refused.value.field == field
    assert refused.value.mend

"""Spans that applications lost, and traces without a root or a parent: what is told of them, and that a fall alarms."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trimtab.core import Layer, Span, evolve
from trimtab.watch import SCORED, SIGNALS, Watch, default_monitors
from trimtab.watch.arrivals import CONNECTED, SENT, Arrival, Arrivals
from trimtab.watch.traffic import Owners, roots_of, sorted_out, traces_of

SECOND = 10**9
START = 1_800_000_000 * SECOND


def span(trace: str, at: int, parent: str = "", *, id: str = "", **attributes: object) -> Span:
    """A span of an application that ended at this second; its id is its second unless one is given."""
    end = START + at * SECOND
    return Span(
        trace_id=trace, span_id=id or str(at), parent_id=parent, name="step", kind="chain", start_ns=end - SECOND,
        end_ns=end, attributes={"scope": "trimtab", **attributes},
    )  # fmt: skip


def told(arrivals: Arrivals, *spans: Span) -> list[tuple[str, float]]:
    return [(each.signal, each.value) for each in read(arrivals, spans)]


def read(arrivals: Arrivals, spans: Sequence[Span]) -> list[Arrival]:
    return arrivals.read(sorted_out(spans)[1])


def test_an_export_says_what_it_sent_and_what_was_lost_before_it() -> None:
    few = told(Arrivals(), span("a", 1, "0", arrived={"sent": 3, "lost": 1}))
    assert few == [(SENT, 0.0), (SENT, 1.0), (SENT, 1.0), (SENT, 1.0)]
    assert [value for _, value in told(Arrivals(), span("a", 1, "0", arrived={"sent": 2, "lost": 0}))] == [1.0, 1.0]


@pytest.mark.parametrize(("sent", "lost"), [(512, 0), (512, 1), (512, 40), (500, 500), (1, 8192)])
def test_many_spans_count_in_proportion(sent: int, lost: int) -> None:
    values = [value for _, value in told(Arrivals(), span("a", 1, "0", arrived={"sent": sent, "lost": lost}))]
    assert len(values) == 32
    assert sum(values) / 32 == pytest.approx(sent / (sent + lost))
    assert all(0.0 <= value <= 1.0 for value in values)


@pytest.mark.parametrize(
    "said", [None, 7, {"sent": 0, "lost": 4}, {"sent": 3, "lost": -1}, {"sent": "3", "lost": 0}, {}]
)
def test_what_says_nothing_clear_says_nothing(said: object) -> None:
    assert told(Arrivals(), span("a", 1, "0", arrived=said)) == []


def test_a_trace_is_connected_when_root_and_parents_are_there_in_whatever_order() -> None:
    arrivals = Arrivals()
    assert told(arrivals, span("a", 1, "3"), span("a", 2, "3")) == []
    assert told(arrivals, span("a", 3, "4")) == []
    assert told(arrivals, span("a", 4)) == [(CONNECTED, 1.0)]
    assert told(arrivals, span("a", 5, "4"), span("a", 6, "gone")) == []  # late spans of a trace that is done


@pytest.mark.parametrize("there", [[span("a", 1, "3"), span("a", 3, "lost")], [span("a", 2), span("a", 1, "lost")]])
def test_a_trace_without_its_root_or_a_parent_is_given_up_after_ten_quiet_minutes(there: list[Span]) -> None:
    arrivals = Arrivals()
    assert told(arrivals, *there) == []
    assert told(arrivals, *[span(f"b{at}", 500 + at) for at in range(100)]) == [(CONNECTED, 1.0)] * 100
    given_up = read(arrivals, [span(f"c{at}", 610 + at) for at in range(100)])
    zeros = [each for each in given_up if not each.value]
    assert [(each.signal, each.span.trace_id) for each in zeros] == [(CONNECTED, "a")]
    assert told(arrivals, span("a", 710)) == []


def test_a_few_wrong_clocks_give_nothing_up() -> None:
    arrivals = Arrivals()
    told(arrivals, span("a", 1, "2"), *[span(f"b{at}", at) for at in range(65)])
    assert 0.0 not in [value for _, value in told(arrivals, *[span(f"f{at}", 90_000 + at) for at in range(20)])]
    assert told(arrivals, span("a", 2)) == [(CONNECTED, 1.0)]


def test_a_trace_whose_clock_is_wrong_does_not_keep_the_others_from_being_given_up() -> None:
    arrivals = Arrivals()
    told(arrivals, *[span(f"b{at}", at) for at in range(65)])
    assert told(arrivals, span("ahead", 80_000, "gone")) == []
    assert told(arrivals, span("a", 65, "gone")) == []
    given_up = [each.span.trace_id for each in read(arrivals, [span(f"c{at}", 700 + at) for at in range(65)])
                if not each.value]  # fmt: skip
    assert given_up == ["ahead", "a"]


def test_a_trace_that_comes_late_and_in_parts_is_waited_for_from_when_it_came() -> None:
    arrivals = Arrivals()
    told(arrivals, *[span(f"b{at}", 5_000 + at) for at in range(65)])
    assert told(arrivals, span("late", 1, "2")) == []
    assert told(arrivals, span("late", 2)) == [(CONNECTED, 1.0)]


def test_spans_that_are_waited_for_are_bounded_and_dropped_without_a_word() -> None:
    arrivals = Arrivals()
    for first in range(0, 210, 10):  # 210 traces of 1,000 spans each
        spans = [span(f"t{at}", 1, "root", id=f"{at}/{n}") for at in range(first, first + 10) for n in range(1_000)]
        assert told(arrivals, *spans) == []
    assert arrivals._held <= 200_000
    assert told(arrivals, span("t0", 2, id="root")) == []
    assert told(arrivals, span("t209", 2, id="root")) == [(CONNECTED, 1.0)]


def test_the_gateway_s_own_requests_are_not_applications_traces() -> None:
    own = span("g", 1)
    own = evolve(own, attributes={"gateway": True})
    assert sorted_out([own])[1] == {}
    lonely = evolve(own, attributes={}, parent_id="x")
    assert told(Arrivals(), lonely) == []


def watched() -> Watch:
    watch = Watch(default_monitors(lambda _: "mara"))
    for at in range(400):
        watch.measure([span(f"h{at}", at, arrived={"sent": 1, "lost": 0})])
    assert watch.armed(SENT)
    assert watch.armed(CONNECTED)
    return watch


def test_lost_spans_alarm_and_whole_exports_do_not() -> None:
    watch = watched()
    assert watch.measure([span("w", 401, arrived={"sent": 512, "lost": 0})]) == []
    (alarm, *_) = watch.measure([span("l", 402, arrived={"sent": 512, "lost": 5_000})])
    assert (alarm.signal, alarm.monitor.action) == (SENT, "page")
    assert alarm.now < 0.5


def test_traces_that_lack_their_roots_alarm() -> None:
    watch = watched()
    alarms = [alarm for at in range(60) for alarm in watch.measure([span(f"o{at}", 500 + at, "gone")])]
    assert alarms == []
    for at in range(300):
        alarms += watch.measure([span(f"n{at}", 1_200 + at)])
    assert {alarm.signal for alarm in alarms} == {CONNECTED}


def test_other_projects_are_theirs() -> None:
    watch = Watch(default_monitors(lambda _: "mara"))
    other = span("a", 1, arrived={"sent": 100, "lost": 0})
    watch.measure([evolve(other, project="theirs")])
    assert watch.evidence(SENT)[0] == ()


@pytest.mark.parametrize("name", [SENT, CONNECTED])
def test_the_signals_stand_among_the_others(name: str) -> None:
    signal = SIGNALS[name]
    assert signal.layer == Layer.OPERATIONS
    assert signal.cost == "all"
    assert signal.unit
    assert name not in SCORED


def test_a_clock_that_is_ahead_keeps_no_other_trace_waiting() -> None:
    arrivals = Arrivals()
    told(arrivals, *[span(f"b{at}", at) for at in range(65)])
    told(arrivals, span("ahead", 90_000, "gone"))
    told(arrivals, span("a", 70, "gone"))
    given_up = [each for at in range(100) for each in read(arrivals, [span(f"c{at}", 700 + at)]) if not each.value]
    assert [each.span.trace_id for each in given_up] == ["ahead", "a"]


def test_traces_that_a_restart_cut_in_two_are_not_told_as_broken() -> None:
    watch = watched()
    watch.restore(watch.state())
    for at in range(60):  # their parents were read before
        watch.measure([span(f"cut{at}", 401, f"read before {at}")])
    alarms = [alarm for at in range(300) for alarm in watch.measure([span(f"n{at}", 1_100 + at)])]
    assert alarms == []
    assert 0.0 not in [seen.value for seen in watch.evidence(CONNECTED)[0]]
    for at in range(60):
        watch.measure([span(f"o{at}", 1_400 + at, "gone")])
    alarms = [alarm for at in range(300) for alarm in watch.measure([span(f"m{at}", 2_200 + at)])]
    assert {alarm.signal for alarm in alarms} == {CONNECTED}


def test_one_span_with_ever_new_parents_is_bounded() -> None:
    arrivals = Arrivals()
    for at in range(3_000):
        told(arrivals, span("a", 1, f"p{at}", id="same"))
    assert not arrivals._waiting


def test_requests_keep_their_spans_and_those_that_nobody_looks_at_are_of_no_application() -> None:
    root, call = span("a", 3, gateway=True), span("a", 2, "3")
    twice, own = span("a", 4, gateway=True), evolve(span("b", 5, gateway=True), project="trimtab-judge")
    spans = [call, root, twice, own, span("b", 6, "5"), span("c", 7)]
    requests, others = sorted_out(spans)
    assert [(first.span_id, [each.span_id for each in trace]) for first, trace in requests] == [("3", ["2", "3", "4"])]
    assert list(others) == ["c"]
    traces, others = traces_of(spans, roots_of(spans), ())
    assert (traces, list(others)) == ({}, ["c"])


def test_requests_of_trimtab_itself_are_left_out_wherever_they_stand() -> None:
    projects = ["trimtab-judge", "", "shop", "trimtab-judge", "trimtab.probes", "shop", "trimtab-judge", "default"]
    spans = [evolve(span(f"{at}", at, gateway=True), project=project) for at, project in enumerate(projects)]
    requests, others = sorted_out(spans)
    assert [root.project for root, _ in requests] == ["", "shop", "shop", "default"]
    assert others == {}


def test_whose_a_request_was_is_remembered_for_the_newest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.watch.traffic._REMEMBERED_OWNERS", 8)
    owners = Owners()
    for at in range(12):
        one = evolve(span(str(at), at), session=f"s{at}", tags={"user": "mara"} if at % 2 else {})
        owners.own([one, span(f"nobody {at}", at)])
    assert owners.of("11") == ("s11", "mara")
    assert owners.of("4") == ("s4", "")
    assert owners.of("3") == owners.of("nobody 11") == ("", "")

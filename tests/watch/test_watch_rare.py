"""The signals that only some traffic carries: what each of them says, and what it costs the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_watch_measures import DAY, NS, STAMP, START, child, first, root, value

from trimtab.core import INDEX_SOURCE, INDEX_VERSION, INDEX_WATERMARK, VECTOR, Layer, Score, Span, Stamp, sketch
from trimtab.watch import SIGNALS, Alarm, Watch, default_monitors, is_score
from trimtab.watch.measured_calls import BUDGET_LEFT
from trimtab.watch.measured_searches import INDEX_LAG, QUERY_NORM
from trimtab.watch.signals import JUDGED, KNOWN_PROMPT, ON_RECORD, QUERY_DIRECTION, RAILS

RARE = {name for name, signal in SIGNALS.items() if signal.rare}
BARE = Stamp(model="p/m=m@f", route="support/1")


def watch(**settings: Any) -> Watch:
    return Watch(default_monitors(lambda layer: "somebody"), reference=200, measured_a_second=10**6, **settings)


def requests(n: int, draw: random.Random, fields: Callable[[int], dict[str, Any]], at: int = 0) -> Iterator[Span]:
    """Requests a second apart, the ``at``-th first."""
    for i in range(at, at + n):
        known = {"trace_id": f"{draw.getrandbits(128):032x}", "start_ns": START + i * NS, "end_ns": START + i * NS + 1}
        yield root(**{**known, **fields(i)})


def raised(alarms: list[Alarm], signal: str) -> Alarm:
    found = first(alarms, signal)
    assert found is not None, [alarm.signal for alarm in alarms]
    assert found.monitor.owner
    return found


def test_every_signal_of_some_traffic_has_a_monitor_a_layer_and_a_unit() -> None:
    actions = {monitor.signal: monitor.action for monitor in default_monitors(lambda _: "ilse")}
    assert {name: (SIGNALS[name].layer, actions[name]) for name in RARE} == {
        "certainty": (Layer.MODEL, "note"), INDEX_LAG: (Layer.KNOWLEDGE, "note"),
        QUERY_NORM: (Layer.KNOWLEDGE, "note"), QUERY_DIRECTION: (Layer.KNOWLEDGE, "note"),
        KNOWN_PROMPT: (Layer.PROMPT, "note"), RAILS: (Layer.SAFETY, "note"), ON_RECORD: (Layer.OPERATIONS, "note"),
        BUDGET_LEFT: (Layer.OPERATIONS, "page"), JUDGED: (Layer.OPERATIONS, "page"),
    }  # fmt: skip
    assert all(SIGNALS[name].unit for name in RARE)
    assert not any(is_score(name) for name in RARE)


def test_what_no_traffic_carries_takes_nothing_of_the_budget_for_false_alarms() -> None:
    everything = default_monitors(lambda _: "ilse")
    without = Watch([monitor for monitor in everything if monitor.signal not in RARE])
    seen = Watch(everything)
    assert seen.threshold_of("cites") == without.threshold_of("cites")
    assert seen.threshold_of("certainty") > without.threshold_of("cites"), "it would have a small part"
    seen.measure(requests(5, random.Random(1), lambda i: {}))
    assert seen.threshold_of("cites") == without.threshold_of("cites")
    seen.measure(requests(1, random.Random(1), lambda i: {"attributes": {"logprob": -0.2}}))
    assert seen.threshold_of("cites") > without.threshold_of("cites")
    again = Watch(everything)
    again.restore(seen.state())
    assert again.threshold_of("cites") == seen.threshold_of("cites"), "what it had begun with stays"


def test_a_model_that_is_less_sure_of_its_tokens() -> None:
    draw, seen = random.Random(2), watch()
    assert value("certainty", root()) is None
    assert value("certainty", root(attributes={"logprob": -0.25})) == -0.25
    assert value("certainty", root(status="error", attributes={"logprob": -0.25})) is None

    def sure(mean: float) -> Callable[[int], dict[str, Any]]:
        return lambda i: {"attributes": {"logprob": min(0.0, draw.gauss(mean, 0.03))}}

    assert seen.measure(requests(1500, draw, sure(-0.2))) == []
    alarm = raised(seen.measure(requests(400, draw, sure(-0.5), 1500)), "certainty")
    assert alarm.monitor.action == "note"


@pytest.mark.parametrize(
    ("left", "time", "expected"),
    [(0.8, 0.9, 1.0), (0.3, 0.3, 1.0), (0.1, 0.4, 1.0), (0.05, 0.4, 0.5), (0.0, 0.4, 0.0), (0.0, 0.0, 1.0)],
)
def test_a_budget_is_short_far_behind_an_even_pace(left: float, time: float, expected: float) -> None:
    assert value(BUDGET_LEFT, root(attributes={"budget": {"left": left, "time": time}})) == pytest.approx(expected)


@pytest.mark.parametrize("budget", [None, 7, {}, {"left": "much", "time": 1}])
def test_without_a_budget_none_is_short(budget: object) -> None:
    assert value(BUDGET_LEFT, root(attributes={"budget": budget})) is None


def test_a_budget_that_runs_out_calls_its_owner_and_one_that_ends_with_its_day_does_not() -> None:
    def spends(pace: float) -> Callable[[int], dict[str, Any]]:
        def fields(i: int) -> dict[str, Any]:
            day = i % 1000 / 1000
            return {"attributes": {"budget": {"left": max(0.0, 1.0 - pace * day), "time": 1.0 - day}}}

        return fields

    seen, draw = watch(), random.Random(3)
    assert seen.measure(requests(3000, draw, spends(0.98))) == []
    alarm = raised(seen.measure(requests(1000, draw, spends(2.0), 3000)), BUDGET_LEFT)
    assert alarm.monitor.action == "page"


def found_by(*rules: str) -> Span:
    return child("guardrail", attributes={"findings": [{"rule": rule, "action": "flag"} for rule in rules]})


def guarded(draw: random.Random, n: int, at: int, **often: float) -> list[Span]:
    """Requests, each with what the named rails find so often."""
    spans: list[Span] = []
    for span in requests(n, draw, lambda i: {}, at):
        hits = [rail for rail, share in often.items() if draw.random() < share]
        spans += [span, child("guardrail", trace_id=span.trace_id, attributes=found_by(*hits).attributes)]
    return spans


def test_one_rail_that_finds_more_is_named_though_another_finds_less() -> None:
    draw, seen = random.Random(4), watch()
    assert seen.measure(guarded(draw, 3000, 0, pii=0.2, injection=0.05)) == []
    alarms = seen.measure(guarded(draw, 600, 3000, pii=0.05, injection=0.2))
    assert first(alarms, "unflagged") is None, "all rails together find as much as before"
    slices = {alarm.slice for alarm in alarms if alarm.signal == RAILS}
    assert slices == {"injection, billing"}
    assert raised(alarms, RAILS).monitor.action == "note"


def test_a_rail_counts_from_the_request_after_its_first_finding() -> None:
    seen = Watch([monitor for monitor in default_monitors(lambda _: "ilse") if monitor.signal == RAILS])
    draw = random.Random(5)
    seen.measure(guarded(draw, 10, 0))
    assert seen.evidence(RAILS)[0] == ()
    seen.measure(guarded(draw, 1, 10, pii=1.0))
    assert seen.evidence(RAILS)[0] == ()
    seen.measure(guarded(draw, 3, 11))
    assert [(one.slice, one.value) for one in seen.evidence(RAILS)[0]] == [("pii, billing", 1.0)] * 3
    seen.measure(requests(5, draw, lambda i: {"stamp": BARE}, 14))
    assert len(seen.evidence(RAILS)[0]) == 3, "no guard took part"


def test_a_request_may_bring_a_value_of_each_rail_so_an_alarm_takes_that_much_more() -> None:
    seen = watch()
    seen.measure(guarded(random.Random(5), 2, 0, pii=1.0))
    assert seen.threshold_of(RAILS) == 8 * seen.threshold_of("unflagged")


def test_only_so_many_rails_are_told_apart() -> None:
    seen = Watch([monitor for monitor in default_monitors(lambda _: "ilse") if monitor.signal == RAILS])
    draw = random.Random(6)
    seen.measure(guarded(draw, 2, 0, **{f"rail{n}": 1.0 for n in range(30)}))
    assert len({one.slice for one in seen.evidence(RAILS)[0]}) == 8


def told(text: str, stamp: Stamp = BARE) -> dict[str, Any]:
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "How long is a refund open?"}]
    return {"stamp": stamp, "attributes": {"ask": {"messages": messages}}}


def test_instructions_that_nobody_registered_are_new_for_a_while() -> None:
    draw, seen = random.Random(7), watch()
    old, new = "You are the help desk. Today is {} November.", "You are the sales desk. Today is {} November."

    def asks(text: str) -> Callable[[int], dict[str, Any]]:
        return lambda i: told(text.format(i // 500))

    assert seen.measure(requests(2000, draw, asks(old))) == [], "the date of today makes no prompt a new one"
    alarms = seen.measure(requests(200, draw, asks(new), 2000))
    assert raised(alarms, KNOWN_PROMPT).monitor.action == "note"
    values = [one.value for one in seen.evidence(KNOWN_PROMPT)[0]]
    assert values == [1.0] * 1800 + [0.0] * 200
    seen.measure(requests(2200, draw, asks(new), 2200))
    assert [one.value for one in seen.evidence(KNOWN_PROMPT)[0]][-300:] == [1.0] * 300, "by now it is usual"


def test_a_prompt_of_the_registry_and_a_request_without_instructions_say_nothing() -> None:
    draw, seen = random.Random(8), watch()
    seen.measure(requests(300, draw, lambda i: told(f"You are {'x' * i}.", STAMP)))
    seen.measure(requests(300, draw, lambda i: {"stamp": BARE}))
    seen.measure(requests(300, draw, lambda i: {"stamp": BARE, "attributes": {"ask": {"messages": [7, {"role": 3}]}}}))
    assert seen.evidence(KNOWN_PROMPT)[0] == ()


def test_instructions_that_are_always_new_are_no_news() -> None:
    draw, seen = random.Random(9), watch()
    names = "".join(chr(97 + n) for n in range(26))
    asks = lambda i: told("You help " + "".join(draw.choices(names, k=9)) + ".")  # noqa: E731
    assert first(seen.measure(requests(3000, draw, asks)), KNOWN_PROMPT) is None


def test_a_version_that_stands_in_no_change_is_a_gap_of_the_ledger() -> None:
    draw, known = random.Random(10), {("prompts", "answer/1"), ("corpora", "docs/1"), ("routes", "support/1")}
    seen = watch(recorded=lambda kind, pin: kind == "guards" or (kind, pin) in known)
    assert seen.measure(requests(1500, draw, lambda i: {})) == []
    later = Stamp(model="p/m=m@g", knowledge="docs/1", prompt="answer/2", guard="default/1", route="support/1")
    alarm = raised(seen.measure(requests(200, draw, lambda i: {"stamp": later}, 1500)), ON_RECORD)
    assert alarm.monitor.action == "note"
    known.add(("prompts", "answer/2"))
    seen.measure(requests(3, draw, lambda i: {"stamp": later}, 1700))
    assert [one.value for one in seen.evidence(ON_RECORD)[0]][-4:] == [0.0, 1.0, 1.0, 1.0], "a late record counts"


def test_another_model_is_no_gap_and_without_a_ledger_there_is_none() -> None:
    draw, alone = random.Random(11), watch()
    alone.measure(requests(50, draw, lambda i: {}))
    assert alone.evidence(ON_RECORD)[0] == ()
    seen = watch(recorded=lambda kind, pin: kind != "models")
    seen.measure(requests(50, draw, lambda i: {}))
    assert {one.value for one in seen.evidence(ON_RECORD)[0]} == {1.0}


def searched(days: float, **fields: Any) -> Span:
    attributes = {INDEX_SOURCE: START, INDEX_WATERMARK: START - int(days * DAY), "scope": "app"}
    return child("retriever", attributes=attributes, **fields)


def test_how_far_an_index_lies_behind_its_sources() -> None:
    assert value(INDEX_LAG, root(), searched(2.0), searched(0.5)) == 2.0
    assert value(INDEX_LAG, root(), searched(-3.0)) == 0.0, "its own clock may run ahead"
    assert value(INDEX_LAG, root(), child("retriever")) is None
    assert value(INDEX_LAG, root(), child("retriever", attributes={INDEX_SOURCE: "x", INDEX_WATERMARK: 1})) is None


def test_an_applications_index_that_stays_behind_is_told() -> None:
    draw, seen = random.Random(12), watch()

    def of(days: float, n: int, at: int) -> list[Span]:
        return [
            searched(
                days * draw.random(), trace_id=f"{draw.getrandbits(128):032x}", start_ns=START + i * NS,
                end_ns=START + i * NS, parent_id="", project="default",
            ) for i in range(at, at + n)
        ]  # fmt: skip

    assert seen.measure(of(1.0, 1500, 0)) == []
    alarm = raised(seen.measure(of(9.0, 200, 1500)), INDEX_LAG)
    assert alarm.monitor.action == "note"


def embedded(draw: random.Random, n: int, at: int, centre: list[float], **fields: Any) -> list[Span]:
    """Questions as an embedding model with this mean sees them."""
    spans = []
    for i in range(at, at + n):
        vector = [mean + draw.gauss(0.0, 0.1) for mean in centre]
        attributes = {VECTOR: sketch(vector), **fields}
        spans.append(
            child(
                "embedding", trace_id=f"{draw.getrandbits(128):032x}", parent_id="", attributes=attributes,
                start_ns=START + i * NS // 10, end_ns=START + i * NS // 10,
            )
        )  # fmt: skip
    return spans


def centre(draw: random.Random, axes: int = 96) -> list[float]:
    return [draw.gauss(0.0, 0.1) for _ in range(axes)]


def test_questions_that_another_model_embeds_point_elsewhere() -> None:
    draw, seen = random.Random(13), watch()
    one, other = centre(draw), centre(draw)
    assert seen.measure(embedded(draw, 2000, 0, one)) == []
    alarms = seen.measure(embedded(draw, 100, 2000, other))
    assert raised(alarms, QUERY_DIRECTION).monitor.action == "note"
    assert first(alarms, QUERY_NORM) is None, "they are as long as before"


def test_a_new_index_has_a_past_of_its_own() -> None:
    draw, seen = random.Random(14), watch()
    seen.measure(embedded(draw, 1500, 0, centre(draw), **{INDEX_VERSION: "7"}))
    later = embedded(draw, 1500, 1500, centre(draw), **{INDEX_VERSION: "8"})
    assert first(seen.measure(later), QUERY_DIRECTION) is None


def test_vectors_of_other_dimensions_and_lengths_are_told() -> None:
    draw, seen = random.Random(15), watch()
    seen.measure(embedded(draw, 1500, 0, centre(draw, 96)))
    alarms = seen.measure(embedded(draw, 200, 1500, [3.0 * each for each in centre(draw, 32)]))
    assert {QUERY_DIRECTION, QUERY_NORM} <= {alarm.signal for alarm in alarms}


@pytest.mark.parametrize("vector", [7, {}, {"norm": "x"}, {"norm": 1.0}, {"norm": 1.0, "first": ["x"]}])
def test_what_is_no_sketch_points_nowhere(vector: object) -> None:
    seen = watch()
    seen.measure([child("embedding", parent_id="", attributes={VECTOR: vector, "scope": "app"})] * 500)
    assert seen.evidence(QUERY_DIRECTION)[0] == ()


def drawn(draw: random.Random, n: int, at: int, missed: float) -> list[Score]:
    """Of so many answers that were drawn for the judge: a verdict, or the word that there is none."""
    scores = []
    for i in range(at, at + n):
        fails = draw.random() < missed
        name, said, pin = (JUDGED, 0.0, "") if fails else ("quality", float(draw.random() < 0.9), "quality/3")
        scores.append(
            Score(
                id=f"{i}:{name}", trace_id=f"{i}", name=name, value=said, by="judge:quality", by_version=pin, time_ns=i
            )
        )
    return scores


def test_drawn_answers_without_a_verdict_are_told_and_are_no_silence() -> None:
    draw, seen = random.Random(16), watch()
    assert seen.observe(drawn(draw, 2000, 0, 0.02)) == []
    assert not any(silence.signal == JUDGED for silence in seen.silent())
    alarm = raised(seen.observe(drawn(draw, 300, 2000, 0.3)), JUDGED)
    assert alarm.monitor.action == "page"
    values = [one.value for one in seen.evidence(JUDGED)[0]]
    assert len(values) == 2300
    assert 0.9 < sum(values) / len(values) < 0.97


def of_list(n: int, name: str, value: float, pin: str = "tone/2") -> Score:
    by = "judge:tone" if pin else "scorers:support"
    return Score(id=f"{n}:{name}", trace_id=f"{n}", name=name, value=value, by=by, by_version=pin, time_ns=n)


def test_the_judges_of_live_scorers_count_and_an_answer_for_several_counts_once() -> None:
    seen = watch()
    seen.observe([
        of_list(1, "support.tone", 0.0), of_list(1, "support.tone.kind", 1.0),
        of_list(2, "support.max_words", 1.0, ""),  # no judge said that
        of_list(3, "quality", 1.0, "quality/3"), of_list(3, "quality.kind", 1.0, "quality/3"),
        of_list(4, JUDGED, 0.0), of_list(4, "quality", 1.0, "quality/3"), of_list(4, "support.rude", 1.0),
        of_list(5, "quality", 0.0, "quality/3"), of_list(5, "support.tone", 1.0),
    ])  # fmt: skip
    assert [(one.trace_id, one.value) for one in seen.evidence(JUDGED)[0]] == [
        ("1", 1.0), ("3", 1.0), ("4", 0.0), ("5", 1.0),
    ]  # fmt: skip


def test_the_name_of_a_list_may_hold_dots_and_be_that_of_the_judges_score() -> None:
    seen = watch()
    seen.observe([
        of_list(1, "support.v2.tone", 0.0), of_list(2, JUDGED, 0.0), of_list(3, "quality.tone", 1.0),
        of_list(4, "support.v2.max_words", 1.0, ""),
    ])  # fmt: skip
    assert [(one.trace_id, one.value) for one in seen.evidence(JUDGED)[0]] == [("1", 1.0), ("2", 0.0), ("3", 1.0)]


def test_an_answer_that_no_judge_gave_a_verdict_on_counts_once() -> None:
    seen = watch()
    seen.observe([of_list(n, JUDGED, 0.0) for n in (1, 1, 2, 3, 3, 3)])
    assert [(one.trace_id, one.value) for one in seen.evidence(JUDGED)[0]] == [("1", 0.0), ("2", 0.0), ("3", 0.0)]


def test_a_judge_of_a_list_that_falls_silent_is_told() -> None:
    draw, seen = random.Random(17), watch()
    seen.observe([of_list(n, "support.tone", float(draw.random() < 0.8)) for n in range(2000)])
    fails = [of_list(n, *((JUDGED, 0.0) if draw.random() < 0.3 else ("support.tone", 1.0))) for n in range(2000, 2300)]
    alarm = raised(seen.observe(fails), JUDGED)
    assert alarm.now < 0.85


def test_what_people_say_is_no_verdict_of_a_judge() -> None:
    seen = watch()
    seen.observe([Score(id="1", trace_id="1", name="quality", value=1.0, by="expert:mara", time_ns=1)])
    assert seen.evidence(JUDGED)[0] == ()
    seen.observe(drawn(random.Random(1), 1, 2, 1.0))
    assert [one.value for one in seen.evidence(JUDGED)[0]] == [0.0], "nobody gave a verdict at all"

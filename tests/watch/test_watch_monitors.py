"""Monitors, observations, state across a restart, and what vendors change silently."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trimtab.core import BadInput, Layer, NotFound, Score, Span, Stamp
from trimtab.watch import SIGNALS, Monitor, VendorChange, Vendors, Watch, default_monitors

MONITOR = Monitor(name="cites", signal="cites", owner="mara", action="page", severity=2, runbook="Read the diff.")


def score(value: float = 1.0, *, name: str = "cites", i: int = 0, by: str = "check:cites", version: str = "") -> Score:
    stamp = Stamp(model="a/b=c@d", knowledge="docs/3", prompt="support/14", route="support/1")
    return Score(id=str(i), trace_id=f"t{i}", name=name, value=value, by=by, by_version=version, time_ns=i, stamp=stamp)


def span(pin: str, *, kind: str = "llm", start: int = 1) -> Span:
    return Span(
        trace_id="0" * 32, span_id="1" * 16, name="x", kind=kind, start_ns=start, end_ns=2, stamp=Stamp(model=pin)
    )


def test_there_is_a_valid_owned_monitor_for_every_signal() -> None:
    monitors = default_monitors(lambda layer: layer.title if layer else "product")
    assert [m.signal for m in monitors] == list(SIGNALS)
    for monitor in monitors:
        monitor.validate()
        layer = SIGNALS[monitor.signal].layer
        assert monitor.owner == (layer.title if layer else "product")
        assert monitor.runbook
    assert {SIGNALS[m.signal].layer for m in monitors} == {None, *Layer}


@pytest.mark.parametrize(
    ("field", "value"),
    [("signal", "vibes"), ("owner", " "), ("action", "pray"), ("severity", 0), ("severity", 5), ("name", "")],
)
def test_a_monitor_without_signal_owner_or_action_is_refused(field: str, value: object) -> None:
    broken = replace(MONITOR, **{field: value})  # type: ignore[arg-type]
    with pytest.raises(BadInput) as caught:
        broken.validate()
    assert caught.value.field == field
    assert caught.value.mend
    with pytest.raises(BadInput):
        Watch([broken])


def test_a_watch_refuses_useless_settings() -> None:
    for settings in ({"reference": 0}, {"false_alarms_per": 1}):
        with pytest.raises(BadInput):
            Watch([MONITOR], **settings)
    with pytest.raises(BadInput, match="two monitors"):
        Watch([MONITOR, MONITOR])
    with pytest.raises(NotFound, match="cites"):
        Watch([MONITOR]).evidence("quality")


def test_an_observation_carries_the_pins_by_kind() -> None:
    watch = Watch([MONITOR])
    watch.observe(
        [
            score(),
            score(by="judge:quality", version="quality/3"),
            score(by="guard:default", version="default/2"),
            score(i=1, by="judge:quality", version="quality/4"),
        ]
    )
    checked, judged, guarded, other = (seen.pins for seen in watch.evidence("cites")[0])
    assert checked == {"models": "a/b=c@d", "corpora": "docs/3", "prompts": "support/14", "routes": "support/1"}
    assert judged == {**checked, "judges": "quality/3"}
    assert "judges" not in guarded
    assert other["judges"] == "quality/4"


def test_an_observation_carries_whose_it_was() -> None:
    watch = Watch([MONITOR])
    root = replace(span("a/b=c@d", kind="chain"), trace_id="t1", session="s7", tags={"user": "ada"})
    watch.measure([replace(root, attributes={"gateway": True})])
    watch.observe([score(i=1), score(i=2)])
    assert [(seen.session, seen.user) for seen in watch.evidence("cites")[0]] == [("s7", "ada"), ("", "")]


def test_what_is_not_watched_is_passed_over() -> None:
    watch = Watch([MONITOR], reference=2)
    elsewhere = replace(score(), project="trimtab")
    assert watch.observe([score(name="quality"), elsewhere, score(float("nan")), score(float("inf"))]) == []
    assert watch.evidence("cites") == ((), {})
    watch.observe([score(7.0), score(-3.0)])
    assert [seen.value for seen in watch.evidence("cites")[0]] == [1.0, 0.0]


def test_baselines_survive_a_restart() -> None:
    before = Watch(default_monitors(lambda _: "mara"))
    before.observe([score(float(i % 10 > 0), i=i) for i in range(60)])
    before.observe([score(0.5, name="quality", i=i) for i in range(59)])
    kept = json.loads(json.dumps(before.state()))
    after = Watch(default_monitors(lambda _: "mara"))
    after.restore(kept)
    assert after.baselines("cites") == before.baselines("cites")
    assert after.threshold_of("cites") == before.threshold_of("cites")
    assert not after.armed("quality")
    after.observe([score(0.5, name="quality", i=60)])
    assert after.baselines("quality")[""].n == 60
    assert after.baselines("quality")[""].low < 0.5
    alarms = after.observe([score(0.0, i=i) for i in range(100, 140)])
    assert [alarm.onset_ns for alarm in alarms] == [100, 100]


@pytest.mark.parametrize(
    "state",
    [{}, {"version": 2, "signals": {}}, {"version": 1, "signals": {"cites": {"": {"n": 60}}}},
     {"version": 1, "signals": {"cites": {"": {"n": 60, "total": 99.0, "binary": True}}}}],
)  # fmt: skip
def test_a_broken_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        Watch([MONITOR]).restore(state)


def test_a_vendor_that_answers_as_another_model_is_seen_once() -> None:
    vendors = Vendors()
    assert (
        vendors.observe([span("a/b=one@f1"), span("a/b=one@f1"), span("c/d=x@y"), span("a/b=two@f9", kind="chain")])
        == []
    )
    assert vendors.observe([span("a/b=two@f2", start=7), span("a/b=two@f2")]) == [
        VendorChange(ref="a/b", before="a/b=one@f1", after="a/b=two@f2", time_ns=7)
    ]
    assert vendors.observe([span("a/b=one@f1"), span("a/b"), span("")]) == []
    restarted = Vendors()
    restarted.restore(json.loads(json.dumps(vendors.state())))
    assert restarted.observe([span("a/b=two@f2"), span("a/b=one@f1")]) == []
    changed = restarted.observe([span("a/b=one@f3")])
    assert [(c.before, c.after) for c in changed] == [("a/b=one@f1", "a/b=one@f3")]
    with pytest.raises(BadInput):
        restarted.restore({"a/b": "a/b=one@f1"})


def test_a_missing_fingerprint_is_no_change_and_a_restless_one_is_given_up() -> None:
    vendors = Vendors()
    assert vendors.observe([span("a/b=one@f1"), span("a/b=one")]) == []
    assert len(vendors.observe([span("a/b=two")])) == 1
    restless = [span(f"x/y=one@{i}") for i in range(500)]
    assert len(vendors.observe(restless)) == 63

"""What a policy stops wrongly, measured: by scanner, jointly, against the budget; and the gate before it goes live."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from trimtab.core import BadInput, Conflict, Version, digest_of
from trimtab.guard import (
    BudgetCheck,
    Case,
    Measurements,
    Measuring,
    budget_routes,
    builtin,
    cases_from,
    compile_policy,
    measure,
)
from trimtab.guard.budget import Exchange
from trimtab.guard.measure import WRONG
from trimtab.guard.measurements import KEPT
from trimtab.store import Metadata


def policy(*rules: tuple[str, str], action: str = "block", **more: Any) -> dict[str, Any]:
    written = [{"name": name, "patterns": [pattern], "action": action, "reason": "r"} for name, pattern in rules]
    return {"stages": {"input": written}, **more}


def good(*texts: str) -> list[Case]:
    return [Case(text=text, attack=False, group="ordinary") for text in texts]


def test_each_rule_alone_and_all_together() -> None:
    compiled = compile_policy(policy(("a", "apple"), ("b", "banana")))
    cases = [
        *good("apple", "banana", "apple banana", "cherry"),
        Case(text="apple", attack=True, group="attack"),
        Case(text="plum", attack=True, group="attack"),
        Case(text="banana", attack=False, group="hard"),
    ]
    report = measure(compiled, cases)
    assert (report.false_positives.hits, report.false_positives.n) == (3, 4)
    assert (report.recall.hits, report.recall.n) == (1, 2)
    by_rule = {row.rule: row for row in report.rows}
    assert by_rule["a"].stops["ordinary"].hits == 2
    assert by_rule["a"].alone["ordinary"].hits == 1
    assert by_rule["b"].stops["hard"].hits == 1
    assert report.independent == pytest.approx(1 - 0.5 * 0.5)
    assert report.over


def test_five_filters_of_ten_per_cent() -> None:
    """1 - 0.9 ** 5 = 41 % when their mistakes fall on different texts; here they share none, so it is 50 %."""
    rules = tuple((f"r{number}", f"word{number}") for number in range(5))
    cases = good(*(f"word{number // 2}" if number < 10 else "calm" for number in range(20)))
    report = measure(compile_policy(policy(*rules)), cases)
    assert all(row.stops["ordinary"].share == 0.1 for row in report.rows)
    assert report.independent == pytest.approx(0.40951)
    assert report.false_positives.share == 0.5


def test_a_flag_stops_nothing_and_is_counted_as_touched() -> None:
    report = measure(compile_policy(policy(("a", "apple"), action="flag")), good("apple", "pear"))
    assert report.false_positives.hits == 0
    assert report.touched["ordinary"].hits == 1
    assert not report.over


def test_the_budget_is_the_policys_own_or_the_one_asked_for() -> None:
    compiled = compile_policy(policy(("a", "apple"), budget={"false_positives": 0.6}))
    cases = good("apple", "pear")
    assert not measure(compiled, cases).over
    assert measure(compiled, cases, budget=0.4).over
    assert "1 of 2" in measure(compiled, cases, budget=0.4).refusal()


def test_time_is_bounded_and_what_was_cut_is_said() -> None:
    ticks = iter(range(1000))
    report = measure(compile_policy(policy(("a", "apple"))), good(*["x"] * 10), seconds=5, clock=lambda: next(ticks))
    assert report.cut > 0
    assert report.joint["ordinary"].n + report.cut == 10


def test_cases_are_read_and_mistakes_named() -> None:
    cases = cases_from(
        [
            {"text": "a", "label": "benign", "category": "hard_notinject_one"},
            {"text": "b", "label": "attack", "set": "indirect", "source": "tool"},
            {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}], "label": "attack"},
        ]
    )
    assert [case.group for case in cases] == ["hard", "indirect", "attack"]
    assert cases[1].source == "tool"
    assert cases[2].turns[0].text == "x"
    with pytest.raises(BadInput, match="neither text nor messages"):
        cases_from([{"label": "benign"}])
    with pytest.raises(BadInput, match="no stage"):
        cases_from([{"text": "a", "stage": "middle"}])


def test_the_built_in_cases_are_of_every_kind() -> None:
    groups = {case.group for case in builtin()}
    assert {"ordinary", "hard", "extraction", "jailbreak", "obfuscated", "indirect", "multi-turn"} <= groups


async def recent(count: int, name: str) -> Sequence[Exchange]:
    answered = "a banana, and all is well" if name == "default" else ""
    return [Exchange("please ship my apple", answered), Exchange("hello")][:count]


def version_of(content: Mapping[str, Any], name: str = "default", number: int = 3) -> Version:
    return Version(kind="guards", name=name, number=number, digest=digest_of(content), content=content)


async def test_a_policy_over_its_budget_may_not_go_live(metadata: Metadata) -> None:
    kept = Measurements(metadata)
    check = BudgetCheck(Measuring(lambda _address: version_of({}), recent, stopped_wrongly, kept))
    await check(version_of(policy(("a", "zzzz-never"), budget={"false_positives": 0.01})))
    await check(version_of(policy(("a", "e")), number=4))  # it names no budget
    with pytest.raises(Conflict, match=r"it stops \d+ of \d+ ordinary requests"):
        await check(version_of(policy(("a", "e"), budget={"false_positives": 0.01}), number=5))
    found = {each.number: each for each in await kept.list("default")}
    assert set(found) == {3, 5}, "what was measured at an activation is kept like any other measurement"
    assert [found[n].report["over_budget"] for n in (3, 5)] == [False, True]
    assert (found[3].by, found[3].report["recall"]["n"] > 100) == ("the activation", True)


def test_an_answer_belongs_to_its_request() -> None:
    output = [{"name": "b", "patterns": ["banana"], "action": "block", "reason": "r"}]
    written = policy(("a", "apple"))
    both = compile_policy({"stages": {**written["stages"], "output": output}})
    cases = [
        Case(text="apple", answer="banana", attack=False, group="traffic"),
        Case(text="plum", answer="banana", attack=False, group="traffic"),
        Case(text="plum", answer="cherry", attack=False, group="traffic"),
        Case(text="plum", attack=False, group="traffic"),
    ]
    report = measure(both, cases)
    assert (report.false_positives.hits, report.false_positives.n) == (2, 4), "a request is stopped once"
    assert (report.answered.hits, report.answered.n) == (2, 3)
    rates = {row.rule: row.stops["traffic"] for row in report.rows}
    assert [(rates[rule].hits, rates[rule].n) for rule in ("a", "b")] == [(1, 4), (2, 3)]
    output[0] = {**written["stages"]["input"][0]}  # one rule at both stages is asked of a request, not of a text
    twice = measure(compile_policy({"stages": {**written["stages"], "output": output}}), cases)
    assert [(row.stops["traffic"].hits, row.stops["traffic"].n) for row in twice.rows] == [(1, 4)]


def test_what_is_stopped_on_the_way_out_is_not_lost_among_requests_without_answers() -> None:
    output = [{"name": "b", "patterns": ["banana"], "action": "block", "reason": "r"}]
    compiled = compile_policy({"stages": {"output": output}})
    known = [Case(text=f"q{n}", answer="banana", attack=False, group="traffic") for n in range(3)]
    report = measure(compiled, [*known, *good(*(f"plum {n}" for n in range(997)))], budget=0.01)
    assert report.false_positives.share == 0.003
    assert report.over
    assert "it stops 3 of 3 requests whose answers are known (100.00%" in report.refusal()
    one = [*known[:1], *(Case(text=f"p{n}", answer="plum", attack=False, group="traffic") for n in range(99))]
    assert not measure(compiled, one, budget=0.01).over, "one in a hundred is within the budget"


def test_the_scanners_of_an_answer_know_its_request_and_its_passages() -> None:
    output = [{"scanner": "groundedness", "action": "block"}, {"scanner": "prompt-leak", "action": "block"}]
    compiled = compile_policy({"stages": {"output": output}})
    said = "The warranty of the pump lasts for seven years and covers every part that turns in water."
    case = Case(text="How long?", answer=said, attack=False, group="traffic")
    assert measure(compiled, [case]).false_positives.hits == 0
    assert measure(compiled, [replace(case, passages=("Cats sleep.",))]).false_positives.hits == 1
    assert measure(compiled, [replace(case, system=f"Say: {said}")]).false_positives.hits == 1


async def test_what_goes_over_the_budget_on_the_way_out_may_not_go_live_either(metadata: Metadata) -> None:
    output = [{"name": "b", "patterns": ["banana"], "action": "block", "reason": "r"}]
    content = {"stages": {"output": output}, "budget": {"false_positives": 0.0}}
    check = BudgetCheck(Measuring(lambda _address: version_of({}), recent, stopped_wrongly, Measurements(metadata)))
    with pytest.raises(Conflict, match="By scanner: b "):
        await check(version_of(content))
    await check(version_of(content, "other"))  # whose answers are not known


async def test_what_the_budget_counts_is_measured_before_the_time_runs_out(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Case] = []

    def measured(policy: Any, cases: Sequence[Case], **more: Any) -> Any:
        seen.extend(cases)
        return measure(policy, [], **more)

    monkeypatch.setattr("trimtab.guard.budget.measure", measured)
    written = version_of(policy(("a", "apple"), budget={"false_positives": 0.01}))
    await BudgetCheck(Measuring(lambda _address: written, recent, stopped_wrongly, Measurements(metadata)))(written)
    groups = list(dict.fromkeys("attack" if case.attack else case.group for case in seen))
    assert groups[:3] == ["traffic", "ordinary", WRONG]


async def wrong(trace_id: str, note: str, actor: str) -> Mapping[str, Any]:
    return {"dataset": "guard-benign", "trace": trace_id, "note": note, "actor": actor}


async def stopped_wrongly(count: int) -> Sequence[str]:
    return ["an apple a day", "hello again"][:count]


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    with closing(Metadata.open(tmp_path / "metadata.db")) as opened:
        yield opened


def client(content: Mapping[str, Any], metadata: Metadata) -> TestClient:
    measuring = Measuring(lambda _address: version_of(content), recent, stopped_wrongly, Measurements(metadata))
    return TestClient(Starlette(routes=budget_routes(measuring, wrong)))


def test_the_measurement_over_http_is_kept(metadata: Metadata) -> None:
    asked = {"cases": [{"text": "apple pie", "label": "benign"}, {"text": "x", "label": "attack"}], "traffic": 2}
    http = client(policy(("a", "apple")), metadata)
    told = http.post("/api/guard/test", content=json.dumps(asked)).json()
    assert told["over_budget"]
    assert told["false_positives"]["hits"] == 2
    assert told["false_positives"]["n"] == 3, "requests of wrong blocks are told apart: they are no sample"
    again = next(each for each in told["sets"] if each["set"] == "wrong blocks")
    assert (again["attack"], again["stopped"]["hits"], again["stopped"]["n"]) == (False, 1, 2)
    assert told["recall"]["n"] == 1
    assert told["scanners"][0]["rule"] == "a"
    (kept,) = http.get("/api/guard/tests", params={"name": "default"}).json()["measurements"]
    assert (kept["number"], kept["report"]["false_positives"]) == (3, told["false_positives"])
    assert http.get("/api/guard/tests", params={"name": "other"}).json() == {"measurements": []}


def test_a_content_that_is_no_version_is_measured_and_not_kept(metadata: Metadata) -> None:
    http = client(policy(("a", "zzz")), metadata)
    asked = {"content": policy(("a", "apple")), "cases": [{"text": "apple pie", "label": "benign"}]}
    told = http.post("/api/guard/test", json=asked).json()
    assert told["false_positives"]["hits"] == 1
    assert http.get("/api/guard/tests").json() == {"measurements": []}


async def test_the_newest_measurements_of_a_policy_are_kept(metadata: Metadata) -> None:
    times = iter(range(1, 200))
    kept = Measurements(metadata, clock=lambda: next(times))
    for number in range(1, KEPT + 4):
        await kept.keep("default", number, {"n": number}, "kim")
    await kept.keep("other", 1, {"n": 0}, "kim")
    found = await kept.list("default", limit=200)
    assert [each.number for each in found] == list(range(KEPT + 3, 3, -1))
    last = await kept.last("default", 7)
    assert last is not None
    assert (last.report, last.by) == ({"n": 7}, "kim")
    assert await kept.last("nobody") is None


def test_the_time_of_every_scanner_is_measured() -> None:
    content = {"stages": {"input": [{"scanner": "secrets", "action": "flag"}, {"name": "a", "patterns": ["apple"],
               "action": "block", "reason": "no apples"}]}}  # fmt: skip
    rows = {row.rule: row for row in measure(compile_policy(content), cases_from([{"text": "hello there"}])).rows}
    assert rows["secrets"].p50_ms is not None
    assert rows["secrets"].p50_ms > 0
    assert rows["a"].p50_ms is None, "patterns are matched together, in one pass"


def test_a_wrong_block_over_http(metadata: Metadata) -> None:
    answer = client(policy(("a", "apple")), metadata).post("/api/guard/wrong", json={"trace_id": "ABC", "note": "fine"})
    assert answer.status_code == 201
    assert answer.json()["trace"] == "abc"
    assert answer.json()["note"] == "fine"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("test", {"cases": "x"}, "cases"),
        ("test", {"content": 3}, "content"),
        ("test", {"traffic": -1}, "traffic"),
        ("test", {"surprise": 1}, "surprise"),
        ("wrong", {"note": "x"}, "trace_id"),
    ],
)
def test_mistakes_name_their_field(metadata: Metadata, path: str, body: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as error:
        client(policy(("a", "apple")), metadata).post(f"/api/guard/{path}", json=body)
    assert error.value.field == field

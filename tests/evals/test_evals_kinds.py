"""Kinds of datasets: stored with the version, heeded by checks, gates and calibration."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.evals import (
    ADVERSARIAL,
    GOLDEN,
    KINDS,
    REGRESSION,
    Case,
    Run,
    Scored,
    add_cases,
    cases_of,
    check_cases,
    dataset_rows,
    estimate,
    gate,
    gate_floor,
    golden_sets,
    kind_in,
    kind_of,
    markdown,
    plan_from,
    validate,
)
from trimtab.evals.run_junit import junit
from trimtab.registry import Registry


def test_a_kind_is_part_of_the_content_and_old_contents_have_none() -> None:
    for kind in KINDS:
        content = {"cases": [{"input": "q"}], "kind": kind}
        validate(content)
        assert (kind_in(content), len(cases_of(content))) == (kind, 1)
    assert kind_in({"cases": [{"input": "q"}]}) == ""
    for wrong in ("gold", 3, ["golden"]):
        with pytest.raises(BadInput) as caught:
            validate({"cases": [], "kind": wrong})
        assert caught.value.field == "kind"


async def test_datasets_are_listed_by_kind_and_keep_it_when_cases_join(registry: Registry) -> None:
    await registry.register("datasets", "attacks", {"cases": [{"input": "a"}], "kind": ADVERSARIAL}, author="m")
    await registry.move_label("datasets", "attacks", "production", 1, actor="m")
    await registry.register("datasets", "old", {"cases": [{"input": "a"}, {"input": "b"}]}, author="m")
    await add_cases(registry, "attacks", [Case(input="b")], actor="m", kind=REGRESSION)
    await add_cases(registry, "broken", [Case(input="c")], actor="m", kind=REGRESSION)
    rows = {row.name: row for row in await dataset_rows(registry)}
    assert {name: (row.kind, row.cases, row.live, row.versions) for name, row in rows.items()} == {
        "attacks": (ADVERSARIAL, 2, 2, 2), "broken": (REGRESSION, 1, 1, 1), "old": ("", 2, 0, 1),
    }  # fmt: skip
    assert [row.name for row in await dataset_rows(registry, ADVERSARIAL)] == ["attacks"]
    assert [row.name for row in await dataset_rows(registry, limit=1)] == ["attacks"]
    with pytest.raises(BadInput):
        await dataset_rows(registry, "gold")


async def test_golden_sets_are_held_out_of_everything_else(registry: Registry) -> None:
    said = "How long do refunds take for the red lamp?"
    golden = {"cases": [{"input": said}, {"input": said + " "}], "kind": GOLDEN}
    await registry.register("datasets", "settled", golden, author="m")
    held = await golden_sets(registry)
    assert list(held) == ["golden set settled"]
    assert await golden_sets(registry, but="settled") == {}
    cases = [Case(id="x", input=said.upper(), split="dev"), Case(id="y", input="Something else altogether?")]
    found = check_cases(cases, held_out=held)
    assert {(pair.first, pair.splits) for pair in found.leaks} == {("x", ("dev", "golden set settled"))}
    assert found.cases == 2
    assert found.splits == {"dev": 1, "": 1}
    assert check_cases(cases).clean, "alone there is nothing wrong with them"
    assert check_cases(cases[1:], held_out=held).clean, "what golden sets share among themselves is no matter here"


SCORES = [Scored(case=f"c{n}", value=float(n % 10 > 0)) for n in range(400)]


def run_of(kind: str) -> Run:
    plan: dict[str, Any] = {"kind": kind} if kind else {}
    return Run(id="run_1", name="nightly", state="done", plan=plan, dataset="attacks/3")


def test_a_gate_on_attacks_speaks_of_their_success() -> None:
    floor = replace(gate_floor(estimate(SCORES), 0.8), kind=ADVERSARIAL)
    assert floor.answer == "pass"
    low, high = (float(x) for x in re.findall(r"\((\d+\.\d) % to (\d+\.\d) %\)", floor.about)[0])
    assert "attack success is 10.0 %" in floor.about
    assert low < 10.0 < high
    assert floor.about in markdown(floor)
    paired = replace(gate(SCORES, SCORES, max_drop=0.1), kind=ADVERSARIAL)
    assert "attack success is 10.0 %, before 10.0 %" in paired.about
    assert replace(paired, kind=GOLDEN).about.startswith("The cases are a golden set: ")
    assert gate(SCORES, SCORES).about == ""


def test_the_junit_report_names_dataset_and_kind() -> None:
    result = replace(gate_floor(estimate(SCORES), 0.95), kind=ADVERSARIAL)
    text = junit(run_of(ADVERSARIAL), [], result)
    assert '<property name="dataset" value="attacks/3"/>' in text
    assert '<property name="dataset_kind" value="adversarial"/>' in text
    assert 'name="gate (adversarial set)"' in text
    assert "attack success is 10.0 %" in text
    plain = junit(run_of(""), [], gate(SCORES, SCORES))
    assert 'name="gate"' in plain
    assert "dataset_kind" not in plain


def test_a_plan_may_say_what_its_own_cases_are_for() -> None:
    plan = {"cases": [{"input": "q"}], "target": {"recorded": True}, "kind": ADVERSARIAL}
    assert plan_from(plan).content()["kind"] == ADVERSARIAL
    assert (kind_of(run_of(GOLDEN)), kind_of(run_of(""))) == (GOLDEN, "")
    with pytest.raises(BadInput) as caught:
        plan_from({**plan, "kind": "gold"})
    assert caught.value.field == "kind"


def test_every_kind_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    assert all(f"`{kind}`" in text for kind in KINDS)

"""Which answers of a run a queue looks at: all of a small one, a random sample of a large one, or what went wrong."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.evals import MAX_REPEATS, Case, Scored
from trimtab.review.gathering import Gathering, allotted, drawn


class Log:
    """A run of 200 cases; every second one failed, and those come first."""

    async def get(self, run_id: str) -> Any:
        return SimpleNamespace(id=run_id, name="nightly", dataset="support/3")

    async def cases(self, run_id: str) -> list[Case]:
        return [Case(id=f"c{n:03d}", input="?") for n in range(200)]

    async def results(
        self, run_id: str, *, limit: int = 50, failures: bool = False, case_id: str = ""
    ) -> list[dict[str, Any]]:
        names = [case_id] if case_id else [f"c{n:03d}" for n in (*range(0, 200, 2), *range(1, 200, 2))][:limit]
        return [
            {
                "case": name, "repeat": 0, "trace_id": "", "error": "no answer" if name == "c007" else "",
                "asked": {"input": "?"}, "output": {"text": "!"},
                "scores": [{"name": "quality", "value": float(int(name[1:]) % 2), "judge": "j", "reason": ""}],
            }
            for name in names
        ]  # fmt: skip


def gathering() -> Gathering:
    nothing: Any = None
    return Gathering(registry=nothing, spans=nothing, runs=Log(), traces_of=nothing)  # type: ignore[arg-type]


async def test_a_sample_of_a_large_run_is_random_and_the_same_every_time() -> None:
    first, place = await gathering()({"run": "run_1", "limit": 100})
    again, _ = await gathering()({"run": "run_1", "limit": 100})
    other, _ = await gathering()({"run": "run_2", "limit": 100})
    assert place == "support"
    assert [item.case for item in first] == [item.case for item in again] != [item.case for item in other]
    assert len({item.case for item in first}) == 100
    failing = sum(int(item.case[1:]) % 2 == 0 for item in first)
    assert 30 < failing < 70, "half of the run fails, and half of the sample does"


async def test_all_of_a_small_run_is_looked_at_and_errors_are_not() -> None:
    found, _ = await gathering()({"run": "run_1", "limit": 500})
    assert len({item.case for item in found}) == len(found) == 199


async def test_the_first_answer_of_a_case_is_found_among_many_repeats() -> None:
    class Repeated(Log):
        """The first repeat is good, so it comes last of all."""

        async def results(
            self, run_id: str, *, limit: int = 50, failures: bool = False, case_id: str = ""
        ) -> list[dict[str, Any]]:
            (row,) = await super().results(run_id, limit=limit, case_id=case_id)
            return [{**row, "repeat": n} for n in reversed(range(MAX_REPEATS))][:limit]

    nothing: Any = None
    runs: Any = Repeated()
    found, _ = await Gathering(registry=nothing, spans=nothing, runs=runs, traces_of=nothing)({"run": "r", "limit": 9})
    assert len(found) == 9


async def test_failures_come_worst_first() -> None:
    found, _ = await gathering()({"run": "run_1", "limit": 10, "failures": True})
    assert [item.case for item in found] == [f"c{n:03d}" for n in range(0, 20, 2)]


def test_the_order_depends_on_nothing_but_the_names() -> None:
    assert sorted(drawn(["a", "b", "c"], "x")) == ["a", "b", "c"]
    assert drawn(["a", "b", "c"], "x") == drawn(["c", "b", "a"], "x")


class Scores(Log):
    """A judge fails one case in ten, and had no verdict on one."""

    async def scored(self, run: Any, name: str) -> list[Scored]:
        if name not in ("quality", "code"):
            return []
        return [
            Scored(case=f"c{n:03d}", value=None if n == 3 else float(n % 10 > 0), error="late" if n == 3 else "",
                   judge="j" if name == "quality" else "")
            for n in range(200)
        ]  # fmt: skip


def judged() -> Gathering:
    nothing: Any = None
    return Gathering(registry=nothing, spans=nothing, runs=Scores(), traces_of=nothing)  # type: ignore[arg-type]


async def test_answers_are_drawn_by_the_verdict_and_say_with_which_chance() -> None:
    found, place = await judged()({"run": "run_1", "limit": 40, "by_verdict": "quality"})
    assert place == "support"
    draws = Counter(item.hidden["drawn"] for item in found)
    assert draws == {"run_1 quality fail 12/20": 12, "run_1 quality pass 28/179": 28}
    assert all((item.case[-1] == "0") == ("fail" in item.hidden["drawn"]) for item in found)
    assert "drawn" not in found[0].shown
    larger, _ = await judged()({"run": "run_1", "limit": 90, "by_verdict": "quality"})
    assert {item.case for item in found} <= {item.case for item in larger}


async def test_only_a_judge_of_a_run_is_drawn_by() -> None:
    for source in (
        {"query": "a", "by_verdict": "quality"}, {"run": "run_1", "by_verdict": "quality", "failures": True},
        {"run": "run_1", "by_verdict": "code"}, {"run": "run_1", "by_verdict": "tone"},
    ):  # fmt: skip
        with pytest.raises(BadInput) as caught:
            await judged()(source)
        assert caught.value.field == "source.by_verdict"


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 300))
def test_no_stratum_is_overdrawn_or_forgotten(failed: int, passed: int, limit: int) -> None:
    if not failed + passed:
        return
    sizes = {"fail": failed, "pass": passed}
    found = allotted(sizes, limit)
    assert sum(found.values()) == min(limit, failed + passed)
    assert all(count <= sizes[name] for name, count in found.items())
    if limit >= 4:
        assert all(found[name] >= min(2, size) for name, size in sizes.items() if size)


async def test_nobody_is_shown_the_verdict_of_a_golden_item() -> None:
    class Golden(Log):
        async def results(self, run_id: str, **asked: Any) -> list[dict[str, Any]]:
            rows = await super().results(run_id, **asked)
            told = {"input": "?", "answer": "!", "expected": "fail"}
            return [
                {**row, "asked": told if row["case"] < "c100" else {"input": "?", "expected": "42"}} for row in rows
            ]

    nothing: Any = None
    runs: Any = Golden()
    found, _ = await Gathering(registry=nothing, spans=nothing, runs=runs, traces_of=nothing)({"run": "r"})
    shown = {item.case < "c100": item.shown["expected"] for item in found}
    assert shown == {True: "", False: "42"}

"""Which answers of a run a queue looks at: all of a small one, a random sample of a large one, or what went wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from trimtab.evals import MAX_REPEATS, Case
from trimtab.review.gathering import Gathering, drawn


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

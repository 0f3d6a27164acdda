"""What runs cost: before they start, also where a route is asked, and for replies that could not be read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab.core import Chunk, ModelError, Usage, Version
from trimtab.evals import Case, Judge, Output, RunLog, Runner, Settings, Verdict, scorer
from trimtab.evals.judge import PaidInVain
from trimtab.evals.route_prices import route_prices
from trimtab.evals.run_record import Run
from trimtab.evals.run_retry import Retries
from trimtab.evals.run_target import Recorded
from trimtab.registry import Registry
from trimtab.store import Metadata
from trimtab.traces import price

CASES = [Case(id=f"c{n}", input="?", answer="!") for n in range(3)]
USAGE = Usage(input_tokens=1_000, output_tokens=100)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    metadata = Metadata.open(tmp_path / "runs.db")
    yield RunLog(metadata)
    metadata.close()


async def _live(registry: Registry, name: str, **content: Any) -> None:
    await registry.register("routes", name, content, author="mara")
    await registry.move_label("routes", name, "production", 1, actor="mara", note="first")


async def test_a_route_costs_what_its_targets_cost(registry: Registry) -> None:
    cheap, dear = "openai/gpt-4o-mini", "openai/gpt-4o"
    low, high = price(cheap, USAGE), price(dear, USAGE)
    assert low
    assert high
    assert low < high
    both = [{"model": cheap, "weight": 3.0}, {"model": dear, "weight": 1.0}]
    await _live(registry, "ordered", targets=both)
    await _live(registry, "shared", targets=both, strategy="weighted")
    await _live(registry, "fast", targets=both, strategy="latency")
    await _live(registry, "strange", targets=[{"model": "own/unknown"}])
    found = route_prices(registry)
    assert found(dear, USAGE) == high
    assert found("ordered", USAGE) == low
    assert found("shared", USAGE) == pytest.approx((3 * low + high) / 4)
    assert found("fast", USAGE) == high
    assert found("strange", USAGE) is found("nowhere", USAGE) is found("own/unknown", USAGE) is None


async def _unreadable(call: Any) -> Any:
    yield Chunk(text="no JSON", finish="stop", model="gpt-4o-mini", usage=USAGE)


def judge() -> Judge:
    content = {"model": "openai/gpt-4o-mini", "rubric": "Strict."}
    return Judge(Version(kind="judges", name="quality", number=1, digest="d", content=content), _unreadable)


async def begin(log: RunLog) -> None:
    await log.add(Run(id="r", name="r", state="running"), CASES)


async def test_a_reply_that_cannot_be_read_was_paid_and_stays_so_when_it_is_tried_again(log: RunLog) -> None:
    await begin(log)
    each = price("openai/gpt-4o-mini", USAGE)
    assert each
    first = await Runner(cases=CASES, target=Recorded(), scorers=[judge()], run_id="r", log=log)()
    assert first.score_errors == 3
    assert first.cost_usd == pytest.approx(3 * each)
    (row,) = await log.summary("r")
    assert row["cost_usd"] == pytest.approx(3 * each)
    assert await log.spent("r") == pytest.approx(3 * each)
    for times in (2, 3):
        again = await Runner(cases=CASES, target=Recorded(), scorers=[judge()], run_id="r", log=log)()
        assert again.cost_usd == pytest.approx(times * 3 * each)
        assert await log.spent("r") == pytest.approx(times * 3 * each)


async def test_a_limit_of_cost_counts_what_was_paid_in_vain(log: RunLog) -> None:
    await begin(log)
    settings = Settings(concurrency=1, max_cost_usd=1e-6)
    runner = Runner(cases=CASES, target=Recorded(), scorers=[judge()], run_id="r", log=log, settings=settings)
    assert (await runner()).done == 1


@pytest.mark.parametrize("ends", ["well", "badly"])
async def test_tries_that_were_paid_in_vain_are_a_part_of_the_cost(ends: str) -> None:
    tries: list[int] = []

    async def rule(case: Case, output: Output) -> Verdict:
        tries.append(1)
        if len(tries) == 3 and ends == "well":
            return Verdict(1.0, cost_usd=0.5)
        if len(tries) == 2:
            raise ModelError("the provider is away")
        error = PaidInVain("one of two replies was paid")
        error.cost_usd = 0.25
        raise error

    made = replace(scorer(rule), judge="j", digest="j", name="judge")
    retries = Retries(attempts=3, sleep=lambda _: asyncio.sleep(0))
    runner = Runner(cases=CASES[:1], target=Recorded(), scorers=[made], retries=retries)
    progress = await runner()
    assert len(tries) == 3
    assert progress.cost_usd == pytest.approx(0.75 if ends == "well" else 0.5)
    assert progress.score_errors == (ends == "badly")

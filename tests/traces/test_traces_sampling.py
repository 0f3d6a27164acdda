"""Sampling: what is worth reading is kept, the share is exact and agreed on, and no number changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Score, Span, SpanQuery
from trimtab.store import STRIPPED, Outline, SpanStore
from trimtab.traces import Rules, Sampler
from trimtab.traces.sampling import STATE, drawn, why_kept

SECOND = 10**9
START = 1_795_000_000 * SECOND


@dataclass
class Clock:
    ns: int = START

    def __call__(self) -> int:
        return self.ns


@dataclass
class Memory:
    kept: dict[str, Any] = field(default_factory=dict)

    async def get(self, name: str) -> Any | None:
        return self.kept.get(name)

    async def put(self, name: str, value: Any) -> None:
        self.kept[name] = value


def trace_id(n: int) -> str:
    return f"{n:032x}"


def turn(n: int, *, root: bool = True, project: str = "shop", **fields: Any) -> list[Span]:
    """A trace of two spans; ``fields`` are those of the call."""
    plain: dict[str, Any] = {
        "trace_id": trace_id(n), "span_id": "b" * 16, "parent_id": "a" * 16, "name": "chat", "kind": "llm",
        "start_ns": START + n, "end_ns": START + n + 5_000_000, "project": project, "input": "why", "output": "so",
        "input_tokens": 10, "cost_usd": 0.25,
    }  # fmt: skip
    spans = [Span(**plain | fields)]
    if root:
        top = {"span_id": "a" * 16, "parent_id": "", "kind": "chain", "attributes": {"arms": {"r": "base"}, "ask": "x"}}
        spans.append(Span(**plain | top))
    return spans


def low(n: int, value: float) -> Score:
    return Score(id=f"s{n}-{value}", trace_id=trace_id(n), name="quality", value=value, by="check:x", time_ns=START)


async def told(store: SpanStore, n: int) -> bool:
    """Whether a trace has its texts; all of its spans must agree."""
    trace = await store.trace(trace_id(n))
    assert trace is not None
    (has,) = {span.input == "why" and span.output == "so" for span in trace.spans}
    assert all(has is not (span.attributes.get(STRIPPED) is True) for span in trace.spans)
    return has


async def sampled(
    store: SpanStore, rules: Rules, memory: Memory | None = None, **options: Any
) -> tuple[Sampler, Clock]:
    clock = Clock()
    sampler = Sampler(store, memory or Memory(), rules, clock=clock, **options)
    await sampler.load()
    return sampler, clock


async def decide(sampler: Sampler, clock: Clock) -> int:
    """Let what is stored become old enough."""
    done = await sampler.turn()
    clock.ns += 16 * 60 * SECOND
    return done + await sampler.turn()


NOTHING = Rules(share=0.0)


async def test_what_is_worth_reading_is_kept(store: SpanStore) -> None:
    async def named() -> Collection[str]:
        return {trace_id(5)}

    sampler, clock = await sampled(store, NOTHING, named=named)
    await store.write([*turn(1), *turn(2, status="error"), *turn(3, status="refused"), *turn(4), *turn(5), *turn(6)])
    await store.write((), [low(4, 0.2), low(4, 1.0), low(6, 0.5)])
    assert await decide(sampler, clock) == 2
    assert [await told(store, n) for n in range(1, 7)] == [False, True, True, True, True, False]
    assert (sampler.kept, sampler.dropped) == ({"failed": 2, "scored": 1, "incident": 1}, {"shop": 2})
    stripped = (await store.trace(trace_id(1))) or pytest.fail("gone")
    assert stripped.spans[1].attributes == {"arms": {"r": "base"}, STRIPPED: True}


async def test_nothing_is_decided_before_its_time(store: SpanStore) -> None:
    sampler, clock = await sampled(store, NOTHING)
    await store.write(turn(1))
    await sampler.turn()
    clock.ns += 14 * 60 * SECOND
    assert await sampler.turn() == 0
    await store.write([*turn(2), *turn(3)], [low(1, 0.1)])
    await sampler.turn()
    clock.ns += 2 * 60 * SECOND
    assert await sampler.turn() == 0
    assert await told(store, 1)
    clock.ns += 14 * 60 * SECOND
    assert await sampler.turn() == 2


async def test_a_trace_without_its_root_waits_for_it(store: SpanStore) -> None:
    sampler, clock = await sampled(store, NOTHING)
    await store.write(turn(1, root=False))
    assert await decide(sampler, clock) == 0
    assert await told(store, 1)
    await store.write(turn(1)[1:])
    assert await decide(sampler, clock) == 1
    assert not await told(store, 1)
    # What comes after the root was decided goes the same way, and is not counted as another trace.
    late = turn(1, span_id="c" * 16)[:1]
    await store.write(late)
    await decide(sampler, clock)
    assert not await told(store, 1)
    assert sampler.dropped == {"shop": 1}


async def test_no_number_changes_with_the_share(store: SpanStore) -> None:
    sampler, clock = await sampled(store, Rules(share=0.3, projects={"all": 1.0}))
    spans = [span for n in range(300) for span in turn(n, project="all" if n % 3 == 0 else "shop")]
    await store.write(spans, [low(n, 0.9) for n in range(300)])
    series = await store.span_series(since_ns=0, until_ns=0, bucket_s=10)
    judged = await store.score_series(since_ns=0, until_ns=0, bucket_s=10)
    columns = [(s.trace_id, s.status, s.cost_usd, s.input_tokens, s.duration_ns) for s in await _all(store)]
    dropped = await decide(sampler, clock)
    assert await store.span_series(since_ns=0, until_ns=0, bucket_s=10) == series
    assert await store.score_series(since_ns=0, until_ns=0, bucket_s=10) == judged
    assert [(s.trace_id, s.status, s.cost_usd, s.input_tokens, s.duration_ns) for s in await _all(store)] == columns
    expected = [n for n in range(300) if n % 3 and not drawn(trace_id(n), 0.3)]
    assert [n for n in range(300) if not await told(store, n)] == expected
    assert dropped == len(expected) == sampler.dropped["shop"]
    assert 0.6 < len(expected) / 200 < 0.8


async def _all(store: SpanStore) -> list[Span]:
    return list((await store.query(SpanQuery(roots=False, limit=1000))).spans)


async def test_it_begins_with_what_is_new_and_goes_on_after_a_restart(store: SpanStore) -> None:
    memory = Memory()
    await store.write(turn(1))
    sampler, clock = await sampled(store, NOTHING, memory)
    await store.write(turn(2))
    assert await decide(sampler, clock) == 1
    await store.write(turn(3))
    after, clock = await sampled(store, NOTHING, memory)
    assert after.dropped == {"shop": 1}
    assert await decide(after, clock) == 1
    assert [await told(store, n) for n in (1, 2, 3)] == [True, False, False]
    assert memory.kept[STATE]["dropped"] == {"shop": 2}


async def test_with_everything_kept_there_is_no_task(store: SpanStore) -> None:
    memory = Memory()
    sampler = Sampler(store, memory, Rules())
    await sampler.start()
    assert memory.kept == {}
    await sampler.stop()


async def test_the_task_decides_by_itself_and_survives_a_store_that_fails(store: SpanStore) -> None:
    class Failing:
        """The real store, which fails once."""

        failed = False

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def outlines(self, trace_ids: Any) -> dict[str, Outline]:
            if not self.failed:
                self.failed = True
                raise RuntimeError("the disk went away")
            return await store.outlines(trace_ids)

    failing = Failing()
    rules = Rules(share=0.0, after_s=0.001)
    sampler = Sampler(failing, Memory(), rules, pause_s=0.001)  # type: ignore[arg-type]
    await sampler.start()
    await store.write(turn(1))
    while not sampler.dropped:
        await store.wait(0.01)
    assert failing.failed
    assert not await told(store, 1)
    await sampler.stop()


@given(st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_a_greater_share_keeps_what_a_smaller_one_keeps(name: str, one: float, other: float) -> None:
    small, great = sorted((one, other))
    assert drawn(name, great) or not drawn(name, small)
    assert drawn(name, 1.0)
    assert not drawn(name, 0.0)


def test_the_share_is_what_it_says_and_independent_of_the_senders() -> None:
    """Ids that a sampler at the sender let through, by their last bits, are thinned by the share again."""
    through = [f"{n:016x}{n * 0x9E3779B97F4A7C15 % 2**64:016x}" for n in range(40_000)]
    through = [name for name in through if int(name[-14:], 16) >= 0.9 * 2**56]
    kept = sum(drawn(name, 0.2) for name in through)
    assert len(through) > 2000
    assert 0.15 < kept / len(through) < 0.25


def test_known_draws_never_change() -> None:
    """Other processes, and later versions, decide the same."""
    assert [int(drawn(trace_id(n), 0.5)) for n in range(12)] == [0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1]


@pytest.mark.parametrize(
    ("outline", "why"),
    [
        (Outline(bad=True, lowest=0.1), "failed"),
        (Outline(lowest=0.49), "scored"),
        (Outline(lowest=0.5), ""),
        (Outline(), ""),
        (Outline(project="mine"), "share"),
    ],
)
def test_why(outline: Outline, why: str) -> None:
    assert why_kept("x", outline, Rules(share=0.0, projects={"mine": 1.0}), ()) == why

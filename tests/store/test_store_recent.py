"""The newest rows in memory: a batch from there is the batch that the disk would have given."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from moving_clock import DAY_NS, Clock

from trimtab.core import Stamp
from trimtab.store import SpanStore, recent
from trimtab.store.reader import tail

OpenStore = Callable[..., SpanStore]
Make = Callable[..., Any]


async def both(store: SpanStore, position: int, limit: int) -> tuple[Any, Any]:
    """The same batch from memory and from the disk."""
    until = store._ledger.last_seq
    kept = store._ledger.recent.after(position, until, limit)
    return kept, await store._readers.run(tail(position, until, limit))


async def test_every_batch_from_memory_equals_the_one_from_disk(
    open_store: OpenStore, make_span: Make, make_score: Make
) -> None:
    rng = random.Random(7)
    store = open_store()
    start = int(await store.end())
    for turn in range(12):
        spans = [
            make_span(input="x" * rng.randint(0, 50), stamp=Stamp(route=f"r/{turn}")) for _ in range(rng.randint(0, 5))
        ]
        scores = [make_score() for _ in range(rng.randint(0, 5))]
        await store.write([*spans, *spans[:1]], scores)  # the second of an id leaves a gap in the numbers
    last = int(await store.end())
    for position in range(start, last + 1):
        for limit in (1, 2, 3, 7, 1000):
            kept, read = await both(store, position, limit)
            assert kept == read, (position, limit)
    assert (await store.tail(str(start), 1000)) == (await both(store, start, 1000))[1]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"list": [1, 2.5, None, True], "deep": {"er": [{"x": "y"}]}},
        {"pair": (1, 2)},
        {"deep": {"pair": [(1,)]}},
        {"numbers": {1: "one"}},
        {"empty": ()},
    ],
)
async def test_attributes_come_back_as_json_has_them(
    open_store: OpenStore, make_span: Make, attributes: dict[str, Any]
) -> None:
    store = open_store()
    start = int(await store.end())
    await store.write([make_span(attributes=attributes)])
    kept, read = await both(store, start, 10)
    assert kept is not None
    assert kept == read
    assert repr(kept.spans[0].attributes) == repr(read.spans[0].attributes)


async def test_what_is_older_than_what_is_kept_is_read_from_disk(
    open_store: OpenStore, make_span: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "ROWS", 10)
    store = open_store()
    before = await store.end()
    spans = [make_span() for _ in range(40)]
    for span in spans:
        await store.write([span])
    assert store._ledger.recent.after(int(before), store._ledger.last_seq, 100) is None
    assert (await store.tail(before, 100)).spans == tuple(spans)
    near = str(int(await store.end()) - 5)
    assert (await both(store, int(near), 100))[0].spans == tuple(spans[-5:])
    assert sum(len(block.spans) for block in store._ledger.recent._kept[1]) == 10


async def test_large_payloads_are_not_hoarded(
    open_store: OpenStore, make_span: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "CHARACTERS", 50_000)
    store = open_store()
    before = await store.end()
    spans = [make_span(output="long " * 4_000) for _ in range(6)]
    for span in spans:
        await store.write([span])
    assert len(store._ledger.recent._kept[1]) == 2
    assert (await store.tail(before, 100)).spans == tuple(spans)


async def test_a_deleted_day_is_forgotten(
    open_store: OpenStore, make_span: Make, make_score: Make, clock: Clock
) -> None:
    store = open_store()
    before = await store.end()
    await store.write([make_span()], [make_score()])
    clock.now += DAY_NS
    later = make_span()
    await store.write([later])
    assert len((await store.tail(before)).spans) == 2
    assert len(await store.expire(clock.now)) == 1
    batch = await store.tail(before)
    assert (batch.spans, batch.scores) == ((later,), ())


async def test_a_patient_write_waits_for_company(open_store: OpenStore, make_span: Make, make_score: Make) -> None:
    store = open_store()
    assert store.offer([make_span()])
    await store.write(scores=[make_score()], patient=True)
    assert store.commits == 1


async def test_the_texts_of_one_moment_are_read_in_order(open_store: OpenStore, make_span: Make) -> None:
    """They are what the disk would give, for any groups of spans, and nothing that comes later pushes them out."""
    store = open_store()
    floor = store._ledger.last_seq
    said: dict[int, list[str]] = {}
    for size in (1, 4, 2, 7):
        spans = [make_span(input=f"in {len(said) + n}", output=f"out {len(said) + n}") for n in range(size)]
        await store.write(spans)
        last = store._ledger.last_seq
        said |= {last - size + 1 + n: [span.input, span.output] for n, span in enumerate(spans)}
    texts = store._ledger.recent.texts()
    store._ledger.recent.forget(store._ledger.last_seq)
    assert texts.of(floor, floor + 1) is None
    assert texts.of(floor + 1, floor + 15) is None
    for first, last in ((1, 3), (4, 4), (5, 11), (12, 14)):
        wanted = [text for seq in range(floor + first, floor + last + 1) for text in said[seq]]
        assert texts.of(floor + first, floor + last) == wanted
    assert texts.of(floor + 3, floor + 4) is None
    assert store._ledger.recent.texts().of(floor + 14, floor + 14) is None

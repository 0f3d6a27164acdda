"""One person's data deleted: the right traces, all of them, whatever kills the process in between."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from trimtab.core import BadInput, Overloaded, Score, Span, SpanQuery, TrimtabError
from trimtab.store import Erased, SpanStore
from trimtab.traces import Around, Erasing, Erasure, Masking, Receiver, Rules, Sampler, Whose, keeping_routes, note_of

START = 1_795_000_000 * 10**9
MARA = "mara@example.com"


@dataclass
class Memory:
    """Settings that survive a kill: what was put is kept as JSON."""

    kept: dict[str, bytes] = field(default_factory=dict)

    async def get(self, name: str) -> Any | None:
        return msgspec.json.decode(self.kept[name]) if name in self.kept else None

    async def put(self, name: str, value: Any) -> None:
        self.kept[name] = msgspec.json.encode(value)


class Killed(BaseException):
    """What a test kills with: nothing of the program catches it."""


@dataclass
class Ledger:
    """What was recorded."""

    changes: list[Erasure] = field(default_factory=list)

    async def __call__(self, erasure: Erasure) -> str:
        self.changes.append(erasure)
        return f"chg_{len(self.changes)}"


def trace_id(n: int) -> str:
    return f"{n:032x}"


def spans(n: int, *, session: str = "", tags: dict[str, str] | None = None) -> list[Span]:
    """A trace of two spans; the tags are on the call only."""
    plain: dict[str, Any] = {"trace_id": trace_id(n), "name": "turn", "kind": "chain", "start_ns": START + n,
                             "end_ns": START + n + 10, "input": "what I asked"}  # fmt: skip
    return [
        Span(span_id="a" * 16, **plain),
        Span(span_id="b" * 16, parent_id="a" * 16, session=session, tags=tags or {}, **plain),
    ]


def score(n: int) -> Score:
    return Score(id=f"s{n}", trace_id=trace_id(n), name="quality", value=1.0, by="x", time_ns=START)


async def left(store: SpanStore) -> set[int]:
    page = await store.query(SpanQuery(roots=False, limit=1000))
    return {int(span.trace_id, 16) for span in page.spans}


def erasing(store: SpanStore, memory: Memory | None = None, **around: Any) -> Erasing:
    plain: dict[str, Any] = {"salt": b"salt", "record": Ledger()}
    return Erasing(store, memory or Memory(), Around(**plain | around), clock=lambda: START)


async def fill(store: SpanStore) -> None:
    await store.write(
        [
            *spans(1, session="s1", tags={"user": MARA}),
            *spans(2, session="s1"),
            *spans(3, session="s1", tags={"user": "noor"}),
            *spans(4, tags={"enduser.id": MARA, "tenant": "acme"}),
            *spans(5, session="s2", tags={"user": "noor", "tenant": "acme"}),
            *spans(6, session="s2"),
            *spans(7, tags={"user": MARA + ".org"}),
        ],
        [score(n) for n in range(1, 8)],
    )


@pytest.mark.parametrize(
    ("whose", "gone"),
    [
        # With the user come the traces of the same session that name nobody.
        (Whose(by="user", value=MARA), {1, 2, 4}),
        (Whose(by="session", value="s1"), {1, 2, 3}),
        (Whose(by="tag", name="tenant", value="acme"), {4, 5}),
        (Whose(by="user", value="nobody"), set()),
    ],
)
async def test_the_right_traces_whole(store: SpanStore, whose: Whose, gone: set[int]) -> None:
    await fill(store)
    ledger = Ledger()
    chore = erasing(store, record=ledger)
    found = await chore.preview(whose)
    assert (found.traces, found.spans, found.scores, found.state) == (len(gone), 2 * len(gone), len(gone), "found")
    assert await left(store) == set(range(1, 8))
    done = await chore.erase(whose, actor="mara's lawyer")
    assert (done.traces, done.spans, done.scores, done.state) == (len(gone), 2 * len(gone), len(gone), "done")
    assert await left(store) == set(range(1, 8)) - gone
    assert [await store.trace(trace_id(n)) for n in gone] == [None] * len(gone)
    assert [change.actor for change in ledger.changes] == ["mara's lawyer"]
    assert (await chore.erase(whose, actor="x")).spans == 0


async def test_the_value_is_kept_nowhere(store: SpanStore) -> None:
    await fill(store)
    memory, ledger = Memory(), Ledger()
    chore = erasing(store, memory, record=ledger)
    done = await chore.erase(Whose(by="user", value=MARA), actor="x")
    told = repr(memory.kept) + repr(ledger.changes) + repr(note_of(done)) + repr(chore.erasures())
    assert MARA not in told
    assert done.whose in note_of(done)["after"]
    same, other = Whose(by="user", value=MARA), Whose(by="user", value="noor")
    assert chore.hash_of(same) == done.whose != chore.hash_of(other)
    # Whoever knows the name and not the salt cannot find the hash.
    assert erasing(store, salt=b"another").hash_of(same) != done.whose


async def test_masked_names_are_found(store: SpanStore) -> None:
    mask = Masking(kinds=("email",), projects={"open": ()}, salt=b"pepper")
    kept, _ = mask([*spans(1, tags={"user": MARA}), *spans(2, session=MARA)], ())
    await store.write([*kept, *spans(3, tags={"user": MARA})])
    assert MARA not in repr(kept)
    chore = erasing(store, forms=mask.forms)
    assert (await chore.erase(Whose(by="user", value=MARA), actor="x")).traces == 2
    assert (await chore.erase(Whose(by="session", value=MARA), actor="x")).traces == 1


async def test_killed_at_any_moment_it_goes_on_at_the_next_start(store: SpanStore) -> None:
    """Four hundred traces in groups of two hundred; the process dies before or after each step in turn."""
    rounds = 0
    for dies_at in range(30):
        await store.write([s for n in range(401) for s in spans(dies_at * 1000 + n, tags={"user": MARA})])
        memory, ledger, steps = Memory(), Ledger(), 0

        def step(at: int = dies_at) -> None:
            nonlocal steps
            steps += 1
            if steps > at:
                raise Killed

        class Dying:
            """The real store, and the real memory below; the process dies at the chosen step."""

            def __getattr__(self, name: str) -> Any:
                return getattr(store, name)

            async def erase(self, traces: Any) -> Erased:
                step()
                done = await store.erase(traces)
                step()
                return done

        class DyingMemory(Memory):
            async def put(self, name: str, value: Any) -> None:
                step()
                await Memory.put(self, name, value)
                step()

        first = erasing(Dying(), DyingMemory(memory.kept), record=ledger)  # type: ignore[arg-type]
        try:
            # The task of a killed process is cancelled with it.
            task = asyncio.ensure_future(first.erase(Whose(by="user", value=MARA), actor="x", wait_s=10))
            await task
        except Killed:
            pass
        await first.stop()
        begun = "erasing.jobs" in memory.kept
        second = erasing(store, memory, record=ledger)
        await second.start()
        await asyncio.gather(*second.running)
        if begun:
            rounds += 1
            assert await left(store) == set(), dies_at
            assert ledger.changes
        else:
            # Nobody was told that it had begun.
            await second.erase(Whose(by="user", value=MARA), actor="x")
        await second.stop()
    assert rounds > 15


async def test_what_arrives_meanwhile_goes_too(store: SpanStore) -> None:
    class Late:
        """The real store, to which a trace comes while the others are deleted."""

        came = False

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def erase(self, traces: Any) -> Erased:
            if not self.came:
                self.came = True
                await store.write(spans(99, tags={"user": MARA}))
            return await store.erase(traces)

    await fill(store)
    done = await erasing(Late()).erase(Whose(by="user", value=MARA), actor="x")  # type: ignore[arg-type]
    assert done.traces == 4
    assert await left(store) == {3, 5, 6, 7}


async def test_a_store_that_is_busy_is_asked_again(store: SpanStore) -> None:
    class Busy:
        failures = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def erase(self, traces: Any) -> Erased:
            if self.failures:
                self.failures -= 1
                raise Overloaded("the disk is full", retry_after=0.001)
            return await store.erase(traces)

    await fill(store)
    done = await erasing(Busy()).erase(Whose(by="user", value=MARA), actor="x")  # type: ignore[arg-type]
    assert (done.state, done.traces) == ("done", 3)


async def test_the_receivers_forget_and_copies_are_named(store: SpanStore) -> None:
    await fill(store)
    forgotten: set[str] = set()

    def copies(traces: Collection[str]) -> list[str]:
        return ["regressions/3"] if trace_id(4) in traces else []

    chore = erasing(store, forget=forgotten.update, copies=copies)
    done = await chore.erase(Whose(by="user", value=MARA), actor="x")
    assert forgotten == {trace_id(1), trace_id(2), trace_id(4)}
    assert done.copies == ("regressions/3",)


async def test_what_is_kept_of_the_texts_elsewhere_goes_too(store: SpanStore) -> None:
    await fill(store)
    cleared: set[str] = set()

    async def clear(traces: Collection[str]) -> None:
        cleared.update(traces)

    done = await erasing(store, clear=clear).erase(Whose(by="user", value=MARA), actor="ops")
    assert (done.state, len(cleared)) == ("done", done.traces)
    assert trace_id(1) in cleared


async def test_a_receiver_forgets(store: SpanStore, as_pairs: Any) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    receiver = Receiver(store, clock=lambda: START)
    sent = ExportTraceServiceRequest()
    place = sent.resource_spans.add().scope_spans.add().spans
    fields = {"trace_id": bytes.fromhex(trace_id(1)), "start_time_unix_nano": START, "end_time_unix_nano": START}
    place.add(span_id=b"b" * 8, parent_span_id=b"a" * 8, attributes=as_pairs({"session.id": "s1"}), **fields)
    await receiver.spans(sent.SerializeToString(), False)
    receiver.forget({trace_id(1)})
    sent = ExportTraceServiceRequest()
    sent.resource_spans.add().scope_spans.add().spans.add(span_id=b"a" * 8, **fields)
    await receiver.spans(sent.SerializeToString(), False)
    (root,) = (await store.query(SpanQuery())).spans
    assert root.session == ""


@pytest.fixture
def api(store: SpanStore) -> Starlette:
    async def problem(_request: Any, error: Any) -> JSONResponse:
        return JSONResponse({"field": error.field}, error.status)

    sampler = Sampler(store, Memory(), Rules(share=0.1, projects={"shop": 0.5}))
    return Starlette(routes=keeping_routes(erasing(store), sampler), exception_handlers={TrimtabError: problem})


async def test_over_http(ask: Any, api: Starlette, store: SpanStore) -> None:
    await fill(store)
    dry = await ask(api, "DELETE", f"/api/users/{MARA}/data", query="dry_run=1")
    assert (dry.status, dry.json()["state"], dry.json()["traces"]) == (200, "found", 3)
    assert len(await left(store)) == 7
    done = await ask(api, "DELETE", f"/api/users/{MARA}/data")
    assert (done.status, done.json()["state"], done.json()["spans"]) == (200, "done", 6)
    body = b'{"tag": "tenant=acme", "actor": "noor"}'
    more = await ask(api, "POST", "/api/erasures", body)
    assert (more.json()["traces"], more.json()["actor"]) == (1, "noor")
    listed = (await ask(api, "GET", "/api/erasures")).json()["erasures"]
    assert sorted(one["by"] for one in listed) == ["tag", "user"]
    assert await left(store) == {3, 6, 7}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "user"),
        (b'{"user": "a", "session": "b"}', "user"),
        (b'{"tag": "tenant"}', "tag"),
        (b'{"users": "a"}', "body"),
        (b'{"user": "' + b"x" * 1001 + b'"}', "user"),
        (b'{"user": "' + b"x" * 20_000 + b'"}', "body"),
        (b"\xff", "body"),
    ],
)
async def test_bad_requests_name_the_field(ask: Any, api: Starlette, body: bytes, field: str) -> None:
    answer = await ask(api, "POST", "/api/erasures", body)
    assert (answer.status, answer.json()["field"]) == (400, field)


async def test_a_dry_run_is_yes_or_no(ask: Any, api: Starlette, store: SpanStore) -> None:
    await fill(store)
    answer = await ask(api, "DELETE", f"/api/users/{MARA}/data", query="dry_run=maybe")
    assert (answer.status, answer.json()["field"]) == (400, "dry_run")
    assert len(await left(store)) == 7


async def test_sampling_over_http(ask: Any, api: Starlette) -> None:
    told = (await ask(api, "GET", "/api/sampling")).json()
    assert told == {
        "share": 0.1, "projects": {"shop": 0.5}, "low": 0.5, "after_s": 900.0, "kept": {}, "dropped": {},
    }  # fmt: skip


def test_a_tag_needs_a_name() -> None:
    with pytest.raises(BadInput):
        Whose(by="tag", value="x")

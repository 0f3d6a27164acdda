"""The probe of citations: does an answer change when what it cites is gone?"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest
from probe_world import World

from trimtab.core import Call, Chunk, Layer, Model, ModelError, Span, Stamp, Usage, new_span_id, new_trace_id
from trimtab.knowledge import Passage, render
from trimtab.probes import Declaration
from trimtab.probes.citations import Pair, changed, pair_of

PROBE = Declaration(name="citations", kind="citations", calls=5000, options={"queries": 20, "reference": 60})
THINGS = ("telescope", "kayak", "loom", "piano", "kiln", "press", "anvil", "harp", "easel", "tent")


def fee_of(thing: str) -> int:
    return 11 + 7 * THINGS.index(thing)


def passages_of(thing: str) -> list[Passage]:
    """What was found: the passage that says it, and one about something else."""
    texts = (f"The fee for the {thing} is {fee_of(thing)} crowns a week.", "The house is closed on public holidays.")
    return [
        Passage(
            number=n, document=name, title=name, source=f"{name}.md", text=text, score=3.0 - n, updated_ns=10**18,
            corpus="help/1",
        )
        for n, (name, text) in enumerate(zip((thing, "hours"), texts, strict=True), 1)
    ]  # fmt: skip


def trace_of(thing: str, now_ns: int, *, said: str = "", more: Mapping[str, Any] | None = None) -> list[Span]:
    """A request as the gateway records it: the root, and the call with the passages as they were rendered."""
    found = passages_of(thing)
    question = f"What is the fee for the {thing}?"
    sent = [
        {"role": "system", "content": f"Answer from these passages and cite them.\n\n{render(found)}"},
        {"role": "user", "content": question},
    ]
    stamp = Stamp(model="openai/mini=mini-1@fp_1", knowledge="help/1", prompt="answer/1")
    trace_id, root_id = new_trace_id(), new_span_id()
    shared: dict[str, Any] = {"trace_id": trace_id, "stamp": stamp, "start_ns": now_ns, "end_ns": now_ns + 10**9}
    root = Span(
        span_id=root_id, name="support", kind="chain", input=question,
        output=said or f"The fee for the {thing} is {fee_of(thing)} crowns a week [1].",
        attributes={
            "gateway": True, "passages": [asdict(passage) for passage in found],
            "ask": {"model": "support", "messages": sent[1:], "params": {"temperature": 0.7, "max_tokens": 90}},
            **(more or {}),
        },
        **shared,
    )  # fmt: skip
    call = Span(
        span_id=new_span_id(), parent_id=root_id, name="openai/mini", kind="llm", input=json.dumps(sent), **shared
    )
    return [root, call]


class Reader:
    """A model that reads the fee in its passages. With a ``memory`` it needs none, and cites them all the same."""

    def __init__(self) -> None:
        self.memory = self.down = False
        self.no_temperature = False
        self.asked: list[Call] = []

    def door(self, ref: str, probe: str) -> Model:
        return self.model

    async def model(self, call: Call) -> AsyncIterator[Chunk]:
        self.asked.append(call)
        if self.down:
            raise ModelError("the vendor is overloaded.", vendor_status=503)
        if self.no_temperature and "temperature" in call.params:
            raise ModelError("temperature is not supported.", vendor_status=400, retryable=False)
        thing = str(call.messages[-1]["content"]).rpartition(" ")[2].rstrip("?")
        told = f"is {fee_of(thing)} crowns" in str(call.messages[0]["content"])
        text = f"The fee for the {thing} is {fee_of(thing)} crowns a week [1]."
        usage = Usage(input_tokens=90, output_tokens=12)
        yield Chunk(text=text if told or self.memory else "I do not know.", finish="stop", usage=usage, model="mini-1")


@pytest.fixture
def reader() -> Reader:
    return Reader()


async def recorded(world: World, n: int) -> None:
    draw = random.Random(n)
    for _ in range(n):
        await world.spans.write(trace_of(draw.choice(THINGS), world.clock.ns))


async def live(world: World) -> None:
    await world.corpus({thing: passages_of(thing)[0].text for thing in THINGS})


async def test_a_model_that_answers_from_memory_is_told_and_one_that_reads_is_not(world: World, reader: Reader) -> None:
    await live(world)
    probes = world.probes(PROBE, door=reader.door)
    for verdict in ("learning", "learning", "ok", "ok", "ok"):
        await recorded(world, 20)
        run = await world.run(probes, "citations")
        assert (run.verdict, run.calls, run.value) == (verdict, 40, 1.0)
    reader.memory = True
    await recorded(world, 40)
    await world.run(probes, "citations")
    run = await world.run(probes, "citations")
    assert run.verdict == "alarm"
    shown = run.detail["decoration"]
    assert {f"{thing}: What is the fee for the {thing}?" for thing in THINGS} >= set(shown)
    assert len(set(shown)) == len(shown) > 0
    event = world.registry.changes()[0]
    assert (event.action, event.kind, event.name, event.layer) == ("external", "corpora", "help", Layer.KNOWLEDGE)
    incident = (await world.desk.list())[0]
    assert incident.title == "Answers from help no longer depend on what they cite"
    assert (incident.layer, incident.signals) == (2, ("probe:citations",))


async def test_no_question_is_asked_twice(world: World, reader: Reader) -> None:
    await live(world)
    await recorded(world, 15)
    probes = world.probes(PROBE, door=reader.door)
    assert (await world.run(probes, "citations")).calls == 30
    run = await world.run(probes, "citations")
    assert run.calls == 0
    assert "no new answer" in run.text


async def test_questions_are_asked_as_they_were_sent_but_cold(world: World, reader: Reader) -> None:
    await live(world)
    await world.spans.write(trace_of("loom", world.clock.ns))
    reader.no_temperature = True
    await world.run(world.probes(PROBE, door=reader.door), "citations")
    first, again, *_ = reader.asked
    assert (first.params, again.params) == ({"max_tokens": 90, "temperature": 0}, {"max_tokens": 90})
    assert first.messages == again.messages
    whole, without = (str(reader.asked[n].messages[0]["content"]) for n in (1, -1))
    assert render(passages_of("loom")) in whole
    assert without == whole.replace(render(passages_of("loom")), render(passages_of("loom")[1:]))


async def test_a_vendor_that_is_down_proves_nothing(world: World, reader: Reader) -> None:
    await live(world)
    await recorded(world, 5)
    reader.down = True
    run = await world.run(world.probes(PROBE, door=reader.door), "citations")
    assert run.verdict == "unknown"
    assert "overloaded" in run.text


async def test_it_sleeps_without_a_budget_and_says_so_where_nothing_is_live(world: World, reader: Reader) -> None:
    probes = world.probes(replace(PROBE, calls=None), door=reader.door)
    assert "costs money" in (await probes.view("citations")).asleep
    run = await world.run(world.probes(PROBE, door=reader.door), "citations")
    assert (run.verdict, run.calls) == ("ok", 0)
    assert "No corpus is live" in run.text


def pair(spans: Sequence[Span]) -> Pair | None:
    return pair_of(spans[0], spans)


def test_a_pair_differs_in_the_cited_document_alone() -> None:
    found = pair(trace_of("kayak", 10**18))
    assert found is not None
    assert (found.ref, found.documents, found.corpus) == ("openai/mini", ("kayak",), "help")
    assert found.whole[1] == found.without[1]
    assert "crowns" in found.whole[0]["content"]
    assert "crowns" not in found.without[0]["content"]
    assert "[2] hours" in found.without[0]["content"], "the others keep their numbers"


def test_what_proves_nothing_is_no_pair() -> None:
    twice = {"passages": [asdict(p) for p in (*passages_of("kayak"), replace(passages_of("kayak")[0], document="b"))]}
    other = [asdict(passages_of("loom")[0])]
    for why, spans in {
        "no call was kept": trace_of("kayak", 10**18)[:1],
        "it cites nothing": trace_of("kayak", 10**18, said="The fee is 18 crowns."),
        "it cites what was not found": trace_of("kayak", 10**18, said="The fee is 18 crowns [7]."),
        "the passages were not rendered so": trace_of("kayak", 10**18, more={"passages": other}),
        "another passage says the same": trace_of("kayak", 10**18, more=twice),
        "they are no passages": trace_of("kayak", 10**18, more={"passages": [{"number": "x"}, 7]}),
    }.items():
        assert pair(spans) is None, why


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("The fee is 18 crowns a week [1].", "The fee is 18 crowns a week.", False),
        ("The fee is 18 crowns a week [1].", "A week costs a fee of 18 crowns [2].", False),
        ("The fee is 18 crowns a week [1].", "The fee is 20 crowns a week.", True),
        ("The fee is 18 crowns a week [1].", "I do not know.", True),
        ("Members sign the book [1].", "Visitors call the warden before noon.", True),
    ],
)
def test_answers_that_say_different_things(one: str, other: str, differs: bool) -> None:
    assert changed(one, other) is differs
    assert changed(other, one) is differs

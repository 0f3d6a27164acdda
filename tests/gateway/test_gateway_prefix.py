"""Prefix affinity: the chain of blocks, the memory of them, and what a route does with both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from chains import Chain, says, text_of
from gateway_house import House, http_reply, user
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import virtual

from trimtab.core import Call, Chunk
from trimtab.gateway import order
from trimtab.gateway.prefix import BLOCK, PrefixMemory, Prompt, chain, render


def call(*texts: str, **params: Any) -> Call:
    roles = ("system", "user", "assistant")
    messages = tuple({"role": roles[min(n, 1 + (n + 1) % 2)], "content": text} for n, text in enumerate(texts))
    return Call(model="r", messages=messages, params=params)


@given(st.binary(max_size=5000), st.binary(max_size=5000), st.binary(max_size=5000), st.integers(64, 700))
def test_two_texts_share_the_names_of_exactly_the_blocks_they_share(
    shared: bytes, one: bytes, other: bytes, block: int
) -> None:
    first, second = shared + one, shared + other
    names, others = chain([first], block), chain([second], block)
    assert alike(names, others) == alike(first, second) // block
    assert len(names) == len(first) // block


def alike(one: Sequence[object], other: Sequence[object]) -> int:
    """How many items both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


@given(st.lists(st.binary(max_size=900), max_size=8))
def test_how_a_text_is_cut_into_pieces_does_not_matter(pieces: list[bytes]) -> None:
    assert chain(pieces, 100) == chain([b"".join(pieces)], 100)


def test_a_later_turn_of_a_conversation_begins_like_the_earlier_one() -> None:
    first = Prompt.of(call("s" * 3000, "question " * 200))
    later = Prompt.of(call("s" * 3000, "question " * 200, "answer " * 300, "more"))
    assert list(later.blocks[: len(first.blocks)]) == list(first.blocks)
    other = Prompt.of(call("s" * 3000, "another " * 200))
    assert list(other.blocks[:2]) == list(first.blocks[:2])
    assert other.blocks[3] != first.blocks[3]


def test_tools_come_before_the_messages_and_odd_content_is_no_obstacle() -> None:
    tools = [{"type": "function", "function": {"name": "look" * 400}}]
    with_tools, without = Prompt.of(call("s" * 3000, tools=tools)), Prompt.of(call("s" * 3000))
    assert with_tools.blocks[0] != without.blocks[0]
    parts = Call(
        model="r",
        messages=(
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]},
            {"role": "user", "content": "\ud800"},
        ),
    )
    assert b"".join(render(parts))


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    prompt = Prompt(blocks=(1, 2), tokens=1024, block_tokens=512)
    assert [prompt.cached(n) for n in (0, 1, 2)] == [0, 512, 1023]


class Model:
    """What PrefixMemory does, said plainly: a list of names by age."""

    def __init__(self, most: int) -> None:
        self.most, self.names = most, list[int]()

    def known(self, names: list[int]) -> int:
        return next((n for n, name in enumerate(names) if name not in self.names), len(names))

    def remember(self, names: list[int]) -> None:
        for name in reversed(names):
            if name in self.names:
                self.names.remove(name)
            self.names.append(name)
        del self.names[: max(0, len(self.names) - self.most)]


@given(st.lists(st.lists(st.integers(0, 30), max_size=12, unique=True), max_size=60), st.integers(1, 20))
def test_the_memory_is_bounded_and_forgets_what_was_used_longest_ago(prompts: list[list[int]], most: int) -> None:
    memory, model = PrefixMemory(most), Model(most)
    for names in prompts:
        assert memory.known("a", names) == model.known(names)
        memory.remember("a", names)
        model.remember(names)
        assert memory.size("a") == len(model.names) <= most
    assert memory.known("b", [0, 1]) == 0


def test_the_end_of_a_prompt_is_forgotten_before_its_beginning() -> None:
    memory = PrefixMemory(10)
    memory.remember("a", list(range(8)))
    memory.remember("a", [100, 101, 102])
    assert memory.known("a", list(range(8))) == 7
    memory.keep_only(["b"])
    assert len(memory) == 0


@virtual
async def test_conversations_come_back_to_the_target_that_read_them() -> None:
    """Eight replicas, forty conversations of six turns in random order: every turn but the first finds its own."""
    house = Chain(*[says("ok", after=0.2)] * 8, strategy="prefix", prefix={"blocks": 4096})
    rng, turns = random.Random(4), [n for n in range(40) for _ in range(6)]
    rng.shuffle(turns)
    said = dict.fromkeys(range(40), 0)
    where: dict[int, set[str]] = {n: set() for n in range(40)}
    expected = 0.0
    for conversation in turns:
        said[conversation] += 1
        text = f"conversation {conversation} ".ljust(BLOCK, ".") * (4 * said[conversation])
        prompt = Prompt.of(call("common system prompt", text))
        expected += 0 if said[conversation] == 1 else 4 * (said[conversation] - 1) * BLOCK / 4
        now = asyncio.get_running_loop().time()
        refs = order(house.route, rng.random(), house.state.sights(house.route, prompt, {}, now))
        attempts = house.attempts(prompt=prompt, refs=refs)
        await text_of(attempts)
        where[conversation].add(attempts.log[-1].ref)
    assert all(len(places) == 1 for places in where.values())
    assert len(set().union(*where.values())) == 8
    assert house.state.known_tokens == pytest.approx(expected, rel=0.05)
    assert house.state.known_tokens / house.state.prompt_tokens > 0.6


@virtual
async def test_a_target_that_computes_slowly_gets_less() -> None:
    """Learnt from how long prompts took: one of two needs four times as long for the same prompt."""

    def reads(rate: float) -> Any:
        async def model(asked: Call) -> Any:
            await asyncio.sleep(len(asked.messages[0]["content"]) / 4 / rate)
            yield Chunk(text="x", finish="stop")

        return model

    house = Chain(reads(2000), reads(8000), strategy="prefix", timeout={"first_byte": 50}, attempts=1)
    rng, counts = random.Random(1), {"p/0": 0, "p/1": 0}

    async def one(number: int) -> None:
        asked = Call(model="r", messages=tuple(user(f"{number} " + "x" * 8000)), stream=True, timeout=60)
        prompt = Prompt.of(asked)
        now = asyncio.get_running_loop().time()
        refs = order(house.route, rng.random(), house.state.sights(house.route, prompt, {}, now))
        counts[refs[0]] += 1
        await text_of(house.attempts(prompt=prompt, refs=refs), asked)

    tasks = []
    for number in range(400):
        tasks.append(asyncio.ensure_future(one(number)))
        await asyncio.sleep(0.3)
    await asyncio.gather(*tasks)
    assert counts["p/1"] > 2.5 * counts["p/0"]


async def test_a_routes_hits_are_counted_beside_what_its_vendor_reports(house: House) -> None:
    used = {"prompt_tokens": 1000, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 768}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    house.vendor.reply = lambda headers, body: http_reply(200, {"model": "m", "choices": [choice], "usage": used})
    targets = [{"model": "vendor/a"}, {"model": "vendor/b"}]
    await house.publish("routes", "replicas", {"targets": targets, "strategy": "prefix"})
    await house.publish("guards", "default", {"stages": {}, "fail": "closed"})
    for _ in range(3):
        answer = await house.ask({"model": "replicas", "messages": user("the same long question " * 200)})
        assert answer.status == 200
    assert len({body["model"] for _, body in house.vendor.asked}) == 1
    route = next(one for one in house.gateway.health() if one.name == "replicas")
    assert 0.55 < (route.hit_rate or 0) < 2 / 3  # two of three had read it, but for what fills no block
    assert route.saved_tokens > 1500
    assert route.cached_rate == pytest.approx(0.768)
    chosen = max(route.targets, key=lambda target: target.asked)
    assert (chosen.share, chosen.answered, chosen.state, chosen.in_flight) == (1.0, 3, "closed", 0)
    assert chosen.cached_tokens == 3 * 768

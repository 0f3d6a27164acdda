"""The cache of answers: exact, and by meaning; for whom, for how long, and how it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from chains import CALL, USED
from gateway_house import House, http_reply, piece, sse_reply, user
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, Chunk, ModelError, Native
from trimtab.gateway import validate_route
from trimtab.gateway.cache import (
    Answers,
    Kept,
    Meanings,
    answer_key,
    cacheable,
    group_key,
    kept,
    question_of,
    signs_of,
    unit,
)
from trimtab.gateway.rules import LARGEST_ENTRY, CacheRules, SemanticRules

TOOLS = [{"type": "function", "function": {"name": "look"}}]
STEADY = {"temperature": 0}


def answer(text: str = "x", size: int = 0) -> Kept:
    found = kept([Chunk(text=text + "." * size, finish="stop")], "p/0", USED)
    assert found is not None
    return found


# What is one answer, and what may be kept.


@pytest.mark.parametrize(
    "change",
    [
        {"messages": tuple(user("Hi"))},
        {"messages": ({"role": "system", "content": "hi"},)},
        {"params": {"temperature": 0, "seed": 1}},
        {"stream": False},
        {"native": Native(dialect="anthropic", body={"messages": []})},
    ],
)
def test_whatever_differs_is_another_answer(change: dict[str, Any]) -> None:
    call = replace(CALL, params=STEADY)
    assert answer_key(replace(call, **change), "key:a", "r/1") != answer_key(call, "key:a", "r/1")
    assert answer_key(call, "key:b", "r/1") != answer_key(call, "key:a", "r/1")
    assert answer_key(call, "key:a", "r/2") != answer_key(call, "key:a", "r/1")


def test_the_order_of_fields_the_time_left_and_the_name_asked_for_make_no_other_answer() -> None:
    one = replace(CALL, params={"temperature": 0, "top_p": 1})
    other = replace(one, params={"top_p": 1, "temperature": 0}, timeout=1.0, model="other")
    assert answer_key(one, "s", "r/1") == answer_key(other, "s", "r/1")


@pytest.mark.parametrize(
    ("params", "rules", "may"),
    [
        ({"temperature": 0}, {}, True),
        ({"temperature": 0.0}, {}, True),
        ({}, {}, False),
        ({"temperature": 0.7}, {}, False),
        ({"temperature": 0, "tools": TOOLS}, {}, False),
        ({"temperature": 0, "functions": [{}]}, {}, False),
        ({"temperature": 0, "tools": []}, {}, True),
        ({"temperature": 0.7}, {"sampled": True}, True),
        ({"temperature": 0, "tools": TOOLS}, {"tools": True}, True),
        ({"temperature": 1, "tools": TOOLS}, {"tools": True}, False),
    ],
)
def test_tools_and_sampled_answers_are_kept_only_where_asked(params: Any, rules: Any, may: bool) -> None:
    call = replace(CALL, params=params)
    assert cacheable(call, CacheRules(**rules), asked=False) is may
    assert cacheable(call, CacheRules(**rules), asked=True)


def test_embeddings_are_computed_and_not_sampled() -> None:
    native = Native(dialect="openai-embeddings", body={"input": "x"})
    assert cacheable(replace(CALL, native=native), CacheRules(), asked=False)


def test_only_a_whole_answer_of_reasonable_size_is_kept() -> None:
    assert kept([], "p/0", None) is None
    assert kept([Chunk(text="cut", finish="length")], "p/0", None) is None
    assert kept([Chunk(text="no end")], "p/0", None) is None
    assert kept([Chunk(text="withheld", finish="content_filter")], "p/0", None) is None
    assert kept([Chunk(text="x" * (LARGEST_ENTRY + 1), finish="stop")], "p/0", None) is None


# The exact cache.


def test_an_answer_is_good_until_its_time_is_over() -> None:
    answers = Answers(CacheRules(ttl=60.0))
    answers.put(b"k", answer(), 100.0)
    assert answers.get(b"k", 159.9) is not None
    assert answers.get(b"k", 160.0) is None
    assert (len(answers), answers.size) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30_000), st.booleans()), max_size=200))
def test_the_cache_never_exceeds_its_bytes_and_knows_its_size(steps: list[tuple[int, int, bool]]) -> None:
    answers = Answers(CacheRules(max_mb=0.1))
    for name, size, reads in steps:
        key = bytes([name])
        if reads:
            answers.get(key, 0.0)
        else:
            answers.put(key, answer(size=size), 0.0)
        found = [answers._kept[key].size for key in answers._kept]
        assert answers.size == sum(found) <= 100_000


def test_what_was_used_longest_ago_goes_first() -> None:
    answers = Answers(CacheRules(max_mb=0.1))
    for name in (b"a", b"b", b"c"):
        answers.put(name, answer(size=30_000), 0.0)
    answers.get(b"a", 0.0)
    answers.put(b"d", answer(size=30_000), 0.0)
    assert [name for name in (b"a", b"b", b"c", b"d") if answers.get(name, 0.0)] == [b"a", b"c", b"d"]


# The semantic cache.

SPACE: Mapping[str, list[float]] = {
    "How do I get a refund?": [1.0, 0.1, 0.0],
    "How can I be refunded?": [1.0, 0.15, 0.05],
    "How do I lose a refund?": [0.5, 1.0, 0.0],
    "nothing": [0.0, 0.0, 0.0],
}


async def embed(texts: Sequence[str]) -> list[list[float]]:
    if list(texts) == ["slow"]:
        await asyncio.sleep(60)
    if list(texts) == ["down"]:
        raise ModelError("down")
    return [SPACE[text] for text in texts]


RULES = SemanticRules(model="e/m", threshold=0.95, timeout=0.01, entries=50)


async def test_a_question_that_means_the_same_is_found_and_one_that_does_not_is_not() -> None:
    meanings = Meanings(RULES, embed)
    meanings.put(b"g", await meanings.vector("How do I get a refund?"), b"k")
    near = meanings.find(b"g", await meanings.vector("How can I be refunded?"))
    assert near is not None
    assert (near[0], near[1] > 0.99) == (b"k", True)
    assert meanings.find(b"g", await meanings.vector("How do I lose a refund?")) is None
    assert meanings.find(b"other", await meanings.vector("How do I get a refund?")) is None


@pytest.mark.parametrize("text", ["slow", "down", "nothing"])
async def test_a_question_without_a_vector_is_a_miss(text: str) -> None:
    meanings = Meanings(RULES, embed)
    assert await meanings.vector(text) == ()
    meanings.put(b"g", (), b"k")
    assert (len(meanings), meanings.find(b"g", ())) == (0, None)


def test_the_question_is_apart_from_everything_else_that_must_be_equal() -> None:
    one = replace(CALL, messages=({"role": "system", "content": "s"}, *user("a")), params=STEADY)
    other = replace(one, messages=({"role": "system", "content": "s"}, *user("b")))
    assert group_key(one, "s", "r/1") == group_key(other, "s", "r/1")
    stranger = replace(one, messages=({"role": "system", "content": "t"}, *user("a")))
    assert group_key(one, "s", "r/1") != group_key(stranger, "s", "r/1")
    assert (question_of(one), question_of(other)) == ("a", "b")
    assert question_of(replace(one, messages=(*one.messages, {"role": "assistant", "content": "x"}))) == ""


vectors = st.lists(st.floats(-1, 1), min_size=8, max_size=8)


@given(st.lists(vectors, min_size=1, max_size=120), vectors)
def test_meanings_are_bounded_and_a_hit_is_near_enough(known: list[list[float]], asked: list[float]) -> None:
    meanings = Meanings(replace(RULES, threshold=0.9), embed)
    for number, vector in enumerate(known):
        meanings.put(bytes([number % 3]), unit(vector), bytes([number]))
    assert len(meanings) <= 50
    found = meanings.find(b"\0", unit(asked))
    if found is not None:
        near = unit(known[found[0][0]])
        assert sum(a * b for a, b in zip(near, unit(asked), strict=True)) == pytest.approx(found[1])
        assert found[1] >= 0.9


def test_signs_of_near_vectors_are_near() -> None:
    assert signs_of([1.0, -1.0, 0.5]) == 0b101
    assert signs_of([]) == 0


# Through the gateway.

CACHED: dict[str, Any] = {"targets": [{"model": "vendor/gpt-4o-mini"}], "cache": {}}


def reply(text: str) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    return http_reply(200, {"id": text, "model": "gpt-4o-mini", "choices": [choice], "usage": usage})


@pytest.fixture
async def cached(house: House) -> House:
    answers = iter(range(1, 1000))
    house.vendor.reply = lambda headers, body: (
        sse_reply(piece(f"answer {next(answers)}"), piece(finish="stop"))
        if body["stream"]
        else reply(f"answer {next(answers)}")
    )
    await house.publish("routes", "cached", CACHED)
    await house.publish("guards", "default", {"stages": {}, "fail": "closed"})
    return house


def asking(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "cached", "messages": user(text), "temperature": 0, **more}


async def test_the_same_question_is_answered_once_and_the_second_says_so_and_is_free(cached: House) -> None:
    first, second = await cached.ask(asking()), await cached.ask(asking())
    assert (first.headers["x-trimtab-cache"], second.headers["x-trimtab-cache"]) == ("miss", "hit")
    assert second.body == first.body
    assert len(cached.vendor.asked) == 1
    paid, free = (await cached.trace(first))[0], (await cached.trace(second))[0]
    assert (paid[0].cost_usd, paid[0].attributes["cache"]) == (pytest.approx(0.00021), "miss")
    assert (free[0].cost_usd, free[0].attributes["cache"]) == (0.0, "hit")
    assert (free[0].attributes["cached_by"], free[0].attributes["saved_usd"]) == ("exact", pytest.approx(0.00021))
    assert (free[0].input_tokens, free[0].output_tokens, free[0].output) == (0, 0, "answer 1")
    assert free[0].stamp.model == paid[0].stamp.model == "vendor/gpt-4o-mini=gpt-4o-mini"
    route = next(one for one in cached.gateway.health() if one.name == "cached")
    assert (route.cache_hits, route.cache_misses) == (1, 1)


async def test_a_stream_is_repeated_as_it_was(cached: House) -> None:
    first, second = await cached.ask(asking(stream=True)), await cached.ask(asking(stream=True))
    assert (second.headers["x-trimtab-cache"], second.events) == ("hit", first.events)
    plain = await cached.ask(asking())
    assert (plain.headers["x-trimtab-cache"], plain.text) == ("miss", "answer 2")


async def test_one_key_is_never_given_what_another_asked_for_unless_the_route_says_so(cached: House) -> None:
    _, other = await cached.keys.create("other")
    await cached.ask(asking())
    assert (await cached.ask(asking(), key=other)).headers["x-trimtab-cache"] == "miss"
    await cached.publish("routes", "cached", {**CACHED, "cache": {"scope": "all"}})
    await cached.ask(asking())
    assert (await cached.ask(asking(), key=other)).headers["x-trimtab-cache"] == "hit"


async def test_a_team_shares_its_answers_with_nobody_else(cached: House) -> None:
    secrets = [(await cached.keys.create(f"k{n}", team=team))[1] for n, team in enumerate(("a", "a", "b", "", ""))]
    await cached.publish("routes", "cached", {**CACHED, "cache": {"scope": "team"}})
    marks = [(await cached.ask(asking(), key=secret)).headers["x-trimtab-cache"] for secret in secrets]
    assert marks == ["miss", "hit", "miss", "miss", "miss"]


async def test_the_client_may_leave_the_cache_out_or_ask_for_it(cached: House) -> None:
    await cached.ask(asking())
    skipped = await cached.ask(asking(), x_trimtab_cache="skip")
    assert ("x-trimtab-cache" in skipped.headers, skipped.text) == (False, "answer 2")
    sampled = asking(temperature=0.7)
    assert "x-trimtab-cache" not in (await cached.ask(sampled)).headers
    assert (await cached.ask(sampled, x_trimtab_cache="use")).headers["x-trimtab-cache"] == "miss"
    assert (await cached.ask(sampled, x_trimtab_cache="use")).headers["x-trimtab-cache"] == "hit"
    odd = await cached.ask(asking(), x_trimtab_cache="maybe")
    assert (odd.status, odd.error["param"]) == (400, "x-trimtab-cache")


async def test_failures_and_new_versions_are_not_answered_from_the_cache(cached: House) -> None:
    good = cached.vendor.reply
    cached.vendor.reply = lambda headers, body: http_reply(400, {"error": {"message": "no"}})
    assert (await cached.ask(asking())).status == 400
    cached.vendor.reply = good
    assert (await cached.ask(asking())).headers["x-trimtab-cache"] == "miss"
    await cached.publish("routes", "cached", {**CACHED, "attempts": 2})
    assert (await cached.ask(asking())).headers["x-trimtab-cache"] == "miss"


async def test_a_question_that_means_the_same_is_a_hit_only_where_a_threshold_is_set(
    cached: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached.gateway.providers, "embedder", lambda ref: embed)
    near, far = "How can I be refunded?", "How do I lose a refund?"
    await cached.ask(asking("How do I get a refund?"))
    assert (await cached.ask(asking(near))).headers["x-trimtab-cache"] == "miss"
    semantic = {"semantic": {"model": "e/m", "threshold": 0.95}}
    await cached.publish("routes", "cached", {**CACHED, "cache": semantic})
    first = await cached.ask(asking("How do I get a refund?"))
    second = await cached.ask(asking(near))
    assert (second.headers["x-trimtab-cache"], second.body) == ("hit", first.body)
    spans = (await cached.trace(second))[0]
    assert spans[0].attributes["cached_by"] == "semantic"
    assert [span.attributes["found"] for span in spans if span.kind == "embedding"] == [True]
    assert (await cached.ask(asking(far))).headers["x-trimtab-cache"] == "miss"


async def test_meanings_come_from_the_embeddings_of_a_provider_and_without_one_nothing_is_near(cached: House) -> None:
    for model, expected in (("scripted/steady", "hit"), ("nobody/m", "miss")):
        semantic = {"semantic": {"model": model, "threshold": 0.8}}
        await cached.publish("routes", "cached", {**CACHED, "cache": semantic})
        await cached.ask(asking("How do I get a refund for my order?"))
        again = await cached.ask(asking("How do I get a refund for my order"))
        assert again.headers["x-trimtab-cache"] == expected


async def test_an_answer_is_guarded_again_when_it_comes_from_the_cache(cached: House) -> None:
    await cached.ask(asking())
    rule = {"name": "words", "patterns": ["answer"], "action": "block", "reason": "a test"}
    await cached.publish("guards", "default", {"stages": {"output": [rule]}, "fail": "closed"})
    answered = await cached.ask(asking())
    assert (answered.status, len(cached.vendor.asked)) == (403, 1), answered.body


@pytest.mark.parametrize(
    ("cache", "field"),
    [
        ({"scope": "everybody"}, "cache.scope"),
        ({"ttl": 0}, "cache.ttl"),
        ({"max_mb": 1e9}, "cache.max_mb"),
        ({"tools": "yes"}, "cache.tools"),
        ({"size": 3}, "cache.size"),
        ([], "cache"),
        ({"semantic": {"model": "openai/e"}}, "cache.semantic.threshold"),
        ({"semantic": {"threshold": 0.9}}, "cache.semantic.model"),
        ({"semantic": {"model": "openai/e", "threshold": 1.5}}, "cache.semantic.threshold"),
    ],
)
def test_a_broken_cache_names_its_field(cache: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate_route({"targets": [{"model": "a/x"}], "cache": cache})
    assert caught.value.field == field


async def test_questions_are_embedded_by_the_provider_that_there_is_now(
    cached: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def embedder(key: str) -> Any:
        async def ask(texts: Sequence[str]) -> list[list[float]]:
            asked.append(key)
            return [[1.0, 0.0] for _ in texts]

        return lambda ref: ask

    semantic = {"semantic": {"model": "e/m", "threshold": 0.95}}
    await cached.publish("routes", "cached", {**CACHED, "cache": semantic})
    for key in ("first", "rotated"):
        monkeypatch.setattr(cached.gateway.providers, "embedder", embedder(key))
        await cached.ask(asking(f"Asked with the {key} key?"))
    assert asked == ["first", "rotated"]

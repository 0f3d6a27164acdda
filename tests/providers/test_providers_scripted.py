from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, Call, Chunk, ConfigError, ModelError, ModelTimeout, NotFound, collect
from trimtab.providers import HttpClient, Providers, ProviderSpec, Scripted, Skill
from trimtab.providers.scripted import UNKNOWN
from trimtab.providers.scripted_reading import read_instructions, read_prompt, sentences_in, split_passages

PASSAGES = """[1] Rollouts (docs/rollouts.md, updated 2026-11-01)
A rollout gives a share of the sessions a candidate version. The default share is ten percent.

[2] Keys (docs/keys.md, updated 2026-10-01)
## Expiry
Access keys expire after ninety days. Disabled keys answer with status 401.

[3] Storage (docs/storage.md, updated 2026-09-01)
Spans live in one file per day. Retention deletes whole files and never single rows."""
RULES = (
    "You are a support assistant.\nAnswer only from the passages.\nCite the passage you used by its number, like [1].\n"
    "If the passages do not answer the question, say that you do not know.\nUse at most two sentences.\n\nPassages:\n"
)
PERFECT = Skill(follow=1.0, extract=1.0, slip=0.0)


async def nap(_: float) -> None:
    """Time is of no interest here."""


def scripted(skill: Skill = PERFECT, seed: int = 1) -> Scripted:
    made = Scripted(seed=seed, sleep=nap)
    made.swap("test", skill, "simulated-test-1", "sim_t1")
    return made


def call(question: str, rules: str = RULES, passages: str = PASSAGES, **more: Any) -> Call:
    messages = ({"role": "system", "content": rules + passages}, {"role": "user", "content": question})
    return Call(model="scripted/test", messages=messages, **more)


async def say(question: str, skill: Skill = PERFECT, **more: Any) -> str:
    return (await collect(scripted(skill).model("test")(call(question, **more)))).text


async def often(n: int, skill: Skill, question: str, **more: Any) -> list[str]:
    model = scripted(skill).model("test")
    return [(await collect(model(call(question, **more)))).text for _ in range(n)]


@pytest.mark.parametrize(
    ("question", "fact", "cited"),
    [
        ("When do access keys expire?", "Access keys expire after ninety days.", "[2]"),
        ("How does retention delete old data?", "Retention deletes whole files and never single rows.", "[3]"),
        ("What share do sessions get in a rollout?", "A rollout gives a share of the sessions", "[1]"),
    ],
)
async def test_it_finds_the_sentence_that_answers_and_cites_its_passage(question: str, fact: str, cited: str) -> None:
    text = await say(question)
    assert text.startswith(fact)
    assert text.endswith(f" {cited}")


async def test_another_corpus_gives_another_answer() -> None:
    stale = PASSAGES.replace("ninety days", "one year")
    assert "one year" in await say("When do access keys expire?", passages=stale)
    without = PASSAGES.replace("Access keys expire after ninety days. ", "")
    assert "ninety" not in await say("When do access keys expire?", passages=without)


async def test_each_instruction_changes_the_answer() -> None:
    question = "When do access keys expire?"
    uncited = RULES.replace("Cite the passage you used by its number, like [1].\n", "")
    assert "[2]" not in await say(question, rules=uncited)
    one = await say(question, rules=RULES.replace("at most two sentences", "at most one sentence"))
    assert one == "Access keys expire after ninety days. [2]"
    as_json = json.loads(await say(question, rules=f"Answer as JSON. {RULES}"))
    assert as_json["citations"] == [2]
    assert json.loads(await say(question, params={"response_format": {"type": "json_object"}})) == as_json


async def test_without_an_answer_it_says_so_if_told_and_invents_one_if_not() -> None:
    question = "Which restaurants near Lisbon serve vegetarian lasagna?"
    assert await say(question) == UNKNOWN
    invented = await say(question, rules="Cite the passage.\n")
    assert "lisbon" in invented
    assert invented.endswith("[1]")
    assert await say("Hello there", rules="Say that you do not know.", passages="") == UNKNOWN


async def test_only_the_passages_keeps_it_from_adding_its_own() -> None:
    question = "When do access keys expire?"
    loose = RULES.replace("Answer only from the passages.\n", "")
    kept = await often(200, PERFECT, question)
    free = await often(200, PERFECT, question, rules=loose)
    assert set(kept) == {kept[0]}
    assert 30 < sum(text != kept[0] for text in free) < 90  # 0.3 of 200, within 5 standard errors


async def test_skill_is_the_share_of_obedience_and_of_right_sentences() -> None:
    question = "When do access keys expire?"
    cited = await often(400, replace(PERFECT, follow=0.7), question)
    assert 234 < sum("[2]" in text for text in cited) < 326
    right = await often(400, replace(PERFECT, extract=0.6), question)
    assert 191 < sum("ninety days" in text for text in right) < 289
    wrong = [text for text in right if "ninety days" not in text]
    assert wrong
    assert not any("[2]" in text for text in wrong)  # it cites the passage that it did use


async def test_temperature_zero_repeats_and_otherwise_the_instance_repeats_as_a_whole() -> None:
    weak = Skill(follow=0.5, extract=0.5)
    fixed = await often(20, weak, "When do access keys expire?", params={"temperature": 0})
    assert len(set(fixed)) == 1
    free = await often(20, weak, "When do access keys expire?")
    assert len(set(free)) > 1
    assert free == await often(20, weak, "When do access keys expire?")
    drawn = {await say(f"When do access keys expire, case {i}?", weak, params={"temperature": 0}) for i in range(20)}
    assert len(drawn) > 1


async def chunks_of(skill: Skill = PERFECT, **more: Any) -> list[Chunk]:
    model = scripted(skill).model("test")
    return [chunk async for chunk in model(call("When do access keys expire?", **more))]


@pytest.mark.parametrize("shown", [False, True])
async def test_a_stream_is_words_in_openais_shape_and_equals_the_plain_reply(shown: bool) -> None:
    (whole,) = await chunks_of()
    options = {"stream_options": {"include_usage": True}} if shown else {}
    pieces = await chunks_of(stream=True, params=options)
    assert whole.body is not None
    assert whole.body["choices"][0]["message"]["content"] == whole.text == "".join(c.text for c in pieces)
    assert whole.body["model"] == whole.model == "simulated-test-1"
    assert whole.body["system_fingerprint"] == whole.fingerprint == "sim_t1"
    assert whole.usage == pieces[-1].usage
    assert whole.usage is not None
    assert whole.body["usage"]["completion_tokens"] == whole.usage.output_tokens == len(whole.text.split())
    assert [c.finish for c in pieces if c.finish] == ["stop"]
    assert (pieces[-1].body is not None) == shown
    assert len(pieces) == len(whole.text.split()) + 3


@given(st.integers(1, 20))
def test_a_token_limit_cuts_and_says_so(limit: int) -> None:
    whole, cut = asyncio.run(_whole_and_cut(limit))
    assert whole.text.startswith(cut.text)
    assert len(cut.text.split()) == min(limit, len(whole.text.split()))
    assert cut.finish == ("length" if cut.text != whole.text else "stop")


async def _whole_and_cut(limit: int) -> tuple[Chunk, Chunk]:
    return (await chunks_of())[0], (await chunks_of(params={"max_tokens": limit}))[0]


async def test_it_takes_the_time_that_its_skill_says_and_no_more_than_it_is_given() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    slow = Scripted(sleep=sleep)
    slow.swap("slow", replace(PERFECT, latency_ms=(100, 200), tokens_per_s=50), "simulated-slow-1", "sim_s1")
    asked = call("When do access keys expire?", stream=True)
    await collect(slow.model("slow")(asked))
    assert 0.1 <= slept[0] <= 0.2
    assert set(slept[1:]) == {0.02}
    slept.clear()
    with pytest.raises(ModelTimeout):
        await collect(slow.model("slow")(replace(asked, timeout=0.15)))
    assert slept == [0.15]


async def test_a_failing_model_answers_503() -> None:
    with pytest.raises(ModelError, match="simulated") as caught:
        await say("hi", replace(PERFECT, fails=1.0))
    assert (caught.value.vendor_status, caught.value.retryable) == (503, True)


async def test_a_vendor_swaps_its_model_without_a_word() -> None:
    there = Scripted(sleep=nap)
    model = there.model("steady")  # held by somebody from before
    before = (await collect(model(call("hi")))).model
    there.swap("steady", there.models["weak"], reported="simulated-steady-2", fingerprint="sim_b7")
    after = await collect(model(call("hi")))
    assert (before, after.model, after.fingerprint) == ("simulated-steady-1", "simulated-steady-2", "sim_b7")
    with pytest.raises(BadInput, match="recognisable"):
        there.swap("steady", PERFECT, "gpt-4o", "fp_1")


async def test_every_built_in_model_says_that_it_is_simulated() -> None:
    there = Scripted(sleep=nap)
    assert list(there.models) == ["steady", "reserve", "weak", "judge", "echo"]
    for name in there.models:
        reply = await collect(there.model(name)(call("hi")))
        assert reply.model == f"simulated-{name}-1"
        assert reply.fingerprint.startswith("sim_")
    assert (await collect(there.model("echo")(call("say this")))).text == "say this"


def test_passages_and_instructions_are_told_apart() -> None:
    text = (
        "Rules first.\n[1] A (a.md, updated 2026-01-02)\nFirst.\n\nStill first [7].\n[2] B\nSecond.\n\nAnswer in JSON."
    )
    passages, rest = split_passages(text)
    assert [(p.number, p.title, p.text) for p in passages] == [
        (1, "A", "First.\n\nStill first [7]."),
        (2, "B", "Second."),
    ]
    assert rest == "Rules first.\n\n\nAnswer in JSON."
    assert split_passages("[2] not the first\nno") == ((), "[2] not the first\nno")
    unsaid = read_instructions("Never cite anything. Use three sentences if you like JSON.")
    assert (unsaid.cite, unsaid.json, unsaid.sentences) == (False, False, 0)


def test_markdown_falls_into_sentences_under_their_headings() -> None:
    text = (
        "Intro one. Intro\ntwo!\n# Head\n- item one\n  goes on. And ends.\n2. item two\n\n"
        "| a | b |\n|---|---|\n| c | d |\n```\nfirst line\n# second\n```\nv1.2 is out."
    )
    assert list(sentences_in(text)) == [
        ("Intro one.", ""),
        ("Intro two!", ""),
        ("item one goes on.", "Head"),
        ("And ends.", "Head"),
        ("item two", "Head"),
        ("a | b", "Head"),
        ("c | d", "Head"),
        ("first line", "Head"),
        ("# second", "Head"),
        ("v1.2 is out.", "Head"),
    ]


def test_the_question_is_found_beside_its_passages() -> None:
    one = [{"role": "user", "content": f"Passages:\n{PASSAGES}\n\nQuestion: When do keys expire?"}]
    assert read_prompt(one).question == "When do keys expire?"
    parts = [{"type": "text", "text": "When do"}, {"type": "image_url"}, {"type": "text", "text": "keys expire?"}]
    many = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "[1] no"},
        {"role": "user", "content": parts},
    ]
    assert read_prompt(many).question.split() == ["When", "do", "keys", "expire?"]
    assert read_prompt(many).passages == ()
    assert read_prompt([]).question == ""


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.text(max_size=80))
def test_any_text_at_all_gets_an_answer(contents: list[str], question: str) -> None:
    messages = (*({"role": "system", "content": text} for text in contents), {"role": "user", "content": question})
    reply = asyncio.run(collect(scripted().model("test")(Call(model="m", messages=messages, stream=True))))
    assert reply.text.strip()
    assert reply.finish == "stop"


async def test_providers_find_models_by_reference() -> None:
    http = HttpClient()
    specs = {
        "acme": ProviderSpec(kind="openai", base_url="http://127.0.0.1:9/v1", api_key="sk-canary"),
        "sim": ProviderSpec(kind="scripted"),
    }
    providers = Providers(specs, http=http, scripted=Scripted())
    assert providers.names() == ["acme", "scripted", "sim"]
    assert "scripted/steady" in providers.refs()
    assert (await collect(providers.model("sim/echo")(call("hi")))).text == "hi"
    with pytest.raises(ModelError, match="no connection"):
        await collect(providers.model("acme/any/name")(call("hi")))
    for ref in ("nobody/x", "acme", "acme/", "scripted/nobody"):
        with pytest.raises(NotFound) as caught:
            providers.model(ref)
        assert caught.value.mend
    assert "sk-canary" not in repr(specs) + repr(providers)
    await http.close()


@pytest.mark.parametrize(
    ("name", "spec", "field"),
    [
        ("x", ProviderSpec(kind="acme"), "providers.x.kind"),
        ("x", ProviderSpec(kind="azure"), "providers.x.base_url"),
        ("x", ProviderSpec(kind="scripted"), "providers.x.kind"),
        ("x", ProviderSpec(kind="openai", base_url="localhost:8000"), "providers.x.base_url"),
        ("a/b", ProviderSpec(kind="openai"), "providers.a/b"),
    ],
)
def test_wrong_specs_are_named(name: str, spec: ProviderSpec, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Providers({name: spec}, http=HttpClient())
    assert caught.value.field == field

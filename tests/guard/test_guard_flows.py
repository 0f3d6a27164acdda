"""Dialogue flows without a gateway: what messages mean, and what they get."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.guard import compile_policy
from trimtab.guard.dialogue import Flows, Outcome, Turn, nearest, read_flows
from trimtab.guard.dialogue.intents import usual_threshold

INTENTS = {
    "greet": ["hello there", "good morning", "hi"],
    "refund": ["I want my money back", "please refund my order", "how do I return this?"],
    "order number": ["my order number is 4711", "the order is AB-1234"],
    "politics": ["which party should I vote for?", "what do you think of the government?"],
    "fine": ["I feel good", "I am doing great today"],
    "bad": ["I feel terrible", "not so good today"],
}
ANSWERS = {
    "hello": "Hello!", "how are you": "How are you?", "no politics": ["No politics, please.", "I leave politics out."],
    "which order": "Which order is it about? It looks like AB-1234.", "only orders": "I can only help with orders.",
    "glad": "Glad to hear it.",
}  # fmt: skip
DIALOGUE = [
    {"name": "greeting", "steps": [
        {"user": "greet"}, {"say": ["hello", "how are you"]},
        {"when": {"fine": [{"say": "glad"}], "bad": [{"model": "show sympathy"}]}},
    ]},
    {"name": "politics", "steps": [{"user": "politics"}, {"say": "no politics"}]},
]  # fmt: skip
REQUIRED = [{"name": "order", "before": ["refund"], "pattern": r"\b[A-Z]{2}-\d{4}\b", "answer": "which order"}]
TOPICS = {"allowed": ["refund", "order number"], "otherwise": "only orders", "follow_ups": 1}


def made(**more: Any) -> Flows:
    return read_flows({"intents": INTENTS, "answers": ANSWERS, "dialogue": DIALOGUE, **more})


def talk(flows: Flows, *texts: str) -> list[Outcome]:
    turns: list[Turn] = []
    out = []
    for text in texts:
        turns.append(flows.turn(text, flows.by_words(text).intent))
        out.append(flows.follow(turns, "seed"))
    return out


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("hello!", "greet"), ("Good morning everybody", "greet"), ("can I get my money back please", "refund"),
        ("how can I return an order?", "refund"), ("who should I vote for", "politics"), ("I'm feeling good", "fine"),
        ("what is the capital of France?", ""), ("write a poem about the sea", ""), ("", ""), ("?!", ""),
    ],
)  # fmt: skip
def test_a_message_has_the_intent_whose_examples_it_is_like(text: str, intent: str) -> None:
    assert made().by_words(text).intent == intent


def test_an_example_itself_is_surest_and_the_threshold_grows_with_the_intents() -> None:
    flows = made()
    for intent, texts in INTENTS.items():
        for text in texts:
            assert flows.by_words(text).intent == intent
    assert [round(usual_threshold(count), 3) for count in (1, 10, 20, 10_000)] == [0.3, 0.35, 0.4, 0.5]
    strict = made(match={"threshold": 0.99})
    assert strict.by_words("can I get my money back please").intent == ""


def test_vectors_are_compared_by_their_cosine() -> None:
    examples = [("a", (1.0, 0.0)), ("b", (0.6, 0.8))]
    assert nearest((1.0, 0.0), examples, 0.9) == ("a", 1.0)
    assert nearest((0.0, 1.0), examples, 0.9) == ("", 0.8)
    assert nearest((0.0, 1.0, 0.0), examples, 0.1) == ("", 0.0)


def test_a_flow_says_its_answers_and_waits_for_the_next_message() -> None:
    first, second = talk(made(), "good morning", "I feel good")
    assert (first.kind, first.text, first.by) == ("answer", "Hello!\nHow are you?", "flow greeting")
    assert (second.kind, second.text) == ("answer", "Glad to hear it.")


def test_a_step_of_the_model_becomes_an_instruction() -> None:
    outcome = talk(made(), "hi", "I feel terrible today")[-1]
    assert (outcome.kind, outcome.by) == ("instruct", "flow greeting")
    assert outcome.text.endswith("1. show sympathy.")
    both = made(dialogue=[{"steps": [{"user": "greet"}, {"say": "hello"}, {"model": "Ask for the name."}]}])
    assert '1. Say exactly this: "Hello!"\n2. Ask for the name.' in talk(both, "hi")[0].text


def test_a_flow_that_waits_for_another_message_is_left() -> None:
    hello, politics, fine = talk(made(), "hi", "which party should I vote for", "I feel good")
    assert (hello.kind, politics.by, fine.kind) == ("answer", "flow politics", "pass")


def test_one_of_several_texts_is_chosen_by_the_conversation() -> None:
    flows = made()
    turns = [flows.turn("x", "politics")]
    assert {flows.follow(turns, "a").text for _ in range(5)} == {flows.follow(turns, "a").text}
    assert {flows.follow(turns, str(seed)).text for seed in range(40)} == set(ANSWERS["no politics"])


def test_a_required_step_comes_first_and_then_it_goes_on() -> None:
    refund = {"name": "refund", "steps": [{"user": "refund"}, {"model": "explain the refund"}]}
    flows = made(required=REQUIRED, dialogue=[*DIALOGUE, refund])
    asked, again, given, later = talk(
        flows, "I want my money back", "please refund my order", "it is AB-1234", "please refund my order"
    )
    assert (asked.by, asked.text) == ("required order", ANSWERS["which order"])
    assert again.by == "required order"
    assert (given.kind, given.by) == ("instruct", "flow refund")  # what was asked for goes on by itself
    assert later.by == "flow refund"
    assert talk(flows, "please refund my order CD-9876")[0].by == "flow refund"
    assert talk(flows, "good morning")[0].by == "flow greeting"


def test_a_required_step_may_be_an_intent_and_may_come_before_everything() -> None:
    rule = {"before": "...", "step": "order number", "answer": "which order"}
    flows = made(required=[rule])
    outcomes = talk(flows, "what is the weather?", "my order number is 4711", "good morning")
    assert [outcome.kind for outcome in outcomes] == ["answer", "pass", "answer"]
    assert outcomes[2].by == "flow greeting"


def test_topics_let_through_what_is_allowed_and_a_little_after_it() -> None:
    flows = made(topics=TOPICS)
    outcomes = talk(flows, "write a poem", "how do I return this?", "and the blue one?", "and the other?", "hi")
    assert [(o.kind, o.by) for o in outcomes] == [
        ("answer", "topics"), ("pass", "topic"), ("pass", "topic"), ("answer", "topics"), ("answer", "flow greeting"),
    ]  # fmt: skip
    assert talk(flows, "I feel good")[0].by == "topics"  # known, and not allowed


def test_any_message_can_begin_a_flow_and_a_branch_has_an_else() -> None:
    flows = made(dialogue=[{"steps": [
        {"user": "..."}, {"say": "how are you"}, {"when": {"fine": [{"say": "glad"}]}, "else": [{"say": "hello"}]},
        {"user": "greet"}, {"say": "glad"},
    ]}])  # fmt: skip
    assert [o.text for o in talk(flows, "xyzzy", "blah blah", "hi")] == ["How are you?", "Hello!", "Glad to hear it."]


@pytest.mark.parametrize(
    ("flows", "field", "said"),
    [
        ([], "flows", "object"),
        ({"intents": {"a": []}}, "flows.intents.a", "no text"),
        ({"intents": {"...": ["x"]}}, "flows.intents....", "no name"),
        ({"answers": {"a": ["x" * 5000]}}, "flows.answers.a", "4000"),
        ({"dialogue": [{"steps": []}]}, "flows.dialogue[0].steps", "no step"),
        ({"dialogue": [{"steps": [{"say": "x"}]}]}, "flows.dialogue[0].steps[0]", "begin with what the user says"),
        ({"dialogue": [{"steps": [{"user": "x"}]}]}, "flows.dialogue[0]", "no examples"),
        ({"dialogue": [{"steps": [{"user": "...", "say": "x"}]}]}, "flows.dialogue[0].steps[0]", "one step"),
        ({"dialogue": [{"steps": [{"user": "..."}, {"say": "x"}]}]}, "flows.dialogue[0]", "no text"),
        ({"dialogue": [{"steps": [{"user": "..."}, {"when": {}}]}]}, "flows.dialogue[0].steps[1].when", "object"),
        ({"required": [{"answer": "x"}]}, "flows.required[0]", "step or a pattern"),
        ({"required": [{"pattern": "(", "answer": "x"}]}, "flows.required[0].pattern", "compile"),
        ({"topics": {"allowed": ["x"], "otherwise": "y"}}, "flows.topics", "no text"),
        ({"match": {"threshold": 2}}, "flows.match.threshold", "0 to 1"),
        ({"match": {"model": "x"}}, "flows.match.model", "provider/model"),
        ({"dialog": []}, "flows.dialog", "known"),
    ],
)
def test_a_mistake_is_named_with_its_field(flows: Any, field: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as raised:
        compile_policy({"stages": {}, "flows": flows})
    assert raised.value.field == field


def test_two_of_a_name_and_too_deep_a_nest_are_refused() -> None:
    with pytest.raises(BadInput, match="used before"):
        made(dialogue=[DIALOGUE[0], DIALOGUE[0]])
    with pytest.raises(BadInput, match="used before"):
        made(required=[REQUIRED[0], REQUIRED[0]])
    nest: list[Any] = [{"say": "glad"}]
    for _ in range(12):
        nest = [{"when": {"fine": nest}}]
    with pytest.raises(BadInput, match="deeply"):
        made(dialogue=[{"steps": [{"user": "greet"}, *nest]}])


_TURN = st.builds(Turn, st.sampled_from(["", *INTENTS]), st.sampled_from([(), ("order",)]))


@given(st.lists(_TURN, min_size=1, max_size=12))
def test_the_same_conversation_always_gets_the_same_and_always_something(turns: list[Turn]) -> None:
    flows = made(required=REQUIRED, topics=TOPICS)
    outcome = flows.follow(turns, "s")
    assert outcome == flows.follow(list(turns), "s")
    assert (outcome.kind == "pass") == (outcome.text == "")
    needs = turns[-1].intent == "refund" and not any("order" in turn.took for turn in turns)
    assert (outcome.by == "required order") == needs

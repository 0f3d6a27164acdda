"""Prompts through the gateway: partials by label and by rollout, what the call gets, and what a trace keeps of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_house import Answer, House, http_reply, user

from trimtab.core import Span
from trimtab.evals import Output, Unanswered
from trimtab.wiring import make_ask


def prompt(text: str, **rest: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text}], **rest}


async def ask(house: House, name: str, variables: dict[str, Any] | None = None, **body: Any) -> Answer:
    trimtab = {"prompt": name, "variables": variables or {}, "session": body.pop("session", "s")}
    return await house.ask({"model": "scripted/echo", "messages": user("Hi"), "trimtab": trimtab, **body})


async def sent(house: House, answer: Answer) -> tuple[Span, list[dict[str, Any]]]:
    """The root span, and the messages that the model got."""
    spans, _ = await house.trace(answer)
    (call,) = [span for span in spans if span.kind == "llm"]
    return spans[0], json.loads(call.input)


async def test_sections_examples_and_partials_reach_the_model(house: House) -> None:
    await house.publish("prompts", "tone", prompt("Be {{mood}}.", variables={"mood": {"default": "kind"}}))
    content = prompt(
        "{{> tone}}\n{{#rules}}\n- {{.}}\n{{/rules}}\n",
        variables={"rules": {"type": "list"}},
        examples=[{"input": "a", "output": "b"}],
    )
    await house.publish("prompts", "rich", content)
    answer = await ask(house, "rich", {"rules": ["one", "two"], "mood": "stern"})
    root, messages = await sent(house, answer)
    assert [m["content"] for m in messages] == ["Be stern.\n- one\n- two\n", "a", "b", "Hi"]
    assert root.stamp.prompt == "rich/1"
    assert root.attributes["partials"] == {"tone": "tone/1"}


async def test_a_partials_label_moves_every_prompt_that_uses_it(house: House) -> None:
    await house.publish("prompts", "tone", prompt("Be kind."))
    await house.publish("prompts", "a", prompt("A. {{> tone}}"))
    assert (await sent(house, await ask(house, "a")))[1][0]["content"] == "A. Be kind."
    await house.publish("prompts", "tone", prompt("Be brief."))
    root, messages = await sent(house, await ask(house, "a"))
    assert (root.stamp.prompt, messages[0]["content"]) == ("a/1", "A. Be brief.")
    await house.publish("prompts", "a", prompt("A. {{> tone/1}}"))
    assert (await sent(house, await ask(house, "a")))[1][0]["content"] == "A. Be kind."


async def test_a_partial_in_a_rollout_sticks_to_the_session_and_its_arm_is_in_the_trace(house: House) -> None:
    await house.publish("prompts", "tone", prompt("Be kind."))
    await house.publish("prompts", "a", prompt("{{> tone}}"))
    second = await house.registry.register("prompts", "tone", prompt("Be brief."))
    change = await house.registry.start_rollout("prompts", "tone", second.number, share=0.5, actor="test")
    told: dict[str, set[str]] = {}
    for number in range(24):
        session = f"s{number % 12}"
        root, messages = await sent(house, await ask(house, "a", session=session))
        arm = root.attributes["arms"][change.rollout]
        assert messages[0]["content"] == {"base": "Be kind.", "candidate": "Be brief."}[arm]
        assert root.attributes["partials"] == {"tone": {"base": "tone/1", "candidate": "tone/2"}[arm]}
        told.setdefault(session, set()).add(arm)
    assert all(len(arms) == 1 for arms in told.values())
    assert len({arm for arms in told.values() for arm in arms}) == 2


async def test_a_replay_puts_the_same_partial_in_though_its_label_moved(house: House) -> None:
    await house.publish("prompts", "tone", prompt("Be kind."))
    await house.publish("prompts", "a", prompt("{{> tone}}"))
    root, _ = await sent(house, await ask(house, "a"))
    await house.publish("prompts", "tone", prompt("Be brief."))
    spans = await house.gateway.replay(root, {})
    assert json.loads(spans[-1].input)[0]["content"] == "Be kind."
    assert spans[0].attributes["partials"] == {"tone": "tone/1"}


@pytest.mark.parametrize(
    ("book", "says"),
    [
        ({"a": "{{> gone}}"}, "prompts:/gone"),
        ({"a": "{{> b}}", "b": "{{> a}}"}, "b -> a -> b"),
        ({"a": "{{> b}}", "b": "{{broken"}, "not a placeholder"),
    ],
)
async def test_a_partial_that_cannot_be_put_in_is_the_prompts_fault_and_not_the_callers(
    house: House, book: dict[str, str], says: str
) -> None:
    for name, text in book.items():
        await house.publish("prompts", name, prompt(text))
    answer = await ask(house, "a")
    assert answer.status == 500
    assert "prompts:/a/1 cannot be used" in answer.error["message"]
    assert says in answer.error["message"]
    (root, *_), _ = await house.trace(answer)
    assert (root.status, root.layer) == ("error", 3)


async def test_a_missing_variable_of_a_partial_is_named(house: House) -> None:
    await house.publish("prompts", "tone", prompt("Be {{mood}}."))
    await house.publish("prompts", "a", prompt("{{> tone}}"))
    answer = await ask(house, "a")
    assert (answer.status, answer.error["param"]) == (400, "trimtab.variables.mood")


async def test_the_call_gets_schema_tools_and_parameters_below_the_clients_own(house: House) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "search"}}]
    content = prompt("x", output_schema=schema, tools=tools, params={"temperature": 0.5, "seed": 7})
    await house.publish("prompts", "strict", content)
    got: list[Any] = []

    def reply(headers: Any, body: Any) -> list[bytes]:
        got.append(body)
        return http_reply(400, {"error": {"message": "enough"}})

    house.vendor.reply = reply
    for given, temperature in (({}, 0.5), ({"temperature": 1}, 1)):
        await ask(house, "strict", model="vendor/any", **given)
        assert got[-1]["response_format"]["json_schema"]["schema"] == schema
        assert (got[-1]["tools"], got[-1]["temperature"], got[-1]["seed"]) == (tools, temperature, 7)


async def test_an_evaluation_asks_as_traffic_would_but_for_trimtab_itself(house: House) -> None:
    ask_model = make_ask(house.gateway)
    asked = ({"role": "user", "content": "How fast is a refund paid?"},)
    found = await ask_model(model="scripted/steady", prompt="support-answer/1", messages=asked, variables={}, params={})
    assert isinstance(found, Output)
    assert "[1]" in found.text
    assert [passage["title"] for passage in found.passages][:1] == ["Refunds"]
    assert (found.project, found.traffic, found.stamp.guard) == ("trimtab", False, "")
    assert found.cost_usd is not None
    assert found.latency_ms > 0
    assert found.trace_id
    with pytest.raises(Unanswered) as caught:
        await ask_model(
            model="scripted/steady", prompt="support-answer/1", messages=asked, variables={"nope": 1}, params={}
        )
    assert "nope" in str(caught.value)
    assert (caught.value.status, caught.value.retryable) == (400, False)
    assert caught.value.trace_id
    bare = await ask_model(model="scripted/echo", prompt=None, messages=asked, variables={}, params={})
    assert (bare.stamp.prompt, bare.passages) == ("", ())

"""Replay: the same request again, one layer put back, and nothing recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gateway_house import DOCUMENTS, PROMPT, House, user

from trimtab.core import BadInput, Span
from trimtab.providers import Skill

QUESTION = "How fast is a refund paid?"
CARELESS = {**PROMPT, "messages": [{"role": "system", "content": "Be nice. {{product}}\n\n{{passages}}"}]}


async def served(house: House, **body: object) -> Span:
    answer = await house.ask(
        {"model": "support", "messages": user(QUESTION), "temperature": 0, **body}, x_trimtab_session="s"
    )
    (root, *_), _scores = await house.trace(answer)
    return root


async def test_a_replay_without_pins_is_the_same_request_though_the_world_moved_on(house: House) -> None:
    root = await served(house)
    await house.publish("prompts", "support-answer", CARELESS)
    corpus = await house.corpora.build("docs", DOCUMENTS[1:], author="test")
    await house.registry.move_label("corpora", "docs", "production", corpus.number, actor="test")
    await house.publish("routes", "support", {"targets": [{"model": "scripted/weak"}]})
    await house.publish("guards", "default", {"stages": {}, "fail": "open"})
    before = await house.everything()
    again, *children = await house.gateway.replay(root, {})
    assert (again.output, again.stamp, again.tags, again.session) == (root.output, root.stamp, root.tags, root.session)
    assert again.attributes["passages"] == root.attributes["passages"]
    assert again.trace_id != root.trace_id
    assert {span.kind for span in children} == {"retriever", "llm"}
    assert await house.everything() == before
    assert house.recorder.dropped == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_one_layer_is_put_back_and_the_others_stay(house: House, stream: bool) -> None:
    await house.publish("prompts", "support-answer", CARELESS)
    bad = await served(house, stream=stream)
    assert bad.stamp.prompt == "support-answer/2"
    assert "[1]" not in bad.output
    again = (await house.gateway.replay(bad, {"prompts": "support-answer/1"}))[0]
    assert again.stamp == replace(bad.stamp, prompt="support-answer/1")
    assert "[1]" in again.output


async def test_knowledge_model_guard_and_route_can_be_put_back(house: House) -> None:
    root = await served(house)
    corpus = await house.corpora.build("docs", DOCUMENTS[1:], author="test")
    again = (await house.gateway.replay(root, {"corpora": corpus.pin}))[0]
    assert (again.stamp.knowledge, again.attributes["passages"]) == ("docs/2", [])
    again = (await house.gateway.replay(root, {"models": "scripted/reserve=simulated-reserve-1@sim_b1"}))[0]
    assert again.stamp.model.startswith("scripted/reserve=")
    rule = {"name": "refunds", "patterns": ["refund"], "action": "block", "reason": "No."}
    policy = await house.registry.register("guards", "default", {"stages": {"input": [rule]}, "fail": "closed"})
    again = (await house.gateway.replay(root, {"guards": policy.pin}))[0]
    assert (again.status, again.stamp.guard) == ("refused", "default/2")
    assert (await house.gateway.replay(again, {"guards": ""}))[0].output == root.output
    route = await house.registry.register("routes", "support", {"targets": [{"model": "scripted/weak"}]})
    again = (await house.gateway.replay(root, {"routes": route.pin}))[0]
    assert (again.stamp.route, again.stamp.model.partition("=")[0]) == ("support/2", "scripted/weak")


async def test_a_weighted_route_draws_the_same_model_again(house: House) -> None:
    targets = [{"model": f"scripted/{name}"} for name in ("steady", "reserve", "weak", "echo")]
    await house.publish("routes", "support", {"targets": targets, "strategy": "weighted"})
    roots = [await served(house) for _ in range(12)]
    assert len({root.model for root in roots}) > 1
    for root in roots:
        assert (await house.gateway.replay(root, {}))[0].model == root.model


async def test_a_replay_that_fails_tells_it_in_its_spans(house: House) -> None:
    root = await served(house)
    for name in ("steady", "reserve"):
        house.scripted.swap(name, Skill(fails=1.0), f"simulated-{name}-1", "sim_x")
    again = (await house.gateway.replay(root, {}))[0]
    assert (again.status, again.layer) == ("error", 1)


async def test_a_span_that_is_no_request_cannot_be_asked_again(house: House) -> None:
    root = await served(house)
    for other in (replace(root, attributes={}), replace(root, parent_id="00"), replace(root, attributes={"ask": {}})):
        with pytest.raises(BadInput, match="cannot be asked again"):
            await house.gateway.replay(other, {})

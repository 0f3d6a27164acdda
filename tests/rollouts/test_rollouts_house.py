"""A rollout in a whole house: requests through the gateway, scored by the chores, judged by the controller."""

from __future__ import annotations

from pathlib import Path

from rollout_world import plan

from trimtab.config import Config
from trimtab.gateway import Ask
from trimtab.rollouts import Guard
from trimtab.wiring import build


async def test_requests_through_the_gateway_are_judged(tmp_path: Path) -> None:
    config = Config(data=tmp_path / "data", routes={"support": {"targets": [{"model": "scripted/echo"}]}})
    house = await build(config)
    try:
        for text in ("Be exact.", "Be brief."):
            content = {"messages": [{"role": "system", "content": text}]}
            await house.registry.register("prompts", "answer", content, author="mara")
        await house.registry.move_label("prompts", "answer", "production", 1, actor="mara")
        guards = (Guard(metric="answered"), Guard(metric="allowed"), Guard(metric="quality"))
        change = await house.rollouts.begin(
            "prompts", "answer", 2, plan(guards=guards, mode="watch"), share=0.5, actor="mara"
        )  # fmt: skip
        for i in range(60):
            ask = Ask(
                model="support", prompt="answer", messages=({"role": "user", "content": f"question {i}"},),
                session=f"s-{i % 50}",
            )  # fmt: skip
            async for _ in house.gateway.serve(ask):
                pass
        await house.loop.settle()
        await house.rollouts.settle()
        judged = {j.metric: j for j in (await house.rollouts.view(change.rollout)).judgements}
        for metric in ("answered", "allowed"):
            one = judged[metric]
            assert one.base_n + one.candidate_n == 50, "ten sessions asked twice and count once"
            assert min(one.base_n, one.candidate_n) > 10
            assert (one.base_mean, one.candidate_mean) == (1.0, 1.0)
        assert judged["quality"].state == "not_measured"
    finally:
        await house.close()


async def test_a_shadow_is_asked_through_the_gateway_and_not_recorded_as_traffic(tmp_path: Path) -> None:
    config = Config(data=tmp_path / "data", routes={"support": {"targets": [{"model": "scripted/echo"}]}})
    house = await build(config)
    try:
        for text in ("Be exact.", "Be brief."):
            content = {"messages": [{"role": "system", "content": text}]}
            await house.registry.register("prompts", "answer", content, author="mara")
        await house.registry.move_label("prompts", "answer", "production", 1, actor="mara")
        course = plan(guards=(Guard(metric="answered"),), mode="shadow", shadow_answers=5, least_answers=1000)
        change = await house.rollouts.begin("prompts", "answer", 2, course, actor="mara")
        for i in range(12):
            ask = Ask(model="support", prompt="answer", messages=({"role": "user", "content": f"question {i}"},))
            async for _ in house.gateway.serve(ask):
                pass
        await house.loop.settle()
        for _ in range(4):
            await house.rollouts.turn()
            await house.rollouts.shadowed()
        view = await house.rollouts.view(change.rollout)
        assert (view.asked, view.judgements[0].pairs) == (5, 5)
        assert view.judgements[0].difference == 0.0
    finally:
        await house.close()

"""The faults that the demo can put into its own system, each through the door that a real one would take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trimtab.core import BadInput, Change, Layer
from trimtab.wiring import House

from . import assets
from .stale import make_stale
from .traffic import SHIFTED, Traffic

SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Injected:
    """What was done: the layer and the pin that attribution must name, and how people would say it."""

    layer: Layer | None
    after: str
    said: str
    change: Change | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault by name."""

    name: str
    summary: str
    inject: Callable[[House, Traffic, assets.Models], Awaitable[Injected]]


async def _prompt(house: House, traffic: Traffic, models: assets.Models) -> Injected:
    version = await house.registry.register(
        "prompts", assets.PROMPT, assets.prompt(assets.BRIEF), author="mara", note="shorter answers, fewer tokens"
    )
    change = await house.registry.start_rollout(
        "prompts", assets.PROMPT, version.number, share=SHARE, sticky="session", actor="mara", note=version.note
    )
    return _staged(Layer.PROMPT, change, "the rule to cite was dropped")


async def _model(house: House, traffic: Traffic, models: assets.Models) -> Injected:
    if models.answer != "scripted/steady":
        raise BadInput(
            "only the simulated vendor can be made to swap its model.", field="--fault", mend="Leave out --provider."
        )
    house.scripted.swap(
        "steady", skill=house.scripted.models["weak"], reported="simulated-steady-2", fingerprint="sim_b7"
    )
    after = "scripted/steady=simulated-steady-2@sim_b7"
    return Injected(layer=Layer.MODEL, after=after, said="the simulated vendor answers with another model, unannounced")


async def _knowledge(house: House, traffic: Traffic, models: assets.Models) -> Injected:
    version = await house.corpora.build(
        assets.CORPUS, make_stale(assets.documents()), author="index-job", note="nightly rebuild"
    )
    change = await house.registry.start_rollout(
        "corpora", assets.CORPUS, version.number, share=SHARE, sticky="session", actor="index-job", note=version.note
    )
    return _staged(Layer.KNOWLEDGE, change, "the index was rebuilt from stale documents")


async def _guard(house: House, traffic: Traffic, models: assets.Models) -> Injected:
    version = await house.registry.register(
        "guards", assets.GUARD, assets.overbroad_policy(), author="jonas", note="stop credential theft"
    )
    change = await house.registry.start_rollout(
        "guards", assets.GUARD, version.number, share=SHARE, sticky="session", actor="jonas", note=version.note
    )
    return _staged(Layer.SAFETY, change, "a policy that blocks good requests")


async def _operations(house: House, traffic: Traffic, models: assets.Models) -> Injected:
    content = assets.judge(models.judge, assets.LENIENT, ())
    version = await house.registry.register(
        "judges", assets.JUDGE, content, author="kim", note="fewer complaints about grading"
    )
    change = await house.registry.start_rollout(
        "judges", assets.JUDGE, version.number, share=SHARE, sticky="request", actor="kim", note=version.note
    )
    return _staged(Layer.OPERATIONS, change, "the judge turned lenient")


async def _none(house: House, traffic: Traffic, models: assets.Models) -> Injected:
    traffic.mix = SHIFTED
    return Injected(layer=None, after="", said="people ask other questions than before; nothing is wrong")


def _staged(layer: Layer, change: Change, what: str) -> Injected:
    said = f"{change.kind}:/{change.after} to {change.share:.0%} of {change.sticky}s by {change.actor}: {what}"
    return Injected(layer=layer, after=change.after, said=said, change=change)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(name="prompt", summary="an instruction is dropped from the prompt (layer 3)", inject=_prompt),
        Fault(name="model", summary="the vendor silently answers with another model (layer 1)", inject=_model),
        Fault(name="knowledge", summary="the index is rebuilt from stale documents (layer 2)", inject=_knowledge),
        Fault(name="guard", summary="a policy blocks good requests (layer 4)", inject=_guard),
        Fault(name="operations", summary="the judge turns lenient (layer 5)", inject=_operations),
        Fault(name="none", summary="the traffic mix shifts and nothing is wrong", inject=_none),
    )
}

"""Protected labels: a role, a gate, and an override that stays visible."""

from __future__ import annotations

import pytest

from trimtab.core import BadInput, Forbidden, NotFound
from trimtab.registry import May, Registry

ADMIN, MEMBER = May(role="admin"), May(role="member")
ASSET = ("prompts", "answer")


@pytest.fixture
async def guarded(registry: Registry) -> Registry:
    """Production of an asset with three versions stands at 1 and needs an admin and the gate ``eval``."""
    for n in (1, 2, 3):
        await registry.register(*ASSET, {"n": n})
    await registry.move_label(*ASSET, "production", 1, actor="mara")
    await registry.protect(ASSET, "production", role="admin", gate="eval", actor="mara", note="it is live")
    return registry


async def passed(registry: Registry, number: int, result: bool = True) -> None:
    await registry.record_gate(ASSET, number, "eval", passed=result, evidence={"run": 12}, actor="ci")


async def test_what_is_missing_is_named(guarded: Registry) -> None:
    with pytest.raises(Forbidden, match="needs the role admin") as caught:
        await guarded.move_label(*ASSET, "production", 2, actor="jonas", may=MEMBER)
    assert caught.value.field == "role"
    with pytest.raises(Forbidden, match="no result of it for answer/2") as caught:
        await guarded.move_label(*ASSET, "production", 2, actor="mara", may=ADMIN)
    assert caught.value.field == "gate"
    await passed(guarded, 2, False)
    with pytest.raises(Forbidden, match="answer/2 did not pass it"):
        await guarded.move_label(*ASSET, "production", 2, actor="mara", may=ADMIN)
    assert guarded.labels(*ASSET) == {"production": 1}
    await guarded.move_label(*ASSET, "staging", 2, actor="jonas", may=MEMBER)


async def test_the_latest_result_of_this_version_counts(guarded: Registry) -> None:
    await passed(guarded, 3)
    await passed(guarded, 2)
    await passed(guarded, 2, False)
    with pytest.raises(Forbidden):
        await guarded.move_label(*ASSET, "production", 2, actor="mara", may=ADMIN)
    await passed(guarded, 2)
    moved = await guarded.move_label(*ASSET, "production", 2, actor="mara", may=ADMIN)
    assert (moved.after, moved.override) == ("answer/2", "")
    assert [gate.passed for gate in await guarded.gates(ASSET, 2)] == [True, False, True]
    assert (await guarded.gates(ASSET, 3))[0].evidence == {"run": 12}


async def test_an_override_needs_a_reason_and_stays_visible(guarded: Registry) -> None:
    with pytest.raises(BadInput) as caught:
        await guarded.move_label(*ASSET, "production", 2, actor="mara", may=May(role="admin", override="because"))
    assert caught.value.field == "override"
    with pytest.raises(Forbidden, match="role"):
        await guarded.move_label(
            *ASSET, "production", 2, actor="jonas", may=May(role="member", override="production is on fire")
        )
    may = May(role="admin", override="  production is on fire ")
    await guarded.move_label(*ASSET, "production", 2, actor="mara", may=may)
    assert guarded.changes()[0].override == "production is on fire"
    # Where nothing was missing, nothing was passed over.
    await passed(guarded, 3)
    assert (await guarded.move_label(*ASSET, "production", 3, actor="mara", may=may)).override == ""


async def test_a_rollout_of_a_protected_label_needs_the_same(guarded: Registry) -> None:
    with pytest.raises(Forbidden, match="role"):
        await guarded.start_rollout(*ASSET, 2, share=0.1, actor="jonas", may=MEMBER)
    with pytest.raises(Forbidden, match="gate"):
        await guarded.start_rollout(*ASSET, 2, share=0.1, actor="trimtab")
    await passed(guarded, 2)
    started = await guarded.start_rollout(*ASSET, 2, share=0.1, actor="mara", may=ADMIN)
    await passed(guarded, 2, False)
    with pytest.raises(Forbidden, match="did not pass"):
        await guarded.promote(started.rollout, actor="trimtab")
    await passed(guarded, 2)
    assert (await guarded.promote(started.rollout, actor="trimtab")).action == "promote"


async def test_protecting_needs_an_admin_and_is_remembered(guarded: Registry) -> None:
    with pytest.raises(Forbidden):
        await guarded.protect(ASSET, "production", role="", gate="", actor="jonas", may=MEMBER)
    with pytest.raises(BadInput, match="no role"):
        await guarded.protect(ASSET, "production", role="king", gate="", actor="mara")
    with pytest.raises(NotFound):
        await guarded.protect(("prompts", "nobody"), "production", role="admin", gate="", actor="mara")
    await guarded.protect(ASSET, "production", role="admin", gate="eval", actor="mara", note="again")
    await guarded.protect(ASSET, "production", role="", gate="", actor="mara", may=ADMIN)
    assert guarded.protections(*ASSET) == {}
    await guarded.move_label(*ASSET, "production", 2, actor="jonas", may=MEMBER)
    history = await guarded.protected(ASSET, "production")
    assert [(p.role, p.gate, p.note) for p in history] == [("", "", ""), ("admin", "eval", "it is live")]

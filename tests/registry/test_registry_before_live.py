"""A check that a kind asks for before a version goes live: labels and rollouts ask, what goes back does not."""

from __future__ import annotations

import pytest

from trimtab.core import Conflict, Version
from trimtab.registry import Registry


async def refuse_bad(version: Version) -> None:
    if version.content.get("bad"):
        raise Conflict("it is bad", field="content", mend="Make it good.")


async def test_production_moves_only_to_what_passes(registry: Registry) -> None:
    registry.before_live("guards", refuse_bad)
    await registry.register("guards", "g", {"n": 1})
    await registry.register("guards", "g", {"n": 2, "bad": True})
    await registry.move_label("guards", "g", "production", 1, actor="t")
    with pytest.raises(Conflict, match="it is bad"):
        await registry.move_label("guards", "g", "production", 2, actor="t")
    with pytest.raises(Conflict, match="it is bad"):
        await registry.start_rollout("guards", "g", 2, share=0.1, actor="t")
    assert registry.labels("guards", "g") == {"production": 1}
    await registry.move_label("guards", "g", "staging", 2, actor="t")
    await registry.register("prompts", "p", {"template": "x", "bad": True})
    await registry.move_label("prompts", "p", "production", 1, actor="t")


async def test_going_back_is_not_asked_about(registry: Registry) -> None:
    await registry.register("guards", "g", {"n": 1, "bad": True})
    await registry.register("guards", "g", {"n": 2})
    await registry.move_label("guards", "g", "production", 1, actor="t")
    await registry.move_label("guards", "g", "production", 2, actor="t")
    registry.before_live("guards", refuse_bad)
    await registry.rollback("guards", "g", actor="t")
    assert registry.labels("guards", "g") == {"production": 1}
    # Where it stands already, nothing is asked.
    await registry.move_label("guards", "g", "production", 1, actor="t")

"""The fixture of the small application that the incidents' tests break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from incident_world import PROMPTS, ROUTE, Clock, World

from trimtab.registry import Registry
from trimtab.store import Metadata, SpanStore


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An application that has been healthy for a while."""
    clock = Clock()
    metadata = Metadata.open(tmp_path / "metadata.db")
    store = SpanStore.open(tmp_path / "spans", clock=clock)
    registry = await Registry.load(metadata, clock=clock)
    made = World(metadata, store, registry, clock)
    for text in PROMPTS[:1]:
        await made.new_prompt(text)
    await registry.register("routes", "support", ROUTE, author="kim")
    for kind, name in (("prompts", "support-answer"), ("routes", "support")):
        await registry.move_label(kind, name, "production", 1, actor="kim")
    clock.ns += 7200 * 10**9
    yield made
    store.close()
    metadata.close()

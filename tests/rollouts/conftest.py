"""The fixture of the small application whose rollouts are judged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from rollout_world import World

from trimtab.registry import registry


@pytest.fixture(autouse=True)
def _same_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draw hashes the rollout's id: with ids that count up, every run of a test exposes the same sessions."""
    numbers = count(1)
    monkeypatch.setattr(registry, "new_id", lambda kind: f"{kind}_{next(numbers):010d}")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Versions 1 and 2 of a prompt, the first of them live."""
    made = World(tmp_path)
    await made.open()
    await made.new()
    yield made
    made.close()

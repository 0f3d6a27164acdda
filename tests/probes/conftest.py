"""A house for probes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from probe_world import Clock, World, build


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made, close = await build(tmp_path, Clock())
    yield made
    close()

"""Houses with and without a story."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from web_house import WebHouse, build, close


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    """Assets are registered, no request was made."""
    made = await build(tmp_path)
    yield made
    close(made)

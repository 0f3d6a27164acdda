from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trimtab.registry import Registry
from trimtab.store import Metadata


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    yield await Registry.load(metadata)
    metadata.close()

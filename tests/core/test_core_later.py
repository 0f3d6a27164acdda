"""A module that is loaded at its first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trimtab.core import Later


def test_it_is_the_module_once_it_is_used() -> None:
    """In a process of its own, where nobody else has loaded it."""
    code = (
        "import sys; from trimtab.core import Later; pages = Later('wave'); assert 'wave' not in sys.modules;"
        " first = pages.open; import wave; assert first is wave.open is pages.open"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_is_not_there_is_said_where_it_is_used() -> None:
    nowhere, empty = Later("trimtab.nowhere"), Later("trimtab.core.later")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        nowhere.anything  # noqa: B018
    with pytest.raises(AttributeError, match="missing"):
        empty.missing  # noqa: B018

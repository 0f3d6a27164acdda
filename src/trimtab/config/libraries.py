"""What other people's libraries read from the environment when they are imported."""

from __future__ import annotations

import os


def tell_libraries(**settings: str) -> None:
    """Set variables of this process, where the operator has not set them. Call it before the import."""
    for name, value in settings.items():
        os.environ.setdefault(name, value)

"""Modules that are loaded when they are first used: large ones that most processes never need."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """Stands for a module until an attribute of it is asked for. Any thread may be the first.

    For type checkers the module is imported under ``if TYPE_CHECKING`` as well::

        if TYPE_CHECKING:
            import jsonschema_rs
        else:
            jsonschema_rs = Later("jsonschema_rs")
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Raises ModuleNotFoundError where the module is not installed, AttributeError where it has no such thing."""
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value

"""The composition root."""

from .defaults import publish
from .house import House, build

__all__ = ["House", "build", "publish"]

"""Values of the file that need reading of their own: durations, and references to the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trimtab.core import ConfigError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str, field: str) -> float:
    """``10s``, ``500ms``, ``2m``, ``6h`` or ``1d`` in seconds. Raises ConfigError naming ``field``."""
    match = _DURATION.fullmatch(text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigError(f"{text!r} is not a duration.", field=field, mend="Write 500ms, 10s or 2m.")
    return float(match[1]) * _SECONDS[match[2]]


def secret(text: str, env: Mapping[str, str], field: str) -> str:
    """Follow an ``env:NAME`` reference. Raises ConfigError; the message never holds the value."""
    if not text:
        return ""
    kind, _, name = text.partition(":")
    if kind != "env" or not name:
        raise ConfigError(
            "a secret does not belong in the file.", field=field, mend="Put it in the environment and write env:NAME."
        )
    if name not in env:
        raise ConfigError(f"the environment has no {name}.", field=field, mend=f"Set {name} before starting.")
    return env[name]

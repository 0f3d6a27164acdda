"""Values of the file that need reading of their own: durations, and references to the environment or a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from trimtab.core import ConfigError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
#: How a value begins that says where a secret is.
REFERENCES = ("env:", "file:")
#: The largest file that holds a secret, in characters.
_LARGEST = 64 * 1024
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str, field: str) -> float:
    """``10s``, ``500ms``, ``2m``, ``6h`` or ``1d`` in seconds. Raises ConfigError naming ``field``."""
    match = _DURATION.fullmatch(text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigError(f"{text!r} is not a duration.", field=field, mend="Write 500ms, 10s or 2m.")
    return float(match[1]) * _SECONDS[match[2]]


def secret(text: str, env: Mapping[str, str], field: str) -> str:
    """Follow a reference: ``env:NAME``, or ``file:/path`` to a file that holds nothing else.

    Raises ConfigError; the message never holds the value.
    """
    if not text:
        return ""
    kind, _, name = text.partition(":")
    if kind == "file" and name:
        return _content(Path(name), field)
    if kind != "env" or not name:
        raise ConfigError(
            "a secret does not belong in the file.",
            field=field,
            mend="Put it in the environment and write env:NAME, or in a file of its own and write file:/path.",
        )
    if name not in env:
        raise ConfigError(f"the environment has no {name}.", field=field, mend=f"Set {name} before starting.")
    return env[name]


def followed(text: str, env: Mapping[str, str], field: str) -> str:
    """A value that may be written as it is, or as a reference. Raises ConfigError, as ``secret`` does."""
    return secret(text, env, field) if text.startswith(REFERENCES) else text


def _content(path: Path, field: str) -> str:
    """The secret in a file, without the white space around it."""
    try:
        with path.open(encoding="utf-8") as file:
            read = file.read(_LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{path} cannot be read: {why}.", field=field, mend="Correct the path.") from None
    if len(read) > _LARGEST:
        raise ConfigError(f"{path} is too large for a secret.", field=field, mend=f"At most {_LARGEST // 1024} kB.")
    if not (found := read.strip()):
        raise ConfigError(f"{path} is empty.", field=field, mend="Write the secret into it, and nothing else.")
    return found

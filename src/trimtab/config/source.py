"""Read ``trimtab.yaml`` so that every complaint names the file, the line, the field and the mend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from trimtab.core import ConfigError

from .shape import File

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")


def read_file(path: Path) -> File:
    """Read and check the file. Raises ConfigError."""
    try:
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file.", field="--config", mend="Make one with `trimtab init`."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8.", mend="Save the file as UTF-8.") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(
            f"{path}:{line}: not valid YAML: {error.problem or error.context}.",
            mend="Check indentation, colons and quotes on that line.",
        ) from None
    if tree is None:
        return File()
    try:
        return msgspec.convert(_plain(tree), File)
    except msgspec.ValidationError as error:
        raise _located(path, tree, str(error)) from None


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return float(node) if isinstance(node, float) else node  # the reader's own kind of float is not msgspec's


def _located(path: Path, tree: Any, message: str) -> ConfigError:
    """Turn msgspec's ``... - at `$.routes[...].x``` into file, line and field."""
    what, _, where = message.partition(" - at `")
    steps: list[str | int | None] = []
    for match in _STEP.finditer(where.rstrip("`").removeprefix("$").removeprefix("key in ")):
        steps.append(match[1] if match[1] is not None else int(match[2]) if match[2] else None)
    unknown = re.search(r"unknown field `([^`]+)`", what)
    line, field = _find(tree, steps, unknown[1] if unknown else "")
    mend = (
        "Remove it or correct its spelling; docs/configuration.md lists what may stand here."
        if unknown
        else ("Correct the value; docs/configuration.md lists what may stand here.")
    )
    return ConfigError(f"{path}:{line}: {what[0].lower() + what[1:]}.", field=field, mend=mend)


def _find(tree: Any, steps: list[str | int | None], leaf: str) -> tuple[int, str]:
    """The 1-based line and dotted name of a place. A step of None stands for *any key*: the first that has the rest."""
    if not steps:
        line = tree.lc.line + 1 if hasattr(tree, "lc") else 1
        if leaf and isinstance(tree, CommentedMap):
            return (tree.lc.key(leaf)[0] + 1, leaf) if leaf in tree else (0, "")
        return line, leaf
    step, rest = steps[0], steps[1:]
    keys = list(tree) if step is None and isinstance(tree, Mapping) else [step]
    best = (0, "")
    for key in keys:
        try:
            child = tree[key]
        except (KeyError, IndexError, TypeError):
            continue
        here = (tree.lc.key(key) if isinstance(tree, CommentedMap) else tree.lc.item(key))[0] + 1
        line, name = _find(child, rest, leaf) if isinstance(child, Mapping | list) else (here, "")
        if line == 0:
            continue
        label = f"[{key}]" if isinstance(key, int) else str(key)
        joined = label + ("" if not name else name if name.startswith("[") else "." + name)
        best = (max(line, here) if (rest or leaf) else here, joined)
        if step is not None or not rest or _deeper(child, rest):
            return best
    return best


def _deeper(child: Any, rest: list[str | int | None]) -> bool:
    return isinstance(child, Mapping) and (rest[0] is None or rest[0] in child)

"""Scorers in Python by import path, ``my_package.scorers:polite``: only those that the configuration lists."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any

from trimtab.core import ConfigError

from .dataset import Case
from .output import Output
from .own_threads import OwnThreads
from .scorer import Function, Given, Scorer, scorer, short_digest

#: Not those of the event loop, which requests need.
_THREADS = OwnThreads()
_MEND = "Write MODULE:NAME of a scorer that Python finds, for example my_package.scorers:polite."


def load_scorers(paths: Iterable[str]) -> dict[str, Scorer]:
    """The scorers by their paths, imported. A plain function becomes a scorer, and one that is not async runs in a
    thread. Raises ConfigError for what cannot be imported or is no scorer."""
    return {path: _load(path, f"scoring.python[{n}]") for n, path in enumerate(paths)}


def _load(path: str, where: str) -> Scorer:
    module, _, name = path.partition(":")
    if not module or not name:
        raise ConfigError(f"{path[:200]!r} is no import path.", field=where, mend=_MEND)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    # house: except because a module of the user's own may raise anything while it is imported
    except Exception as error:
        said = f"{path[:200]!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(" ".join(said.split())[:500] + ".", field=where, mend=_MEND) from error
    if not callable(found) or inspect.isclass(found):
        raise ConfigError(f"{path[:200]!r} is no scorer.", field=where, mend=_MEND)
    if hasattr(found, "digest") and hasattr(found, "judge") and hasattr(found, "name"):
        made: Scorer = found
        return _in_thread(made) if isinstance(made, Function) and not inspect.iscoroutinefunction(made.rule) else made
    made = scorer(found)
    return made if inspect.iscoroutinefunction(found) else _in_thread(made)


def _in_thread(made: Function) -> Function:
    """A plain function may take long, and requests are served meanwhile."""

    async def rule(case: Case, output: Output) -> Given:
        found: Any = await _THREADS(made.name, partial(made.rule, case, output))
        given: Given = await found if inspect.isawaitable(found) else found
        return given

    return Function(made.name, rule, short_digest({"plain": made.digest}), made.judge)

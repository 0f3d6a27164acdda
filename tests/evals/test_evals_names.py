"""The words of the core are there to import, each under its one name."""

from __future__ import annotations

import inspect

import trimtab.evals as evals

CORE = ("Case", "Dataset", "Output", "Score", "Scorer", "Judge", "Pair", "Label")
ACTS = ("run", "calibrate", "estimate", "compare", "gate", "stability")


def test_the_core_is_importable() -> None:
    assert {*CORE, *ACTS} <= set(evals.__all__)
    assert all(inspect.isclass(getattr(evals, name)) for name in CORE)
    assert all(inspect.isfunction(getattr(evals, name)) for name in ACTS), "no module shadows a function"

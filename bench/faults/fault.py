"""The contract of a fault type, and how types from outside are taken in.

A module given as ``--faults MODULE`` (a dotted name or a path to a file) defines ``FAULTS``, a sequence of ``Fault``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .effects import KNOBS

Harm = Literal["good", "cost", "wait", "leak", "trace", "verdict", "price"]
Reach = Literal["all", "slice", "sticky"]

#: How far a fault must move what it harms before it counts, by harm: points of a share, or a part of a mean.
IMPACT: Mapping[str, float] = {
    "good": 0.02, "cost": 0.15, "wait": 0.30, "leak": 0.005, "trace": 0.02, "verdict": 0.02, "price": 0.02,
}  # fmt: skip
#: Registry kinds in which a change may carry a fault, and what is only written down.
CARRIERS = ("models", "corpora", "prompts", "guards", "routes", "judges", "application")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break the application.

    ``knobs`` turns a severity (0.05 to 0.9: the share of the touched requests that are to break) into what is added to
    the knobs of ``effects.KNOBS``. ``carrier`` is what moved: a registry kind, or ``application`` for a deployment
    that is only written down. ``silent``: no change is on record. For carrier ``models`` ``seen`` says that the vendor
    reports another model or fingerprint. ``harms`` is what it must move to count. ``reaches`` are those it may have;
    ``slice`` pins a fault to one ``field=value``. ``telltale`` names the signals that give its kind away. ``tuned``
    types may be looked at while the method is made; figures are of the others.
    """

    name: str
    layer: int
    title: str
    knobs: Callable[[float], Mapping[str, float]]
    carrier: str
    silent: bool = False
    seen: bool = False
    provider: str = ""
    harms: Harm = "good"
    reaches: tuple[Reach, ...] = ("all", "slice", "sticky")
    slice: str = ""
    telltale: tuple[str, ...] = ()
    tuned: bool = False

    def validate(self) -> None:
        """Raises ValueError, naming the field, for what the application cannot do."""
        if self.layer not in (1, 2, 3, 4, 5):
            raise ValueError(f"{self.name}: layer is {self.layer}; give 1 to 5")
        if self.carrier not in CARRIERS:
            raise ValueError(f"{self.name}: carrier is {self.carrier!r}; use one of {', '.join(CARRIERS)}")
        unknown = sorted(set(self.knobs(0.1)) - set(KNOBS))
        if unknown:
            raise ValueError(f"{self.name}: knobs holds {', '.join(unknown)}; see KNOBS in bench/faults/effects.py")
        if self.slice and self.slice.partition("=")[0] not in ("intent", "tenant", "language"):
            raise ValueError(f"{self.name}: slice is {self.slice!r}; write intent=, tenant= or language=")
        if not self.reaches:
            raise ValueError(f"{self.name}: reaches is empty; name all, slice or sticky")


def checked(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """The faults, each valid and no name twice. Raises ValueError."""
    names: set[str] = set()
    for fault in faults:
        fault.validate()
        if fault.name in names:
            raise ValueError(f"{fault.name}: name is taken twice")
        names.add(fault.name)
    return tuple(faults)


def load(where: str) -> tuple[Fault, ...]:
    """The fault types of a module from outside: a file, or a dotted name that can be imported. Raises ValueError."""
    path = Path(where)
    if path.suffix == ".py":
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise ValueError(f"--faults: {where} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(where)
    found = getattr(module, "FAULTS", None)
    if not isinstance(found, list | tuple) or not all(isinstance(fault, Fault) for fault in found):
        raise ValueError(f"--faults: {where} defines no FAULTS, a list of Fault")
    return checked(found)

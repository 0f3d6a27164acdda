"""What the file says of probes: which there are, when they run, and what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from trimtab.core import ConfigError

from .values import seconds

ProbeKind = Literal["vendor", "guard_attacks", "guard_benign", "retrieval", "judge", "corpus", "citations"]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a probe may spend in a day (UTC): US dollars, calls to models, or both."""

    usd: float | None = None
    calls: int | None = None


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One probe. ``target`` is ``provider/model``, or the address of a policy, a corpus or a judge; ``dataset`` the
    address of own cases. ``every`` is a duration such as ``1h``; ``options`` are numbers that belong to the kind."""

    kind: ProbeKind
    target: str = ""
    dataset: str = ""
    every: str = ""
    budget: Budget = Budget()
    owner: str = ""
    action: Literal["note", "page"] = "page"
    severity: int = 0
    runbook: str = ""
    enabled: bool = True
    options: dict[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """A probe with its durations in seconds; 0 where the file says none."""

    said: Probe
    every_s: float


def probes_of(said: Mapping[str, Probe]) -> dict[str, ProbeSettings]:
    """Check the section. Raises ConfigError naming the field and the mend; what belongs to a kind is checked later."""
    found = {}
    for name, probe in said.items():
        where = f"probes.{name}"
        if probe.severity not in range(5):
            raise ConfigError(f"{probe.severity} is no severity.", field=f"{where}.severity", mend="Give 1 to 4.")
        every_s = seconds(probe.every, f"{where}.every") if probe.every else 0.0
        found[name] = ProbeSettings(said=probe, every_s=every_s)
    return found

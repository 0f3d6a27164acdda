"""The shape of ``trimtab.yaml``: what may be written in it, with the defaults."""

from __future__ import annotations

from typing import Literal

import msgspec


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider of models. ``api_key`` is a reference to the environment (``env:NAME``), never the secret."""

    kind: Literal["openai", "anthropic", "scripted"]
    base_url: str = ""
    api_key: str = ""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of a route, ``provider/model``, and its share among the route's targets."""

    model: str
    weight: float = 1.0


class Timeout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Durations such as ``10s``, ``500ms`` or ``2m``: until the first byte, and for the whole request."""

    first_byte: str = "10s"
    total: str = "60s"


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model name that clients use stands for."""

    targets: list[Target]
    strategy: Literal["ordered", "weighted"] = "ordered"
    fallback: list[str] = []
    attempts: int = 3
    timeout: Timeout = Timeout()
    guard: str = ""
    prompt: str = ""


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where things are kept. This version knows the embedded engines only."""

    metadata: Literal["sqlite:"] = "sqlite:"
    spans: Literal["sqlite:"] = "sqlite:"
    shared: Literal["memory:"] = "memory:"


class Owners(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is paged for an incident of each layer; ``default`` stands in for those not named."""

    default: str = "on-call"
    model: str = ""
    knowledge: str = ""
    prompt: str = ""
    safety: str = ""
    operations: str = ""


class Scoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Continuous scoring: checks run on every answer, the judge on a sample of them."""

    judge: str = ""
    sample: float = 0.2
    golden: str = ""
    golden_rate: float = 0.5


class Monitor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A watched signal. One without an owner and an action does not load."""

    name: str
    signal: str
    owner: str
    action: Literal["page", "rollback"]
    severity: int = 2
    runbook: str = ""


class Watching(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the monitors learn what is usual: scores per slice before a detector is armed, and the false-alarm budget."""

    reference: int = 60
    false_alarms_per: int = 1_000_000


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    providers: dict[str, Provider] = {}
    routes: dict[str, Route] = {}
    storage: Storage = Storage()
    owners: Owners = Owners()
    scoring: Scoring = Scoring()
    watching: Watching = Watching()
    monitors: list[Monitor] = []

"""The shape of ``trimtab.yaml``: what may be written in it, with the defaults."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .paging import Notify
from .probes import Probe
from .routing import Routing
from .telemetry import Export, Keeping, Privacy, Receiving, Sampling

#: What a provider may be: OpenAI-compatible vendors and servers, adapters of their own, the simulated one.
ProviderKind = Literal[
    "openai", "azure", "vllm", "sglang", "llamacpp", "ollama", "lmstudio", "mistral", "groq", "deepseek", "openrouter",
    "together", "fireworks", "xai", "cerebras", "nvidia", "deepinfra", "perplexity", "anthropic", "gemini", "litellm",
    "scripted",
]  # fmt: skip


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider of models. ``api_key`` is a reference (``env:NAME`` or ``file:/path``), never the secret.

    A value in ``headers`` may be such a reference too. ``timeout`` is a duration that bounds each call to the provider.
    """

    kind: ProviderKind
    base_url: str = ""
    api_key: str = ""
    api_version: str = ""
    headers: dict[str, str] = {}
    timeout: str = ""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of a route, ``provider/model``, its share among the route's targets and its limits (0: none)."""

    model: str
    weight: float = 1.0
    max_parallel: int = 0
    rpm: int = 0


class Timeout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Durations such as ``10s``, ``500ms`` or ``2m``: until the first byte of a stream, for one attempt at a plain
    reply (as long as the request where it is not given), and for the whole request."""

    first_byte: str = "10s"
    attempt: str = ""
    total: str = "60s"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What is let through: requests and tokens a minute, requests at once and how many may wait for how long
    (``queue_timeout`` is a duration), US dollars in each ``period``. What is not given does not limit."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    max_queue: int | None = None
    queue_timeout: str | None = None
    budget_usd: float | None = None
    period: Literal["day", "month"] | None = None


class Route(Routing, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model name that clients use stands for."""

    targets: list[Target]
    fallback: list[str] = msgspec.field(default_factory=list)
    attempts: int = 3
    timeout: Timeout = Timeout()
    guard: str = ""
    prompt: str = ""
    limits: Limits = Limits()


class OwnPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model costs, in US dollars per million tokens; ``cached`` is input that came from the provider's cache."""

    input: float
    output: float
    cached: float | None = None


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where things are kept. ``metadata`` is ``sqlite:``, ``postgresql://user@host/database`` without a password, or a
    reference (``env:NAME`` or ``file:/path``) to such a URL with one. ``spans`` is the same, or
    ``clickhouse://user@host:8123/database``. ``shared`` is ``memory:``, the address
    of a Valkey or Redis server (``redis://``, ``valkey://``, ``unix://``) without a password, or such a reference."""

    metadata: str = "sqlite:"
    spans: str = "sqlite:"
    shared: str = "memory:"


class Owners(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is paged for an incident of each layer; ``default`` stands in for those not named."""

    default: str = "on-call"
    model: str = ""
    knowledge: str = ""
    prompt: str = ""
    safety: str = ""
    operations: str = ""


class Scoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Continuous scoring: checks run on every answer, the judge on a sample of them.

    ``sample_raised`` is the share while a detector has evidence of trouble; ``judge_budget_usd`` what the judge's
    verdicts may cost in a day (UTC), none without it. ``sets`` are lists of scorers for live traffic, which become
    versions of kind ``scorers``; ``python`` lists the scorers of your own that may be named, as ``module:name``.
    ``embeddings`` is the model that compares the meanings of answers.
    """

    judge: str = ""
    sample: float = 0.2
    sample_raised: float = 0.6
    judge_budget_usd: float | None = None
    golden: str = ""
    golden_rate: float = 0.5
    sets: dict[str, dict[str, Any]] = {}
    python: list[str] = []
    embeddings: str = ""


class Monitor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A watched signal. One without an owner and an action does not load."""

    name: str
    signal: str
    owner: str
    action: Literal[
        "note", "page", "rollback", "pause_rollout", "switch_route", "pin_model", "tighten_guard", "relax_guard"
    ]
    severity: int = 2
    runbook: str = ""
    slice: str = ""
    detector: Literal["fall", "floor"] = "fall"
    threshold: float | None = None
    objective: float | None = None


class Watching(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the monitors learn what is usual: scores per slice before a detector is armed, and the false-alarm budget."""

    reference: int = 60
    false_alarms_per: int = 1_000_000


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    providers: dict[str, Provider] = {}
    routes: dict[str, Route] = {}
    teams: dict[str, Limits] = {}
    prices: dict[str, OwnPrice] = {}
    storage: Storage = Storage()
    privacy: Privacy = Privacy()
    retention: Keeping = Keeping()
    sampling: Sampling = Sampling()
    telemetry: Receiving = Receiving()
    export: Export = Export()
    owners: Owners = Owners()
    scoring: Scoring = Scoring()
    watching: Watching = Watching()
    monitors: list[Monitor] = []
    probes: dict[str, Probe] = {}
    notify: Notify = Notify()

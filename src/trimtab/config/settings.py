"""The configuration as the rest of the house sees it: checked, with secrets resolved and durations in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from trimtab.core import ConfigError, Layer

from .content import routing_content
from .paging import Paging, paging_of
from .probes import ProbeSettings, probes_of
from .shape import File, Limits, Monitor, Owners, OwnPrice, Route, Scoring, Target, Watching
from .source import read_file
from .telemetry import Sections, Telemetry, telemetry_of
from .values import followed, seconds, secret

#: US dollars that a million tokens may cost at most; more is a slip of the unit.
MOST_USD = 100_000
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One provider with key and headers resolved; they never show in ``repr``. ``timeout`` is in seconds, 0 = none."""

    kind: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    api_version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the process was told at its start."""

    host: str = "127.0.0.1"
    port: int = 4100
    data: Path = Path("trimtab-data")
    admin_key: str = field(default="", repr=False)
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    owners: Owners = field(default_factory=Owners)
    scoring: Scoring = field(default_factory=Scoring)
    watching: Watching = field(default_factory=Watching)
    monitors: tuple[Monitor, ...] = ()
    probes: Mapping[str, ProbeSettings] = field(default_factory=dict)
    #: Who is told of incidents, and how.
    paging: Paging = field(default_factory=Paging)
    #: The URL of the metadata database; empty for SQLite in the data folder.
    metadata: str = field(default="", repr=False)
    #: The URL of the span store: ``sqlite:`` for the one in the data folder.
    spans: str = field(default="sqlite:", repr=False)
    #: Where limits and budgets are counted: ``memory:``, or the URL of a Valkey or Redis server.
    shared: str = field(default="memory:", repr=False)
    #: The limits of each team that the file names.
    teams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Own prices by ``provider/model``.
    prices: Mapping[str, OwnPrice] = field(default_factory=dict)
    #: What is masked in recorded traffic, how long it is kept and where it is sent on to.
    telemetry: Telemetry = field(default_factory=Telemetry)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK

    def owner(self, layer: Layer | None) -> str:
        """Who answers for a layer (None: the outcome, which belongs to none)."""
        named = getattr(self.owners, layer.name.lower()) if layer else ""
        return str(named or self.owners.default)


def load(
    path: Path | None,
    env: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    port: int = 4100,
    data: Path = Path("trimtab-data"),
) -> Config:
    """Read the file (None: defaults) and the environment. Raises ConfigError naming file, line, field and mend."""
    file = read_file(path) if path else File()
    config = Config(
        host=host,
        port=port,
        data=data,
        admin_key=env.get("TRIMTAB_ADMIN_KEY", ""),
        providers={name: _provider(name, file, env) for name in file.providers},
        routes={name: route_content(name, route) for name, route in file.routes.items()},
        owners=file.owners,
        scoring=_scoring(file.scoring),
        watching=file.watching,
        monitors=tuple(file.monitors),
        probes=probes_of(file.probes),
        paging=paging_of(file.notify, env),
        metadata=_metadata(file.storage.metadata, env),
        spans=_spans(file.storage.spans, env),
        shared=_shared(file.storage.shared, env),
        teams={name: limits_content(limits, f"teams.{name}") for name, limits in file.teams.items()},
        prices=_prices(file),
        telemetry=telemetry_of(_sections(file), env),
    )
    if not config.loopback and not config.admin_key:
        raise ConfigError(
            f"the server may be reached from outside at {host}, and no admin key is set.",
            field="TRIMTAB_ADMIN_KEY",
            mend="Set it to a long random text, or listen on 127.0.0.1.",
        )
    return config


def _sections(file: File) -> Sections:
    return Sections(
        privacy=file.privacy,
        retention=file.retention,
        sampling=file.sampling,
        telemetry=file.telemetry,
        export=file.export,
    )


def _provider(name: str, file: File, env: Mapping[str, str]) -> ProviderSettings:
    spec = file.providers[name]
    return ProviderSettings(
        kind=spec.kind,
        base_url=spec.base_url,
        api_key=secret(spec.api_key, env, f"providers.{name}.api_key"),
        api_version=spec.api_version,
        headers={
            header: followed(value, env, f"providers.{name}.headers.{header}") for header, value in spec.headers.items()
        },
        timeout=seconds(spec.timeout, f"providers.{name}.timeout") if spec.timeout else 0.0,
    )


def _prices(file: File) -> Mapping[str, OwnPrice]:
    for ref, own in file.prices.items():
        where = f"prices.{ref}"
        provider, _, model = ref.partition("/")
        if not model or (provider not in file.providers and provider != "scripted"):
            raise ConfigError(
                "is not a model of a provider in this file.",
                field=where,
                mend='Write "provider/model", with the provider as it is named under providers.',
            )
        for name in ("input", "output", "cached"):
            value = getattr(own, name)
            if value is not None and not 0 <= value <= MOST_USD:
                mend = "Write US dollars per million tokens."
                raise ConfigError(f"must be from 0 to {MOST_USD:,}.", field=f"{where}.{name}", mend=mend)
    return file.prices


def _metadata(said: str, env: Mapping[str, str]) -> str:
    wrong = ConfigError(
        "is not a database that Trimtab knows.",
        field="storage.metadata",
        mend="Write sqlite: or postgresql://user@host/database.",
    )
    url = _address(said, env, ("sqlite:", "postgresql", "postgres"), wrong)
    return "" if url == "sqlite:" else url


def _spans(said: str, env: Mapping[str, str]) -> str:
    wrong = ConfigError(
        "is not a span store that Trimtab knows.",
        field="storage.spans",
        mend="Write sqlite:, postgresql://user@host/database or clickhouse://user@host:8123/database.",
    )
    return _address(said, env, ("sqlite:", "postgresql", "postgres", "clickhouse"), wrong)


def _shared(said: str, env: Mapping[str, str]) -> str:
    wrong = ConfigError(
        "is not shared state that Trimtab knows.",
        field="storage.shared",
        mend="Write memory: or redis://host:6379/0.",
    )
    return _address(said, env, ("memory:", "redis", "rediss", "valkey", "valkeys", "unix"), wrong)


def _address(said: str, env: Mapping[str, str], known: tuple[str, ...], wrong: ConfigError) -> str:
    """A URL with one of the known schemes or the first word of them as it stands; a password only by reference."""
    url = followed(said, env, wrong.field)
    if url == known[0]:
        return url
    parts = urlsplit(url)
    if parts.scheme not in known:
        raise wrong
    if url is said and (parts.password or "password" in parse_qs(parts.query)):
        raise ConfigError(
            "a password does not belong in the file.",
            field=wrong.field,
            mend="Put the whole URL in the environment and write env:NAME, or in a file and write file:/path.",
        )
    return url


def limits_content(limits: Limits, where: str) -> dict[str, Any]:
    """Limits as the house keeps them: what is given, with durations in seconds. Raises ConfigError."""
    content: dict[str, Any] = msgspec.structs.asdict(limits)
    if limits.queue_timeout is not None:
        content["queue_timeout"] = seconds(limits.queue_timeout, f"{where}.queue_timeout")
    return {name: value for name, value in content.items() if value is not None}


def _scoring(scoring: Scoring) -> Scoring:
    if scoring.judge_budget_usd is not None and not scoring.judge_budget_usd > 0:
        mend = "Leave it out for no limit."
        raise ConfigError("must be above 0.", field="scoring.judge_budget_usd", mend=mend)
    for name in ("sample", "sample_raised", "golden_rate"):
        if not 0 <= getattr(scoring, name) <= 1:
            raise ConfigError(
                "must be between 0 and 1.", field=f"scoring.{name}", mend="0.2 scores one answer in five."
            )
    if scoring.embeddings and "/" not in scoring.embeddings:
        mend = "Write openai/text-embedding-3-small."
        raise ConfigError("must be provider/model.", field="scoring.embeddings", mend=mend)
    return scoring


def route_content(name: str, route: Route) -> dict[str, Any]:
    """A route as the content of a registry version. Raises ConfigError naming the field."""
    where = f"routes.{name}"
    if not route.targets:
        raise ConfigError("a route needs a target.", field=f"{where}.targets", mend="Add {model: provider/model}.")
    for position, ref in enumerate([*(t.model for t in route.targets), *route.fallback]):
        if "/" not in ref:
            spot = "targets" if position < len(route.targets) else "fallback"
            raise ConfigError(
                f"{ref!r} is not provider/model.", field=f"{where}.{spot}", mend="Write openai/gpt-4o-mini."
            )
    if route.attempts < 1:
        raise ConfigError("must be at least 1.", field=f"{where}.attempts", mend="3 is usual.")
    content: dict[str, Any] = {
        "targets": [_target(target) for target in route.targets],
        "fallback": list(route.fallback),
        "strategy": route.strategy,
        "attempts": route.attempts,
        "timeout": {
            "first_byte": seconds(route.timeout.first_byte, f"{where}.timeout.first_byte"),
            "total": seconds(route.timeout.total, f"{where}.timeout.total"),
        },
    }
    if route.timeout.attempt:
        content["timeout"]["attempt"] = seconds(route.timeout.attempt, f"{where}.timeout.attempt")
    content |= routing_content(route, where)
    if limits := limits_content(route.limits, f"{where}.limits"):
        content["limits"] = limits
    return content | {key: value for key in ("guard", "prompt") if (value := getattr(route, key))}


def _target(target: Target) -> dict[str, Any]:
    limits = {name: value for name in ("max_parallel", "rpm") if (value := getattr(target, name))}
    return {"model": target.model, "weight": target.weight, **limits}

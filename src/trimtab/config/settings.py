"""The configuration as the rest of the house sees it: checked, with secrets resolved and durations in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.core import ConfigError, Layer

from .shape import File, Monitor, Owners, Route, Scoring, Watching
from .source import read_file, seconds, secret

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One provider with its key resolved; the key never shows in ``repr``."""

    kind: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)


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
    )
    if not config.loopback and not config.admin_key:
        raise ConfigError(
            f"the server may be reached from outside at {host}, and no admin key is set.",
            field="TRIMTAB_ADMIN_KEY",
            mend="Set it to a long random text, or listen on 127.0.0.1.",
        )
    return config


def _provider(name: str, file: File, env: Mapping[str, str]) -> ProviderSettings:
    spec = file.providers[name]
    return ProviderSettings(
        kind=spec.kind,
        base_url=spec.base_url,
        api_key=secret(spec.api_key, env, f"providers.{name}.api_key"),
    )


def _scoring(scoring: Scoring) -> Scoring:
    for name in ("sample", "golden_rate"):
        if not 0 <= getattr(scoring, name) <= 1:
            raise ConfigError(
                "must be between 0 and 1.", field=f"scoring.{name}", mend="0.2 scores one answer in five."
            )
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
        "targets": [{"model": t.model, "weight": t.weight} for t in route.targets],
        "fallback": list(route.fallback),
        "strategy": route.strategy,
        "attempts": route.attempts,
        "timeout": {
            "first_byte": seconds(route.timeout.first_byte, f"{where}.timeout.first_byte"),
            "total": seconds(route.timeout.total, f"{where}.timeout.total"),
        },
    }
    return content | {key: value for key in ("guard", "prompt") if (value := getattr(route, key))}

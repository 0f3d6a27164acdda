"""What the file says of recorded traffic: what is masked, how long it is kept, where it is sent on to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from trimtab.core import ConfigError

from .values import secret

#: What can be masked.
Masked = Literal["email", "phone", "card", "iban", "secret"]


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is taken out of spans and scores before they are written: everywhere, or in the projects named."""

    mask: list[Masked] = []
    projects: dict[str, list[Masked]] = {}


class Keeping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many days of spans and scores are kept; 0 keeps them for ever."""

    days: int = 0


class Collector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An OpenTelemetry collector. A header's value may be a reference to the environment (``env:NAME``)."""

    endpoint: str
    headers: dict[str, str] = {}


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where spans and scores are sent on to."""

    otlp: Collector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """All of it, checked, with the headers resolved; they never show in ``repr``."""

    mask: tuple[str, ...] = ()
    mask_projects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keep_days: int = 0
    otlp_endpoint: str = ""
    otlp_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def masks(self) -> bool:
        """Whether anything is masked anywhere."""
        return bool(self.mask) or any(self.mask_projects.values())


def telemetry_of(privacy: Privacy, keeping: Keeping, export: Export, env: Mapping[str, str]) -> Telemetry:
    """Check the three sections. Raises ConfigError naming the field."""
    if not 0 <= keeping.days <= 36_500:
        raise ConfigError("must be from 0 to 36500.", field="retention.days", mend="30 keeps a month, 0 everything.")
    collector = export.otlp
    if collector is not None:
        parts = urlsplit(collector.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ConfigError(
                f"{collector.endpoint!r} is not the address of a collector.",
                field="export.otlp.endpoint",
                mend="Write http://host:4318, and keys as headers.",
            )
    return Telemetry(
        mask=tuple(privacy.mask),
        mask_projects={name: tuple(kinds) for name, kinds in privacy.projects.items()},
        keep_days=keeping.days,
        otlp_endpoint=collector.endpoint if collector else "",
        otlp_headers={
            name: secret(value, env, f"export.otlp.headers.{name}") if value.startswith("env:") else value
            for name, value in (collector.headers if collector else {}).items()
        },
    )

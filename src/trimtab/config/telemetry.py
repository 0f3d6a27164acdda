"""What the file says of recorded traffic: how it comes, what is masked and kept, where it is sent on to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from trimtab.core import ConfigError

from .values import followed, seconds

#: What can be masked.
Masked = Literal["email", "phone", "card", "iban", "secret"]


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is taken out of spans and scores before they are written: everywhere, or in the projects named."""

    mask: list[Masked] = []
    projects: dict[str, list[Masked]] = {}


class Keeping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many days of spans and scores are kept; 0 keeps them for ever."""

    days: int = 0


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which traces keep their texts: those that failed, were refused, have a score below ``low`` or stand in an
    incident, and a ``share`` of the others, in each of ``projects`` its own. It is decided ``after`` a duration."""

    share: float = 1.0
    projects: dict[str, float] = {}
    low: float = 0.5
    after: str = "15m"


class Receiving(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """By which ways besides HTTP telemetry comes in: ``grpc`` is an address such as ``127.0.0.1:4317``, and where it is
    to be encrypted, ``grpc_certificate`` and ``grpc_key`` are files in PEM: the certificate with its chain, its key."""

    grpc: str = ""
    grpc_certificate: str = ""
    grpc_key: str = ""


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
    share: float = 1.0
    project_shares: Mapping[str, float] = field(default_factory=dict)
    low: float = 0.5
    decide_after_s: float = 900.0
    #: Where OTLP over gRPC listens; empty for nowhere.
    grpc: str = ""
    #: The files with its certificate and key; None where it is not encrypted.
    grpc_tls: tuple[Path, Path] | None = None
    otlp_endpoint: str = ""
    otlp_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def grpc_is_local(self) -> bool:
        """Whether only this machine can reach the gRPC address."""
        return self.grpc.rpartition(":")[0].strip("[]") in ("127.0.0.1", "localhost", "::1")

    @property
    def masks(self) -> bool:
        """Whether anything is masked anywhere."""
        return bool(self.mask) or any(self.mask_projects.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """The sections of the file that speak of recorded traffic."""

    privacy: Privacy
    retention: Keeping
    sampling: Sampling
    telemetry: Receiving
    export: Export


def telemetry_of(said: Sections, env: Mapping[str, str]) -> Telemetry:
    """Check the sections. Raises ConfigError naming the field."""
    privacy, keeping, export, sampling = said.privacy, said.retention, said.export, said.sampling
    for where, share in {"share": sampling.share, "low": sampling.low, **_named(sampling.projects)}.items():
        if not 0 <= share <= 1:
            raise ConfigError("must be from 0 to 1.", field=f"sampling.{where}", mend="0.1 keeps one trace in ten.")
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
        share=sampling.share,
        project_shares=dict(sampling.projects),
        low=sampling.low,
        decide_after_s=seconds(sampling.after, "sampling.after"),
        grpc=_address(said.telemetry.grpc),
        grpc_tls=_tls(said.telemetry),
        otlp_endpoint=collector.endpoint if collector else "",
        otlp_headers={
            name: followed(value, env, f"export.otlp.headers.{name}")
            for name, value in (collector.headers if collector else {}).items()
        },
    )


def _named(projects: Mapping[str, float]) -> dict[str, float]:
    return {f"projects.{name}": share for name, share in projects.items()}


def _tls(said: Receiving) -> tuple[Path, Path] | None:
    """The files that encrypt the gRPC address, both or none."""
    if not said.grpc_certificate and not said.grpc_key:
        return None
    for name, text in (("grpc_certificate", said.grpc_certificate), ("grpc_key", said.grpc_key)):
        if not text:
            raise ConfigError("is missing beside the other.", field=f"telemetry.{name}", mend="Name a file in PEM.")
    if not said.grpc:
        raise ConfigError(
            "is missing, and there is a certificate for it.", field="telemetry.grpc", mend="Write 127.0.0.1:4317."
        )
    return Path(said.grpc_certificate), Path(said.grpc_key)


def _address(text: str) -> str:
    """``host:port``, or nothing."""
    if not text:
        return ""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigError(
            f"{text!r} is not an address to listen on.", field="telemetry.grpc", mend="Write 127.0.0.1:4317."
        )
    return text

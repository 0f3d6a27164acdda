"""Recorded traffic put together: what is masked, what is waited for, what is sent on, what is let go."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from trimtab.config import Config
from trimtab.incidents import Desk
from trimtab.providers import HttpClient
from trimtab.registry import Event, Registry
from trimtab.store import Settings, Spans
from trimtab.traces import (
    Around,
    Erasing,
    Erasure,
    Forwarder,
    GrpcDoor,
    Mask,
    Masking,
    Receiver,
    Retention,
    Rules,
    Sampler,
    note_of,
)

_SALT = "privacy.salt"
#: Incidents whose traces keep their texts: the newest.
_INCIDENTS = 200


@dataclass(kw_only=True)
class Telemetry:
    """The receiver and the chores of recorded traffic. ``close`` ends the chores."""

    receiver: Receiver
    erasing: Erasing
    sampler: Sampler
    mask: Mask | None = None
    forwarder: Forwarder | None = None
    retention: Retention | None = None
    grpc: GrpcDoor | None = None

    async def listen(self, config: Config, may: Any) -> None:
        """Open the gRPC door where one is configured; ``may`` checks the key that a request from elsewhere brings."""
        address = config.telemetry.grpc
        if address:
            local = config.loopback and config.telemetry.grpc_is_local
            self.grpc = GrpcDoor(self.receiver, address, may=None if local else may, tls=config.telemetry.grpc_tls)
            await self.grpc.start()

    async def close(self) -> None:
        """End the chores; what was not sent on, decided or erased goes on after the next start."""
        for chore in (self.grpc, self.forwarder, self.retention, self.sampler, self.erasing):
            if chore is not None:
                await chore.stop()


async def salt_of(settings: Settings) -> bytes:
    """The salt of stand-ins and hashes, which is made once."""
    salt = await settings.get(_SALT)
    if not isinstance(salt, str):
        salt = secrets.token_hex(16)
        await settings.put(_SALT, salt)
    return bytes.fromhex(salt)


async def make_mask(config: Config, settings: Settings) -> Masking | None:
    """What takes personal data out, or None where nothing is to be."""
    telemetry = config.telemetry
    if not telemetry.masks:
        return None
    return Masking(kinds=telemetry.mask, projects=telemetry.mask_projects, salt=await salt_of(settings))


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The rooms beside recorded traffic that the chores need."""

    settings: Settings
    registry: Registry
    desk: Desk
    http: HttpClient


async def start_telemetry(config: Config, spans: Spans, beside: Beside, mask: Masking | None) -> Telemetry:
    """Start the chores that the configuration asks for."""
    asked, settings = config.telemetry, beside.settings
    receiver = Receiver(spans, mask=mask)

    async def record(erasure: Erasure) -> str:
        told = note_of(erasure)
        # No traffic gets anything else by it, so that it is nobody's suspect.
        event = Event(kind="data", name=told["name"], after=told["after"], share=0.0)
        return (await beside.registry.record_event(event, actor=erasure.actor or "api", note=told["note"])).id

    async def named() -> Collection[str]:
        return {trace for incident in await beside.desk.list(limit=_INCIDENTS) for trace in incident.traces}

    around = Around(
        salt=await salt_of(settings),
        record=record,
        forget=receiver.forget,
        copies=lambda traces: _copies(beside.registry, traces),
        clear=beside.desk.forget,
        **({"forms": mask.forms} if mask else {}),
    )
    rules = Rules(share=asked.share, projects=asked.project_shares, low=asked.low, after_s=asked.decide_after_s)
    made = Telemetry(
        receiver=receiver,
        mask=mask,
        erasing=Erasing(spans, settings, around),
        sampler=Sampler(spans, settings, rules, named=named),
    )
    if asked.otlp_endpoint:
        made.forwarder = Forwarder(
            store=spans, memory=settings, http=beside.http, endpoint=asked.otlp_endpoint, headers=asked.otlp_headers
        )
        await made.forwarder.start()
    if asked.keep_days:
        made.retention = Retention(spans, days=asked.keep_days)
        await made.retention.start()
    await made.sampler.start()
    await made.erasing.start()
    return made


def _copies(registry: Registry, traces: Collection[str]) -> Iterator[str]:
    """The newest versions of datasets that hold a case made from one of these traces."""
    for name in registry.names("datasets"):
        for version in registry.versions("datasets", name, newest=1):
            cases = version.content.get("cases", ())
            if any(isinstance(case, dict) and case.get("source_trace") in traces for case in cases):
                yield version.pin

"""Recorded traffic put together: what is masked, what is waited for, what is sent on, what is let go."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from trimtab.config import Config
from trimtab.providers import HttpClient
from trimtab.store import Settings, SpanStore
from trimtab.traces import Forwarder, Mask, Masking, Retention, Window

_SALT = "privacy.salt"


@dataclass(kw_only=True)
class Telemetry:
    """What the receivers and the recorder share, and the chores. ``close`` ends the chores."""

    window: Window = field(default_factory=Window)
    mask: Mask | None = None
    forwarder: Forwarder | None = None
    retention: Retention | None = None

    async def close(self) -> None:
        """End the chores; what was not sent on is sent after the next start."""
        for chore in (self.forwarder, self.retention):
            if chore is not None:
                await chore.stop()


async def make_mask(config: Config, settings: Settings) -> Mask | None:
    """What takes personal data out, or None where nothing is to be. The salt of its stand-ins is made once."""
    telemetry = config.telemetry
    if not telemetry.masks:
        return None
    salt = await settings.get(_SALT)
    if not isinstance(salt, str):
        salt = secrets.token_hex(16)
        await settings.put(_SALT, salt)
    return Masking(kinds=telemetry.mask, projects=telemetry.mask_projects, salt=bytes.fromhex(salt))


async def start_telemetry(
    config: Config, *, spans: SpanStore, settings: Settings, http: HttpClient, mask: Mask | None
) -> Telemetry:
    """Start the chores that the configuration asks for."""
    asked = config.telemetry
    made = Telemetry(mask=mask)
    if asked.otlp_endpoint:
        made.forwarder = Forwarder(
            store=spans, memory=settings, http=http, endpoint=asked.otlp_endpoint, headers=asked.otlp_headers
        )
        await made.forwarder.start()
    if asked.keep_days:
        made.retention = Retention(spans, days=asked.keep_days)
        await made.retention.start()
    return made

"""Keys' limits put together: teams, shared counters, the usage ledger, reports."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass

from trimtab.config import Config
from trimtab.gateway import Handles, Ledger, Limits, Reports, Teams
from trimtab.store import Metadata, Settings, SharedState, open_shared


@dataclass(kw_only=True)
class Tenancy:
    """What counts and what is counted. ``close`` writes what waits."""

    teams: Teams
    shared: SharedState
    ledger: Ledger
    limits: Limits
    reports: Reports
    boot: str

    async def close(self) -> None:
        """Let what is ending end, write the ledger, let go of the counters."""
        await self.limits.close()
        await self.ledger.close()
        await self.shared.close()


def node_of(config: Config) -> str:
    """The name under which reservations are held: the same after a restart, another for another data folder."""
    return f"{socket.gethostname()}:{config.data.absolute()}"


async def make_handles(settings: Settings) -> Handles:
    """The ids of responses that providers keep: signed with a secret that is drawn once for the installation."""
    return Handles(bytes.fromhex(await settings.once("response_ids", secrets.token_hex(32))))


async def make_tenancy(config: Config, metadata: Metadata, *, workers: int = 1) -> Tenancy:
    """Read the teams, put those of the file in place, and charge what the last process of this folder left open."""
    teams = await Teams.load(metadata)
    for name, content in config.teams.items():
        await teams.put(name, content)
    node, boot = node_of(config), secrets.token_hex(4)
    shared = open_shared(config.shared, workers=workers, node=node, boot=boot)
    ledger = Ledger(metadata, node=node)
    limits = Limits(shared=shared, ledger=ledger, teams=teams, node=node)
    for row in await ledger.recover():
        await limits.charge(row)
    limits.start()
    return Tenancy(
        teams=teams,
        shared=shared,
        ledger=ledger,
        limits=limits,
        reports=Reports(metadata, ledger=ledger, limits=limits),
        boot=boot,
    )

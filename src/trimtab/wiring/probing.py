"""The probes put together: what the file declares, the gateway as their way to models, the incident desk as ear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.config import Config, ProbeSettings
from trimtab.core import Layer
from trimtab.gateway import Gateway
from trimtab.incidents import Desk, Sign
from trimtab.knowledge import Corpora
from trimtab.probes import Alarm, Declaration, Probes, Tell, checked, through, usual
from trimtab.store import Metadata, Spans


async def start_probes(
    declared: Sequence[Declaration], metadata: Metadata, gateway: Gateway, corpora: Corpora, desk: Desk, spans: Spans
) -> Probes:
    """Begin with the schedule."""
    probes = Probes(
        declared, metadata=metadata, registry=gateway.registry, corpora=corpora, door=through(gateway),
        tell=tell_desk(desk), spans=spans,
    )  # fmt: skip
    await probes.start()
    return probes


def declared_in(config: Config) -> list[Declaration]:
    """The probes of the file, and those that exist without it. Raises BadInput for one that makes no sense."""
    own = {name: _declaration(name, settings) for name, settings in config.probes.items()}
    found = usual(
        models=_models(config), judge=config.scoring.judge, golden=config.scoring.golden, named=own
    )  # fmt: skip
    owners = {layer: config.owner(layer) for layer in Layer}
    return [checked(one, owners) for one in found]


def tell_desk(desk: Desk) -> Tell:
    """A probe's alarm for the incident desk."""

    async def tell(alarm: Alarm) -> int:
        incident = await desk.external(
            Sign(
                signal=alarm.signal, layer=alarm.layer, title=alarm.title, text=alarm.text, owner=alarm.owner,
                severity=alarm.severity, runbook=alarm.runbook, since_ns=alarm.since_ns, over=alarm.over,
            )
        )  # fmt: skip
        return incident.id if incident is not None else 0

    return tell


def _declaration(name: str, settings: ProbeSettings) -> Declaration:
    said = settings.said
    return Declaration(
        name=name, kind=said.kind, target=said.target, dataset=said.dataset, every_s=settings.every_s,
        usd=said.budget.usd, calls=said.budget.calls, owner=said.owner, action=said.action, severity=said.severity,
        runbook=said.runbook, on=said.enabled, options=dict(said.options),
    )  # fmt: skip


def _models(config: Config) -> list[str]:
    """The models that the file's routes ask, without the simulated ones."""
    found: dict[str, None] = {}
    for content in config.routes.values():
        targets: list[Mapping[str, Any]] = content.get("targets", [])
        for ref in (*(str(target["model"]) for target in targets), *content.get("fallback", ())):
            if not ref.startswith("scripted/"):
                found[ref] = None
    return list(found)

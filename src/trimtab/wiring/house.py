"""The composition root: builds everything once, in order, and takes it down in reverse. No logic lives here."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.config import Config
from trimtab.core import Layer, now_ns
from trimtab.evals import Online
from trimtab.gateway import Gateway, Keys
from trimtab.incidents import Desk, Loop
from trimtab.knowledge import Corpora
from trimtab.providers import HttpClient, Providers, ProviderSpec, Scripted
from trimtab.registry import Registry
from trimtab.store import Blobs, DataFolder, Metadata, Settings, SpanStore
from trimtab.traces import Recorder
from trimtab.watch import Monitor, Vendors, Watch, default_monitors

from .defaults import CONTENT_CHECKS, register_defaults, seat_admin
from .replaying import make_replay


@dataclass(kw_only=True)
class House:
    """Every room, built. ``close`` drains what was accepted before it returns."""

    config: Config
    folder: DataFolder
    metadata: Metadata
    settings: Settings
    spans: SpanStore
    registry: Registry
    keys: Keys
    corpora: Corpora
    http: HttpClient
    scripted: Scripted
    providers: Providers
    recorder: Recorder
    gateway: Gateway
    online: Online
    watch: Watch
    desk: Desk
    loop: Loop
    clock: Callable[[], int] = now_ns
    started_ns: int = field(default_factory=now_ns)
    first_key: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()

    @property
    def admin_required(self) -> bool:
        """Whether pages and the control API ask for an admin key."""
        return not self.config.loopback

    def authenticate_admin(self, secret: str) -> bool:
        """Whether ``secret`` is the secret of a live admin key."""
        return self.keys.is_admin(secret)

    async def close(self) -> None:
        """Stop the chores, commit what is queued, release the folder."""
        await self.loop.stop()
        await self.http.close()
        self.spans.close()
        self.metadata.close()
        self.folder.close()


async def build(config: Config) -> House:
    """Open the data folder and build the house.

    Raises Conflict when another process has the folder, ConfigError or BadInput on bad settings; what was opened by
    then is closed again.
    """
    with ExitStack() as opened:
        folder = opened.enter_context(closing(DataFolder.open(Path(config.data))))
        metadata = opened.enter_context(closing(Metadata.open(folder.metadata_path)))
        spans = opened.enter_context(closing(SpanStore.open(folder.spans_path)))
        house = await _furnish(config, folder, metadata, spans)
        opened.pop_all()
    return house


async def _furnish(config: Config, folder: DataFolder, metadata: Metadata, spans: SpanStore) -> House:
    registry = await Registry.load(metadata, checks=CONTENT_CHECKS)
    keys = await Keys.load(metadata)
    http, scripted = HttpClient(), Scripted()
    providers = Providers(_specs(config), http=http, scripted=scripted)
    corpora = Corpora(registry, Blobs(metadata))
    recorder = Recorder(spans)
    gateway = Gateway(registry=registry, keys=keys, corpora=corpora, providers=providers, recorder=recorder)
    await register_defaults(registry, config)
    first_key = await seat_admin(keys, config)
    online = _online(config, registry, gateway)
    watch = Watch(
        _monitors(config), reference=config.watching.reference, false_alarms_per=config.watching.false_alarms_per
    )
    desk = Desk(
        metadata=metadata, registry=registry, store=spans, watch=watch, replay=make_replay(gateway, online, registry)
    )
    settings = Settings(metadata)
    loop = Loop(
        store=spans, settings=settings, online=online, watch=watch, vendors=Vendors(), registry=registry, desk=desk
    )
    await loop.start()
    # What a crash interrupted is taken up once the baselines are back.
    await desk.load()
    return House(
        config=config, folder=folder, metadata=metadata, settings=settings, spans=spans, registry=registry, keys=keys,
        corpora=corpora, http=http, scripted=scripted, providers=providers, recorder=recorder, gateway=gateway,
        online=online, watch=watch, desk=desk, loop=loop, first_key=first_key,
    )  # fmt: skip


def _specs(config: Config) -> dict[str, ProviderSpec]:
    specs = {
        name: ProviderSpec(kind=p.kind, base_url=p.base_url, api_key=p.api_key) for name, p in config.providers.items()
    }
    return {"scripted": ProviderSpec(kind="scripted"), **specs}


def _online(config: Config, registry: Registry, gateway: Gateway) -> Online:
    scoring = config.scoring
    return Online(
        registry=registry,
        model_of=gateway.as_model,
        judge=scoring.judge,
        sample=scoring.sample,
        golden=scoring.golden,
        golden_rate=scoring.golden_rate,
        rng=random.Random().random,
        clock=now_ns,
    )


def _monitors(config: Config) -> list[Monitor]:
    """The monitors that exist without configuration, those of the file in place of the defaults for the same signal."""
    own = [
        Monitor(name=m.name, signal=m.signal, owner=m.owner, action=m.action, severity=m.severity, runbook=m.runbook)
        for m in config.monitors
    ]
    taken = {monitor.signal for monitor in own}

    def owner_of(layer: Layer | None) -> str:
        return config.owner(layer)

    return own + [monitor for monitor in default_monitors(owner_of) if monitor.signal not in taken]

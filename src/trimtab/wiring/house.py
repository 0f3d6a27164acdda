"""The composition root: builds everything once, in order, and takes it down in reverse. No logic lives here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from trimtab.config import Config
from trimtab.core import Layer, now_ns
from trimtab.evals import Online, Reports, Runs, load_scorers
from trimtab.gateway import BreakerLog, Gateway, Keys, RouteHealth, together
from trimtab.guard import BudgetCheck
from trimtab.guard.dialogue.conversations import Conversations
from trimtab.guard.pins import ToolPins
from trimtab.guard.untrusted import orders_in
from trimtab.incidents import Desk, Loop, Pager
from trimtab.knowledge import Corpora
from trimtab.probes import Probes
from trimtab.providers import HttpClient, Providers, ProviderSpec, Scripted
from trimtab.registry import Registry
from trimtab.review import Reviews
from trimtab.rollouts import Controller
from trimtab.store import Blobs, DataFolder, Metadata, Settings, Spans, open_spans
from trimtab.traces import Recorder
from trimtab.watch import Monitor, MonitorBook, Vendors, Watch, default_monitors
from trimtab.workers import CONTROL, Switchboard, figures_of, socket_path

from .defaults import CONTENT_CHECKS, register_defaults, seat_admin
from .guarding import Guarding, make_guarding, policy_of_route, warm
from .loop_lag import LoopLag
from .paging import start_pager
from .pricing import set_prices
from .probing import declared_in, start_probes
from .replaying import make_replay
from .scoring import make_online
from .telemetry import Beside, Telemetry, make_mask, start_telemetry
from .tenancy import Tenancy, make_handles, make_tenancy
from .trying import make_reviews, make_runs

#: The name of the loop's lag in a worker's report.
LAG = "event_loop_lag_seconds"


@dataclass(kw_only=True)
class House:
    """Every room, built. ``close`` drains what was accepted before it returns."""

    config: Config
    folder: DataFolder
    metadata: Metadata
    settings: Settings
    spans: Spans
    registry: Registry
    keys: Keys
    tenancy: Tenancy
    corpora: Corpora
    http: HttpClient
    scripted: Scripted
    providers: Providers
    recorder: Recorder
    gateway: Gateway
    online: Online
    runs: Runs
    reports: Reports
    reviews: Reviews
    watch: Watch
    monitors: MonitorBook
    desk: Desk
    loop: Loop
    rollouts: Controller
    telemetry: Telemetry
    pager: Pager
    probes: Probes
    guarding: Guarding
    clock: Callable[[], int] = now_ns
    started_ns: int = field(default_factory=now_ns)
    first_key: str = field(default="", repr=False)
    board: Switchboard | None = None
    lag: LoopLag = field(default_factory=LoopLag)
    breakers: BreakerLog = field(default_factory=BreakerLog)
    notes: tuple[str, ...] = ()

    @property
    def admin_required(self) -> bool:
        """Whether pages and the control API ask for an admin key."""
        return not self.config.loopback

    def authenticate_admin(self, secret: str) -> bool:
        """Whether ``secret`` is the secret of a live admin key."""
        return self.keys.is_admin(secret)

    def role_of(self, secret: str) -> str:
        """The role of the live key with this secret; empty when there is none."""
        return self.keys.role_of(secret)

    def owner_of(self, secret: str) -> str:
        """The owner of the live key with this secret; empty when there is none."""
        return self.keys.owner_of(secret)

    @property
    def details(self) -> list[str]:
        """What is not as it should be and does not keep requests from being served, a sentence each."""
        said = [self.tenancy.shared.degraded] if self.tenancy.shared.degraded else []
        if self.tenancy.ledger.failing:
            said.append(
                f"the usage ledger cannot be written ({self.tenancy.ledger.failing}): rows wait in memory, and budgets "
                "asked of for the first time count from nothing"
            )
        said += [note for note in self.online.notes if " rests until " in note]
        for report in self.board.reports() if self.board else ():
            said += [f"worker {report.pid}: {note}" for note in report.notes]
        return said

    @property
    def scoring_note(self) -> str:
        """What a reader of live scores has to know: whose budget is spent, and who sees more than usual."""
        return " ".join(self.online.notes[:5])

    def health(self) -> list[RouteHealth]:
        """The routes as all processes that serve them see them."""
        if self.board is None:
            return self.gateway.health()
        routes = [report.routes for report in self.board.reports()]
        return together([self.gateway.health(), *routes], past=self.board.past.routes)

    def figures(self) -> Mapping[str, float]:
        """What was refused and had to wait since the start, in all processes, and what sampling did."""
        theirs = figures_of([*self.board.reports(), self.board.past]) if self.board else {}
        refused = {name: value + theirs.get(name, 0.0) for name, value in self.gateway.limits.figures().items()}
        sampler = self.telemetry.sampler
        return {
            **refused,
            "texts_kept": float(sum(sampler.kept.values())),
            "texts_dropped": float(sum(sampler.dropped.values())),
        }

    def reaches(self, owner: str) -> bool:
        """Whether an owner of monitors has a channel by which they are told."""
        return bool(self.pager.rota.person(owner).channels)

    def loop_lag(self) -> Mapping[str, float]:
        """Seconds by which the event loops were late at most within the last minute, by kind of process."""
        workers = [report.figures.get(LAG, 0.0) for report in (self.board.reports() if self.board else ())]
        return {"control": self.lag.worst, **({"worker": max(workers)} if workers else {})}

    async def open_line(self) -> None:
        """Let gateway workers call, and tell them what changes. Once only."""
        tenancy = self.tenancy
        board = Switchboard(
            shared=tenancy.shared, ledger=tenancy.ledger, limits=tenancy.limits, spans=self.spans,
            boot=tenancy.boot,
        )  # fmt: skip
        await board.start(socket_path(self.folder.path, CONTROL))
        for changing in (self.keys, tenancy.teams):
            changing.on_change.append(board.tell)
        self.registry.on_change(board.tell_soon)
        self.board = board

    async def open_grpc(self) -> None:
        """Take in telemetry over gRPC too, where the configuration names an address. Raises ConfigError."""
        await self.telemetry.listen(self.config, self.keys.may_ask)

    async def warm(self) -> None:
        """Get ready what the first request would wait for; meanwhile others are served."""
        await warm(self.registry)

    async def close(self) -> None:
        """Stop the chores, commit what is queued, release the folder."""
        await self.lag.stop()
        await self.breakers.stop()
        if self.board is not None:
            await self.board.close()
        await self.telemetry.close()
        await self.probes.stop()
        await self.pager.stop()
        await self.runs.stop()
        await self.rollouts.stop()
        await self.loop.stop()
        await self.registry.stop()
        await self.http.close()
        await self.tenancy.close()
        self.spans.close()
        self.metadata.close()
        self.folder.close()


async def build(config: Config, *, workers: int = 1) -> House:
    """Open the data folder and build the house. ``workers`` is how many processes share the limits.

    Raises Conflict when another process has the folder, ConfigError or BadInput on bad settings; what was opened by
    then is closed again.
    """
    with ExitStack() as opened:
        folder = opened.enter_context(closing(DataFolder.open(Path(config.data))))
        metadata = opened.enter_context(closing(Metadata.open(config.metadata or folder.metadata_path)))
        spans = opened.enter_context(closing(open_spans(config.spans, folder.spans_path)))
        house = await _furnish(config, folder, metadata, spans, workers)
        opened.pop_all()
    return house


async def _furnish(config: Config, folder: DataFolder, metadata: Metadata, spans: Spans, workers: int) -> House:
    declared = declared_in(config)
    registry = await Registry.load(metadata, checks=CONTENT_CHECKS)
    keys = await Keys.load(metadata)
    http, scripted = HttpClient(), Scripted()
    set_prices(config)
    providers = Providers(specs_of(config), http=http, scripted=scripted)
    corpora = Corpora(registry, Blobs(metadata), orders_in)
    settings = Settings(metadata)
    mask = await make_mask(config, settings)
    recorder = Recorder(spans, mask=mask)
    gateway = Gateway(registry=registry, keys=keys, corpora=corpora, providers=providers, recorder=recorder)
    registry.know("models", providers.model)
    tenancy = await make_tenancy(config, metadata, workers=workers)
    gateway.limits = tenancy.limits
    guarding = make_guarding(metadata, registry, spans)
    gateway.approvals = guarding.approvals
    gateway.tool_pins = ToolPins(metadata)
    gateway.conversations, gateway.handles = Conversations(metadata), await make_handles(settings)
    await register_defaults(registry, config)
    budget = BudgetCheck(guarding.measuring)
    registry.before_live("guards", budget)
    registry.before_live("routes", policy_of_route(registry, budget))
    if metadata.shared:
        registry.follow()
    first_key = await seat_admin(keys, config)
    python = load_scorers(config.scoring.python)
    online = await make_online(config, gateway, spans, settings, python)
    defaults, own = _monitors(config)
    watch = Watch(
        [], reference=config.watching.reference, false_alarms_per=config.watching.false_alarms_per,
        recorded=registry.recorded,
    )  # fmt: skip
    monitors = MonitorBook(registry=registry, watch=watch, store=spans, defaults=defaults, file=own)
    online.sampling.evidence = watch.suspicion
    again = make_replay(gateway, online, registry)
    desk = Desk(metadata=metadata, registry=registry, store=spans, watch=watch, replay=again)
    loop = Loop(
        store=spans, settings=settings, online=online, watch=watch, vendors=Vendors(), registry=registry, desk=desk
    )
    desk.acts.rollouts = rollouts = Controller(
        metadata=metadata, registry=registry, store=spans, again=again, judged=bool(online.judge)
    )
    await rollouts.start()
    await loop.start()
    # What a crash interrupted is taken up once the baselines are back, and once rollouts can be paused.
    await desk.load()
    beside = Beside(settings=settings, registry=registry, desk=desk, http=http)
    runs, reports = make_runs(gateway, metadata, folder.path, python, config.scoring.embeddings)
    await runs.start()
    reviews = make_reviews(reports, metadata, registry, spans, desk)
    telemetry = await start_telemetry(config, spans, beside, mask)
    pager = await start_pager(config, metadata, desk, loop, http, store=spans, watch=watch)
    probes = await start_probes(declared, metadata, gateway, corpora, desk, spans)
    return House(
        config=config, folder=folder, metadata=metadata, settings=settings, spans=spans, registry=registry, keys=keys,
        tenancy=tenancy, corpora=corpora, http=http, scripted=scripted, providers=providers, recorder=recorder,
        gateway=gateway, online=online, runs=runs, reports=reports, reviews=reviews, watch=watch, desk=desk, loop=loop,
        rollouts=rollouts, telemetry=telemetry, pager=pager, guarding=guarding, probes=probes,
        monitors=monitors, first_key=first_key,
    )  # fmt: skip


def specs_of(config: Config) -> dict[str, ProviderSpec]:
    """The providers of the configuration, and the simulated one."""
    specs = {
        name: ProviderSpec(
            kind=p.kind,
            base_url=p.base_url,
            api_key=p.api_key,
            api_version=p.api_version,
            headers=p.headers,
            timeout=p.timeout,
        )
        for name, p in config.providers.items()
    }
    return {"scripted": ProviderSpec(kind="scripted"), **specs}


def _monitors(config: Config) -> tuple[list[Monitor], list[Monitor]]:
    """The monitors that exist without configuration, and those of the file."""

    def owner_of(layer: Layer | None) -> str:
        return config.owner(layer)

    return default_monitors(owner_of), [Monitor(**msgspec.to_builtins(monitor)) for monitor in config.monitors]

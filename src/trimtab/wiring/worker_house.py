"""What a gateway worker has: everything on a request's path, and a line to the control process for the rest."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from heapq import nlargest

from trimtab.config import Config
from trimtab.core import now_ns
from trimtab.gateway import Gateway, Keys, Limits, Teams
from trimtab.guard.approvals import Approvals
from trimtab.guard.dialogue.conversations import Conversations
from trimtab.guard.pins import ToolPins
from trimtab.knowledge import Corpora
from trimtab.providers import HttpClient, Providers, Scripted
from trimtab.registry import Registry
from trimtab.store import Blobs, Metadata, Settings, SharedState, Spans, is_served, open_shared, open_spans
from trimtab.traces import Recorder
from trimtab.workers import CONTROL, Link, LinkShared, Report, Sender, socket_path

from .guarding import warm
from .house import LAG, specs_of
from .loop_lag import LoopLag
from .pricing import set_prices
from .telemetry import make_mask
from .tenancy import make_handles, node_of

#: Seconds between two reports to the control process.
REPORT_S = 2.0
#: Routes that a report tells of, those first that were asked most.
ROUTES = 200


@dataclass(kw_only=True)
class WorkerHouse:
    """The rooms of a gateway worker. ``close`` hands over what waits before it returns."""

    config: Config
    metadata: Metadata
    registry: Registry
    keys: Keys
    http: HttpClient
    providers: Providers
    gateway: Gateway
    shared: SharedState
    sender: Sender
    link: Link
    #: The span store, where it is on a server; otherwise spans go to the control process with the rest.
    spans: Spans | None = None
    lag: LoopLag = field(default_factory=LoopLag)
    reporting: asyncio.Task[None] | None = field(default=None, repr=False)
    warming: asyncio.Task[None] | None = field(default=None, repr=False)

    def ready(self) -> None:
        """Requests are accepted from now on: say so, and how it goes, now and then."""
        self.lag.start()
        self.warming = asyncio.create_task(warm(self.registry), name="trimtab-warm")
        self.reporting = asyncio.create_task(self._report(), name="trimtab-worker-report")

    async def close(self) -> None:
        """Let what is ending end, hand over spans and usage, hang up."""
        for task in (self.reporting, self.warming):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.lag.stop()
        await self.gateway.limits.close()
        await self.sender.close()
        if self.spans is not None:
            await asyncio.to_thread(self.spans.close)
        await self.shared.close()
        await self.registry.stop()
        await self.http.close()
        await self.link.close()
        self.metadata.close()

    async def _report(self) -> None:
        while True:
            dropped = self.sender.dropped + (self.spans.dropped if self.spans is not None else 0)
            figures = {"spans_dropped": float(dropped), **self.gateway.limits.figures()}
            figures[LAG] = self.lag.worst
            routes = nlargest(ROUTES, self.gateway.health(), key=lambda route: route.requests)
            notes = (self.shared.degraded,) if self.shared.degraded else ()
            self.link.say(Report(pid=os.getpid(), ready=True, figures=figures, notes=notes, routes=tuple(routes)))
            await asyncio.sleep(REPORT_S)


async def build_worker(config: Config, *, workers: int = 1) -> WorkerHouse:
    """Call the control process of the data folder, and read what a gateway needs.

    Raises Conflict where no control process answers, ConfigError or BadInput on bad settings.
    """
    link = await Link.connect(socket_path(config.data, CONTROL))
    with ExitStack() as opened:
        metadata = opened.enter_context(closing(Metadata.open(config.metadata or config.data / "metadata.db")))
        registry = await Registry.load(metadata)
        keys, teams = await Keys.load(metadata), await Teams.load(metadata)
        http, settings = HttpClient(), Settings(metadata)
        set_prices(config)
        providers = Providers(specs_of(config), http=http, scripted=Scripted())
        sender = Sender(link)
        spans = None
        if is_served(config.spans):
            spans = opened.enter_context(closing(open_spans(config.spans, config.data / "spans")))
        node = node_of(config)
        shared: SharedState = LinkShared(link)
        if config.shared != "memory:":
            shared = open_shared(config.shared, workers=workers, node=node, boot=link.boot)
        gateway = Gateway(
            registry=registry, keys=keys, corpora=Corpora(registry, Blobs(metadata)), providers=providers,
            recorder=Recorder(spans or sender, mask=await make_mask(config, settings)),
        )  # fmt: skip
        gateway.limits = Limits(shared=shared, ledger=sender, teams=teams, clock=now_ns, node=node)
        gateway.limits.start()
        gateway.approvals = Approvals(metadata)
        gateway.tool_pins = ToolPins(metadata)
        gateway.conversations = Conversations(metadata)
        gateway.handles = await make_handles(settings)
        link.on_change += [keys.reload, teams.reload, registry.refresh]
        registry.follow()
        opened.pop_all()
    return WorkerHouse(
        config=config, metadata=metadata, registry=registry, keys=keys, http=http, providers=providers,
        gateway=gateway, shared=shared, sender=sender, link=link, spans=spans,
    )  # fmt: skip

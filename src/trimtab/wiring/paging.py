"""The pager put together from the configuration."""

from __future__ import annotations

from trimtab.config import Config, Paging
from trimtab.incidents import Burner, Channel, Desk, Loop, Pager, Person, Quiet, Rota
from trimtab.providers import HttpClient
from trimtab.store import Metadata, Spans
from trimtab.watch import Watch

#: The watch is alive while it is at most so far behind the traffic.
_ALIVE_LAG_NS = 300 * 10**9


async def start_pager(
    config: Config, metadata: Metadata, desk: Desk, loop: Loop, http: HttpClient, *, store: Spans, watch: Watch
) -> Pager:
    """Start telling people of incidents."""
    base = (config.paging.said.public_url or f"http://{config.host}:{config.port}").rstrip("/")
    pager = Pager(
        metadata=metadata,
        desk=desk,
        rota=rota_of(config.paging),
        http=http,
        link=lambda incident: f"{base}/incidents/{incident}" if incident else base,
        alive=lambda: loop.lag_ns < _ALIVE_LAG_NS,
    )
    pager.burner = Burner(store=store, desk=desk, monitors=lambda: watch.monitors)
    await pager.start()
    return pager


def rota_of(paging: Paging) -> Rota:
    """The configuration's section as the pager knows it."""
    said = paging.said
    return Rota(
        channels={
            name: Channel(name=name, kind=c.kind, url=c.url, key=c.key, to=tuple(c.to), sender=c.sender, user=c.user)
            for name, c in said.channels.items()
        },
        people={
            name: Person(
                name=name,
                channels=tuple(p.channels),
                quiet=Quiet(start=h.start, end=h.end, zone=h.zone) if (h := paging.quiet.get(name)) else None,
                next=p.next,
            )
            for name, p in said.people.items()
        },
        usual=tuple(said.usual),
        escalate_after_s=paging.escalate_after_s,
        heartbeat=said.heartbeat,
        heartbeat_every_s=paging.heartbeat_every_s,
    )

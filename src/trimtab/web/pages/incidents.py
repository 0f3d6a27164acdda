"""The list of incidents: open ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.incidents import LIVE, Incident
from trimtab.web import words
from trimtab.web.banner import detail, headline, signal_title
from trimtab.web.changes import cause_name, layer_of
from trimtab.web.frame import Frame

STATE_CSS = {"open": "bad", "acknowledged": "warn", "mitigated": "ok", "resolved": "ok", "closed": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One incident."""

    incident: Incident
    headline: str
    state_css: str
    sentence: str
    layer: int
    cause: str
    certainty: str
    signal: str
    since: str
    lasted: str
    affected: str


def view(incidents: Sequence[Incident], now_ns: int) -> tuple[Row, ...]:
    """Open ones first and worst first, then the newest."""
    ordered = sorted(incidents, key=lambda i: (i.state not in LIVE, i.severity if i.state in LIVE else 0, -i.opened_ns))
    return tuple(_row(incident, now_ns) for incident in ordered)


def _row(incident: Incident, now_ns: int) -> Row:
    report = incident.report
    cause = incident.cause
    onset = incident.onset_ns or incident.opened_ns
    end = incident.mitigated_ns or incident.closed_ns or now_ns
    return Row(
        incident=incident,
        headline=headline(incident),
        state_css=STATE_CSS.get(incident.state, ""),
        sentence=detail(incident, now_ns),
        layer=layer_of(cause) if cause else incident.layer or 0,
        cause=cause_name(cause) if cause else "not known",
        certainty=report.certainty if report and (cause or report.claimed) else "unknown",
        signal=signal_title(incident.signal),
        since=words.ago(onset, now_ns),
        lasted=words.span_of(onset, end),
        affected=words.count(report.affected) if report else "none yet",
    )


async def incidents(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /incidents``."""
    found = await frame.house.desk.list(limit=200)
    return frame.page(
        request,
        "incidents.html",
        title="Incidents",
        nav="/incidents",
        incidents=found,
        rows=view(found, frame.house.clock()),
        monitors=len(frame.house.watch.monitors),
    )

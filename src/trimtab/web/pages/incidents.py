"""The list of incidents: open ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.incidents import LIVE, STATES, Figures, Incident, figures
from trimtab.web import words
from trimtab.web.banner import detail, headline, signal_title
from trimtab.web.changes import cause_name, layer_of
from trimtab.web.frame import Frame

#: Incidents that are looked through, and days that the report looks back.
MOST, DAYS = 1000, 30
_STEPS = {"detect": "Detected", "attribute": "Attributed", "mitigate": "Mitigated"}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TookRow:
    """How long a step took: the median of ``n`` incidents, and the 95th percentile."""

    title: str
    n: int
    median: str
    p95: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """How many incidents came from a layer (0: no cause known), as a share with its 95 % interval."""

    layer: int
    name: str
    n: int
    share: str
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """What the incidents of some days say."""

    figures: Figures
    took: tuple[TookRow, ...]
    layers: tuple[LayerRow, ...]


def report_of(incidents: Sequence[Incident], now_ns: int) -> ReportView | None:
    """The report on those that opened in the last ``DAYS`` days; None where none did."""
    recent = [incident for incident in incidents if incident.opened_ns >= now_ns - DAYS * 86_400 * words.SECOND]
    if not recent:
        return None
    found = figures(recent)
    return ReportView(
        figures=found,
        took=tuple(
            TookRow(title=title, n=took.n, median=words.duration(took.median_s), p95=words.duration(took.p95_s))
            for name, title in _STEPS.items()
            if (took := found.took[name]).n
        ),
        layers=tuple(
            LayerRow(
                layer=each.layer, name=each.name.capitalize(), n=each.n, width=round(100 * each.share),
                share=f"{each.share:.0%} ({each.low:.0%} to {each.high:.0%})".replace("%", " %"),
            )
            for each in sorted(found.layers, key=lambda each: -each.n)
        ),
    )  # fmt: skip


async def incidents(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /incidents``; ``?state=open`` shows those of one state."""
    found = await frame.house.desk.list(limit=MOST)
    state = request.query_params.get("state", "")
    state = state if state in STATES else ""
    now = frame.house.clock()
    return frame.page(
        request,
        "incidents.html",
        title="Incidents",
        nav="/incidents",
        incidents=found,
        rows=view([i for i in found if state in ("", i.state)][:200], now),
        states=STATES,
        state=state,
        counts=Counter(incident.state for incident in found),
        report=report_of(found, now),
        days=DAYS,
        monitors=len(frame.house.watch.monitors),
    )

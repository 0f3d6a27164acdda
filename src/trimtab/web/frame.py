"""The frame around every page: templates, navigation, clock, counts of what waits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import Filter, Layer, SpanQuery
from trimtab.incidents import LIVE, Incident

from . import words
from .house import House

HERE = Path(__file__).parent
#: The project of Trimtab's own requests (judges, probes), shown only when asked for.
OWN_PROJECT = "trimtab"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An entry of the navigation; ``key`` is pressed after ``g``."""

    name: str
    path: str
    key: str
    group: str


PLACES = (
    Place(name="Stack", path="/", key="s", group="Operate"),
    Place(name="Incidents", path="/incidents", key="i", group="Operate"),
    Place(name="Monitors", path="/monitors", key="m", group="Operate"),
    Place(name="Traces", path="/traces", key="t", group="Operate"),
    Place(name="Dashboards", path="/dashboards", key="d", group="Operate"),
    Place(name="Review", path="/review", key="r", group="Operate"),
    Place(name="Probes", path="/probes", key="b", group="Operate"),
    Place(name="Prompts", path="/prompts", key="p", group="Change"),
    Place(name="Rollouts", path="/rollouts", key="o", group="Change"),
    Place(name="Assets", path="/assets", key="a", group="Change"),
    Place(name="Guard", path="/guard", key="g", group="Change"),
    Place(name="Gateway", path="/gateway", key="w", group="Change"),
    Place(name="Ledger", path="/ledger", key="l", group="Change"),
    Place(name="Evaluations", path="/evals", key="e", group="Prove"),
    Place(name="Judges", path="/evals/judges", key="j", group="Prove"),
)


def template_environment() -> jinja2.Environment:
    """Templates with autoescape always on; a name that is not there is an error, never an empty hole."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "count", "plural", "fixed", "signed", "interval", "percent", "money", "cents", "dollars", "duration", "span_of",
        "ago", "evidence", "pin", "version", "snippet",
    ):  # fmt: skip
        env.filters[name] = getattr(words, name)
    env.globals["places"] = PLACES
    env.globals["layer_title"] = {int(layer): layer.title for layer in Layer}
    env.globals["assets"] = _digest_of_static()
    return env


def _digest_of_static() -> str:
    """Changes when any static file changes, so that browsers may keep them."""
    digest = hashlib.sha256()
    for path in sorted((HERE / "static").rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Frame:
    """Renders pages. ``zone`` is for tests; without it times are the server's local times."""

    def __init__(self, house: House, *, zone: tzinfo | None = None) -> None:
        self.house = house
        self.zone = zone
        self.env = template_environment()
        for name in ("clock", "seconds_clock", "day", "today"):
            self.env.filters[name] = self._in_zone(name)
        self.env.filters["moment"] = lambda ns: words.moment(ns, house.clock(), zone)

    def _in_zone(self, name: str) -> Any:
        function = getattr(words, name)
        return lambda ns: function(ns, self.zone)

    def fragment(self, template: str, **context: Any) -> HTMLResponse:
        """A piece of a page for a live swap; the clock in the top bar comes along."""
        context |= {"now_ns": self.house.clock(), "oob": True}
        return HTMLResponse(self.env.get_template(template).render(context), headers={"vary": "HX-Request"})

    def page(
        self,
        request: Request,
        template: str,
        *,
        title: str,
        nav: str = "",
        incidents: list[Incident] | None = None,
        status: int = 200,
        **context: Any,
    ) -> HTMLResponse:
        """A whole page. ``nav`` is the path of the entry that is current; ``incidents`` gives the count beside it."""
        context.setdefault("now_ns", self.house.clock())
        waiting = sum(incident.state in LIVE for incident in incidents or ())
        html = self.env.get_template(template).render(
            title=title,
            nav=nav,
            waiting=waiting,
            notes=tuple(self.house.notes),
            dropped=self.house.spans.dropped,
            signed_in=self.house.admin_required,
            places=_places(request),
            path=request.url.path,
            **context,
        )
        return HTMLResponse(html, status_code=status, headers={"vary": "HX-Request"})


def _places(request: Request) -> tuple[Place, ...]:
    """The navigation of whoever asks: a member who signed in is here to review, and is shown no closed doors."""
    if request.scope.get("trimtab.role", "") == "member":
        return tuple(place for place in PLACES if place.path == "/review")
    return PLACES


def newest_request() -> SpanQuery:
    """The newest request of an application, not one of Trimtab's own."""
    return SpanQuery(limit=1, filters=(Filter(column="project", op="!=", value=OWN_PROJECT),))


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for the live part only."""
    return request.headers.get("hx-request") == "true"


def actor(request: Request) -> str:
    """Who acts, for the ledger: what the door found out."""
    return str(request.scope.get("trimtab.actor", "") or "operator")

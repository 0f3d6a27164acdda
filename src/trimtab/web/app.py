"""The pages and the control API as one Starlette application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from trimtab.core import TrimtabError

from .frame import HERE, Frame
from .house import House
from .metrics import healthz, metrics, readyz
from .pages import (
    approvals,
    around,
    assets,
    compare,
    coverage,
    dashboards,
    datasets,
    evaldiff,
    evaluations,
    gateway,
    guard,
    incident,
    incident_replay,
    incidents,
    judges,
    keys,
    ledger,
    monitors,
    probes,
    prompts,
    review,
    rollouts,
    sessions,
    stack,
    start,
    trace,
    traces,
)
from .problems import handler
from .security import SecureHeaders

Page = Callable[[Request, Frame], Awaitable[Response]]

PAGES: tuple[tuple[str, str, Page], ...] = (
    ("GET", "/", stack.stack),
    ("GET", "/start", start.start),
    ("GET", "/incidents", incidents.incidents),
    ("GET", "/incidents/{id}", incident.incident_page),
    ("POST", "/incidents/{id}/acknowledge", incident.acknowledge),
    ("POST", "/incidents/{id}/rollback", incident.rollback),
    ("POST", "/incidents/{id}/act", incident.act),
    ("POST", "/incidents/{id}/undo", incident.undo),
    ("POST", "/incidents/{id}/replay", incident_replay.replay),
    ("POST", "/incidents/{id}/notes", incident.note),
    ("POST", "/incidents/{id}/resolve", incident.resolve),
    ("POST", "/incidents/{id}/close", incident.close),
    ("GET", "/monitors", monitors.monitors),
    ("POST", "/monitors", monitors.make),
    ("GET", "/monitors/{name}", monitors.monitor),
    ("POST", "/monitors/{name}/{step}", monitors.step),
    ("GET", "/traces", traces.traces),
    ("GET", "/traces/newer", traces.newer),
    ("GET", "/traces/about", around.around),
    ("GET", "/traces/compare", compare.compare),
    ("GET", "/traces/{id}", trace.trace_page),
    ("GET", "/traces/{id}/flow", trace.flow_page),
    ("GET", "/sessions", sessions.sessions),
    ("GET", "/sessions/{id:path}", sessions.session),
    ("GET", "/dashboards", dashboards.dashboards),
    ("GET", "/dashboards/explore", dashboards.explore),
    ("GET", "/prompts", prompts.prompts),
    ("GET", "/prompts/{name}", prompts.prompt),
    ("POST", "/prompts/{name}/rollback", prompts.rollback),
    ("GET", "/assets", assets.assets),
    ("GET", "/assets/{kind}", assets.assets),
    ("GET", "/assets/{kind}/{name}", assets.asset),
    ("POST", "/assets/{kind}/{name}/rollback", assets.rollback),
    ("GET", "/ledger", ledger.ledger),
    ("POST", "/ledger/{id}/undo", ledger.undo),
    ("GET", "/probes", probes.probes),
    ("GET", "/probes/{name}", probes.probe),
    ("POST", "/probes/{name}/{step}", probes.step),
    ("GET", "/rollouts", rollouts.rollouts),
    ("GET", "/rollouts/{id}", rollouts.rollout_page),
    ("POST", "/rollouts/{id}/{step}", rollouts.step),
    ("GET", "/guard", guard.guards),
    ("GET", "/guard/coverage", coverage.coverage),
    ("GET", "/guard/approvals", approvals.approvals),
    ("POST", "/guard/approvals/{id}", approvals.decide),
    ("GET", "/guard/{name}", guard.guard),
    ("POST", "/guard/{name}/try", guard.try_text),
    ("POST", "/guard/{name}/measure", guard.measure),
    ("POST", "/guard/{name}/wrong", guard.wrong),
    ("GET", "/gateway", gateway.gateway),
    ("GET", "/gateway/keys", keys.new_key),
    ("POST", "/gateway/keys", keys.make_key),
    ("GET", "/gateway/keys/{id}", keys.key),
    ("POST", "/gateway/keys/{id}", keys.change_key),
    ("POST", "/gateway/keys/{id}/{step}", keys.step_key),
    ("GET", "/gateway/team", keys.team),
    ("POST", "/gateway/team", keys.put_team),
    ("POST", "/gateway/team/remove", keys.remove_team),
    ("GET", "/evals", evaluations.evaluations),
    ("GET", "/evals/compare", evaldiff.compare),
    ("GET", "/evals/judges", judges.judges),
    ("GET", "/evals/judges/{name}", judges.judge),
    ("GET", "/evals/datasets/{name}", datasets.dataset),
    ("GET", "/evals/{id}", evaluations.evaluation),
    ("GET", "/review", review.queues),
    ("GET", "/review/{id}", review.item),
    ("GET", "/review/{id}/end", review.end),
    ("GET", "/review/{id}/report", review.report),
    ("GET", "/review/{id}/settle", review.settle_page),
    ("POST", "/review/{id}/{step}", review.step),
    ("GET", "/jump", traces.jump),
    ("GET", "/healthz", healthz),
    ("GET", "/readyz", readyz),
    ("GET", "/metrics", metrics),
)


class Static(StaticFiles):
    """Static files, kept by browsers: pages name them with a digest that changes when they do."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code in (200, 304):
            versioned = b"v=" in scope.get("query_string", b"")
            response.headers["cache-control"] = f"public, max-age={31_536_000 if versioned else 3600}"
        return response


def create_app(house: House, extra_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The whole application: ``extra_routes`` are the rooms' own under /api."""
    frame = Frame(house)
    answer = handler(frame)

    async def icon(request: Request) -> Response:
        return RedirectResponse("/static/icon.svg", status_code=307)

    return Starlette(
        routes=[
            *(Route(path, _bound(page, frame), methods=[method]) for method, path, page in PAGES),
            Route("/favicon.ico", icon),
            Mount("/static", Static(directory=HERE / "static"), name="static"),
            *extra_routes,
        ],
        middleware=[Middleware(SecureHeaders), Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={TrimtabError: answer, HTTPException: answer, Exception: answer},
    )


def _bound(page: Page, frame: Frame) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await page(request, frame)

    return endpoint

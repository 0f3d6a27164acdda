"""What stands in front of the house besides the models: telemetry, pages and the control API, behind one door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from trimtab import __version__, evals, gateway, guard, incidents, probes, registry, review, rollouts, traces
from trimtab.core import Forbidden, Unauthorized
from trimtab.guard.approvals import approval_routes
from trimtab.guard.pins import pin_routes
from trimtab.wiring import House, make_ask

from .app import create_app
from .door import Door
from .openapi import openapi_route
from .problems import problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def front(house: House) -> App:
    """Telemetry, pages and the control API. They are loaded with this module, which ``serving`` does at first use."""
    config = house.config
    receiver = house.telemetry.receiver
    telemetry: dict[str, App] = {"/v1/traces": traces.otlp_app(receiver), "/v1/logs": traces.logs_app(receiver)}
    pages = create_app(house, [*api_routes(house), openapi_route(__version__)])

    async def behind_the_door(scope: Scope, receive: Receive, send: Send) -> None:
        taking = telemetry.get(scope["path"]) if scope["type"] == "http" else None
        if taking is not None:
            if config.loopback or await _has_key(house, scope, receive, send):
                await taking(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return Door(
        behind_the_door,
        loopback=config.loopback,
        port=config.port,
        admin=house.authenticate_admin,
        role=house.role_of,
        owner=house.owner_of,
    )


def api_routes(house: House) -> list[BaseRoute]:
    """The control API: every room's own routes."""
    return [
        *rollouts.routes(house.rollouts, house.registry),
        *registry.routes(house.registry),
        *gateway.routes(house.keys, house.tenancy.teams, house.tenancy.reports),
        *traces.routes(house.spans, mask=house.telemetry.mask),
        *traces.keeping_routes(house.telemetry.erasing, house.telemetry.sampler),
        *evals.case_routes(house.registry, house.spans),
        *incidents.routes(house.desk),
        *incidents.paging_routes(house.pager),
        *incidents.monitor_routes(house.monitors, house.watch, house.desk, house.pager.rota),
        *probes.routes(house.probes),
        *evals.run_routes(house.runs, house.reports),
        *evals.dataset_routes(house.registry),
        *evals.live_routes(house.online, house.spans, evals.Corrections(house.registry, house.reports.known_rates)),
        *review.routes(house.reviews),
        *evals.prompt_routes(evals.PromptTests(house.registry, make_ask(house.gateway))),
        *guard.routes(lambda address: house.registry.resolve(address, kind="guards").version.content),
        *approval_routes(house.guarding.approvals),
        *pin_routes(house.gateway.tool_pins),
        *guard.budget_routes(house.guarding.measuring, house.guarding.wrong),
    ]


async def _has_key(house: House, scope: Scope, receive: Receive, send: Send) -> bool:
    """Whether the request brings a live key that may send; if not, it is answered."""
    try:
        house.keys.may_ask(Request(scope).headers.get("authorization", ""))
    except (Unauthorized, Forbidden) as error:
        refusal = JSONResponse(
            problem(error),
            status_code=error.status,
            headers={"www-authenticate": "Bearer"} if isinstance(error, Unauthorized) else {},
            media_type="application/problem+json",
        )
        await refusal(scope, receive, send)
        return False
    return True

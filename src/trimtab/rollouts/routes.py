"""Rollouts over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, Rollout, actor_of, body_as, whole_number
from trimtab.registry import PRODUCTION, Registry, change_json, may_of

from .book import View
from .controller import Controller
from .decision import passes
from .plan import STAGES, Guard, Plan
from .records import Record

T = TypeVar("T")
STEPS = ("pause", "resume", "share", "abort", "promote")


class NewGuard(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A metric that may not get worse by its margin."""

    metric: str
    margin: float = 0.05
    better: str = "higher"
    weight: float = 1.0


class NewRollout(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that starts a rollout. Without ``stages`` a given ``share`` stays until somebody moves it."""

    kind: str
    name: str
    number: int
    share: float | None = None
    stages: list[float] | None = None
    mode: str = "auto"
    sticky: str = "session"
    label: str = PRODUCTION
    guards: list[NewGuard] = []
    least_s: float = 600.0
    least_answers: int = 50
    holdback: float = 0.05
    hold_s: float = 3600.0
    alpha: float = 0.01
    beta: float = 0.05
    shadow_answers: int = 300
    shadow_usd: float = 1.0
    every_answer: bool = False
    actor: str = ""
    note: str = ""
    override: str = ""

    def plan(self) -> Plan:
        """The plan that it asks for."""
        stages = self.stages if self.stages is not None else (STAGES if self.share is None else ())
        names = (
            "mode", "least_s", "least_answers", "holdback", "hold_s", "alpha", "beta", "shadow_answers", "shadow_usd",
            "every_answer",
        )  # fmt: skip
        guards = tuple(Guard(metric=g.metric, margin=g.margin, better=g.better, weight=g.weight) for g in self.guards)
        return replace(Plan(stages=tuple(stages), guards=guards), **{name: getattr(self, name) for name in names})


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a step by hand; ``share`` is read where the share moves, ``note`` is an older name of ``reason``."""

    share: float | None = None
    actor: str = ""
    reason: str = ""
    note: str = ""
    override: str = ""


def routes(controller: Controller, registry: Registry) -> list[Route]:
    """The rollouts' part of the control API."""

    async def listed(request: Request) -> Response:
        running = request.query_params.get("running", "") in ("1", "true")
        found = registry.rollouts(running=running)[: _limit(request)]
        records = await controller.records([rollout.id for rollout in found])
        return _json({"rollouts": [_line(controller, rollout, records.get(rollout.id)) for rollout in found]})

    async def one(request: Request) -> Response:
        return _json(view_json(await controller.view(request.path_params["id"])))

    async def start(request: Request) -> Response:
        body = await _body(request, NewRollout)
        change = await controller.begin(
            body.kind, body.name, body.number, body.plan(), share=body.share, sticky=body.sticky, label=body.label,
            actor=actor_of(request.scope, body.actor), note=body.note, may=may_of(request, body.override),
        )  # fmt: skip
        return _json(change_json(change), 201)

    async def step(request: Request) -> Response:
        rollout_id, what = request.path_params["id"], request.path_params["step"]
        body = await _body(request, Step)
        actor, reason, hands = actor_of(request.scope, body.actor), body.reason or body.note, controller.by_hand
        match what:
            case "pause" | "resume":
                act = hands.pause if what == "pause" else hands.resume
                await act(rollout_id, actor=actor, reason=reason)
                return _json(view_json(await controller.view(rollout_id)))
            case "share":
                if body.share is None:
                    raise BadInput("The share is missing.", field="share", mend="Give a number from 0 to 1.")
                change = await hands.share(rollout_id, body.share, actor=actor, reason=reason)
            case "abort":
                change = await hands.abort(rollout_id, actor=actor, reason=reason)
            case "promote":
                may = may_of(request, body.override)
                change = await hands.promote(rollout_id, actor=actor, reason=reason, may=may)
            case _:
                raise BadInput(f"{what!r} is not a step.", field="step", mend=f"Use one of {', '.join(STEPS)}.")
        return _json(change_json(change))

    return [
        Route("/api/rollouts", listed, methods=["GET"]),
        Route("/api/rollouts", start, methods=["POST"]),
        Route("/api/rollouts/{id}", one, methods=["GET"]),
        Route("/api/rollouts/{id}/{step}", step, methods=["POST"]),
    ]


def view_json(view: View) -> dict[str, Any]:
    """A rollout with its plan, guards and history."""
    return {
        **asdict(view.rollout),
        "plan": view.record.plan,
        "limits": view.record.limits,
        "paused": view.record.paused,
        "ended_ns": view.record.ended_ns,
        "passes": passes(view.judgements),
        "decision": view.decision,
        "since_ns": view.since_ns,
        "answers": view.answers,
        "second_answers": view.asked,
        "guards": view.judgements,
        "events": view.events,
    }


def _line(controller: Controller, rollout: Rollout, record: Record | None) -> dict[str, Any]:
    decision = controller.standing(rollout.id)
    return {
        **asdict(rollout),
        "mode": record.plan.mode if record else "",
        "paused": record.paused if record else "",
        "ended_ns": record.ended_ns if record else 0,
        "decision": decision.text if decision else "",
    }


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def _body(request: Request, shape: type[T]) -> T:
    return body_as(await request.body(), shape)


def _limit(request: Request) -> int:
    return whole_number(request.query_params, "limit", 200, 1000, least=1)

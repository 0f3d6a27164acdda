"""The registry over HTTP: versions, labels, rollouts, rollback and the ledger. Errors are raised for the web layer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, Change, Version

from .ledger import PRODUCTION, label_of
from .registry import Registry

T = TypeVar("T")


class NewVersion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that registers a version; ``label`` also moves that label onto it."""

    content: dict[str, Any]
    author: str = ""
    note: str = ""
    label: str = ""


class NewLabel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that moves a label; ``expect`` is the number it must stand at."""

    kind: str
    name: str
    number: int
    label: str = PRODUCTION
    actor: str = ""
    note: str = ""
    expect: int | None = None


class NewRollout(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that starts a staged rollout."""

    kind: str
    name: str
    number: int
    share: float
    sticky: str = "session"
    label: str = PRODUCTION
    stages: list[float] = []
    actor: str = ""
    note: str = ""


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a step of a rollout; ``share`` is read where the share moves."""

    share: float | None = None
    actor: str = ""
    note: str = ""


class Back(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that rolls an asset back."""

    kind: str
    name: str
    label: str = PRODUCTION
    actor: str = ""
    note: str = ""


class Seen(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that records an external change."""

    kind: str
    name: str
    after: str
    before: str = ""
    note: str = ""
    share: float = 1.0
    actor: str = ""


def routes(registry: Registry) -> list[Route]:
    """The registry's part of the control API."""
    return [
        *_version_routes(registry),
        *_label_routes(registry),
        *_rollout_routes(registry),
        *_change_routes(registry),
    ]


def _version_routes(registry: Registry) -> list[Route]:
    async def names(request: Request) -> Response:
        kind = request.path_params["kind"]
        assets = [
            {"name": name, "versions": len(registry.versions(kind, name)), "labels": registry.labels(kind, name)}
            for name in registry.names(kind)
        ]
        return _json({"kind": kind, "names": registry.names(kind), "assets": assets})

    async def versions(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        rollout = registry.running(kind, name)
        newest = registry.versions(kind, name)[::-1]
        return _json(
            {
                "kind": kind,
                "name": name,
                "labels": registry.labels(kind, name),
                "rollout": rollout and asdict(rollout),
                "versions": [_version(registry, version) for version in newest[: _limit(request)]],
            }
        )

    async def register(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        body = await _body(request, NewVersion)
        author = _actor(request, body.author)
        version = await registry.register(kind, name, body.content, author=author, note=body.note)
        if body.label:
            await registry.move_label(kind, name, body.label, version.number, actor=author, note=body.note)
        return _json(_version(registry, version), 201)

    async def version(request: Request) -> Response:
        path = request.path_params
        return _json(_version(registry, registry.version(path["kind"], path["name"], path["number"])))

    return [
        Route("/api/versions/{kind}", names, methods=["GET"]),
        Route("/api/versions/{kind}/{name}", versions, methods=["GET"]),
        Route("/api/versions/{kind}/{name}", register, methods=["POST"]),
        Route("/api/versions/{kind}/{name}/{number:int}", version, methods=["GET"]),
    ]


def _label_routes(registry: Registry) -> list[Route]:
    async def labels(request: Request) -> Response:
        kind, name = _asked(request, "kind"), _asked(request, "name")
        registry.versions(kind, name)
        return _json({"kind": kind, "name": name, "labels": registry.labels(kind, name)})

    async def move(request: Request) -> Response:
        body = await _body(request, NewLabel)
        change = await registry.move_label(
            body.kind,
            body.name,
            body.label,
            body.number,
            actor=_actor(request, body.actor),
            note=body.note,
            expect=body.expect,
        )
        return _json(_change(change))

    return [
        Route("/api/labels", labels, methods=["GET"]),
        Route("/api/labels", move, methods=["POST"]),
    ]


def _rollout_routes(registry: Registry) -> list[Route]:
    async def rollouts(request: Request) -> Response:
        running = request.query_params.get("running", "") in ("1", "true")
        return _json({"rollouts": [asdict(r) for r in registry.rollouts(running=running)[: _limit(request)]]})

    async def start(request: Request) -> Response:
        body = await _body(request, NewRollout)
        change = await registry.start_rollout(
            body.kind,
            body.name,
            body.number,
            share=body.share,
            sticky=body.sticky,
            actor=_actor(request, body.actor),
            note=body.note,
            label=body.label,
            stages=body.stages,
        )
        return _json(_change(change), 201)

    async def step(request: Request) -> Response:
        rollout_id, what = request.path_params["id"], request.path_params["step"]
        body = await _body(request, Step)
        actor = _actor(request, body.actor)
        if what == "share":
            if body.share is None:
                raise BadInput("The share is missing.", field="share", mend="Give a number from 0 to 1.")
            change = await registry.set_share(rollout_id, body.share, actor=actor)
        elif what == "promote":
            change = await registry.promote(rollout_id, actor=actor, note=body.note)
        elif what == "abort":
            change = await registry.abort(rollout_id, actor=actor, note=body.note)
        else:
            raise BadInput(f"{what!r} is not a step.", field="step", mend="Use share, promote or abort.")
        return _json(_change(change))

    return [
        Route("/api/rollouts", rollouts, methods=["GET"]),
        Route("/api/rollouts", start, methods=["POST"]),
        Route("/api/rollouts/{id}/{step}", step, methods=["POST"]),
    ]


def _change_routes(registry: Registry) -> list[Route]:
    async def back(request: Request) -> Response:
        body = await _body(request, Back)
        actor = _actor(request, body.actor)
        change = await registry.rollback(body.kind, body.name, actor=actor, note=body.note, label=body.label)
        return _json(_change(change))

    async def changes(request: Request) -> Response:
        found = registry.changes(
            since_ns=_number(request, "since_ns", 0), until_ns=_number(request, "until_ns", 0), limit=_limit(request)
        )
        return _json({"changes": [_change(change) for change in found]})

    async def seen(request: Request) -> Response:
        body = await _body(request, Seen)
        change = await registry.record_external(
            body.kind,
            body.name,
            before=body.before,
            after=body.after,
            note=body.note,
            share=body.share,
            actor=_actor(request, body.actor),
        )
        return _json(_change(change), 201)

    return [
        Route("/api/rollback", back, methods=["POST"]),
        Route("/api/changes", changes, methods=["GET"]),
        Route("/api/changes", seen, methods=["POST"]),
    ]


def _version(registry: Registry, version: Version) -> dict[str, Any]:
    labels = registry.labels(version.kind, version.name)
    at = sorted(label for label, number in labels.items() if number == version.number)
    return {**asdict(version), "pin": version.pin, "address": version.address, "labels": at}


def _change(change: Change) -> dict[str, Any]:
    label = "" if change.action == "external" else label_of(change)
    return {**asdict(change), "layer": int(change.layer), "asset": change.asset, "label": label}


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def _body(request: Request, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused(str(error)) from error


def _refused(message: str) -> BadInput:
    # msgspec ends its message with the path of the field: "Expected `int`, got `str` - at `$.number`".
    what, _, where = message.partition(" - at `$")
    mend = f"Send a JSON object; {where.rstrip('`').lstrip('.') or 'the body'} is what does not fit."
    return BadInput(f"The body does not fit: {what}.", field=where.rstrip("`").lstrip(".") or "body", mend=mend)


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise BadInput(f"The query has no {name}.", field=name, mend=f"Add ?{name}=... to the address.")
    return value


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise BadInput(f"{text[:40]!r} is not a whole number.", field=name, mend="Give digits only.")
    return int(text)


def _limit(request: Request) -> int:
    limit = _number(request, "limit", 200)
    if not 1 <= limit <= 1000:
        raise BadInput(f"The limit {limit} is out of range.", field="limit", mend="Give 1 to 1000.")
    return limit


def _actor(request: Request, said: str) -> str:
    """Who acts: the name that the web layer authenticated, else what the caller says of itself."""
    return str(getattr(request.state, "actor", "") or said or "api")

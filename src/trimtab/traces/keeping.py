"""What is kept and what is let go, over HTTP: one person's data deleted on request, and what sampling left out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, actor_of

from .erasing import Erasing, Erasure, Whose
from .sampling import Sampler

_BODY_LIMIT = 16_384


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """Exactly one of ``user``, ``session`` and ``tag`` (``name=value``)."""

    user: str = ""
    session: str = ""
    tag: str = ""
    dry_run: bool = False
    actor: str = ""


def keeping_routes(erasing: Erasing, sampler: Sampler) -> list[Route]:
    """``DELETE /api/users/{id}/data?dry_run=1``, ``POST`` and ``GET /api/erasures``, ``GET /api/sampling``."""

    async def forget_user(request: Request) -> Response:
        dry = request.query_params.get("dry_run", "")
        if dry not in ("", "0", "1", "true", "false"):
            raise BadInput(f"{dry[:20]!r} is neither yes nor no", field="dry_run", mend="Write dry_run=1.")
        whose = Whose(by="user", value=str(request.path_params["id"]))
        return await answer(request, whose, dry in ("1", "true"), "")

    async def forget(request: Request) -> Response:
        asked = await _read(request)
        return await answer(request, _whose(asked), asked.dry_run, asked.actor)

    async def answer(request: Request, whose: Whose, dry_run: bool, actor: str) -> Response:
        if dry_run:
            return _json(_told(await erasing.preview(whose)))
        done = await erasing.erase(whose, actor=actor_of(request.scope, actor))
        return _json(_told(done), 200 if done.state == "done" else 202)

    async def listed(request: Request) -> Response:
        return _json({"erasures": [_told(erasure) for erasure in erasing.erasures()]})

    async def sampling(request: Request) -> Response:
        rules = sampler.rules
        return _json(
            {
                "share": rules.share,
                "projects": rules.projects,
                "low": rules.low,
                "after_s": rules.after_s,
                "kept": sampler.kept,
                "dropped": sampler.dropped,
            }
        )

    return [
        Route("/api/users/{id:path}/data", forget_user, methods=["DELETE"]),
        Route("/api/erasures", forget, methods=["POST"]),
        Route("/api/erasures", listed, methods=["GET"]),
        Route("/api/sampling", sampling, methods=["GET"]),
    ]


def _whose(asked: _Asked) -> Whose:
    named = [name for name in ("user", "session", "tag") if getattr(asked, name)]
    if len(named) != 1:
        raise BadInput(
            "one of user, session and tag has to be named, and no more", field="user", mend='Send {"user": "..."}.'
        )
    if asked.user:
        return Whose(by="user", value=asked.user)
    if asked.session:
        return Whose(by="session", value=asked.session)
    name, _, value = asked.tag.partition("=")
    if not name or not value:
        raise BadInput(f"{asked.tag[:40]!r} is no tag", field="tag", mend="Write name=value.")
    return Whose(by="tag", name=name, value=value)


async def _read(request: Request) -> _Asked:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _BODY_LIMIT:
            raise BadInput("the body is too large", field="body", mend="Name one user, session or tag.")
    try:
        return msgspec.json.decode(bytes(body), type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the body does not fit: {str(error).partition(' - at `$')[0]}", field="body", mend='Send {"user": "..."}.'
        ) from None


def _told(erasure: Erasure) -> dict[str, Any]:
    return asdict(erasure)


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")

"""Review over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, actor_of, body_as, person_of

from .queue import Plan
from .reviews import Reviews

#: Largest body, in bytes.
MAX_BODY = 1 << 20
WORDS: Mapping[str, float | None] = {"yes": 1.0, "no": 0.0, "cannot tell": None}


def routes(reviews: Reviews) -> list[Route]:
    """``/api/review/queues``: make, list, work through, report, settle and close."""
    desk = _Desk(reviews)
    start = "/api/review/queues"
    paths = (
        ("GET", start, desk.listed), ("POST", start, desk.create), ("GET", f"{start}/{{id}}/next", desk.next),
        ("POST", f"{start}/{{id}}/marks", desk.mark), ("POST", f"{start}/{{id}}/undo", desk.undo),
        ("POST", f"{start}/{{id}}/finish", desk.finish), ("GET", f"{start}/{{id}}/report", desk.report),
        ("POST", f"{start}/{{id}}/settle", desk.settle), ("POST", f"{start}/{{id}}/close", desk.close),
    )  # fmt: skip
    return [Route(path, endpoint, methods=[method]) for method, path, endpoint in paths]


def signed_in(request: Request) -> str:
    """The name of whoever signed in, where the door knows one; else "", and people say who they are.

    A key without an owner tells the door a role and no person: two experts with such keys must not become one reviewer.
    """
    return person_of(request.scope)


class _Desk:
    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    async def listed(self, request: Request) -> Response:
        queues = await self._reviews.log.recent()
        standing = await self._reviews.log.standing([queue.id for queue in queues])
        return _json({"queues": [{**asdict(queue), "standing": standing.get(queue.id, {})} for queue in queues]})

    async def create(self, request: Request) -> Response:
        body = await _body(request)
        actor = actor_of(request.scope, _who(request, body.pop("actor", "")))
        return _json(asdict(await self._reviews.create(Plan.of(body), actor)), 201)

    async def next(self, request: Request) -> Response:
        turn = await self._reviews.turn(_id(request), _who(request, request.query_params.get("who", "")))
        item = turn.item
        shown = {"position": item.position, "slice": item.slice, **item.shown} if item is not None else None
        return _json(
            {"queue": turn.queue.id, "item": shown, "number": turn.number, "owed": turn.owed, "left": turn.left,
             "criteria": [asdict(one) for one in turn.queue.criteria], "finished": turn.finished}
        )  # fmt: skip

    async def mark(self, request: Request) -> Response:
        body = await _body(request)
        who, position = _who(request, body.get("who", "")), _position(body)
        if body.get("skip") is True:
            await self._reviews.skip(_id(request), who, position)
        else:
            shown = body.get("shown_ns", 0)
            await self._reviews.save(
                _id(request), who, position, _verdicts(body), _critique(body),
                shown_ns=shown if isinstance(shown, int) else 0,
            )  # fmt: skip
        return Response(status_code=204)

    async def undo(self, request: Request) -> Response:
        body = await _body(request)
        return _json({"item": await self._reviews.undo(_id(request), _who(request, body.get("who", "")))})

    async def finish(self, request: Request) -> Response:
        body = await _body(request)
        ended = await self._reviews.finish(_id(request), _who(request, body.get("who", "")))
        rows = [
            {"case": item.case, "known": item.known, "known_why": item.known_why, "verdicts": mark.verdicts,
             "critique": mark.critique, "hidden": item.hidden}
            for item, mark in ended.rows
        ]  # fmt: skip
        return _json({"queue": ended.queue.id, "oversight": asdict(ended.oversight), "items": rows})

    async def report(self, request: Request) -> Response:
        return _json(asdict(await self._reviews.report(_id(request))))

    async def settle(self, request: Request) -> Response:
        body = await _body(request)
        who = _who(request, body.get("who", ""))
        if not who:
            raise BadInput("is missing.", field="who", mend="Say who settles it.")
        await self._reviews.settle(_id(request), who, _position(body), _verdicts(body), _critique(body))
        return Response(status_code=204)

    async def close(self, request: Request) -> Response:
        return _json(asdict(await self._reviews.close(_id(request))))


def _who(request: Request, said: object) -> str:
    if not isinstance(said, str) or len(said) > 100:
        raise BadInput("must be a name.", field="who", mend="Give a name of at most 100 characters.")
    return signed_in(request) or said.strip()


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _position(body: Mapping[str, Any]) -> int:
    value = body.get("item")
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInput("must be the number of an item.", field="item", mend="Take its `position`.")
    return value


def _critique(body: Mapping[str, Any]) -> str:
    value = body.get("critique", "")
    if not isinstance(value, str):
        raise BadInput("must be text.", field="critique", mend="Say in a sentence what is wrong.")
    return value


def _verdicts(body: Mapping[str, Any]) -> dict[str, float | None]:
    given = body.get("verdicts")
    if not isinstance(given, Mapping):
        mend = 'Write {"grounded": "yes"}; the words are yes, no and cannot tell.'
        raise BadInput("must be an object.", field="verdicts", mend=mend)
    found: dict[str, float | None] = {}
    for name, word in given.items():
        if word not in WORDS:
            raise BadInput("must be yes, no or cannot tell.", field=f"verdicts.{name[:40]}", mend="Take one.")
        found[name] = WORDS[word]
    return found


async def _body(request: Request) -> dict[str, Any]:
    return body_as(await request.body(), dict, mend="Send one JSON object.", most=MAX_BODY)


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")

"""Keys and teams: made, limited, rotated and disabled by hand. A secret is in one answer, and never again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import BadInput, NotFound, TrimtabError
from trimtab.gateway import ROLES, Key
from trimtab.web.frame import Frame
from trimtab.web.keyform import (
    LIMIT_FIELDS,
    OVERLAPS,
    as_typed,
    read_key_form,
    read_limits_form,
    read_overlap,
    typed_key,
    typed_limits,
)
from trimtab.web.spending import key_row, team_row

#: Days of usage that a key's page adds up.
DAYS = 30


async def new_key(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /gateway/keys``: the empty form; ``?team=NAME`` fills the team in."""
    typed = typed_key(None) | {"team": request.query_params.get("team", "")[:100]}
    return await _key_page(request, frame, None, typed)


async def make_key(request: Request, frame: Frame) -> HTMLResponse:
    """``POST /gateway/keys``: the answer shows the secret, this once."""
    form = await _form(request)
    try:
        key, secret = await frame.house.keys.create(**read_key_form(form))
    except TrimtabError as refused:
        return await _key_page(request, frame, None, as_typed(form, typed_key(None)), refused=refused)
    return await _secret_page(request, frame, key, secret)


async def key(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /gateway/keys/{id}?confirm=disable|rotate``."""
    found = _key_of(request, frame)
    return await _key_page(request, frame, found, typed_key(found))


async def change_key(request: Request, frame: Frame) -> Response:
    """``POST /gateway/keys/{id}``: other limits, owner, team, role or expiry, from the next request on."""
    found, form = _key_of(request, frame), await _form(request)
    try:
        await frame.house.keys.change(found.id, **read_key_form(form, found))
    except NotFound:
        raise
    except TrimtabError as refused:
        return await _key_page(request, frame, found, as_typed(form, typed_key(found)), refused=refused)
    return RedirectResponse(f"/gateway/keys/{found.id}?done=changed", status_code=303)


async def step_key(request: Request, frame: Frame) -> Response:
    """``POST /gateway/keys/{id}/{step}``: rotate, disable or enable."""
    found, step, keys = _key_of(request, frame), str(request.path_params["step"]), frame.house.keys
    if step == "rotate":
        if not found.prefix:
            raise BadInput("The secret of this key comes from the environment.", mend="Change it there, and restart.")
        rotated, secret = await keys.rotate(found.id, overlap_s=read_overlap(await _form(request)))
        return await _secret_page(request, frame, rotated, secret)
    if step not in ("disable", "enable"):
        raise NotFound(f"There is no step {step[:40]!r}.", mend="Go back to the key.")
    await keys.change(found.id, disabled=step == "disable")
    return RedirectResponse(f"/gateway/keys/{found.id}?done={step}d", status_code=303)


async def team(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /gateway/team?name=NAME``; without a name, the form of a new one."""
    name = request.query_params.get("name", "")[:100]
    limits = dict(frame.house.tenancy.teams.list()).get(name, {})
    return await _team_page(request, frame, name, {"name": name, **typed_limits(limits)})


async def put_team(request: Request, frame: Frame) -> Response:
    """``POST /gateway/team`` with ``name`` and limits."""
    form = await _form(request)
    name = str(form.get("name", "")).strip()
    try:
        await frame.house.tenancy.teams.put(name, read_limits_form(form))
    except TrimtabError as refused:
        typed = as_typed(form, {"name": "", **typed_limits({})})
        return await _team_page(request, frame, name, typed, refused=refused)
    return RedirectResponse("/gateway#keys-and", status_code=303)


async def remove_team(request: Request, frame: Frame) -> Response:
    """``POST /gateway/team/remove`` with ``name``: its keys stay, and no limit of the team holds any more."""
    await frame.house.tenancy.teams.remove(str((await _form(request)).get("name", "")))
    return RedirectResponse("/gateway#keys-and", status_code=303)


async def _key_page(
    request: Request, frame: Frame, found: Key | None, typed: Mapping[str, str], *, refused: TrimtabError | None = None
) -> HTMLResponse:
    house, now, row, usage = frame.house, frame.house.clock(), None, None
    if found is not None:
        usage = await house.tenancy.reports.of_key(found, DAYS)
        row = key_row(found, usage["budget"], usage["totals"].get("cost_usd", 0.0), now)
    return frame.page(
        request, "key.html", title=found.name if found else "New key", nav="/gateway", key=found, row=row, usage=usage,
        typed=typed, refused=refused, roles=ROLES, fields=LIMIT_FIELDS, overlaps=OVERLAPS, days=DAYS,
        teams=sorted({name for name, _ in house.tenancy.teams.list()} | {k.team for k in house.keys.list() if k.team}),
        routes=sorted(house.registry.names("routes"))[:100], confirm=request.query_params.get("confirm", ""),
        done=request.query_params.get("done", ""), status=refused.status if refused else 200,
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def _secret_page(request: Request, frame: Frame, found: Key, secret: str) -> HTMLResponse:
    page = frame.page(
        request, "secret.html", title=f"Secret of {found.name}", nav="/gateway", key=found, secret=secret,
        base=str(request.base_url).rstrip("/") + "/v1", incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip
    page.headers["cache-control"] = "no-store"
    return page


async def _team_page(
    request: Request, frame: Frame, name: str, typed: Mapping[str, str], *, refused: TrimtabError | None = None
) -> HTMLResponse:
    house = frame.house
    limits = dict(house.tenancy.teams.list()).get(name)
    row = None
    if limits is not None:
        shown = await house.tenancy.reports.of_team(name, DAYS)
        row = team_row(name, limits, shown["budget"], shown["totals"].get("cost_usd", 0.0), house.clock())
    members = [key for key in house.keys.list() if name and key.team == name]
    return frame.page(
        request, "team.html", title=name or "New team", nav="/gateway", name=name, known=limits is not None, row=row,
        members=members[:200], typed=typed, refused=refused, fields=LIMIT_FIELDS, days=DAYS,
        confirm=request.query_params.get("confirm", ""),
        status=refused.status if refused else 200, incidents=await house.desk.list(limit=50),
    )  # fmt: skip


def _key_of(request: Request, frame: Frame) -> Key:
    """Raises NotFound."""
    return frame.house.keys.get(str(request.path_params["id"]))


async def _form(request: Request) -> Mapping[str, Any]:
    return await request.form()

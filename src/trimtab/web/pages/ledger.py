"""The change ledger: every move of every asset, who, why, for whom, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import LAYER_OF_KIND, Change, Layer, NotFound
from trimtab.registry import label_of, may_of
from trimtab.web.changes import exposure, sentence
from trimtab.web.frame import Frame, actor

PAGE = 100
#: Changes that the registry keeps in memory; older ones are found with the control API.
KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One change. ``undo`` says that nothing came after it, so that it can be taken back."""

    change: Change
    layer: int
    text: str
    label: str
    exposure: str
    href: str
    undo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which changes are shown; empty shows all."""

    layer: str = ""
    asset: str = ""
    actor: str = ""

    def takes(self, change: Change) -> bool:
        """Whether a change is shown."""
        return (
            (not self.layer or self.layer == str(int(change.layer)))
            and self.asset.casefold().strip() in change.asset.casefold()
            and self.actor.casefold().strip() in change.actor.casefold()
        )

    def query(self, **more: str) -> str:
        """The filter as the query of an address."""
        fields = {"layer": self.layer, "asset": self.asset, "actor": self.actor, **more}
        return urlencode({key: value for key, value in fields.items() if value})


def rows(changes: Sequence[Change], wanted: Filter, before: str) -> tuple[tuple[LedgerRow, ...], str]:
    """A page of the changes (newest first) after the change ``before``, and the id with which the next page begins."""
    last: set[tuple[str, str, str]] = set()
    found: list[LedgerRow] = []
    begun = not before
    for change in changes:
        place = (change.kind, change.name, label_of(change))
        newest = change.action != "external" and place not in last
        last |= {place} if change.action != "external" else set()
        if begun and wanted.takes(change):
            if len(found) == PAGE:
                return tuple(found), found[-1].change.id
            found.append(_row(change, newest))
        begun = begun or change.id == before
    return tuple(found), ""


def _row(change: Change, newest: bool) -> LedgerRow:
    registered = change.kind in LAYER_OF_KIND and change.action != "external"
    return LedgerRow(
        change=change,
        layer=int(change.layer),
        text=sentence(change),
        label=label_of(change) if change.action != "external" else "",
        exposure=exposure(change),
        href=f"/assets/{change.kind}/{change.name}" if registered else "",
        undo=newest and change.undo,
    )


async def ledger(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /ledger?layer=3&asset=support&actor=mara&before=chg_...&confirm=chg_...``."""
    query = request.query_params
    wanted = Filter(**{name: query.get(name, "")[:200] for name in ("layer", "asset", "actor")})
    changes = frame.house.registry.changes(limit=KEPT)
    found, following = rows(changes, wanted, query.get("before", ""))
    asked = query.get("confirm", "")
    confirm = next((row for row in found if row.change.id == asked and row.undo), None)
    return frame.page(
        request, "ledger.html", title="Ledger", nav="/ledger", rows=found, wanted=wanted, confirm=confirm,
        total=sum(wanted.takes(change) for change in changes), layers=[(str(int(n)), n.title) for n in Layer],
        more=wanted.query(before=following) if following else "", here=wanted.query(),
        filtered=bool(wanted.layer or wanted.asset or wanted.actor),
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def undo(request: Request, frame: Frame) -> Response:
    """``POST /ledger/{id}/undo``. Raises Conflict when something came after it."""
    registry, change_id = frame.house.registry, str(request.path_params["id"])
    if not any(change.id == change_id for change in registry.changes(limit=KEPT)):
        raise NotFound(f"There is no change {change_id[:60]!r}.", mend="The ledger shows which there are.")
    await registry.undo(change_id, actor=actor(request), note="from the ledger", may=may_of(request))
    return RedirectResponse("/ledger", status_code=303)

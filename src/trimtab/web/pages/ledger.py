"""The change ledger: every move of every asset, who, why, for whom, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import LAYER_OF_KIND, Change, Layer
from trimtab.registry import Search, label_of, may_of
from trimtab.web.changes import exposure, sentence
from trimtab.web.frame import Frame, actor

PAGE = 100
#: Changes that the registry keeps in memory, by which it is told what was moved last.
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

    def search(self, before: int) -> Search:
        """As the registry is asked for a page that begins after the position ``before`` (0: the first page)."""
        layer = int(self.layer) if self.layer in {str(int(n)) for n in Layer} else 0
        return Search(layer=layer, asset=self.asset.strip(), actor=self.actor.strip(), before=before, limit=PAGE)

    def query(self, **more: str) -> str:
        """The filter as the query of an address."""
        fields = {"layer": self.layer, "asset": self.asset, "actor": self.actor, **more}
        return urlencode({key: value for key, value in fields.items() if value})


def rows(page: Sequence[Change], latest: Iterable[Change]) -> tuple[LedgerRow, ...]:
    """A page of the ledger as rows. ``latest`` are the latest changes, newest first: only the last move of a label can
    be taken back, and one that is so old that they do not hold it is left to the asset's own page."""
    last: dict[tuple[str, str, str], str] = {}
    for change in latest:
        if change.action != "external":
            last.setdefault((change.kind, change.name, label_of(change)), change.id)
    newest = set(last.values())
    return tuple(_row(change, change.id in newest) for change in page)


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
    """``GET /ledger?layer=3&asset=support&actor=mara&before=4711&confirm=chg_...``."""
    query = request.query_params
    wanted = Filter(**{name: query.get(name, "")[:200] for name in ("layer", "asset", "actor")})
    registry, before = frame.house.registry, query.get("before", "")
    search = wanted.search(int(before) if before.isascii() and before.isdigit() and len(before) < 18 else 0)
    page, following = await registry.search(search)
    found = rows(page, registry.changes(limit=KEPT))
    asked = query.get("confirm", "")
    confirm = next((row for row in found if row.change.id == asked and row.undo), None)
    return frame.page(
        request, "ledger.html", title="Ledger", nav="/ledger", rows=found, wanted=wanted, confirm=confirm,
        total=await registry.counted(search), layers=[(str(int(n)), n.title) for n in Layer],
        more=wanted.query(before=str(following)) if following else "", here=wanted.query(),
        filtered=bool(wanted.layer or wanted.asset or wanted.actor),
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def undo(request: Request, frame: Frame) -> Response:
    """``POST /ledger/{id}/undo``. Raises NotFound, and Conflict when something came after it."""
    registry, change_id = frame.house.registry, str(request.path_params["id"])
    await registry.undo(change_id, actor=actor(request), note="from the ledger", may=may_of(request))
    return RedirectResponse("/ledger", status_code=303)

"""Which datasets there are and of which kind, and the golden ones, whose cases nothing else may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, Version
from trimtab.registry import PRODUCTION, Registry

from .dataset import GOLDEN, KINDS, Case, Dataset, cases_of, kind_in

#: Datasets of one list; golden sets that another one is checked against, and their cases.
MAX_ROWS, MAX_GOLDEN, MAX_GOLDEN_CASES = 500, 50, 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """A dataset by its live version, else its newest. ``live`` is the number ``production`` stands at, 0 for none."""

    name: str
    kind: str
    cases: int
    live: int
    versions: int
    changed_ns: int
    note: str


async def dataset_rows(registry: Registry, kind: str = "", limit: int = MAX_ROWS) -> list[DatasetRow]:
    """The datasets by name, those of one kind if asked. Raises BadInput for a kind that is none."""
    wanted = kind_in({"kind": kind})
    rows: list[DatasetRow] = []
    for name in registry.names("datasets"):
        version = await _shown(registry, name)
        found = str(version.content.get("kind", ""))
        if wanted and found != wanted:
            continue
        if len(rows) >= limit:
            break
        newest = registry.versions("datasets", name, newest=1)[-1]
        rows.append(
            DatasetRow(
                name=name, kind=found, cases=len(version.content.get("cases", ())),
                live=registry.labels("datasets", name).get(PRODUCTION, 0), versions=registry.count("datasets", name),
                changed_ns=newest.created_ns, note=newest.note,
            )
        )  # fmt: skip
    return rows


async def kind_now(registry: Registry, name: str) -> str:
    """The kind of a dataset by its live version, else its newest; "" for none. Raises NotFound for no dataset."""
    return str((await _shown(registry, name)).content.get("kind", ""))


async def golden_sets(registry: Registry, but: str = "") -> dict[str, Sequence[Case]]:
    """The cases of the golden sets by "golden set NAME", without one of them; as many as MAX_GOLDEN_CASES."""
    found: dict[str, Sequence[Case]] = {}
    room = MAX_GOLDEN_CASES
    for row in (await dataset_rows(registry, GOLDEN))[:MAX_GOLDEN]:
        if row.name != but and row.cases <= room:
            room -= row.cases
            version = await _shown(registry, row.name)
            found[f"golden set {row.name}"] = await asyncio.to_thread(_cases, row.name, version)
    return found


def _cases(name: str, version: Version) -> Sequence[Case]:
    return Dataset.of(name, cases_of(version.content)).cases


def dataset_routes(registry: Registry) -> list[Route]:
    """``GET /api/evals/datasets?kind=golden&limit=100``."""

    async def listed(request: Request) -> Response:
        asked = request.query_params
        text = asked.get("limit", "") or str(MAX_ROWS)
        if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_ROWS):
            raise BadInput(f"{text[:40]!r} is out of range.", field="limit", mend=f"Give 1 to {MAX_ROWS}.")
        rows = await dataset_rows(registry, asked.get("kind", ""), int(text))
        answer = {"datasets": [asdict(row) for row in rows], "kinds": dict(KINDS)}
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return [Route("/api/evals/datasets", listed, methods=["GET"])]


async def _shown(registry: Registry, name: str) -> Version:
    live = registry.labels("datasets", name).get(PRODUCTION)
    number = live or registry.versions("datasets", name, newest=1)[-1].number
    await registry.ready(f"{name}/{number}", kind="datasets")
    return registry.version("datasets", name, number)

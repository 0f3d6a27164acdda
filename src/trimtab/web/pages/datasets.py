"""A dataset: its cases, what they are kept for, and where they are from."""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import NotFound
from trimtab.evals import KINDS, Case, cases_of, check_cases, golden_sets, kind_in
from trimtab.web.frame import Frame

MOST_CASES = 100
#: Datasets above this size are not looked through for near duplicates while somebody waits for a page.
_MOST_CHECKED = 3_000


def origin(case: Case) -> str:
    """Where a case is from, in a word."""
    return case.origin or ("trace" if case.source_trace else "not said")


async def dataset(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /evals/datasets/{name}?v=3&split=test&q=refund&page=2``."""
    registry, asked = frame.house.registry, request.query_params
    name = str(request.path_params["name"])
    if name not in registry.names("datasets"):
        raise NotFound(f"There is no dataset {name[:100]!r}.", mend="See /assets/datasets.")
    versions, labels = registry.versions("datasets", name), registry.labels("datasets", name)
    number = _number(asked.get("v", "")) or labels.get("production", versions[-1].number)
    version = registry.version("datasets", name, number)
    cases = cases_of(version.content)
    split, text = asked.get("split", ""), asked.get("q", "").strip().lower()
    chosen = [
        case for case in cases
        if (not split or (case.split or "none") == split)
        and (not text or text in f"{case.id} {case.input} {case.expected}".lower())
    ]  # fmt: skip
    page = max(1, _number(asked.get("page", "")))
    checked = None
    if len(cases) <= _MOST_CHECKED:
        golden = await golden_sets(registry, name)
        few = {other: held for other, held in golden.items() if len(held) <= _MOST_CHECKED}
        checked = await asyncio.to_thread(check_cases, cases, held_out=few)
    runs = [r for r in await frame.house.reports.log.recent(limit=50) if r.dataset.rpartition("/")[0] == name][:8]
    return frame.page(
        request, "dataset.html", title=f"Dataset {name}", nav="/evals", name=name, version=version, cases=cases,
        rows=chosen[(page - 1) * MOST_CASES : page * MOST_CASES],
        found=len(chosen), number=page, last=page * MOST_CASES >= len(chosen), split=split, q=asked.get("q", ""),
        splits=Counter(case.split or "none" for case in cases), origins=Counter(origin(case) for case in cases),
        kind=kind_in(version.content), kinds=KINDS, origin=origin, checked=checked, runs=runs,
        label_count=await _labels(frame, name),
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def _labels(frame: Frame, name: str) -> int:
    return len(await frame.house.reports.people.labels(name, limit=10_000))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0

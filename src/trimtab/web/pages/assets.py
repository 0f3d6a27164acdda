"""Assets of every kind: what is live where, which versions there are, how they scored, who uses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import LAYER_OF_KIND, Change, NotFound, Version
from trimtab.registry import PRODUCTION, Difference, difference, may_of
from trimtab.web import standing, words
from trimtab.web.changes import KIND_WORD
from trimtab.web.frame import Frame, actor
from trimtab.web.pages.prompts import text_of

TABS = (("now", "Now"), ("versions", "Versions"), ("scores", "Scores"), ("used", "Used by"))
WINDOWS = (("1h", "1 h", 1), ("24h", "24 h", 24), ("7d", "7 d", 168))
#: Scores read for the table, characters of a content shown.
MOST_SCORES, MOST_TEXT = 8_000, 30_000
HOUR_NS = 3_600 * words.SECOND


async def assets(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /assets`` and ``GET /assets/{kind}?q=text``."""
    registry = frame.house.registry
    kind = str(request.path_params.get("kind", ""))
    if kind:
        _known(kind)
    query = request.query_params.get("q", "")[:200]
    rows, total = standing.asset_rows(registry, [kind] if kind else standing.KINDS, query)
    counts = standing.counts(registry)
    return frame.page(
        request, "assets.html", title=standing.TITLES.get(kind, "Assets"), nav="/assets", rows=rows, total=total,
        kind=kind, query=query, titles=standing.TITLES, kind_word=KIND_WORD,
        kinds=[(k, standing.TITLES[k], counts[k]) for k in standing.KINDS if counts[k] or k == kind],
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def asset(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /assets/{kind}/{name}?tab=now|versions|scores|used&v=3&against=2&w=24h&confirm=rollback``."""
    registry = frame.house.registry
    kind, name = str(request.path_params["kind"]), str(request.path_params["name"])
    _known(kind)
    if name not in registry.names(kind):
        raise NotFound(f"There is no {KIND_WORD[kind]} {name[:100]!r}.", mend="The list shows which there are.")
    tab = request.query_params.get("tab", "now")
    tab = tab if tab in dict(TABS) else "now"
    changes = standing.changes_of(registry, kind, name)
    labels, rollout = registry.labels(kind, name), registry.running(kind, name)
    live = labels.get(PRODUCTION) or registry.count(kind, name)
    target = standing.back_to(registry, kind, name, changes)
    shown: dict[str, Any] = {
        "kind": kind, "name": name, "layer": int(LAYER_OF_KIND[kind]), "tab": tab, "tabs": TABS,
        "title_of_kind": standing.TITLES[kind], "word": KIND_WORD[kind], "words": KIND_WORD,
        "labels": sorted(labels.items()),
        "rollout": rollout, "live": live, "count": registry.count(kind, name), "back_to": target,
        "back_effect": _effect(name, labels.get(PRODUCTION, 0), rollout is not None, target),
    }  # fmt: skip
    if tab == "versions":
        shown |= await _versions(request, frame, kind, name, live)
    elif tab == "scores":
        shown |= await _scores(request, frame, kind, name, changes)
    elif tab == "used":
        version = await _version(frame, kind, name, live)
        shown |= {"users": standing.users_of(registry, kind, name), "uses": standing.uses_of(registry, version)}
    else:
        shown |= await _now(frame, kind, name, live, changes)
    return frame.page(
        request, "asset.html", title=f"{KIND_WORD[kind].capitalize()} {name}", nav="/assets", a=shown,
        confirm=request.query_params.get("confirm", ""), incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def rollback(request: Request, frame: Frame) -> Response:
    """``POST /assets/{kind}/{name}/rollback``: end the running rollout, or take production's last move back."""
    kind, name = str(request.path_params["kind"]), str(request.path_params["name"])
    _known(kind)
    await frame.house.registry.rollback(
        kind, name, actor=actor(request), note="from the asset's page", may=may_of(request)
    )
    return RedirectResponse(f"/assets/{kind}/{name}", status_code=303)


def _known(kind: str) -> None:
    if kind not in LAYER_OF_KIND:
        there = ", ".join(standing.KINDS)
        raise NotFound(f"There is no kind of asset {kind[:60]!r}.", field="kind", mend=f"There is {there}.")


def _effect(name: str, live: int, rolling: bool, target: int) -> str:
    if rolling:
        return f"the rollout of {name} ends; v{target} for all"
    return f"label {PRODUCTION} of {name}: v{live} to v{target}, for all"


async def _version(frame: Frame, kind: str, name: str, number: int) -> Version:
    """One version with its content in memory. Raises NotFound."""
    await frame.house.registry.ready(f"{name}/{number}", kind=kind)
    return frame.house.registry.version(kind, name, number)


async def _now(frame: Frame, kind: str, name: str, live: int, changes: Sequence[Change]) -> Mapping[str, Any]:
    registry = frame.house.registry
    version = await _version(frame, kind, name, live)
    return {
        "version": version,
        "text": _text(version),
        "label_rows": standing.label_rows(registry, kind, name, changes),
        "gates": (await registry.gates((kind, name), live, 20)),
        "changes": changes[:12],
    }


async def _versions(request: Request, frame: Frame, kind: str, name: str, live: int) -> Mapping[str, Any]:
    registry = frame.house.registry
    rollout = registry.running(kind, name)
    asked = _number(request.query_params.get("v", ""))
    version = await _version(frame, kind, name, asked or (rollout.candidate if rollout else live))
    parent = version.parents[0] if version.parents else version.number - 1
    other = _number(request.query_params.get("against", "")) or parent
    against = await _version(frame, kind, name, other) if other >= 1 and other != version.number else None
    show_text = request.query_params.get("show") == "text" or against is None
    found = Difference()
    if against is not None and not show_text:
        # In a thread, because long texts take long to compare.
        found = await asyncio.to_thread(difference, kind, against.content, version.content)
    labels: dict[int, list[str]] = {}
    for label, number in sorted(registry.labels(kind, name).items()):
        labels.setdefault(number, []).append(label)
    listed = registry.versions(kind, name, newest=standing.MOST_VERSIONS)[::-1]
    return {
        "version": version, "against": against, "show_text": show_text, "text": _text(version),
        "difference": found, "listed": listed, "labels_at": labels,
    }  # fmt: skip


async def _scores(request: Request, frame: Frame, kind: str, name: str, changes: Sequence[Change]) -> Mapping[str, Any]:
    house, now = frame.house, frame.house.clock()
    window = request.query_params.get("w", "24h")
    hours = next((hours for key, _, hours in WINDOWS if key == window), 24)
    since = now - hours * HOUR_NS
    scores = await house.spans.scores(since_ns=since, until_ns=now + 1, limit=MOST_SCORES)
    numbers = sorted({int(pin.rpartition("/")[2]) for s in scores if _is_of(pin := standing.pin_of(s, kind), name)})
    return {
        "scores": standing.score_rows(scores, kind, name, numbers[-6:]), "windows": WINDOWS, "window": window,
        "since_ns": min((score.time_ns for score in scores), default=since) if len(scores) >= MOST_SCORES else since,
        "cut": len(scores) >= MOST_SCORES, "scored": kind not in ("datasets", "monitors"),
    }  # fmt: skip


def _is_of(pin: str, name: str) -> bool:
    asset, _, number = pin.rpartition("/")
    return asset == name and number.isdigit()


def _text(version: Version) -> str:
    if version.kind == "prompts":
        text = text_of(version)
    else:
        text = json.dumps(dict(version.content), indent=2, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n… {len(text) - MOST_TEXT:,} characters more"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0

"""Prompts: what is live, what is rolling out, is it worse?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import Change, NotFound, Rollout, Score, Version
from trimtab.watch import SCORED
from trimtab.web import standing, words
from trimtab.web.frame import Frame, actor
from trimtab.web.textdiff import Difference, difference

LABEL = "production"
#: Scores read for the table, the newest ones.
MOST_SCORES = 8_000
HOUR_NS = 3_600 * words.SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A line of the versions list."""

    number: int
    tags: tuple[tuple[str, str], ...]
    created_ns: int
    note: str
    author: str
    current: bool
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptView:
    """Everything the template draws."""

    name: str
    address: str
    version: Version
    against: Version | None
    versions: tuple[VersionRow, ...]
    mode: str
    text: str
    diff: Difference | None
    labels: tuple[tuple[str, int], ...]
    rollout: Rollout | None
    stages: tuple[tuple[str, str, str], ...]
    scores: tuple[standing.ScoreRow, ...]
    scored_since_ns: int
    back_to: int
    back_effect: str
    changes: tuple[Change, ...]


def text_of(version: Version) -> str:
    """A version as text: each message under its role, then variables and whatever else it pins."""
    content = version.content
    parts: list[str] = []
    messages = content.get("messages")
    for message in messages if isinstance(messages, Sequence) and not isinstance(messages, str) else ():
        if isinstance(message, Mapping):
            parts += [f"# {message.get('role', 'message')}", str(message.get("content", "")), ""]
    rest = {key: value for key, value in content.items() if key != "messages"}
    if rest:
        parts += ["# settings", json.dumps(rest, indent=2, sort_keys=True, ensure_ascii=False)]
    return "\n".join(parts).rstrip()


def version_rows(
    versions: Sequence[Version], labels: Mapping[str, int], rollout: Rollout | None, shown: int, name: str
) -> tuple[VersionRow, ...]:
    """Newest first, each with what it is now."""
    rows = []
    for version in reversed(versions):
        tags = []
        if rollout is not None and version.number == rollout.candidate:
            tags.append((f"{words.percent(rollout.share)} rollout", "warn"))
        for label, number in labels.items():
            if number == version.number:
                rest = rollout is not None and rollout.label == label
                tags.append((f"{label} {words.percent(1 - rollout.share)}" if rest and rollout else label, "on"))
        rows.append(
            VersionRow(
                number=version.number, tags=tuple(tags) or (("no label", ""),), created_ns=version.created_ns,
                note=version.note, author=version.author, current=version.number == shown,
                href=f"/prompts/{name}?v={version.number}",
            )
        )  # fmt: skip
    return tuple(rows)


def stages(rollout: Rollout) -> tuple[tuple[str, str, str], ...]:
    """(share, state in words, class) of every stage; a share outside the plan stands in its place."""
    steps = sorted({*rollout.stages, rollout.share, 1.0})
    return tuple(
        (
            words.percent(step),
            "now" if step == rollout.share else "done" if step < rollout.share else "to come",
            "now-step" if step == rollout.share else "done" if step < rollout.share else "",
        )
        for step in steps
    )


async def prompts(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /prompts``."""
    registry = frame.house.registry
    rows = []
    for name in registry.names("prompts"):
        versions = registry.versions("prompts", name)
        rollout = registry.running("prompts", name)
        changes = (c for c in registry.changes(limit=1000) if c.kind == "prompts" and c.name == name)
        rows.append(
            {"name": name, "labels": registry.labels("prompts", name), "versions": len(versions), "rollout": rollout,
             "newest": versions[-1], "change": next(changes, None)}
        )  # fmt: skip
    return frame.page(
        request, "prompts.html", title="Prompts", nav="/prompts", rows=rows,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def collect(frame: Frame, request: Request, scores: Sequence[Score], since_ns: int) -> PromptView:
    """The view of one prompt. Raises NotFound for a prompt or version that is not there."""
    registry, name = frame.house.registry, str(request.path_params["name"])
    versions = registry.versions("prompts", name)
    labels, rollout = registry.labels("prompts", name), registry.running("prompts", name)
    asked = _number(request.query_params.get("v", ""))
    fallback = rollout.candidate if rollout else labels.get(LABEL, versions[-1].number)
    version = registry.version("prompts", name, asked or fallback)
    every = standing.changes_of(registry, "prompts", name)
    changes = every[:12]
    recent = [_number(pin.rpartition("/")[2]) for c in changes[:1] for pin in (c.before, c.after)]
    # The first version has no earlier one: it is compared with what it took the place of, if anything.
    earlier = version.number - 1 or next((n for n in recent if n and n != version.number), 0)
    other = _number(request.query_params.get("against", "")) or earlier
    against = registry.version("prompts", name, other) if other >= 1 else None
    mode = "text" if request.query_params.get("show") == "text" or against is None else "diff"
    target = standing.back_to(registry, "prompts", name, every)
    signals = [score for score in scores if score.name in SCORED]
    numbers = {labels.get(LABEL, 0), rollout.candidate if rollout else 0, version.number, *recent} - {0}
    return PromptView(
        name=name,
        address=f"prompts:/{name}@{LABEL}",
        version=version,
        against=against,
        versions=version_rows(versions, labels, rollout, version.number, name),
        mode=mode,
        text=text_of(version),
        diff=difference(text_of(against), text_of(version)) if against is not None else None,
        labels=tuple(sorted(labels.items())),
        rollout=rollout,
        stages=stages(rollout) if rollout else (),
        scores=standing.score_rows(signals, "prompts", name, sorted(numbers)),
        scored_since_ns=since_ns,
        back_to=target,
        back_effect=_effect(name, labels, rollout, target),
        changes=changes,
    )


def _effect(name: str, labels: Mapping[str, int], rollout: Rollout | None, target: int) -> str:
    if rollout is not None:
        return (
            f"{name}: v{rollout.candidate} at {words.percent(rollout.share)} of {rollout.sticky}s to v{target} for all"
        )
    return f"label {LABEL} of {name}: v{labels.get(LABEL, 0)} to v{target}, for all"


async def prompt(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /prompts/{name}?v=14&against=13&show=text&confirm=rollback``."""
    house, now = frame.house, frame.house.clock()
    name = str(request.path_params["name"])
    if name not in house.registry.names("prompts"):
        raise NotFound(f"There is no prompt {name[:100]!r}.", mend="The list shows which there are.")
    rollout = house.registry.running("prompts", name)
    since = max(now - 24 * HOUR_NS, rollout.started_ns) if rollout else now - HOUR_NS
    scores = await house.spans.scores(since_ns=since, until_ns=now + 1, limit=MOST_SCORES)
    shown = collect(frame, request, scores, since)
    return frame.page(
        request, "prompt.html", title=f"Prompt {name}", nav="/prompts", view=shown,
        confirm=request.query_params.get("confirm", ""), incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def rollback(request: Request, frame: Frame) -> Response:
    """``POST /prompts/{name}/rollback``: end the running rollout, or take production's last move back."""
    name = str(request.path_params["name"])
    await frame.house.registry.rollback("prompts", name, actor=actor(request), note="from the prompt's page")
    return RedirectResponse(f"/prompts/{name}", status_code=303)

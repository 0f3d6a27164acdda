"""Review: one answer a screen, judged without knowing who made it and what others said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import BadInput, Conflict, NotFound, TrimtabError
from trimtab.review import WORDS, Criterion, Queue, Report, signed_in
from trimtab.stats import Interval
from trimtab.web import words
from trimtab.web.frame import Frame

#: The words of the three keys of a criterion, in their order.
CHOICES = ("yes", "no", "cannot tell")
MOST_TEXT = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A criterion with its keys; ``given`` is what was typed already."""

    field: str
    ask: str
    keys: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A line of the list: how many items everybody owes, has saved and is done with, and ``mine``, the reader's own."""

    queue: Queue
    standing: Mapping[str, Mapping[str, int]]
    mine: Mapping[str, int] | None


def questions(criteria: tuple[Criterion, ...], form: FormData | None = None) -> tuple[Question, ...]:
    """The criteria with the keys 1 to 3, 4 to 6 and 7 to 9."""
    found: list[Question] = []
    for n, criterion in enumerate(criteria):
        field = f"v{n}"
        given = str(form.get(field, "")) if form is not None else ""
        keys = tuple((str(3 * n + m), word, word == given) for m, word in enumerate(CHOICES, 1))
        found.append(Question(field=field, ask=criterion.ask, keys=keys))
    return tuple(found)


def rate(interval: Interval | None) -> str:
    """A rate with its interval, in percent, and n."""
    if interval is None:
        return "not measured"
    low, high = words.fixed(interval.low * 100, 0), words.fixed(interval.high * 100, 0)
    return f"{words.percent(interval.value)} ({low} to {high}), n {words.count(interval.n)}"


def who_of(request: Request, form: FormData | None = None) -> str:
    """The reviewer: whoever signed in, else whom the page's address names."""
    said = str(form.get("who", "")) if form is not None else request.query_params.get("who", "")
    return signed_in(request) or said.strip()[:100]


async def queues(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /review?who=mara``."""
    log, who = frame.house.reviews.log, who_of(request)
    found = await log.recent()
    standing = await log.standing([queue.id for queue in found])
    rows = [
        QueueRow(queue=queue, standing=standing.get(queue.id, {}), mine=standing.get(queue.id, {}).get(who))
        for queue in found
    ]
    rows.sort(key=lambda row: not (row.mine and row.mine["done"] < row.mine["owed"]))
    return frame.page(
        request, "reviews.html", title="Review", nav="/review", rows=rows, who=who, fixed_name=bool(signed_in(request)),
        names=sorted({expert.who for queue in found for expert in queue.experts}), quote=quote,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def item(
    request: Request, frame: Frame, refused: TrimtabError | None = None, form: FormData | None = None
) -> Response:
    """``GET /review/{id}?who=mara``. ``refused``: why what was typed (``form``) was not saved; it is kept."""
    queue_id, who = str(request.path_params["id"]), who_of(request, form)
    turn = await frame.house.reviews.turn(queue_id, who)
    if turn.finished:
        return RedirectResponse(f"/review/{queue_id}/end?who={quote(who)}", status_code=303)
    left = words.duration(turn.seconds * turn.left) if turn.seconds else ""
    return frame.page(
        request, "review.html", title=f"Review {turn.queue.name}", nav="/review", turn=turn, who=who, left=left,
        questions=questions(turn.queue.criteria, form), refused=refused, quote=quote,
        typed=str(form.get("critique", "")) if form is not None else "", shown_ns=frame.house.clock(),
        done_percent=round(100 * (turn.owed - turn.left) / turn.owed), status=refused.status if refused else 200,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def step(request: Request, frame: Frame) -> Response:
    """``POST /review/{id}/{step}``: save, skip, undo or finish. What was typed is kept when it is refused."""
    queue_id, what = str(request.path_params["id"]), str(request.path_params["step"])
    form = await request.form()
    who, reviews = who_of(request, form), frame.house.reviews
    try:
        match what:
            case "save":
                queue = await reviews.log.get(queue_id)
                await reviews.save(
                    queue_id, who, _number(form, "item"), verdicts(queue, form), _text(form),
                    shown_ns=_number(form, "shown_ns"),
                )  # fmt: skip
            case "skip":
                await reviews.skip(queue_id, who, _number(form, "item"))
            case "undo":
                await reviews.undo(queue_id, who)
            case "finish":
                await reviews.finish(queue_id, who)
            case "settle":
                return await _settle(request, frame, queue_id, who, form)
            case _:
                raise NotFound(f"There is no step {what[:40]!r}.", mend="Go back to the queue.")
    except (BadInput, Conflict) as refused:
        return await item(request, frame, refused, form)
    return RedirectResponse(f"/review/{queue_id}?who={quote(who)}", status_code=303)


async def end(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /review/{id}/end?who=mara``: what was planted, and who made what."""
    ended = await frame.house.reviews.ended(str(request.path_params["id"]), who_of(request))
    planted = [(item, mark) for item, mark in ended.rows if item.known]
    work = [(item, mark) for item, mark in ended.rows if not item.known]
    return frame.page(
        request, "review_end.html", title=f"End of {ended.queue.name}", nav="/review", queue=ended.queue,
        oversight=ended.oversight, planted=planted, work=work[:200], more=max(0, len(work) - 200), rate=rate,
        said=_said, incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def report(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /review/{id}/report?who=mara``."""
    queue_id = str(request.path_params["id"])
    queue = await frame.house.reviews.log.get(queue_id)
    found = await frame.house.reviews.report(queue_id)
    return frame.page(
        request, "review_report.html", title=f"Report of {queue.name}", nav="/review", queue=queue, report=found,
        headline=headline(found), rate=rate, kappa=_kappa, who=who_of(request), quote=quote,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


def headline(found: Report) -> str:
    """Whether these people may be relied on, in a sentence."""
    if not any(person.finished for person in found.people):
        return "Nobody has finished yet"
    return "Everybody who finished may be relied on" if found.reliable else "This oversight is too weak to rely on"


async def settle_page(
    request: Request, frame: Frame, refused: TrimtabError | None = None, form: FormData | None = None
) -> HTMLResponse:
    """``GET /review/{id}/settle?who=ilse``: the next item on which people differ, with what each said."""
    queue_id, who = str(request.path_params["id"]), who_of(request, form)
    queue = await frame.house.reviews.log.get(queue_id)
    return frame.page(
        request, "review_settle.html", title=f"Settle {queue.name}", nav="/review", queue=queue, who=who,
        dispute=await frame.house.reviews.dispute(queue_id), questions=questions(queue.criteria, form),
        refused=refused, typed=str(form.get("critique", "")) if form is not None else "", said=_said, quote=quote,
        fixed_name=bool(signed_in(request)), status=refused.status if refused else 200,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def _settle(request: Request, frame: Frame, queue_id: str, who: str, form: FormData) -> Response:
    queue = await frame.house.reviews.log.get(queue_id)
    try:
        if not who:
            raise BadInput("is missing.", field="who", mend="Say who settles it.")
        await frame.house.reviews.settle(queue_id, who, _number(form, "item"), verdicts(queue, form), _text(form))
    except (BadInput, Conflict) as refused:
        return await settle_page(request, frame, refused, form)
    return RedirectResponse(f"/review/{queue_id}/settle?who={quote(who)}", status_code=303)


def verdicts(queue: Queue, form: FormData) -> dict[str, float | None]:
    """What was ticked, by criterion; a criterion without a tick is left out. Raises BadInput for another word."""
    found: dict[str, float | None] = {}
    for n, criterion in enumerate(queue.criteria):
        word = str(form.get(f"v{n}", ""))
        if word and word not in WORDS:
            raise BadInput("must be yes, no or cannot tell.", field=criterion.name or "verdict", mend="Take one.")
        if word:
            found[criterion.name] = WORDS[word]
    return found


def _said(queue: Queue, given: dict[str, float | None]) -> str:
    names = {1.0: "yes", 0.0: "no", None: "cannot tell"}
    several = len(queue.criteria) > 1
    return ", ".join(f"{name}: {names[value]}" if several and name else names[value] for name, value in given.items())


def _kappa(interval: Interval | None) -> str:
    if interval is None:
        return "none"
    if interval.low == interval.high:  # every item was of one kind: an interval cannot be had
        return words.fixed(interval.value)
    return f"{words.fixed(interval.value)} ({words.interval(interval.low, interval.high)})"


def _text(form: FormData) -> str:
    return str(form.get("critique", ""))


def _number(form: FormData, name: str) -> int:
    text = str(form.get(name, ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0

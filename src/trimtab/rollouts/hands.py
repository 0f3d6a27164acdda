"""What people do to a rollout: pause, resume, share, abort, promote. The machine's steps are in the controller."""

from __future__ import annotations

from trimtab.core import BadInput, Change, Conflict
from trimtab.registry import May

from .book import Book
from .decision import passes
from .feed import Run
from .judging import Judgement
from .sentences import harmed, percent, undecided

#: A reason that somebody else can follow.
MIN_REASON = 3


class Hands:
    """Steps by hand. Each raises NotFound for a rollout that is not there and Conflict for one that has ended."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def pause(self, rollout_id: str, *, actor: str, reason: str = "") -> None:
        """Keep the share where it is. Shown harm still ends the rollout. Raises Conflict when it is paused already."""
        async with self._book.lock:
            run = self._run(rollout_id)
            if run.paused:
                raise Conflict(f"It is paused {run.paused}.", field="rollout", mend="Resume it.")
            run.paused = f"by {actor}" + (f": {reason}" if reason else "")
            event = self._book.event("pause", actor, reason or "Paused.", run.rollout.share)
            await self._book.records.note(rollout_id, event, paused=run.paused)

    async def resume(self, rollout_id: str, *, actor: str, reason: str = "") -> None:
        """Go on by the plan. Raises Conflict when it is not paused."""
        async with self._book.lock:
            run = self._run(rollout_id)
            if not run.paused:
                raise Conflict("It is not paused.", field="rollout", mend="There is nothing to resume.")
            run.paused = ""
            event = self._book.event("resume", actor, reason or "Resumed.", run.rollout.share)
            await self._book.records.note(rollout_id, event, paused="")

    async def share(self, rollout_id: str, share: float, *, actor: str, reason: str = "") -> Change:
        """Move the share. Raises BadInput for a share that is none, and without a reason for more exposure to harm."""
        async with self._book.lock:
            run = self._run(rollout_id)
            _, judgements = self._book.decision(run)
            worse = [j for j in judgements if j.state == "harm"]
            if worse and share > run.rollout.share:
                _need(reason, f"{'; '.join(harmed(j) for j in worse)}. More of it")
            text = reason or f"From {percent(run.rollout.share)} to {percent(share)} by hand."
            return await self._book.share(run, share, actor, text, action="share")

    async def abort(self, rollout_id: str, *, actor: str, reason: str = "") -> Change:
        """Everybody back on the base version, with the next request."""
        async with self._book.lock:
            run = self._run(rollout_id)
            text = reason or "Aborted by hand."
            change = await self._book.registry.abort(rollout_id, actor=actor, note=text)
            await self._book.end(run, change, self._book.event("abort", actor, text, 0.0))
            return change

    async def promote(self, rollout_id: str, *, actor: str, reason: str = "", may: May | None = None) -> Change:
        """The candidate for everybody. Raises BadInput where the test has not passed and no reason is written, and
        Forbidden where the label is protected."""
        async with self._book.lock:
            run = self._run(rollout_id)
            judgements = run.test.judgements(1.0)
            text = reason or "Every guard has passed."
            if not passes(judgements):
                why = _open(judgements)
                _need(reason, f"{why} Promoting it all the same")
                text = f"Past a test that has not passed: {reason} ({why.rstrip('.')})"
            change = await self._book.registry.promote(rollout_id, actor=actor, note=text, may=may)
            await self._book.end(run, change, self._book.event("promote", actor, text, 1.0))
            return change

    def _run(self, rollout_id: str) -> Run:
        run = self._book.runs.get(rollout_id)
        rollout = self._book.registry.rollout(rollout_id)
        if rollout.state != "running":
            mend = "Start a new rollout."
            raise Conflict(f"Rollout {rollout_id} was {rollout.state} already.", field="rollout", mend=mend)
        if run is None:
            mend = "Try again in a second: it was started just now."
            raise Conflict(f"Rollout {rollout_id} is not judged yet.", field="rollout", mend=mend)
        return run


def _open(judgements: tuple[Judgement, ...]) -> str:
    """Why a test has not passed."""
    said = [harmed(j) for j in judgements if j.state == "harm"]
    said += [undecided(j) for j in judgements if j.state == "undecided" or (j.state == "not_measured" and j.named)]
    text = "; ".join(said) or "no guard was measured"
    return f"{text[0].upper()}{text[1:]}."


def _need(reason: str, what: str) -> None:
    if len(reason.strip()) < MIN_REASON:
        raise BadInput(f"{what} needs a reason.", field="reason", mend="Write why; it is kept in the ledger.")

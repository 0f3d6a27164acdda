"""The desk of review: queues are made, people work through them without knowing what others said, labels land."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.core import BadInput, Conflict, NotFound, Score, Stamp, new_id, now_ns
from trimtab.evals import Label, People
from trimtab.store import Spans

from .assigning import assign
from .gathering import Gathering
from .queue import (
    MAX_CRITIQUE,
    NO,
    SAVED,
    SETTLE,
    SKIPPED,
    WAITING,
    YES,
    Item,
    Mark,
    Plan,
    Queue,
)
from .records import ReviewLog
from .report import Oversight, Report, disputes, oversight_of, report


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a person is asked now. ``item`` is None when nothing waits any more; ``number`` counts from 1."""

    queue: Queue
    item: Item | None
    number: int
    owed: int
    left: int
    seconds: float | None
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A person's batch after its end: each item with what they said, planted ones with the truth."""

    queue: Queue
    rows: tuple[tuple[Item, Mark], ...]
    oversight: Oversight


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """An item on which people differ, with what each of them said; the next one of ``left``."""

    item: Item
    said: tuple[Mark, ...]
    left: int


class Reviews:
    """Queues of one server. ``clock`` gives nanoseconds UTC."""

    def __init__(
        self, log: ReviewLog, gathering: Gathering, people: People, spans: Spans, *, clock: Callable[[], int] = now_ns
    ) -> None:
        self.log = log
        self._gathering = gathering
        self._people = people
        self._spans = spans
        self._clock = clock

    async def create(self, plan: Plan, actor: str) -> Queue:
        """A queue with its items handed out. Raises BadInput naming the field, NotFound."""
        work, place = await self._gathering(plan.source)
        planted = self._gathering.planted(plan.planted, plan.plant)
        queue_id = new_id("rev")
        mixed = [*work, *planted]
        random.Random(queue_id).shuffle(mixed)
        items = [replace(item, position=position) for position, item in enumerate(mixed)]
        queue = Queue(
            id=queue_id, name=plan.name, dataset=plan.dataset or place or plan.name, criteria=plan.criteria,
            experts=plan.experts, note=plan.note, actor=actor, time_ns=self._clock(),
        )  # fmt: skip
        marks = assign(items, plan.experts, overlap=min(plan.overlap, len(plan.experts)), seed=queue_id)
        await self.log.add(queue, items, marks)
        return queue

    async def turn(self, queue_id: str, who: str) -> Turn:
        """The item that is a person's turn. Raises NotFound for somebody who is not asked."""
        queue = await self.log.get(queue_id)
        marks = await self._own(queue, who)
        waiting = [mark for mark in marks if mark.state == WAITING and not mark.done_ns]
        item = await self.log.item(queue_id, waiting[0].position) if waiting else None
        return Turn(
            queue=queue, item=item, number=len(marks) - len(waiting) + 1, owed=len(marks), left=len(waiting),
            seconds=oversight_of(who, (), marks).seconds, finished=all(mark.done_ns for mark in marks),
        )  # fmt: skip

    async def save(
        self, queue_id: str, who: str, position: int, verdicts: Mapping[str, float | None], critique: str = "",
        *, shown_ns: int = 0,
    ) -> None:  # fmt: skip
        """What a person says of an item. A "no" needs a critique: without the reason nobody can learn from it.

        Raises BadInput for a criterion that lacks its verdict or a "no" without its reason, Conflict for an item that
        is not theirs or a batch that has ended.
        """
        queue = await self.log.get(queue_id)
        said, text = checked(queue, verdicts, critique)
        now = self._clock()
        mark = Mark(
            position=position, reviewer=who, state=SAVED, verdicts=said, critique=text,
            shown_ns=shown_ns if 0 < shown_ns <= now else 0, saved_ns=now,
        )  # fmt: skip
        await self.log.put(queue_id, mark)

    async def skip(self, queue_id: str, who: str, position: int) -> None:
        """Leave an item out. Raises Conflict like ``save``."""
        mark = Mark(position=position, reviewer=who, state=SKIPPED, saved_ns=self._clock())
        await self.log.put(queue_id, mark)

    async def undo(self, queue_id: str, who: str) -> int | None:
        """Take back what a person said last, which is their turn again; None where there is nothing to take back."""
        marks = await self._own(await self.log.get(queue_id), who)
        said = [mark for mark in marks if mark.state != WAITING and not mark.done_ns]
        if not said:
            return None
        last = max(said, key=lambda mark: (mark.saved_ns, mark.place))
        await self.log.put(queue_id, Mark(position=last.position, reviewer=who))
        return last.position

    async def finish(self, queue_id: str, who: str) -> Ended:
        """End a person's batch: their labels land, and what was planted is told. Doing it twice changes nothing.

        Raises Conflict while items wait.
        """
        queue = await self.log.get(queue_id)
        marks = await self._own(queue, who)
        if left := sum(mark.state == WAITING and not mark.done_ns for mark in marks):
            raise Conflict(f"{left} items still wait.", field="queue", mend="Label or skip them first.")
        await self.log.finish(queue_id, who, self._clock())  # first, so that what landed can no longer be changed
        await self._land(queue, who)
        return await self.ended(queue_id, who)

    async def ended(self, queue_id: str, who: str) -> Ended:
        """What a person's batch came to. Raises Conflict before its end."""
        queue = await self.log.get(queue_id)
        marks = await self._own(queue, who)
        if not all(mark.done_ns for mark in marks):
            raise Conflict("The batch has not ended.", field="queue", mend="Finish it first.")
        items = await self.log.items(queue_id)
        by_position = {item.position: item for item in items}
        rows = tuple((by_position[mark.position], mark) for mark in marks)
        return Ended(queue=queue, rows=rows, oversight=oversight_of(who, items, marks))

    async def close(self, queue_id: str) -> Queue:
        """End a queue for everybody; what was saved lands. Closing twice changes nothing."""
        queue = await self.log.get(queue_id)
        await self.log.close(queue_id, queue.closed_ns or self._clock())
        for expert in queue.experts:
            await self._land(queue, expert.who)
        return await self.log.get(queue_id)

    async def report(self, queue_id: str) -> Report:
        """Agreement, and how far each person may be relied on."""
        queue, items, marks = await self._all(queue_id)
        return await asyncio.to_thread(report, queue, items, marks)

    async def dispute(self, queue_id: str) -> Dispute | None:
        """The first item on which people who are done differ; None where all is settled."""
        queue, items, marks = await self._all(queue_id)
        positions = disputes(queue, items, marks)
        if not positions:
            return None
        said = tuple(mark for mark in marks if mark.position == positions[0] and mark.state == SAVED)
        item = next(item for item in items if item.position == positions[0])
        return Dispute(item=item, said=said, left=len(positions))

    async def settle(
        self, queue_id: str, who: str, position: int, verdicts: Mapping[str, float | None], critique: str
    ) -> None:
        """End a disagreement: the verdict counts as one more person's, and must say why.

        Raises BadInput like ``save`` and where nobody disagrees, Conflict where it is settled.
        """
        queue, items, marks = await self._all(queue_id)
        said, text = checked(queue, verdicts, critique)
        if not text:
            raise BadInput("says why.", field="critique", mend="Write which side is right, and by which rule.")
        if position not in disputes(queue, items, marks):
            settled = any(mark.position == position and mark.role == SETTLE for mark in marks)
            problem = Conflict if settled else BadInput
            raise problem("There is no disagreement on this item.", field="item", mend="Take the next one.")
        now = self._clock()
        mark = Mark(
            position=position, reviewer=who, role=SETTLE, state=SAVED, verdicts=said, critique=text, saved_ns=now,
            done_ns=now,
        )  # fmt: skip
        await self.log.settle(queue_id, mark)
        item = next(item for item in items if item.position == position)
        await self._people.add_labels(queue.dataset, labels(queue, [(item, mark)]))

    async def _all(self, queue_id: str) -> tuple[Queue, list[Item], list[Mark]]:
        queue = await self.log.get(queue_id)
        return queue, await self.log.items(queue_id), await self.log.marks(queue_id)

    async def _own(self, queue: Queue, who: str) -> list[Mark]:
        marks = [mark for mark in await self.log.marks(queue.id, who) if mark.role != SETTLE] if who else []
        if not marks:
            known = ", ".join(expert.who for expert in queue.experts)
            raise NotFound(f"{who[:40]!r} is not asked in {queue.name}.", field="who", mend=f"It asks {known}.")
        return marks

    async def _land(self, queue: Queue, who: str) -> None:
        """A person's verdicts on real items as labels, and as scores of the traces that they are of."""
        items = {item.position: item for item in await self.log.items(queue.id)}
        said = [
            (items[mark.position], mark)
            for mark in await self.log.marks(queue.id, who)
            if mark.role != SETTLE and mark.state == SAVED and not items[mark.position].known
        ]
        await self._people.add_labels(queue.dataset, labels(queue, said))
        if found := scores(queue, said):
            await self._spans.write(scores=found, patient=True)


def checked(queue: Queue, verdicts: Mapping[str, float | None], critique: str) -> tuple[dict[str, float | None], str]:
    """Verdicts on every criterion and the critique that goes with them. Raises BadInput."""
    text = critique.strip()
    if len(text) > MAX_CRITIQUE:
        raise BadInput(f"is longer than {MAX_CRITIQUE} characters.", field="critique", mend="Shorten it.")
    said: dict[str, float | None] = {}
    for criterion in queue.criteria:
        if criterion.name not in verdicts:
            raise BadInput("lacks its verdict.", field=criterion.name or "verdict", mend="Say yes, no or cannot tell.")
        value = verdicts[criterion.name]
        if value not in (YES, NO, None):
            raise BadInput("must be yes, no or cannot tell.", field=criterion.name or "verdict", mend="Take one.")
        said[criterion.name] = value
    if unknown := verdicts.keys() - said.keys():
        raise BadInput("is no criterion of this queue.", field=str(min(unknown))[:40], mend="Leave it out.")
    if NO in said.values() and not text:
        raise BadInput("is needed for a no.", field="critique", mend="Say in a sentence what is wrong.")
    return said, text


def labels(queue: Queue, said: Sequence[tuple[Item, Mark]]) -> list[tuple[str, Label]]:
    """Labels with their ids; "cannot tell" is none."""
    return [
        (
            f"{queue.id}:{mark.position}:{mark.role}:{mark.reviewer}:{name}",
            Label(
                case=item.case, criterion=name, value=value, by=mark.reviewer, critique=mark.critique,
                time_ns=mark.saved_ns, group=item.group, drawn=str(item.hidden.get("drawn", "")),
            ),
        )
        for item, mark in said
        for name, value in mark.verdicts.items()
        if value is not None
    ]  # fmt: skip


def scores(queue: Queue, said: Sequence[tuple[Item, Mark]]) -> list[Score]:
    """Scores of the traces that were looked at: ``review``, or ``review.CRITERION``, by ``human:NAME``."""
    return [
        Score(
            id=f"{item.trace_id}:{queue.id}:{mark.reviewer}:{name}"[:100], trace_id=item.trace_id,
            name=f"review.{name}" if name else "review", value=value, by=f"human:{mark.reviewer}",
            time_ns=mark.saved_ns, reason=mark.critique, slice=item.slice, stamp=_stamp(item.hidden),
            project=str(item.hidden.get("project", "default")),
        )
        for item, mark in said
        for name, value in mark.verdicts.items()
        if value is not None and item.trace_id
    ]  # fmt: skip


def _stamp(hidden: Mapping[str, Any]) -> Stamp:
    return Stamp(**hidden.get("stamp", {}))

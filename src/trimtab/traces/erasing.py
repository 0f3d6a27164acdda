"""One person's data deleted on request: every trace of a user, a session or a tag, whatever its day.

First all traces are found and their ids written down, then they are deleted group by group; a process that dies in
between goes on with that list at its next start. What the ledger and the list keep is a keyed hash, never the value.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from trimtab.core import BadInput, Filter, Overloaded, Span, SpanQuery, new_id, now_ns
from trimtab.store import Erased, Spans

_LOG = logging.getLogger("trimtab.erasing")
STATE = "erasing.jobs"
#: The tags that name a user: what the dialects make of ``user.id``, ``enduser.id`` and the like, and what people write.
USER_TAGS = ("user", "user.id", "user_id", "userId", "enduser.id")
#: Traces of one request; a person with more is a tenant, and has a project or a tag and retention.
MOST = 1_000_000
_PAGE, _OUTLINES, _GROUP = 1000, 1000, 200
_SETTLE_TRIES, _SETTLE_S = 20, 0.5
#: Erasures that are remembered, the newest first.
_REMEMBERED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose data: of the user ``value``, of the session ``value``, or of the tag ``name`` with that value."""

    by: Literal["user", "session", "tag"]
    value: str
    name: str = ""

    def __post_init__(self) -> None:
        if not self.value or len(self.value) > 1000 or (self.by == "tag") != bool(self.name):
            raise BadInput("nobody is named", field=self.by, mend="Give a user, a session or name=value of a tag.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a query that may hold it."""
        if self.by == "session":
            return ("session",)
        return tuple(f"tag:{name}" for name in ((self.name,) if self.by == "tag" else USER_TAGS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What is to be or was deleted. ``whose`` is a keyed hash. ``state`` is ``found`` ``running`` ``done``."""

    id: str
    whose: str
    by: str
    actor: str
    time_ns: int
    state: str = "running"
    traces: int = 0
    spans: int = 0
    scores: int = 0
    #: Versions of datasets that hold a copy of a question: they are immutable, and are the operator's to replace.
    copies: tuple[str, ...] = ()
    change: str = ""


async def _nothing(traces: Collection[str]) -> None:
    """Nothing is kept elsewhere."""


class Memory(Protocol):
    """Where the list is kept."""

    async def get(self, name: str) -> Any | None: ...
    async def put(self, name: str, value: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Around:
    """What erasing needs of the house. ``forms`` is how a value may be stored (itself, and as it is masked), ``record``
    writes the ledger's change and returns its id, ``forget`` drops traces from the receivers' memory, ``copies`` names
    what else holds texts of these traces. ``clear`` takes what is kept of
    their texts elsewhere, and may be called twice."""

    salt: bytes
    record: Callable[[Erasure], Awaitable[str]]
    forms: Callable[[str], Collection[str]] = lambda value: (value,)
    forget: Callable[[Collection[str]], None] = lambda traces: None
    copies: Callable[[Collection[str]], Iterable[str]] = lambda traces: ()
    clear: Callable[[Collection[str]], Awaitable[None]] = _nothing


@dataclass(slots=True)
class _Job:
    erasure: Erasure
    left: list[str] = field(default_factory=list)


class Erasing:
    """One at a time; ``start`` takes up what the last process left."""

    def __init__(self, store: Spans, memory: Memory, around: Around, *, clock: Callable[[], int] = now_ns) -> None:
        self._store, self._memory, self._around, self._clock = store, memory, around, clock
        self._turn = asyncio.Lock()
        self._running: dict[str, asyncio.Task[Erasure]] = {}
        self._known: dict[str, Erasure] = {}

    async def start(self) -> None:
        """Go on with what was not done when the last process ended."""
        state = await self._memory.get(STATE)
        for kept in state if isinstance(state, list) else ():
            erasure = Erasure(**{**kept["erasure"], "copies": tuple(kept["erasure"]["copies"])})
            self._known[erasure.id] = erasure
            if erasure.state == "running":
                self._begin(_Job(erasure, await self._left(erasure.id)), None)

    async def stop(self) -> None:
        """End the tasks; the next start goes on with them."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def running(self) -> Sequence[asyncio.Task[Erasure]]:
        """What is being deleted."""
        return tuple(self._running.values())

    def erasures(self) -> Sequence[Erasure]:
        """The last erasures, newest first."""
        return sorted(self._known.values(), key=lambda one: one.time_ns, reverse=True)

    def hash_of(self, whose: Whose) -> str:
        """What stands for the value wherever something is kept: the same for the same value, and not to be guessed."""
        told = f"{whose.by}\0{whose.name}\0{whose.value}".encode("utf-8", "replace")
        return hashlib.blake2b(told, key=self._around.salt[:64], digest_size=8).hexdigest()

    async def preview(self, whose: Whose) -> Erasure:
        """What would be deleted now."""
        found = await self._find(whose)
        spans = scores = 0
        for start in range(0, len(found), _OUTLINES):
            for outline in (await self._store.outlines(found[start : start + _OUTLINES])).values():
                spans, scores = spans + outline.spans, scores + outline.scores
        made = self._erasure(whose, "", found)
        return replace(made, id="", state="found", spans=spans, scores=scores)

    async def erase(self, whose: Whose, *, actor: str, wait_s: float = 20.0) -> Erasure:
        """Delete it. Returns when it is done, or after ``wait_s`` seconds with the state ``running``: it goes on."""
        found = await self._find(whose)
        job = _Job(self._erasure(whose, actor, found), found)
        await self._keep_left(job)
        self._known[job.erasure.id] = job.erasure
        await self._save()
        task = self._begin(job, whose)
        await asyncio.wait([task], timeout=wait_s)
        return task.result() if task.done() else self._known[job.erasure.id]

    def _erasure(self, whose: Whose, actor: str, found: Sequence[str]) -> Erasure:
        return Erasure(
            id=new_id("era"), whose=self.hash_of(whose), by=whose.by, actor=actor, time_ns=self._clock(),
            traces=len(found), copies=tuple(sorted(self._around.copies(frozenset(found)))),
        )  # fmt: skip

    def _begin(self, job: _Job, whose: Whose | None) -> asyncio.Task[Erasure]:
        task = asyncio.create_task(self._run(job, whose), name="trimtab-erasing")
        self._running[job.erasure.id] = task
        task.add_done_callback(lambda done: self._ended(job.erasure.id, done))
        return task

    def _ended(self, name: str, task: asyncio.Task[Erasure]) -> None:
        self._running.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("an erasure stopped, and goes on at the next start: %s", error)

    async def _run(self, job: _Job, whose: Whose | None) -> Erasure:
        async with self._turn:
            await self._delete(job)
            # What arrived meanwhile. After a restart nobody knows the value any more: that is as it should be.
            while whose is not None and (more := await self._find(whose)):
                job.erasure = replace(job.erasure, traces=job.erasure.traces + len(more))
                job.left = more
                await self._keep_left(job)
                await self._delete(job)
            await self._settle()
            change = await self._around.record(job.erasure)
            job.erasure = replace(job.erasure, state="done", change=change)
            self._known[job.erasure.id] = job.erasure
            await self._save()
            await self._memory.put(_place(job.erasure.id), [])
            return job.erasure

    async def _delete(self, job: _Job) -> None:
        while job.left:
            group = job.left[:_GROUP]
            self._around.forget(frozenset(group))
            await self._around.clear(frozenset(group))
            gone = await self._patiently(lambda group=group: self._store.erase(group))  # type: ignore[misc]
            job.left = job.left[len(group) :]
            job.erasure = replace(
                job.erasure, spans=job.erasure.spans + gone.spans, scores=job.erasure.scores + gone.scores
            )
            self._known[job.erasure.id] = job.erasure
            # The list is the safety: it shrinks only now and then, for a trace may be deleted twice.
            if not job.left or len(job.left) % (_GROUP * 10) < _GROUP:
                await self._save()
                await self._keep_left(job)

    async def _settle(self) -> None:
        """See to it that the old bytes are overwritten too, as soon as no reader needs them."""
        for _ in range(_SETTLE_TRIES):
            if (await self._patiently(lambda: self._store.erase(()))).settled:
                return
            await asyncio.sleep(_SETTLE_S)
        _LOG.warning("readers keep old states open: the erased bytes are overwritten when they are done")

    async def _patiently(self, erase: Callable[[], Awaitable[Erased]]) -> Erased:
        while True:
            try:
                return await erase()
            except Overloaded as error:
                await asyncio.sleep(error.retry_after or 1.0)

    async def _find(self, whose: Whose) -> list[str]:
        """The traces, newest first. With a user's traces come those of his sessions that name no user at all."""
        found: dict[str, None] = {}
        sessions: dict[str, None] = {}
        for value in sorted(self._around.forms(whose.value)):
            for column in whose.columns:
                async for span in self._spans(column, value):
                    found[span.trace_id] = None
                    if span.session and whose.by == "user":
                        sessions[span.session] = None
        for session in sessions:
            nobodys: dict[str, bool] = {}
            async for span in self._spans("session", session):
                named = any(name in span.tags for name in USER_TAGS)
                nobodys[span.trace_id] = nobodys.get(span.trace_id, True) and not named
            found.update(dict.fromkeys(trace_id for trace_id, free in nobodys.items() if free))
        if len(found) > MOST:
            raise BadInput(
                f"{len(found):,} traces are no single person's", field=whose.by, mend="Name somebody more precisely."
            )
        return list(found)

    async def _spans(self, column: str, value: str) -> Any:
        query = SpanQuery(roots=False, filters=(Filter(column=column, op="=", value=value),), limit=_PAGE)
        while True:
            page = await self._store.query(query)
            span: Span
            for span in page.spans:
                yield span
            if not page.cursor:
                return
            query = replace(query, cursor=page.cursor)

    async def _left(self, name: str) -> list[str]:
        kept = await self._memory.get(_place(name))
        return [str(one) for one in kept] if isinstance(kept, list) else []

    async def _keep_left(self, job: _Job) -> None:
        await self._memory.put(_place(job.erasure.id), job.left)

    async def _save(self) -> None:
        for old in self.erasures()[_REMEMBERED:]:
            if old.state == "done":
                del self._known[old.id]
        await self._memory.put(STATE, [{"erasure": asdict(one)} for one in self._known.values()])


def _place(name: str) -> str:
    return f"erasing.left.{name}"


def note_of(erasure: Erasure) -> Mapping[str, str]:
    """What the ledger says of it: name, what happened, and how much."""
    return {
        "name": "erasure",
        "after": f"{erasure.by} #{erasure.whose}",
        "note": f"{erasure.traces} traces, {erasure.spans} spans and {erasure.scores} scores were deleted on request.",
    }

"""Which traces keep their texts. Everything is stored, counted and scored whole first; a while after a trace's root is
stored its texts are dropped, unless something about it is worth reading or chance keeps it.

The columns of every span stay, so that no count, cost, percentile or monitor changes with the share that is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from trimtab.core import TrimtabError, now_ns
from trimtab.store import Outline, Spans

_LOG = logging.getLogger("trimtab.sampling")
STATE = "sampling.state"
#: Rows that are read at once, and traces whose texts are dropped in one go: writing must not wait long for either.
_BATCH, _AT_ONCE = 1000, 50
_PAUSE_S = 2.0
#: Traces that may wait for their decision in memory; those after them are read from the disk when there is room.
_HELD = 200_000
_NS = 1_000_000_000
_SCALE = 1 << 64
#: Projects that are counted by name; the others are counted together.
_PROJECTS, _OTHERS = 500, "(others)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``share`` of the ordinary traces keeps its texts, in each of ``projects`` its own; 1 keeps all.

    A trace with a score below ``low`` is not ordinary. ``after_s`` seconds after a trace's root was stored it is
    decided: by then its checks, its judge and most of its users have spoken.
    """

    share: float = 1.0
    projects: Mapping[str, float] = field(default_factory=dict)
    low: float = 0.5
    after_s: float = 900.0

    @property
    def any(self) -> bool:
        """Whether there is anything to be dropped anywhere."""
        return min((self.share, *self.projects.values())) < 1

    def share_of(self, project: str) -> float:
        """The share of a project's ordinary traces that keeps its texts."""
        return self.projects.get(project, self.share)


def drawn(trace_id: str, share: float) -> bool:
    """Whether chance keeps a trace: the same answer for all its spans, in every process, at any time.

    A greater share keeps what a smaller one keeps. The id is hashed with a name of our own, for its bits may have been
    used up already by a sampler at the sender, and would then keep all of what comes here or nothing.
    """
    digest = hashlib.blake2b(trace_id.encode(), digest_size=8, person=b"trimtab.sample").digest()
    return int.from_bytes(digest, "big") < share * _SCALE


def why_kept(trace_id: str, outline: Outline, rules: Rules, named: Collection[str]) -> str:
    """Why a trace keeps its texts: ``failed`` ``scored`` ``incident`` ``share``; empty when it does not."""
    if outline.bad:
        return "failed"
    if outline.lowest is not None and outline.lowest < rules.low:
        return "scored"
    if trace_id in named:
        return "incident"
    return "share" if drawn(trace_id, rules.share_of(outline.project)) else ""


@dataclass(frozen=True, slots=True)
class _Read:
    """The traces of some rows of the ledger, when they were read, and those whose root was among them."""

    seen_ns: int
    position: str
    traces: tuple[str, ...]
    roots: frozenset[str]


class Memory(Protocol):
    """Where the position and the counts are kept."""

    async def get(self, name: str) -> Any | None: ...
    async def put(self, name: str, value: Any) -> None: ...


#: The traces that incidents name.
Named = Callable[[], Awaitable[Collection[str]]]


async def _none() -> Collection[str]:
    return ()


class Sampler:
    """One task. It begins with what is stored from the first start on, and goes on after a restart where it stopped.

    A position is kept after what was decided is done, so that a crash decides some traces twice, to the same end.
    """

    def __init__(
        self,
        store: Spans,
        memory: Memory,
        rules: Rules,
        *,
        named: Named = _none,
        clock: Callable[[], int] = now_ns,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._store, self._memory, self._rules, self._named = store, memory, rules, named
        self._clock, self._pause = clock, pause_s
        self._position = ""
        self._read_to = ""
        self._waiting: deque[_Read] = deque()
        self._held = 0
        self._task: asyncio.Task[None] | None = None
        self._kept: dict[str, int] = {}
        self._dropped: dict[str, int] = {}

    @property
    def rules(self) -> Rules:
        """What it goes by."""
        return self._rules

    @property
    def kept(self) -> Mapping[str, int]:
        """How many traces kept their texts, by why, since the first start."""
        return self._kept

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many traces lost their texts, by project, since the first start."""
        return self._dropped

    async def start(self) -> None:
        """Take up the last run's position, then begin. Without a share below 1 there is nothing to do."""
        if not self._rules.any:
            return
        await self.load()
        self._task = asyncio.create_task(self._forever(), name="trimtab-sampling")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def load(self) -> None:
        """The position and the counts of the last run; at the first start what comes from now on."""
        state = await self._memory.get(STATE)
        if isinstance(state, Mapping):
            self._position = str(state.get("position", ""))
            self._kept = {str(name): int(n) for name, n in dict(state.get("kept", {})).items()}
            self._dropped = {str(name): int(n) for name, n in dict(state.get("dropped", {})).items()}
        if not self._position:
            self._position = await self._store.end()
            await self._save()
        self._read_to = self._position

    async def turn(self) -> int:
        """Read what is new, decide what is due; returns how many traces lost their texts."""
        await self._read()
        due = self._clock() - round(self._rules.after_s * _NS)
        done = 0
        while self._waiting and self._waiting[0].seen_ns <= due:
            batch = self._waiting[0]
            done += await self._decide(batch)
            self._waiting.popleft()
            self._held -= len(batch.traces)
            self._position = batch.position
            await self._save()
        return done

    async def _read(self) -> None:
        """Follow the ledger, as far as there is room: what is read while it is new costs next to nothing."""
        while self._held < _HELD:
            batch = await self._store.tail(self._read_to, _BATCH)
            if batch.position == self._read_to:
                return
            self._read_to = batch.position
            traces = tuple(dict.fromkeys(span.trace_id for span in batch.spans))
            roots = frozenset(span.trace_id for span in batch.spans if not span.parent_id)
            self._waiting.append(_Read(self._clock(), batch.position, traces, roots))
            self._held += len(traces)

    async def _decide(self, batch: _Read) -> int:
        """Drop the texts of those that are not kept. A trace whose root is not there yet waits for it, and one whose
        root was decided before goes the same way without being counted again."""
        outlines = await self._store.outlines(batch.traces)
        named = frozenset(await self._named())
        gone: dict[str, str] = {}
        for trace_id, outline in outlines.items():
            if not outline.root:
                continue
            why = why_kept(trace_id, outline, self._rules, named)
            if not why:
                gone[trace_id] = outline.project
            elif trace_id in batch.roots:
                self._kept[why] = self._kept.get(why, 0) + 1
        names = list(gone)
        for start in range(0, len(names), _AT_ONCE):
            await self._store.strip(names[start : start + _AT_ONCE])
        counted = [project for trace_id, project in gone.items() if trace_id in batch.roots]
        for project in counted:
            name = project if project in self._dropped or len(self._dropped) < _PROJECTS else _OTHERS
            self._dropped[name] = self._dropped.get(name, 0) + 1
        return len(counted)

    async def _save(self) -> None:
        await self._memory.put(STATE, {"position": self._position, "kept": self._kept, "dropped": self._dropped})

    async def _forever(self) -> None:
        while True:
            try:
                await self.turn()
            except TrimtabError as error:
                _LOG.warning("texts could not be dropped, and are until they can: %s", error)
            except Exception:  # house: except because a chore must not die silently
                _LOG.exception("sampling: unexpected")
            await asyncio.sleep(self._pause)

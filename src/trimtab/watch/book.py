"""The monitors as people change them: versions of kind ``monitors``, in effect as soon as their label moves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from trimtab.core import BadInput, Change, Conflict, NotFound, Span, SpanQuery, TrimtabError, now_ns
from trimtab.registry import PRODUCTION, Registry
from trimtab.store import Spans

from .monitors import Monitor, content_of, monitor_of
from .roster import Entry, check_place, roster, working
from .signals import OF_SCORES, is_score
from .trial import Trial, trial
from .watch import Watch

log = logging.getLogger("trimtab.watch")

KIND = "monitors"
#: Monitors that people may make; each costs every request a little.
MOST = 500
#: Scores or spans that a trial reads at most, and hours that it looks back.
MOST_TRIED, MOST_HOURS = 20_000, 24 * 31
_HOUR_NS = 3_600 * 10**9
_PAGE = 1000


class MonitorBook:
    """Reads what is there, keeps the watch in step with the registry, and writes what people decide."""

    def __init__(
        self,
        *,
        registry: Registry,
        watch: Watch,
        store: Spans,
        defaults: Sequence[Monitor],
        file: Sequence[Monitor],
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self._registry, self._watch, self._store, self._clock = registry, watch, store, clock
        self._defaults, self._file = tuple(defaults), tuple(file)
        self._entries: list[Entry] = []
        registry.on_change(self._heard)
        self.refresh()

    @property
    def entries(self) -> list[Entry]:
        """Every monitor, whether it watches or not."""
        return list(self._entries)

    def find(self, name: str) -> Entry:
        """One monitor by its name. Raises NotFound."""
        for entry in self._entries:
            if entry.monitor.name == name:
                return entry
        raise NotFound(f"There is no monitor {name[:100]!r}.", field="name", mend="`trimtab monitor list` shows all.")

    def refresh(self) -> None:
        """Watch as the registry says now."""
        kept: list[Entry] = []
        for name in self._registry.names(KIND):
            number = self._registry.labels(KIND, name).get(PRODUCTION)
            if number:
                try:
                    content = self._registry.version(KIND, name, number).content
                    off = bool(content.get("off", False))
                    kept.append(Entry(monitor=monitor_of(name, content), origin="registry", off=off, number=number))
                except BadInput as error:  # written by another release, for a signal that is no more
                    log.warning("the monitor %s is not understood and left out: %s", name, error)
        self._entries = roster(self._defaults, self._file, kept)
        self._watch.adopt(working(self._entries))

    async def save(self, monitor: Monitor, *, actor: str, note: str = "", new: bool = False) -> Entry:
        """Make a monitor, or change one; it watches from now on.

        ``new`` refuses a name that is taken. Raises BadInput that names the field, and Conflict.
        """
        monitor.validate()
        check_place(monitor, self._entries)
        known = next((entry for entry in self._entries if entry.monitor.name == monitor.name), None)
        if known is not None and new:
            mend = f"Choose another name, or: trimtab monitor edit {monitor.name}"
            raise Conflict(f"There is a monitor {monitor.name!r} already.", field="name", mend=mend)
        if known is None and len(self._registry.names(KIND)) >= MOST:
            raise Conflict(f"There are {MOST} monitors already.", field="name", mend="Remove some that nobody needs.")
        return await self._publish(monitor, known, off=False, actor=actor, note=note)

    async def remove(self, name: str, *, actor: str, note: str = "") -> Entry:
        """Turn a monitor off. Its versions stay, so a rollback of its label brings it back. Raises NotFound, and
        Conflict when it is off already."""
        entry = self.find(name)
        if entry.off and not entry.behind:
            raise Conflict(f"The monitor {name!r} is off already.", field="name", mend="Edit it to turn it on.")
        return await self._publish(entry.monitor, entry, off=True, actor=actor, note=note)

    async def trial(self, monitor: Monitor, hours: float) -> Trial:
        """How often it would have alarmed on what was recorded in the last hours. Raises BadInput."""
        monitor.validate()
        if not 0.0 < hours <= MOST_HOURS:
            raise BadInput(f"{hours:g} hours", field="hours", mend=f"Give more than 0 and at most {MOST_HOURS}.")
        until = self._clock() + 1  # bounds are half open
        since = until - int(hours * _HOUR_NS)
        spans: list[Span] = []
        if is_score(monitor.signal) or monitor.signal in OF_SCORES:
            name = monitor.signal if is_score(monitor.signal) else ""
            scores = await self._store.scores(since_ns=since, until_ns=until, name=name, limit=MOST_TRIED)
        else:
            scores = []
            spans = await self._spans(since, until)
        needed = self._watch.threshold_of(monitor.signal)
        return await asyncio.to_thread(trial, monitor, scores, spans, reference=self._watch.reference, threshold=needed)

    async def _spans(self, since_ns: int, until_ns: int) -> list[Span]:
        found: list[Span] = []
        cursor = ""
        while len(found) < MOST_TRIED:
            page = await self._store.query(SpanQuery(since_ns=since_ns, until_ns=until_ns, limit=_PAGE, cursor=cursor))
            found += page.spans
            cursor = page.cursor
            if not cursor:
                break
        return found

    async def _publish(self, monitor: Monitor, known: Entry | None, *, off: bool, actor: str, note: str) -> Entry:
        """A new version under the label. What was there without one becomes the first, so that there is a way back."""
        registry, name = self._registry, monitor.name
        if known is not None and name not in registry.names(KIND):
            before = await registry.register(KIND, name, content_of(known.monitor), author=actor, note="as it was")
            await registry.move_label(KIND, name, PRODUCTION, before.number, actor=actor, note="as it was", expect=0)
        content = content_of(monitor) | ({"off": True} if off else {})
        version = await registry.register(KIND, name, content, author=actor, note=note)
        stands = registry.labels(KIND, name).get(PRODUCTION, 0)
        if stands != version.number:
            await registry.move_label(KIND, name, PRODUCTION, version.number, actor=actor, note=note, expect=stands)
        return self.find(name)

    def _heard(self, change: Change) -> None:
        if change.kind == KIND:
            try:
                self.refresh()
            except TrimtabError as error:
                log.error("the monitors stay as they were: %s", error)

"""Looks at the error budgets of the monitors that have an objective, and makes incidents as severe as they burn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.core import now_ns
from trimtab.incidents import states
from trimtab.incidents.desk import Desk
from trimtab.incidents.incident import LIVE, Incident
from trimtab.incidents.records import Written
from trimtab.store import ScoreBucket, Spans
from trimtab.watch import Monitor

from .burn import WINDOWS, Burning, burning

#: Seconds between two looks, and of the buckets that are read: finer for the last hour.
EVERY_S = 60
_FINE_S, _COARSE_S = 60, 600
_LOOKED_AT = 200
_NS = 10**9


class Burner:
    """``monitors`` answers those that watch now. Reads sums of scores from the store, so a restart loses nothing."""

    def __init__(
        self, *, store: Spans, desk: Desk, monitors: Callable[[], Sequence[Monitor]], clock: Callable[[], int] = now_ns
    ) -> None:
        self._store, self._desk, self._monitors, self._clock = store, desk, monitors, clock
        self._looked_ns = 0

    async def turn(self) -> None:
        """One look, if it is time for one."""
        now = self._clock()
        if now - self._looked_ns < EVERY_S * _NS:
            return
        self._looked_ns = now
        wanted = [monitor for monitor in self._monitors() if monitor.objective is not None]
        for project in dict.fromkeys(monitor.project for monitor in wanted):
            fine, coarse = await self._sums(project, now)
            for monitor in wanted:
                found = _found(monitor, fine, coarse, now) if monitor.project == project else None
                if found is not None:
                    await self._page(monitor, found)

    async def _sums(self, project: str, now: int) -> tuple[list[ScoreBucket], list[ScoreBucket]]:
        hour, most = (now - window.long_s * _NS for window in WINDOWS)
        fine = await self._store.score_series(since_ns=hour, until_ns=now, bucket_s=_FINE_S, project=project)
        coarse = await self._store.score_series(since_ns=most, until_ns=now, bucket_s=_COARSE_S, project=project)
        return fine, coarse

    async def _page(self, monitor: Monitor, found: Burning) -> None:
        """Make the incident of this signal as severe as the budget burns; open one where there is none."""
        now = self._clock()
        if not _concerns(await self._desk.list(limit=_LOOKED_AT), monitor, found, now):
            return

        def place(known: Sequence[Incident]) -> Written:
            live = next((i for i in known if _live(i) and monitor.signal in i.signals), None)
            if live is not None:
                return Written(live, states.burning(live, found.text, found.window.severity, now))
            return Written(None, states.burnt(monitor, found.text, found.window.severity, now))

        await self._desk.place(place)


def _concerns(known: Sequence[Incident], monitor: Monitor, found: Burning, now: int) -> bool:
    """Whether there is something to write: an incident that is milder than it should be, or none.

    One that is mitigated or over since less than the long window is the same trouble: its bad values still count.
    """
    own = [i for i in known if monitor.signal in i.signals]
    if live := [i for i in own if _live(i)]:
        return any(i.severity > found.window.severity for i in live)
    since = now - found.window.long_s * _NS
    return all(max(i.mitigated_ns, i.closed_ns) < since for i in own)


def _live(incident: Incident) -> bool:
    return incident.state in LIVE


def _found(monitor: Monitor, fine: Sequence[ScoreBucket], coarse: Sequence[ScoreBucket], now: int) -> Burning | None:
    def counted(seconds: int) -> tuple[int, float]:
        buckets, length = (fine, _FINE_S) if seconds <= WINDOWS[0].long_s else (coarse, _COARSE_S)
        since = now - seconds * _NS
        n, total = 0, 0.0
        for bucket in buckets:
            inside = bucket.start_ns + length * _NS > since
            if bucket.name == monitor.signal and monitor.slice in ("", bucket.slice) and inside:
                n += bucket.n
                total += bucket.total
        return n, n - total

    assert monitor.objective is not None
    return burning(monitor.objective, counted)

"""Replays of incidents: which requests, how many, at what cost, and when a person has to be asked first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.attribution import Report, reached, with_replay
from trimtab.core import Span
from trimtab.registry import Registry
from trimtab.store import Spans
from trimtab.watch import Watch, is_score

from . import states
from .cases import roots_of
from .incident import Incident
from .replay import MAX_REQUESTS, Replay, Replaying
from .sight import sight
from .spending import MAX_CALLS

#: Seconds between batches of replays, in which more requests fail that can be asked again.
WAITS = (2.0, 3.0, 5.0, 5.0)
#: What was begun is added to without waiting: a later alarm brings its requests along.
_AT_ONCE = (0.0,)
#: Requests that one question to a person is about.
_ASKED_FOR = 50
#: Requests after which what they cost is written down.
_WRITTEN = 10
#: Incidents whose evidence is kept, so that later alarms add to it.
_KEPT = 64
_MAX_SCORES = 1000

Alter = Callable[[int, Callable[[Incident, int], Incident]], Awaitable[Incident]]


@dataclass(slots=True)
class _Contest:
    """Replays of one report. ``found`` is the report with what they said so far, ``missing`` are the requests that the
    store does not have."""

    report: Report
    found: Report
    replaying: Replaying
    missing: set[str] = field(default_factory=set)


class Asking:
    """Asks requests of incidents again. ``alter`` commits a change of one, so that what was spent outlives a crash.

    What was asked is kept in memory while the verdict stands, so that an alarm that joins later adds to the evidence.
    After a restart only the sums in the report are left, and they are not added to: where somebody allows more calls,
    the evidence is gathered anew.
    """

    def __init__(
        self, *, replay: Replay, registry: Registry, store: Spans, watch: Watch, clock: Callable[[], int], alter: Alter
    ) -> None:
        self._replay, self._registry, self._store, self._watch = replay, registry, store, watch
        self._clock, self._alter = clock, alter
        self._waits = WAITS
        self._contests: OrderedDict[int, _Contest] = OrderedDict()

    def may_say_more(self, incident: Incident) -> bool:
        """Whether replays may add to what is known: nothing is proven, and what was asked before can be added to, or
        somebody wants them to go on."""
        report = incident.report
        if report is None or report.certainty == "proven":
            return False
        return not report.arms or incident.replay.resume or self._contest(incident) is not None

    async def ask(self, incident: Incident) -> None:
        """Replay requests that the suspects reached and write down what that proves.

        Right after an alarm they are few, so it waits for more of them where they are needed.
        """
        report = incident.report
        assert report is not None
        if all(monitor.signal != report.signal for monitor in self._watch.monitors):
            return  # its monitor was turned off meanwhile, and nothing is remembered of what it saw
        known = self._contest(incident)
        contest = known or self._begun(incident, report)
        replaying = contest.replaying
        bound = incident.replay
        replaying.allow(bound.left, bound.usd_left, MAX_REQUESTS * max(1, -(-bound.allowed // MAX_CALLS)))
        rows = replaying.requests
        served: dict[str, bool] = {}
        for wait in self._waits if known is None else _AT_ONCE:
            served = await self._reached(contest.report, replaying)
            fresh = replaying.fresh(list(served))
            if replaying.over or not fresh:
                break
            roots = await roots_of(self._store, fresh)
            contest.missing -= set(fresh)
            contest.missing |= set(fresh) - {root.trace_id for root in roots}
            incident = await self._ask(incident, replaying, roots, served)
            if incident.state == "closed":
                return
            if not replaying.over:
                await asyncio.sleep(wait)
        if replaying.requests > rows and (arms := replaying.arms()):
            contest.found = found = with_replay(contest.report, arms)
            pairs = replaying.pairs(states.MAX_PAIRS)
            await self._alter(incident.id, lambda i, at: states.paired(states.replayed(i, found, at), pairs))
        left = replaying.fresh([trace for trace in served if trace not in contest.missing])
        if replaying.undecided and left and contest.found.certainty != "proven":
            wanted = max(1, round(replaying.calls_a_request * _ASKED_FOR))
            await self._alter(incident.id, lambda i, at: states.asks(states.resumed(i, bound.allowed), wanted, at))

    async def _ask(
        self, incident: Incident, replaying: Replaying, roots: Sequence[Span], served: Mapping[str, bool]
    ) -> Incident:
        """Ask these requests again, until the bound is reached or somebody closes the incident. What it costs is
        written down on the way."""
        for start in range(0, len(roots), _WRITTEN):
            calls, usd, unpriced = replaying.spent
            try:
                await replaying.ask(roots[start : start + _WRITTEN], served)
            finally:
                now = replaying.spent
                spent = (now[0] - calls, now[1] - usd, now[2] - unpriced)
                incident = await self._alter(incident.id, lambda i, _, s=spent: states.spent(i, *s))  # type: ignore[misc]
            if replaying.over or incident.state == "closed":
                break
        return incident

    def _contest(self, incident: Incident) -> _Contest | None:
        """The replays that led to the verdict as it stands."""
        known = self._contests.get(incident.id)
        return known if known is not None and known.found == incident.report else None

    def _begun(self, incident: Incident, report: Report) -> _Contest:
        signals = tuple(dict.fromkeys((report.signal, *report.signals)))
        replaying = Replaying(self._replay, self._registry, report, signals, self._watch.inside)
        made = self._contests[incident.id] = _Contest(report, report, replaying)
        self._contests.move_to_end(incident.id)
        if len(self._contests) > _KEPT:
            self._contests.popitem(last=False)
        return made

    async def _reached(self, report: Report, replaying: Replaying) -> dict[str, bool]:
        """The requests that the suspects reached by now, newest first, and whether each had failed."""
        taken = sight(self._watch, report.signal, report.slice, self._clock(), report.onset_low_ns)
        if not taken.kept[report.signal][0] and is_score(report.signal):  # the watch remembers nothing after a restart
            scores = await self._store.scores(
                since_ns=report.onset_low_ns, until_ns=0, name=report.signal, limit=_MAX_SCORES
            )
            taken = taken.of_scores(scores)
        return await asyncio.to_thread(lambda: reached(taken.evidence(), replaying.candidates, MAX_REQUESTS * 2))

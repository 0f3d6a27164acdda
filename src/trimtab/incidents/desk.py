"""The desk: what happens between an alarm and a closed incident."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from trimtab.attribution import Report, attribute, failing
from trimtab.core import BadInput, Change, Conflict, NotFound, Score, TrimtabError, now_ns
from trimtab.evals import REGRESSION, add_cases
from trimtab.registry import Registry
from trimtab.store import Metadata, Spans
from trimtab.watch import Alarm, Observation, Watch, is_score

from . import joining, outside, sentences, states
from .acting import Acts
from .actions import Wanted
from .asking import Asking
from .cases import cases_of, roots_of
from .incident import MACHINE, STATES, Incident, IncidentEvent, blamed
from .records import Records, Written
from .recovery import Recovery, recovery
from .replay import Replay
from .sight import sight

log = logging.getLogger("trimtab.incidents")

#: Where failing requests are kept.
DATASET = "regressions"
#: An unmitigated incident listens for this many alarms: each brings more evidence for its verdict.
MAX_ALARMS = 6
_MAX_CHANGES = 10_000
_MAX_REVIEWED, _MAX_SCORES = 100, 1000
#: Newest values by which it is told whether a signal is back without a remedy.
_OF_LATE = 200
_NOT_CLOSED = STATES[:-1]


class Desk:
    """Opens incidents, finds their cause, acts as their monitors allow, and keeps their failing requests.

    Every step is committed before anybody hears of it, and an incident says in its record whether the machine is done
    with it, so a crash half way is taken up again by ``load``. ``window_s``: changes this many seconds before the onset
    are suspects. ``on_event`` callbacks run in the event loop and must not block.
    """

    def __init__(
        self,
        *,
        metadata: Metadata,
        registry: Registry,
        store: Spans,
        watch: Watch,
        replay: Replay | None,
        clock: Callable[[], int] = now_ns,
        window_s: int = 3600,
    ) -> None:
        self._records = Records(metadata)
        self._registry, self._store, self._watch = registry, store, watch
        self._clock = clock
        self._window_ns = window_s * 10**9
        self.asking = (
            Asking(replay=replay, registry=registry, store=store, watch=watch, clock=clock, alter=self._change)
            if replay is not None
            else None
        )
        self._working = asyncio.Lock()
        self.acts = Acts(registry, self._records.get, self._change, clock)
        self.on_event: list[Callable[[Incident, IncidentEvent], None]] = []

    def now(self) -> int:
        """The desk's clock, nanoseconds since 1970 UTC."""
        return self._clock()

    async def load(self) -> list[Incident]:
        """Take up what a crash interrupted; returns the incidents that are not closed, open ones first."""
        for incident in await self._records.listed(_NOT_CLOSED, _MAX_CHANGES):
            if incident.pending or incident.unfinished:
                await self._work(incident.id)
        return await self._records.listed(_NOT_CLOSED, _MAX_CHANGES)

    async def handle(self, alarm: Alarm) -> Incident | None:
        """Open an incident, or join the one that the alarm belongs to, and answer it as far as the machine may.

        An alarm that is only to be noted opens none: None where it belongs to no incident.
        """
        if alarm.monitor.action == "note":
            return await self._noted(alarm)
        again = await self._reconsider()
        report, traces = await self._attributed(alarm.signal, alarm.slice, alarm.time_ns, alarm.onset_ns)
        now = self._clock()

        def place(known: Sequence[Incident]) -> Written:
            if (same := joining.choose(known, alarm, report)) is not None:
                return Written(same, states.joined(same, alarm, report, traces, now))
            if (again := joining.repeated(known, alarm, report)) is not None:
                return Written(again, states.reopened(again, alarm, report, traces, now))
            return Written(None, states.opened(alarm, report, traces, DATASET, now))

        incident = await self._told(self._records.place(place))
        for known in again:
            if known != incident.id:
                # What looks guilty now may be asked again too, before anybody believes it.
                with suppress(NotFound, Conflict):  # somebody closed it meanwhile
                    await self._work(known)
        return await self._work(incident.id)

    async def _noted(self, alarm: Alarm) -> Incident | None:
        """A diagnostic signal moved: a line in the newest incident that began with it, if there is one."""
        live = await self._records.listed(_NOT_CLOSED, _MAX_REVIEWED)
        near = [i for i in live if not i.closed_ns and abs(alarm.onset_ns - i.onset_ns) <= joining.NEAR_NS]
        with suppress(NotFound):
            self._watch.rearm(alarm.signal)
        if not near:
            return None
        text = sentences.alarm(alarm)
        newest = max(near, key=lambda incident: incident.id)
        return await self._note_once(newest.id, "symptom", text)

    async def acknowledge(self, incident_id: int, actor: str) -> Incident:
        """Somebody is on it.

        Raises NotFound, BadInput without a name, and Conflict when somebody else is on it or it is closed.
        """
        return await self._change(incident_id, lambda i, now: states.acknowledged(i, actor, now))

    async def rollback(self, incident_id: int, actor: str) -> Incident:
        """Take the blamed change back.

        Raises NotFound, BadInput without a name, and Conflict when there is no cause, it was taken back already or
        cannot be.
        """
        return await self.act(incident_id, Wanted(action="rollback"), actor)

    async def act(self, incident_id: int, wanted: Wanted, actor: str) -> Incident:
        """Take an action by hand. Raises what ``Acts.by_hand`` raises."""
        await self.acts.by_hand(incident_id, wanted, actor)
        incident = await self._keep_cases(incident_id)
        self._rearm(incident)
        return incident

    async def undo(self, incident_id: int, deed_id: str, actor: str) -> Incident:
        """Take an action back; without ``deed_id`` the last one. Raises what ``Acts.undo`` raises."""
        incident = await self.acts.undo(incident_id, deed_id, actor)
        self._rearm(incident)
        return incident

    async def close(self, incident_id: int, actor: str, lesson: str, reason: str = "") -> Incident:
        """The end, with a lesson.

        Raises NotFound, BadInput without a lesson, and Conflict, unless a reason is written, while no failing request
        was kept as a case or nothing mitigated it.
        """
        known = await self._records.get(incident_id)
        watched = any(monitor.signal == known.signal for monitor in self._watch.monitors)
        watched = watched or known.signal.startswith(outside.PROBE)
        incident = await self._change(
            incident_id, lambda i, now: states.closed(i, actor, lesson, reason, now, watched=watched)
        )
        self._rearm(incident)
        return incident

    async def resolve(self, incident_id: int, actor: str, text: str) -> Incident:
        """Somebody says that it is over, and how they know.

        Raises NotFound, BadInput without a name or words, and Conflict when it is resolved or closed.
        """
        incident = await self._change(incident_id, lambda i, now: states.resolved(i, actor, text, now))
        await self._keep_cases(incident_id)
        self._rearm(incident)
        return await self._records.get(incident.id)

    async def external(self, sign: outside.Sign) -> Incident | None:
        """Open, join or open again the incident of what a probe saw; resolve it where that is over, None if none is."""
        if not sign.over:
            now = self._clock()
            return await self._told(self._records.place(lambda known: outside.placed(known, sign, now)))
        known = [i for i in await self._records.listed(_NOT_CLOSED, _MAX_REVIEWED) if i.signal == sign.signal]
        if not known or known[0].state == "resolved":
            return None
        return await self._change(known[0].id, _resolving(sign.text))

    async def review(self) -> list[Incident]:
        """Look at the dead-man's switch, and resolve the mitigated incidents whose signal is back; returns those. Where
        it is back without a remedy the timeline says so."""
        await self._listen()
        await self._go_on()
        back = []
        for incident in await self._records.listed(("open", "acknowledged", "mitigated"), _MAX_REVIEWED):
            found = await self.recovery(incident)
            if found is None or not found.back:
                continue
            if not incident.mitigated_ns:  # what went away by itself may come again: that is for people to judge
                await self._note_once(incident.id, "recovered", sentences.by_itself(incident.signal))
                continue
            text = sentences.recovered(incident.signal, found)
            with suppress(Conflict):  # somebody was quicker
                back.append(await self._change(incident.id, _resolving(text)))
        return back

    async def _go_on(self) -> None:
        """Replays that somebody allowed go on; after a crash half way they do again."""
        for incident in await self._records.listed(_NOT_CLOSED, _MAX_REVIEWED):
            if incident.replay.resume:
                with suppress(NotFound, Conflict):  # somebody closed it meanwhile
                    await self._work(incident.id)
                    allowed = incident.replay.allowed
                    await self._change(incident.id, lambda i, _, allowed=allowed: states.resumed(i, allowed))  # type: ignore[misc]

    async def _listen(self) -> None:
        """Open an incident for each monitor that has stopped receiving; resolve those that receive again."""
        silent = {silence.signal: silence for silence in self._watch.silent()}
        monitors = {monitor.signal: monitor for monitor in self._watch.monitors}
        known = await self._records.listed(_NOT_CLOSED, _MAX_REVIEWED)
        told = {i.signal: i for i in known if i.runbook == states.SILENT_RUNBOOK and i.state != "resolved"}
        for signal, silence in silent.items():
            if signal not in told:
                made = states.silenced(silence, monitors[signal], self._clock())
                await self._told(self._records.place(lambda live, made=made: Written(None, made)))  # type: ignore[misc]
        for signal, incident in told.items():
            if signal not in silent:
                with suppress(Conflict):
                    await self._change(incident.id, _resolving(f"{signal} comes again"))

    async def allow_replays(self, incident_id: int, actor: str, calls: int = 0) -> Incident:
        """Allow replays to go beyond their bound; they go on with the next review.

        ``calls`` 0 is as many as are asked for. Raises NotFound, BadInput without a name and for a number out of range,
        and Conflict when the incident is closed or nothing can be asked again.
        """
        if self.asking is None:
            raise Conflict("Nothing can be asked again here.", field="id", mend="Run a gateway in this process.")
        return await self._change(incident_id, lambda i, now: states.allowed(i, actor, calls, now))

    async def recovery(self, incident: Incident, grace_ns: int = joining.GRACE_NS) -> Recovery | None:
        """How the signal stands since so long after the remedy, or without one of late; None for too few answers."""
        if incident.report is None:
            return None
        since_ns, most = incident.still_ns + grace_ns, _MAX_SCORES if incident.mitigated_ns else _OF_LATE
        seen: Sequence[Score | Observation]
        if is_score(incident.signal):
            seen = await self._store.scores(since_ns=since_ns, until_ns=0, name=incident.signal, limit=most)
        else:  # what is measured is kept by the watch alone
            try:
                kept = self._watch.evidence(incident.signal)[0][-most:]
            except NotFound:
                return None
            seen = [one for one in kept if one.time_ns >= since_ns]
        # The watch may keep rare slices in common, under a name that no score has.
        return recovery(incident.report, [o.value for o in [o for o in seen if o.slice == incident.slice] or seen])

    async def note(self, incident_id: int, kind: str, actor: str, text: str) -> Incident:
        """Add a line to the timeline. Raises NotFound, BadInput without a text."""
        if not text.strip():
            raise BadInput("A note needs words.", field="text", mend="Write what you saw or did.")
        return await self._change(incident_id, lambda i, now: states.noted(i, kind, actor, text.strip(), now))

    async def forget(self, traces: Collection[str]) -> None:
        """Keep no text of these requests: somebody had them deleted."""
        for incident_id in await self._records.telling_of(traces):
            await self._change(incident_id, lambda i, _: states.forgotten(i, traces))

    async def place(self, place: Callable[[Sequence[Incident]], Written]) -> Incident:
        """Choose among the incidents and write what ``place`` made of one, or a new one; the listeners are told."""
        return await self._told(self._records.place(place))

    async def get(self, incident_id: int) -> Incident:
        """One incident. Raises NotFound."""
        return await self._records.get(incident_id)

    async def list(self, *, state: str = "", limit: int = 50) -> list[Incident]:
        """Incidents, open ones first, each state newest first. Raises BadInput for an unknown state."""
        if state and state not in STATES:
            mend = f"Use one of {', '.join(STATES)}."
            raise BadInput(f"{state!r} is not a state of an incident.", field="state", mend=mend)
        return await self._records.listed((state,) if state else STATES, limit)

    async def _work(self, incident_id: int) -> Incident:
        """Everything that the machine does with an incident; each step may be repeated after a crash."""
        async with self._working:
            incident = await self._act(incident_id)
            if self.asking is not None and self.asking.may_say_more(incident):
                await self.asking.ask(incident)
                incident = await self._act(incident_id)
            if not incident.mitigated_ns and incident.state != "closed":
                text = sentences.waiting(incident)
                incident = await self._note_once(incident_id, "page", text)
            if incident.state != "closed":
                await self._keep_cases(incident_id)
            incident = await self._change(incident_id, lambda i, _: states.settled(i))
            self._rearm(incident)
            return incident

    async def _act(self, incident_id: int) -> Incident:
        """Act as the monitor allows, where the machine may."""
        incident, stuck = await self.acts.by_machine(incident_id)
        return await self._note_once(incident_id, "page", stuck) if stuck else incident

    async def _keep_cases(self, incident_id: int) -> Incident:
        """Add the failing requests to the dataset; what is there already stays as it is."""
        incident = await self._records.get(incident_id)
        cases = cases_of(incident, await roots_of(self._store, incident.traces))
        if not cases:
            return incident
        try:
            await add_cases(
                self._registry, incident.dataset, cases, actor=MACHINE, note=_note(incident), kind=REGRESSION
            )
        except TrimtabError as error:
            return await self._note_once(incident_id, "cases", f"could not keep the failing requests: {error}")
        return await self._change(incident_id, lambda i, now: states.with_cases(i, len(cases), now))

    async def _reconsider(self) -> Sequence[int]:
        """Attribute again what nothing explained: later answers may show the cause, and its alarm then joins. Returns
        the incidents that have a cause now, which wait for the machine."""
        found = []
        for incident in await self._records.listed(_NOT_CLOSED, _MAX_CHANGES):
            if incident.cause is not None or incident.mitigated_ns:
                continue
            with suppress(NotFound, Conflict):  # its monitor is gone, or somebody closed it meanwhile
                report, _ = await self._attributed(incident.signal, incident.slice, self._clock(), incident.onset_ns)
                if blamed(report) is not None:
                    await self._change(incident.id, _judging(report))
                    found.append(incident.id)
        return found

    async def _attributed(
        self, signal: str, slice_name: str, until_ns: int, onset_ns: int
    ) -> tuple[Report, Sequence[str]]:
        """The report on a signal, and its failing requests."""
        taken = sight(self._watch, signal, slice_name, until_ns, onset_ns)
        changes = self._suspects(onset_ns)

        def work() -> tuple[Report, Sequence[str]]:
            evidence = taken.evidence()
            report = attribute(evidence, changes, taken.others(), taken.quiet())
            whose = blamed(report) or next((c for c in report.candidates if not c.change_id), None)
            return report, failing(evidence, whose, states.MAX_TRACES) if whose else []

        # In a thread, because thousands of observations would hold up the requests being served.
        return await asyncio.to_thread(work)

    def _suspects(self, onset_ns: int) -> Sequence[Change]:
        """The changes of the window, and those of rollouts that still run, however long ago they began."""
        since = max(0, onset_ns - self._window_ns)
        running = {rollout.id for rollout in self._registry.rollouts(running=True)}
        return [
            change
            for change in self._registry.changes(limit=_MAX_CHANGES)
            if (change.time_ns >= since or change.rollout in running)
            and (change.kind, change.name) != ("datasets", DATASET)
            and change.kind not in ("data", "monitors")
        ]

    def _rearm(self, incident: Incident) -> None:
        alarms = sum(event.kind in ("alarm", "joined") for event in incident.events)
        if incident.mitigated_ns or incident.state == "closed" or alarms < MAX_ALARMS:
            for signal in incident.signals:
                with suppress(NotFound):
                    self._watch.rearm(signal)

    async def _note_once(self, incident_id: int, kind: str, text: str) -> Incident:
        def note(incident: Incident, now: int) -> Incident:
            if any((event.kind, event.text) == (kind, text) for event in incident.events):
                return incident
            return states.noted(incident, kind, MACHINE, text, now)

        return await self._change(incident_id, note)

    async def _change(self, incident_id: int, change: Callable[[Incident, int], Incident]) -> Incident:
        now = self._clock()
        return await self._told(self._records.change(incident_id, lambda incident: change(incident, now)))

    async def _told(self, step: Awaitable[Written]) -> Incident:
        """Tell the listeners of the events that a committed step added."""
        before, after = await step
        for event in after.events[len(before.events) if before else 0 :]:
            for listener in self.on_event:
                try:
                    listener(after, event)
                except Exception:  # house: except because a listener must not undo what is committed
                    log.exception("a listener failed on incident %d", after.id)
        return after


def _judging(report: Report) -> Callable[[Incident, int], Incident]:
    return lambda incident, now: replace(states.judged(incident, report, now), pending=True)


def _resolving(text: str) -> Callable[[Incident, int], Incident]:
    return lambda incident, now: states.resolved(incident, MACHINE, text, now)


def _note(incident: Incident) -> str:
    return f"incident {incident.id}: {incident.title}"

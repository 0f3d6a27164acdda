"""The desk of the probes: each runs at its time, on its budget, in one process of several."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.core import Conflict, NotFound, Overloaded, TrimtabError, new_id, now_ns
from trimtab.knowledge import Corpora
from trimtab.registry import Registry
from trimtab.store import Blobs, Metadata, Spans

from .alarm import Alarm, Tell, deliver, news, pending, signal_of
from .asking import Door, Meter
from .citations import citations
from .corpus import corpus
from .declaration import Declaration
from .found import Found, Job, printable
from .guards import guard_attacks, guard_benign
from .judging import judge
from .records import DONE, FAILED, RUNNING, Records, Run, Spending, Standing
from .retrieval import retrieval
from .vendor import vendor

log = logging.getLogger("trimtab.probes")

#: What runs of each kind do.
RUNS: Mapping[str, Callable[[Job], Awaitable[Found]]] = {
    "vendor": vendor, "guard_attacks": guard_attacks, "guard_benign": guard_benign, "retrieval": retrieval,
    "judge": judge, "corpus": corpus, "citations": citations,
}  # fmt: skip
#: Seconds: until the first new probe runs, and from one to the next; between two looks; for one run, and beyond that
#: until another process may take a run for lost.
FIRST_S, LOOK_S, RUN_S, GRACE_S = 60.0, 10.0, 300.0, 60.0
#: Runs under way at once.
AT_ONCE = 2
_NS = 10**9
_DAY_NS = 86_400 * _NS


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A probe as it stands. ``condition`` is alarm, moved, learning, ok, unknown or "" before its first run;
    ``asleep`` says why it does not run by itself; ``next_ns`` is 0 while it does not."""

    declared: Declaration
    condition: str
    asleep: str
    running: bool
    last: Run | None
    spent: Spending
    next_ns: int
    incident: int


class Probes:
    """One instance where the chores run. ``door`` opens models, ``tell`` is the incident desk, and ``spans`` what was
    recorded."""

    def __init__(  # house: parameters because each is a room of its own that some kind of probe works with
        self,
        declared: Sequence[Declaration],
        *,
        metadata: Metadata,
        registry: Registry,
        corpora: Corpora,
        door: Door,
        tell: Tell | None = None,
        clock: Callable[[], int] = now_ns,
        spans: Spans | None = None,
    ) -> None:
        self.declared = {one.name: one for one in declared}
        self._records, self._shared = Records(metadata), metadata.shared
        self._registry, self._corpora, self._blobs = registry, corpora, Blobs(metadata)
        self._door, self._tell, self._clock, self._spans = door, tell, clock, spans
        self.rng = random.Random()
        self._holder = new_id("prb")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._began_ns = clock()

    # The life of the desk.

    async def start(self) -> None:
        """Take up the schedule where the last run of each probe left it."""
        if not self._shared:
            await self._records.give_up(self._clock())
        self._task = asyncio.create_task(self._forever(), name="trimtab-probes")

    async def stop(self) -> None:
        """End what runs: it is written down as failed, and runs again at its next time."""
        tasks = [*self._running.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def turn(self) -> None:
        """One look: deliver what waits, begin what is due."""
        now = self._clock()
        awake = [one for one in self.declared.values() if not one.asleep]
        standings = await self._records.standings([one.name for one in awake], _day(now))
        owed = await self._records.owed([one.name for one in awake])
        for one in awake:
            if one.name in self._running:
                continue
            told = one.name not in owed or await self._delivered(one)
            if told and self._next(one, standings[one.name]) <= now:
                await self._begin(one, actor="schedule", due_ns=now - int(one.every_s * _NS))

    async def settle(self) -> None:
        """Wait for the runs under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def wait(self, name: str, seconds: float) -> None:
        """Wait for the run of a probe that is under way here, at most so long."""
        if (task := self._running.get(name)) is not None:
            await asyncio.wait([task], timeout=seconds)

    # What may be asked of it.

    async def run(self, name: str, actor: str) -> Run:
        """Begin a run now, whatever the schedule says; returns it as it begins.

        Raises NotFound, Conflict while one is under way or its budget is spent, or where it asks a model without one.
        """
        one = self._known(name)
        if one.of.costs and one.usd is None and one.calls is None:
            raise Conflict(
                f"The probe {name} has no budget.", field="probe", mend=f"Give it one under probes.{name}.budget."
            )
        if name in self._running:
            raise Conflict(f"The probe {name} runs already.", field="probe", mend="Wait for its end.")
        run_id = await self._begin(one, actor=actor, due_ns=self._clock())
        if run_id is None:
            mend = "Wait for its end, or until midnight UTC where its budget is spent."
            raise Conflict(f"The probe {name} cannot run now.", field="probe", mend=mend)
        return await self._records.one(run_id)

    async def accept(self, name: str, actor: str) -> View:
        """Take the present state for usual: the reference is made anew, and its incident is resolved.

        Raises NotFound, Conflict while it runs.
        """
        one = self._known(name)
        if name in self._running:
            raise Conflict(f"The probe {name} runs.", field="probe", mend="Wait for its end.")
        known = await self._records.known(name)
        before = str(known.get("condition", ""))
        await self._records.know(name, {"of": one.digest, "condition": "", "state": {}})
        if before == "alarm" and self._tell is not None:
            said = f"{actor} takes the present state for usual"
            await self._tell(
                Alarm(
                    signal=signal_of(name), layer=one.layer, title="", text=said, owner=one.owner,
                    severity=one.severity, runbook=one.runbook, since_ns=0, over=True,
                )
            )  # fmt: skip
        return await self.view(name)

    async def views(self) -> list[View]:
        """Every probe, those in alarm first, then those that are awake."""
        names = list(self.declared)
        standings = await self._records.standings(names, _day(self._clock()))
        found = [await self._view(self.declared[name], standings[name]) for name in names]
        order = {"alarm": 0, "moved": 1}
        return sorted(found, key=lambda v: (order.get(v.condition, 2), bool(v.asleep)))

    async def view(self, name: str) -> View:
        """One probe. Raises NotFound."""
        one = self._known(name)
        standings = await self._records.standings([name], _day(self._clock()))
        return await self._view(one, standings[name])

    async def recent(self, name: str, limit: int = 50) -> list[Run]:
        """Its newest runs, newest first. Raises NotFound."""
        return await self._records.recent(self._known(name).name, limit)

    async def figures(self, limit: int = 40) -> dict[str, list[tuple[str, float | None]]]:
        """Verdict and value of the newest ended runs of every probe, oldest first."""
        return await self._records.figures(list(self.declared), limit)

    # The work.

    async def _begin(self, one: Declaration, *, actor: str, due_ns: int) -> int | None:
        now = self._clock()
        run = Run(
            id=0, probe=one.name, kind=one.kind, target=one.target, actor=printable(actor, 100), state=RUNNING,
            started_ns=now, detail={},
        )  # fmt: skip
        run_id = await self._records.claim(
            run, holder=self._holder, lease_ns=now + int((RUN_S + GRACE_S) * _NS), due_ns=due_ns, day_ns=_day(now),
            most=_most(one),
        )  # fmt: skip
        if run_id is not None:
            task = asyncio.create_task(self._carry_out(one, replace(run, id=run_id)), name=f"trimtab-probe-{one.name}")
            self._running[one.name] = task
            task.add_done_callback(lambda _: self._running.pop(one.name, None))
        return run_id

    async def _carry_out(self, one: Declaration, run: Run) -> None:
        known = await self._records.known(one.name)
        if known.get("of") != one.digest:
            known = {"of": one.digest, "condition": "", "state": {}, "incident": known.get("incident", 0)}
        meter = await self._meter(one)
        found: Found | None = None
        try:
            async with self._turns, asyncio.timeout(RUN_S):
                job = Job(
                    declared=one, state=known.get("state", {}), ask=meter, registry=self._registry,
                    corpora=self._corpora, blobs=self._blobs, rng=self.rng, clock=self._clock, spans=self._spans,
                )  # fmt: skip
                found = await RUNS[one.kind](job)
            ended = replace(run, state=DONE, verdict=found.verdict, text=printable(found.text), value=found.value)
            limits = {"usual": found.usual, "limit": found.limit, "pin": found.pin}
            ended = replace(ended, detail={**limits, **found.detail})
        except TimeoutError:
            ended = replace(run, state=FAILED, text=f"It took longer than {RUN_S:g} s.")
        except asyncio.CancelledError:
            ended = replace(run, state=FAILED, text="The server stopped.")
        except TrimtabError as error:
            ended = replace(run, state=FAILED, text=printable(str(error)))
        except Exception as error:  # house: except because one probe's mistake must not keep the others from running
            log.exception("the probe %s failed", one.name)
            ended = replace(run, state=FAILED, text=f"internal error ({type(error).__name__})")
        ended = replace(
            ended, ended_ns=self._clock(), calls=meter.calls, cost_usd=meter.usd, unpriced=meter.unpriced
        )  # fmt: skip
        state = self._learnt(one, known, found, ended) if found is not None else None
        written = await self._records.finish(ended, holder=self._holder, state=state, day_ns=_day(ended.ended_ns))
        if written and state is not None:
            await self._delivered(one)

    def _learnt(self, one: Declaration, known: Mapping[str, Any], found: Found, run: Run) -> dict[str, Any]:
        """What the probe knows after a run: its kind's state, its condition, and the news that is to be delivered."""
        before = str(known.get("condition", ""))
        standing = before if before in ("alarm", "moved") else ""
        condition = standing or found.verdict if found.verdict == "unknown" else found.verdict
        if standing == "alarm" and found.verdict == "moved":
            condition = "alarm"
        what = news(standing, found)
        good_ns = run.ended_ns if found.verdict in ("ok", "learning") else int(known.get("good_ns", run.started_ns))
        state = {**known, "of": one.digest, "condition": condition, "state": dict(found.state), "good_ns": good_ns}
        if what:
            since = int(known.get("good_ns", run.started_ns))
            state["waiting"] = pending(what, found, run=run.id, since_ns=since)
        return state

    async def _delivered(self, one: Declaration) -> bool:
        """Deliver the news that waits; whether none waits any more."""
        known = await self._records.known(one.name)
        waiting = known.get("waiting")
        if not waiting:
            return True
        try:
            incident = await deliver(one, waiting, self._registry, self._tell)
        except TrimtabError as error:
            log.warning("the probe %s could not tell its news: %s", one.name, error)
            return False
        del known["waiting"]
        await self._records.know(one.name, {**known, "incident": incident or known.get("incident", 0)})
        return True

    async def _meter(self, one: Declaration) -> Meter:
        spent = await self._records.spent(one.name, _day(self._clock()))
        return Meter(
            self._door, one.name, calls_left=None if one.calls is None else max(0, one.calls - spent.calls),
            usd_left=None if one.usd is None else max(0.0, one.usd - spent.usd),
        )  # fmt: skip

    def _next(self, one: Declaration, standing: Standing) -> int:
        if standing.last is None:  # one after the other, so that a start is not the moment of all of them
            place = list(self.declared).index(one.name)
            return self._began_ns + int(FIRST_S * (1 + place) * _NS)
        due = standing.last.started_ns + int(one.every_s * _NS)
        now = self._clock()
        if _is_spent(one, standing.spent):
            return max(due, _day(now) + _DAY_NS)
        return due

    async def _view(self, one: Declaration, standing: Standing) -> View:
        known = await self._records.known(one.name)
        last = standing.last
        running = last is not None and last.state == RUNNING
        asleep = one.asleep
        if not asleep and _is_spent(one, standing.spent):
            asleep = "Its budget of today is spent; it goes on after midnight UTC."
        return View(
            declared=one, condition=str(known.get("condition", "")) if known.get("of") == one.digest else "",
            asleep=asleep, running=running, last=last, spent=standing.spent,
            next_ns=0 if one.asleep else self._next(one, standing), incident=int(known.get("incident", 0)),
        )  # fmt: skip

    def _known(self, name: str) -> Declaration:
        if name not in self.declared:
            raise NotFound(
                f"There is no probe {name[:60]!r}.", field="probe", mend=f"There are: {', '.join(self.declared)}."[:500]
            )
        return self.declared[name]

    async def _forever(self) -> None:
        while True:
            try:
                await self.turn()
            except Overloaded as error:  # the database does not answer: look again later
                log.warning("probes wait: %s", error)
            except Exception:  # house: except because a chore that dies silently is worse than one that goes on
                log.exception("probes: unexpected")
            await asyncio.sleep(LOOK_S)


def _day(now: int) -> int:
    return now // _DAY_NS * _DAY_NS


def _most(one: Declaration) -> Spending | None:
    if one.usd is None and one.calls is None:
        return None
    return Spending(calls=one.calls if one.calls is not None else 2**62, usd=one.usd if one.usd is not None else 1e300)


def _is_spent(one: Declaration, spent: Spending) -> bool:
    most = _most(one)
    return most is not None and (spent.calls >= most.calls or spent.usd >= most.usd)

"""Runs the plans, in this process or in several, and gathers their marks."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import plans as planning
from .catalogue import FAULTS
from .cost import per_request, throughput
from .delays import Delay, delay_of, never_played, plans_for, set_to
from .fault import Fault, checked, load
from .healthy import SCENES, Healthy, healthy
from .scoring import Marks, marks
from .stage import Learnt, furnished, learn, scratch
from .trial import Plan, Trial, play

#: Healthy requests from which the references are learnt, and how many different pasts there are.
LEARNING, PASTS = 40_000, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for. ``split``: held, tuned or all types; ``only``: part of a fault's name.
    ``delays``: rounds of trials that end at the alarm, at the severities of ``falls``; ``only_delays``: nothing else.

    No trial begins after ``until`` (seconds since 1970, 0 is no limit).
    """

    split: str = "all"
    only: str = ""
    module: str = ""
    repeats: int = 1
    pairs: int = 42
    healthy: int = 140_000
    seed: int = 1
    hard: bool = True
    judged: float = 1.0
    learning: int = LEARNING
    workers: int = 1
    past: str = ""
    until: float = 0.0
    quick: bool = False
    delays: int = 1
    falls: tuple[float, ...] = planning.SEVERITIES
    only_delays: bool = False


def faults_of(options: Options) -> tuple[Fault, ...]:
    """The types of a run: those of the catalogue and of the module from outside. Raises ValueError."""
    found = checked((*FAULTS, *(load(options.module) if options.module else ())))
    if options.quick and not options.only:
        found = found[::8] if not options.module else (*found[: len(FAULTS) : 8], *found[len(FAULTS) :])
    if options.split != "all":
        found = tuple(f for f in found if f.tuned == (options.split == "tuned"))
    return tuple(f for f in found if options.only in f.name)


def plans_of(options: Options) -> list[Plan]:
    """Every trial of a run that is explained, the single faults first."""
    if options.only_delays:
        return []
    found = planning.singles(faults_of(options), options.repeats, options.seed, hard=options.hard)
    if not options.only and options.split != "tuned":
        found += planning.pairs(options.pairs, options.seed, hard=options.hard)
    return found


def delay_plans_of(options: Options) -> list[Plan]:
    """Every trial of a run that ends at its alarm: of the types that no method was tuned on, unless others are asked
    for."""
    faults = faults_of(options)
    if options.split == "all" and not options.only:
        faults = tuple(fault for fault in faults if not fault.tuned)
    return plans_for(faults, options.falls, options.delays, options.seed, hard=options.hard)


def _read_pasts(where: str) -> dict[int, Learnt]:
    if not where or not Path(where).is_file():
        return {}
    kept = json.loads(Path(where).read_text(encoding="utf-8"))
    return {int(n): Learnt(watch=watch, vendors=vendors) for n, (watch, vendors) in kept.items()}


class Runner:
    """Holds what trials share: the furnished database and the learnt pasts. Use it as a context manager."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._folder = scratch()
        self._template = self._folder / "template.db"
        self._pasts: dict[int, Learnt] = _read_pasts(options.past)
        asyncio.run(furnished(self._template))

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def past(self, seed: int) -> Learnt:
        """What healthy traffic taught; one of a few pasts."""
        number = seed % (1 if self.options.quick else PASTS)
        if number not in self._pasts:
            self._pasts[number] = asyncio.run(
                learn(self._template, 900_000 + number, self.options.learning, self.options.judged)
            )
            if self.options.past:
                kept = {str(n): [past.watch, past.vendors] for n, past in self._pasts.items()}
                Path(self.options.past).write_text(json.dumps(kept), encoding="utf-8")
        return self._pasts[number]

    def trial(self, plan: Plan) -> Marks | None:
        """One trial's marks; None when there is no time left for it."""
        played = self._played(plan, explained=True, limit=planning.limit_of(plan))
        return None if played is None else marks(played)

    def delay(self, plan: Plan) -> Delay | None:
        """The same, of a trial that ends at its alarm: its severity is set so that the fall is the one planned."""
        fall = plan.severity
        if self._late():
            return None
        found = asyncio.run(set_to(self._template, plan, fall))
        if found is None:
            return never_played(plan, fall)
        played = self._played(found, explained=False, limit=planning.limit_of(plan))
        return None if played is None else delay_of(played, fall)

    def _late(self) -> bool:
        return bool(self.options.until) and time.time() > self.options.until

    def _played(self, plan: Plan, *, explained: bool, limit: int) -> Trial | None:
        if self._late():
            return None
        limit = min(limit, 1200) if self.options.quick else limit
        past, judged = self.past(plan.seed), self.options.judged
        return asyncio.run(play(plan, self._template, past, limit=limit, judged=judged, explained=explained))

    def scene(self, name: str, seed: int, requests: int) -> Healthy:
        """One healthy scenario."""
        judged = self.options.judged
        return asyncio.run(healthy(name, self._template, self.past(seed), 40_000 + seed, requests, judged))

    def cost(self) -> dict[str, Any]:
        """What watching costs."""
        n = 20_000 if self.options.quick else 200_000
        served = 400 if self.options.quick else 3000
        return {
            "throughput": dict(throughput(n)),
            "per_request": dict(asyncio.run(per_request(self._template, self.past(0), served))),
        }


class Progress:
    """One line on stderr, rewritten."""

    def __init__(self, steps: int) -> None:
        self.done, self.steps, self.started = 0, steps, time.perf_counter()

    def step(self, what: str) -> None:
        self.done += 1
        spent = time.perf_counter() - self.started
        end = "\n" if self.done == self.steps else ""
        print(f"\r[{self.done:4}/{self.steps}] {spent:6.1f} s  {what:<60}", end=end, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a run found."""

    trials: list[Marks]
    delays: list[Delay]
    calm: list[Healthy]
    cost: dict[str, Any]


def run(options: Options, show: Callable[[Marks | Delay], None] = lambda _: None) -> Found:
    """Everything; ``show`` hears of each trial as it ends. Raises ValueError for a module that does not fit."""
    plans, waits, scenes = plans_of(options), delay_plans_of(options), _scenes(options)
    progress = Progress(len(plans) + len(waits) + len(scenes) + 1)

    def named(found: Marks | Delay | None) -> str:
        if found is None:
            return "left out: no time"
        show(found)
        return found.fault if isinstance(found, Delay) else " + ".join(found.faults)

    with Runner(options) as runner:
        if options.workers > 1:
            with ProcessPoolExecutor(options.workers, initializer=_start, initargs=(options,)) as pool:
                calm = list(_told(pool.map(_scene, range(len(scenes))), progress, lambda h: f"healthy: {h.name}"))
                late = list(_told(pool.map(_delay, range(len(waits))), progress, named))
                done = list(_told(pool.map(_trial, range(len(plans))), progress, named))
        else:
            calm = list(_told((runner.scene(*s) for s in scenes), progress, lambda h: f"healthy: {h.name}"))
            late = list(_told(map(runner.delay, waits), progress, named))
            done = list(_told(map(runner.trial, plans), progress, named))
        cost = {} if options.only_delays else runner.cost()
        progress.step("cost")
    trials, delays = [m for m in done if m is not None], [d for d in late if d is not None]
    return Found(trials=trials, delays=delays, calm=calm, cost=cost)


def _scenes(options: Options) -> list[tuple[str, int, int]]:
    if options.healthy <= 0 or options.only or options.only_delays:
        return []
    names = list(SCENES)[:: 5 if options.quick else 1]
    return [(name, options.seed + i, options.healthy // len(names)) for i, name in enumerate(names)]


def _told(results: Any, progress: Progress, name: Callable[[Any], str]) -> Iterator[Any]:
    for result in results:
        progress.step(name(result))
        yield result


# In a worker process: a runner of its own, kept for the process's life.
_RUNNERS: dict[Options, Runner] = {}


def _start(options: Options) -> None:
    _RUNNERS[options] = Runner(options)


def _trial(place: int) -> Marks | None:
    options, runner = next(iter(_RUNNERS.items()))
    return runner.trial(plans_of(options)[place])


def _delay(place: int) -> Delay | None:
    options, runner = next(iter(_RUNNERS.items()))
    return runner.delay(delay_plans_of(options)[place])


def _scene(place: int) -> Healthy:
    options, runner = next(iter(_RUNNERS.items()))
    return runner.scene(*_scenes(options)[place])

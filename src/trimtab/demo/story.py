"""The story: learn what is usual, put one fault in, and measure how the loop answers it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from trimtab.core import Filter, SpanQuery, now_ns
from trimtab.incidents import Incident
from trimtab.wiring import House

from .assets import Models
from .faults import Fault, Injected
from .traffic import Traffic

PATIENCE_S = 60.0
AFTER_S = 3.0
PAGE = 1000
#: Requests watched after the mix shifted, when nothing is wrong.
QUIET_REQUESTS = 600
#: The signals that must know their baseline before the fault goes in.
MUST_BE_ARMED = ("cites", "grounded", "fresh", "allowed", "answered", "quality", "judge_agreement")


class Screen(Protocol):
    """What the story tells while it runs."""

    def learning(self, done: int, total: int) -> None: ...
    def say(self, kind: str, text: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it; ``ok`` is the only judgement. Seconds count from the change. None: it did not happen."""

    fault: str
    ok: bool
    incident: int | None = None
    layer: int | None = None
    change: str | None = None
    seconds_to_alarm: float | None = None
    seconds_to_verdict: float | None = None
    seconds_to_rollback: float | None = None
    requests_to_alarm: int | None = None
    bad_responses_after_rollback: int | None = None
    cases_added: int = 0
    false_alarms: int = 0
    certainty: str | None = None
    signal: str | None = None
    requests: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


async def learn(house: House, traffic: Traffic, requests: int, screen: Screen) -> None:
    """Let traffic run until ``requests`` were answered and the monitors know what is usual."""
    goal = traffic.asked + requests
    while traffic.asked < goal or not all(house.watch.armed(signal) for signal in MUST_BE_ARMED):
        screen.learning(min(traffic.asked, goal), goal)
        await asyncio.sleep(0.1)
    await house.loop.settle()
    screen.learning(goal, goal)


async def play(house: House, traffic: Traffic, fault: Fault, models: Models, screen: Screen) -> Outcome:
    """Put the fault in, wait for the loop's answer, and check it."""
    before = {incident.id for incident in await house.desk.list()}
    started, asked = now_ns(), traffic.asked
    injected = await fault.inject(house, traffic, models)
    screen.say("change", injected.said)
    if injected.layer is None:
        return await _quiet(house, traffic, fault, before, asked, screen)
    incident = await _until(lambda: _answered(house, before, injected), PATIENCE_S)
    await asyncio.sleep(AFTER_S)
    await house.loop.settle()
    return await _judge(house, fault, injected, incident, before, started)


async def _quiet(house: House, traffic: Traffic, fault: Fault, before: set[int], asked: int, screen: Screen) -> Outcome:
    goal = asked + QUIET_REQUESTS
    while traffic.asked < goal:
        screen.learning(traffic.asked - asked, QUIET_REQUESTS)
        await asyncio.sleep(0.1)
    await house.loop.settle()
    raised = [i for i in await house.desk.list() if i.id not in before]
    return Outcome(
        fault=fault.name, ok=not raised, false_alarms=len(raised), requests=traffic.asked - asked,
        incident=raised[0].id if raised else None, signal=raised[0].signal if raised else None,
    )  # fmt: skip


async def _answered(house: House, before: set[int], injected: Injected) -> Incident | None:
    """The incident that names the change and is done with its actions."""
    for incident in await house.desk.list():
        cause = incident.report.cause if incident.report else None
        named = incident.id not in before and cause is not None and cause.after == injected.after
        if named and incident.mitigated_ns and incident.cases:
            return incident
    return None


async def _until(probe: Callable[[], Any], patience: float) -> Incident | None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found: Incident | None = await probe()
        if found:
            return found
        await asyncio.sleep(0.05)
    return None


async def _judge(
    house: House, fault: Fault, injected: Injected, incident: Incident | None, before: set[int], started: int
) -> Outcome:
    raised = [i for i in await house.desk.list() if i.id not in before]
    if incident is None:
        first = raised[0] if raised else None
        return Outcome(
            fault=fault.name, ok=False, false_alarms=len(raised), incident=first.id if first else None,
            signal=first.signal if first else None, layer=first.layer if first else None,
            change=first.report.cause.after if first and first.report and first.report.cause else None,
            certainty=first.report.certainty if first and first.report else None,
        )  # fmt: skip
    incident = await house.desk.get(incident.id)
    bad = await _served_bad(house, injected, incident.mitigated_ns)
    others = [i for i in raised if not (i.report and i.report.cause and i.report.cause.after == injected.after)]
    assert incident.report is not None
    return Outcome(
        fault=fault.name,
        ok=incident.layer == injected.layer and bad == 0 and incident.cases > 0 and not others,
        incident=incident.id,
        layer=incident.layer,
        change=f"{incident.report.cause.kind}:/{injected.after}" if incident.report.cause else None,
        seconds_to_alarm=_seconds(started, incident.alarm_ns),
        seconds_to_verdict=_seconds(started, incident.verdict_ns),
        seconds_to_rollback=_seconds(started, incident.mitigated_ns),
        requests_to_alarm=await _count(house, started, incident.alarm_ns),
        bad_responses_after_rollback=bad,
        cases_added=incident.cases,
        false_alarms=len(others),
        certainty=incident.report.certainty,
        signal=incident.signal,
        requests=await _count(house, started, now_ns()),
    )


async def _served_bad(house: House, injected: Injected, since_ns: int) -> int:
    """Answers begun after the rollback that the bad version still made (for a judge: verdicts it still gave)."""
    if injected.change is not None and injected.change.kind == "judges":
        scores = await house.spans.scores(since_ns=since_ns, until_ns=now_ns(), name="quality", limit=PAGE)
        begun = [s for s in scores if s.by_version == injected.after]
        return len([s for s in begun if await _began(house, s.trace_id) > since_ns])
    page = await house.spans.query(SpanQuery(since_ns=since_ns, limit=PAGE))
    pins = [
        (s.stamp.model, s.stamp.prompt, s.stamp.guard, s.stamp.knowledge) for s in page.spans if s.project == "default"
    ]
    return sum(injected.after in pin for pin in pins)


async def _began(house: House, trace_id: str) -> int:
    trace = await house.spans.trace(trace_id)
    return min(span.start_ns for span in trace.spans) if trace else 0


async def _count(house: House, since_ns: int, until_ns: int) -> int:
    """Requests of the application that began in the window."""
    ours = Filter(column="project", op="=", value="default")
    counted, cursor = 0, ""
    while True:
        page = await house.spans.query(
            SpanQuery(since_ns=since_ns, until_ns=until_ns, filters=(ours,), limit=PAGE, cursor=cursor)
        )
        counted, cursor = counted + len(page.spans), page.cursor
        if not cursor:
            return counted


def _seconds(start_ns: int, end_ns: int) -> float | None:
    return round((end_ns - start_ns) / 1e9, 2) if end_ns else None

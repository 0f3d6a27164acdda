"""What a monitor would have said of the past: recorded traffic through a watch of its own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core import Score, Span

from .monitors import Monitor
from .observation import Alarm
from .signals import OF_SCORES, is_score
from .watch import Watch

#: Alarms that are listed; more are counted.
LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldAlarm:
    """An alarm that there would have been: when, in which slice ("": all), and the fall."""

    time_ns: int
    slice: str
    baseline: float
    now: float
    onset_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """``seen`` values of the signal in ``slices`` slices, of which ``armed`` had a reference by the end. ``alarms`` is
    how often it would have alarmed; a detector that alarmed begins anew, as it does when its incident was mitigated."""

    monitor: str
    seen: int
    slices: int
    armed: int
    alarms: int
    listed: tuple[WouldAlarm, ...]
    from_ns: int
    until_ns: int


def trial(
    monitor: Monitor, scores: Sequence[Score], spans: Sequence[Span], *, reference: int, threshold: float
) -> Trial:
    """Feed what was recorded, oldest first: scores for a signal that is one or is made of them, else requests' spans.

    ``threshold`` is the evidence that an alarm takes in the running watch, so that the trial is neither laxer nor
    stricter. References are gathered from the start, so that the first values are not judged. Raises BadInput for an
    invalid monitor.
    """
    watch = Watch([monitor], reference=reference, false_alarms_per=max(2, round(threshold / 2)))
    found: list[WouldAlarm] = []
    times: list[int] = []
    if is_score(monitor.signal):
        known = [score for score in scores if score.name == monitor.signal and score.project == monitor.project]
        for score in sorted(known, key=lambda score: score.time_ns):
            times.append(score.time_ns)
            found += _alarms(watch, watch.observe([score]))
    elif monitor.signal in OF_SCORES:
        answers: dict[str, list[Score]] = {}
        for score in scores:
            answers.setdefault(score.trace_id, []).append(score)
        for answer in sorted(answers.values(), key=lambda answer: answer[0].time_ns):
            times.append(answer[0].time_ns)
            found += _alarms(watch, watch.observe(answer))
    else:
        traces: dict[str, list[Span]] = {}
        for span in spans:
            traces.setdefault(span.trace_id, []).append(span)
        for trace in sorted(traces.values(), key=lambda trace: max(span.end_ns for span in trace)):
            times.append(max(span.end_ns for span in trace))
            found += _alarms(watch, watch.measure(trace))
    standing = watch.standing(monitor.signal)
    seen = len(watch.evidence(monitor.signal)[0])
    return Trial(
        monitor=monitor.name, seen=seen if not is_score(monitor.signal) else len(times),
        slices=len(standing.slices) + len(standing.gathering), armed=len(standing.slices), alarms=len(found),
        listed=tuple(found[:LISTED]), from_ns=min(times, default=0), until_ns=max(times, default=0),
    )  # fmt: skip


def _alarms(watch: Watch, raised: Sequence[Alarm]) -> list[WouldAlarm]:
    found = [
        WouldAlarm(time_ns=a.time_ns, slice=a.slice, baseline=a.baseline, now=a.now, onset_ns=a.onset_ns)
        for a in raised
    ]
    if found:
        watch.rearm(watch.monitors[0].signal)
    return found

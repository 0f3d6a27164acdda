"""What an alarm says: since when a signal is worse, and by how much, looking back over what was bet on. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from trimtab.stats import EDetector

from .monitors import Monitor
from .observation import Alarm, Observation
from .parts import Part


def alarm_of(
    monitor: Monitor,
    slice: str,
    detector: EDetector,
    *,
    evidence: deque[Observation],
    seen: int,
    place: Callable[[str], Part | None],
) -> Alarm:
    """The alarm of a detector that fired, "" being that of all slices: what was bet since the likeliest onset.

    ``evidence`` are the newest of ``seen`` values, and ``place`` tells in which slice's part a value counts. Onsets
    beyond the kept evidence show as its start.
    """
    n, total, expected, onset_ns = 0, 0.0, 0.0, evidence[-1].time_ns
    since = detector.n_since
    gain, most, found = 0.0, -math.inf, (0, 0.0, 0.0, onset_ns)
    for back, one in enumerate(reversed(evidence)):
        part = place(one.slice)
        bet_on = part is not None and part.detector is not None and seen - back > part.armed_at
        if part is not None and bet_on and slice in ("", part.name):
            n += 1
            total += one.value
            expected += part.reference.mean
            onset_ns = min(onset_ns, one.time_ns)
            # A batch tells the onset to its own start only; where the bet wins most lies nearer.
            gain += detector.gain(one.value, part.low if slice else part.group.low)
            if gain >= most:
                most, found = gain, (n, total, expected, onset_ns)
        if n and n >= since:
            break
    n, total, expected, onset_ns = found
    kept = max(1, n)  # none where all that was bet on has left the evidence
    return Alarm(
        monitor=monitor,
        signal=monitor.signal,
        slice=slice,
        time_ns=evidence[-1].time_ns,
        e_value=detector.value,
        threshold=detector.threshold,
        baseline=expected / kept,
        now=total / kept,
        n_since=n,
        onset_ns=onset_ns,
    )

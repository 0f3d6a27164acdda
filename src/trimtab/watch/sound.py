"""A second look at the judge's verdicts: those on answers that no check found fault with. Pure.

An answer that a check finds fault with mostly fails before the judge too, and how many of those there are is luck that
hides a fall. Without them verdicts vary less: where 92 of 100 answers pass the judge, 94 of the sound ones do, and
answers that became wrong in ways that no check sees are told in three quarters of the values. A fall that the checks
see shows in all verdicts and not in these, so both are bet on. (Stratification by what is known of each answer, Neyman
1934.) Given the past and the answer's checks the bound of its own stratum holds, so the guarantee is that of any
signal; it is one stream more, which shares the signal's part of the budget.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .clusters import Clustering
from .observation import Alarm, Observation
from .roster import Watchers
from .stream import REST, Stream

#: Answers with a failed check that are remembered until their verdicts come.
_MOST = 20_000


class SoundVerdicts:
    """The stream of those verdicts; ``used`` once there were both checks and verdicts, and not before: where nothing
    checks answers it would only be the same signal again. Its alarms are alarms of the whole signal."""

    def __init__(self) -> None:
        self.used = False
        self._stream: Stream | None = None
        self._doubtful: OrderedDict[str, None] = OrderedDict()

    @property
    def stream(self) -> Stream | None:
        """Where the verdicts are bet on, None while they are not."""
        return self._stream if self.used else None

    def adopt(self, watchers: Watchers | None, reference: int, threshold: float, pooled: Clustering) -> None:
        """Watch for these monitors of the signal from now on; None where nobody watches it. ``pooled``: how failures of
        all signals cluster."""
        if watchers is None:
            self._stream = None
        elif self._stream is None:
            self._stream = Stream(watchers, reference, threshold, pooled)
        else:
            self._stream.adopt(watchers)

    def doubt(self, trace_id: str) -> None:
        """A check found fault with this answer."""
        self._doubtful[trace_id] = None
        if len(self._doubtful) > _MOST:
            self._doubtful.popitem(last=False)

    def take(self, verdicts: Sequence[Observation], whole: Stream, *, more: bool) -> list[Alarm]:
        """Bet on the sound ones among verdicts that ``whole`` has taken; return the alarms."""
        if self._stream is None:
            return []
        doubtful = self._doubtful
        sound = [one for one in verdicts if one.served.trace_id not in doubtful] if doubtful else verdicts
        return self.told(self._stream.take(sound, more=more), whole) if sound else []

    def due(self, whole: Stream | None) -> list[Alarm]:
        """Bet on what waits for more to come; return the alarms."""
        return self.told(self._stream.due(), whole) if self.used and self._stream is not None else []

    def told(self, alarms: Sequence[Alarm], whole: Stream | None) -> list[Alarm]:
        """The alarms as those of the whole signal: how far all its verdicts fell since then."""
        found = []
        for alarm in alarms:
            if whole is not None and whole.told(alarm.slice):
                continue  # all verdicts have said so
            n, now, baseline = _since(whole, alarm) if whole is not None else (0, 0.0, 0.0)
            # Where fewer answers fail a check meanwhile all verdicts may even rise: then the sound ones say how far.
            found.append(replace(alarm, n_since=n, now=now, baseline=baseline) if now < baseline else alarm)
        return found

    def news(self, alarms: Sequence[Alarm]) -> list[Alarm]:
        """Of alarms of all verdicts those that sound answers did not raise before: a fall is told once."""
        own = self.stream
        return [alarm for alarm in alarms if own is None or not own.told(alarm.slice)]

    def state(self) -> dict[str, Any]:
        """What survives a restart; nothing where it was not used."""
        if not self.used or self._stream is None:
            return {}
        stream = self._stream
        return {
            "references": stream.state(), "sessions": stream.sessions.state(), "clusters": stream.clustering.state(),
        }  # fmt: skip

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned. Raises BadInput, KeyError, TypeError or ValueError for anything else."""
        if kept and self._stream is not None:
            self._stream.sessions.restore(kept["sessions"])
            self._stream.clustering.restore(kept["clusters"])
            self._stream.restore(dict(kept["references"]))
            self.used = True


def _since(whole: Stream, alarm: Alarm) -> tuple[int, float, float]:
    """Of all verdicts since the onset: how many, their mean, and what they would average as usual."""
    known = whole.baselines
    n, total, expected = 0, 0.0, 0.0
    for seen in reversed(whole.evidence):
        if seen.time_ns < alarm.onset_ns:
            continue  # answers do not come in the order of their times
        usual = known.get(seen.slice) or known.get(REST)
        if usual is not None and alarm.slice in ("", usual.slice):
            n += 1
            total += seen.value
            expected += usual.mean
    return (n, total / n, expected / n) if n else (0, 0.0, 0.0)

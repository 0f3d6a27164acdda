"""A second look at the judge's verdicts: those on answers that no check found fault with. Pure.

An answer that a check finds fault with mostly fails before the judge too, and how many of those there are is luck that
hides a fall. Without them verdicts vary less: where 92 of 100 answers pass the judge, 94 of the sound ones do, and
answers that became wrong in ways that no check sees are told in three quarters of the values. A fall that the checks
see shows in all verdicts and not in these, so both are bet on. (Stratification by what is known of each answer, Neyman
1934.) Given the past and the answer's checks the bound of its own stratum holds, so the guarantee is that of any
signal. They are streams more, which share the signal's part of the budget: sound verdicts of all slices together get as
much as all verdicts do, and what tells slices apart as much again, of which half goes to models (see ``by_model``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .by_model import ByModel, kept_stream, restore_stream
from .clusters import Clustering
from .observation import Alarm, Observation
from .parts import Asks
from .roster import Watchers
from .stream import REST, Stream

#: Answers with a failed check that are remembered until their verdicts come.
_MOST = 20_000
#: What tells slices apart shares its budget with what tells models apart.
_ASKS = Asks(1.0, 2.0)


class SoundVerdicts:
    """The streams of those verdicts, of all and by model; ``used`` once there were both checks and verdicts, and not
    before: where nothing checks answers they would only be the same signal again. Their alarms are alarms of the whole
    signal."""

    def __init__(self) -> None:
        self.used = False
        self._stream: Stream | None = None
        self._by_model: ByModel | None = None
        self._doubtful: OrderedDict[str, None] = OrderedDict()

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Where the verdicts are bet on; none while they are not."""
        if not self.used or self._stream is None or self._by_model is None:
            return ()
        return (self._stream, *self._by_model.streams)

    def adopt(self, watchers: Watchers | None, reference: int, threshold: float, pooled: Clustering) -> None:
        """Watch for these monitors of the signal from now on; None where nobody watches it. ``pooled``: how failures of
        all signals cluster."""
        if watchers is None:
            self._stream = self._by_model = None
        elif self._stream is None or self._by_model is None:
            self._stream = Stream(watchers, reference, threshold, pooled, _ASKS)
            self._by_model = ByModel(watchers, reference, threshold, pooled)
        else:
            self._stream.adopt(watchers)
            self._by_model.adopt(watchers)

    def raise_threshold(self, threshold: float) -> None:
        """Demand more evidence from now on."""
        if self._stream is not None and self._by_model is not None:
            self._by_model.raise_threshold(threshold)
            for stream in (self._stream, *self._by_model.streams):
                stream.raise_threshold(threshold)

    def doubt(self, trace_id: str) -> None:
        """A check found fault with this answer."""
        self._doubtful[trace_id] = None
        if len(self._doubtful) > _MOST:
            self._doubtful.popitem(last=False)

    def take(self, verdicts: Sequence[Observation], whole: Stream, *, more: bool) -> list[Alarm]:
        """Bet on the sound ones among verdicts that ``whole`` has taken; return the alarms."""
        if self._stream is None or self._by_model is None:
            return []
        doubtful = self._doubtful
        sound = [one for one in verdicts if one.served.trace_id not in doubtful] if doubtful else verdicts
        if not sound:
            return []
        found = self._told(self._stream.take(sound, more=more), self._stream, whole)
        for stream, alarms in self._by_model.take(sound, more=more):
            found += self._told(alarms, stream, whole)
        return found

    def due(self, whole: Stream | None) -> list[Alarm]:
        """Bet on what waits for more to come; return the alarms."""
        return [alarm for stream in self.streams for alarm in self._told(stream.due(), stream, whole)]

    def news(self, alarms: Sequence[Alarm]) -> list[Alarm]:
        """Of alarms of all verdicts those that sound answers did not raise before: a fall is told once."""
        return [alarm for alarm in alarms if not any(stream.told(alarm.slice) for stream in self.streams)]

    def _told(self, alarms: Sequence[Alarm], own: Stream, whole: Stream | None) -> list[Alarm]:
        """The alarms of a stream as those of the whole signal: how far all its verdicts fell since then."""
        found = []
        model = self._by_model.model_of(own) if alarms and self._by_model is not None else ""
        for alarm in alarms:
            alarm = replace(alarm, model=model)
            if any(other.told(alarm.slice) for other in (whole, *self.streams) if other not in (None, own)):
                continue  # it has been said
            n, now, baseline = _since(whole, alarm) if whole is not None else (0, 0.0, 0.0)
            # Where fewer answers fail a check meanwhile all verdicts may even rise: then the sound ones say how far.
            found.append(replace(alarm, n_since=n, now=now, baseline=baseline) if now < baseline else alarm)
        return found

    def state(self) -> dict[str, Any]:
        """What survives a restart; nothing where it was not used."""
        if not self.used or self._stream is None or self._by_model is None:
            return {}
        return {**kept_stream(self._stream), "models": self._by_model.state()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned. Raises BadInput, KeyError, TypeError or ValueError for anything else."""
        if kept and self._stream is not None and self._by_model is not None:
            restore_stream(self._stream, kept)
            self._by_model.restore(kept.get("models", {}))  # none in what an older release kept
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

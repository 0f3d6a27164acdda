"""A look at the judge's verdicts by the model that answered. Pure.

A fault of one of two vendors shows in the answers of its own models only; among all answers it is diluted, and the good
luck of the others hides it. So the verdicts on the answers of each model are a stream of their own, in which all slices
are bet on together. Each verdict is of one model, so the detectors of all models together make one bet of each, however
many models there are. Which model answers is known before the verdict, and each model's verdicts are compared with
their own past, so that traffic that moves from one model to another raises nothing, unless the hard questions
move.

Who set a threshold has said how low all answers may come, or how far they may fall, and no model by itself: then models
are not told apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .clusters import Clustering
from .observation import Alarm, Observation
from .parts import Asks
from .roster import Watchers
from .stream import Stream

#: Models that are told apart: the first ones, and whichever comes when one of them is gone, which is when so many
#: verdicts in a row were of others. The rest still count among all.
_MOST, _GONE = 8, 10_000
#: They share the budget of slices told apart (see ``sound``), half and half. A model's slices are not told apart.
_ASKS = Asks(2.0, math.inf)


class ByModel:
    """The streams of verdicts by model, as the models come to be."""

    def __init__(self, watchers: Watchers, reference: int, threshold: float, pooled: Clustering) -> None:
        self._watchers, self._reference, self._threshold, self._pooled = watchers, reference, threshold, pooled
        self._streams: dict[str, Stream] = {}
        #: How many verdicts there were, and how many when each model had its last.
        self._taken, self._last = 0, dict[str, int]()

    @property
    def streams(self) -> tuple[Stream, ...]:
        """One a model, the models in the order that they came in."""
        return tuple(self._streams.values())

    def model_of(self, stream: Stream) -> str:
        """The model whose answers a stream looks at; empty for one that is none of these."""
        return next((model for model, known in self._streams.items() if known is stream), "")

    def adopt(self, watchers: Watchers) -> None:
        """Watch for these monitors of the signal from now on."""
        self._watchers = watchers
        if not self._apart:
            self._forget()
        for stream in self._streams.values():
            stream.adopt(watchers)

    def take(self, verdicts: Sequence[Observation], *, more: bool) -> Iterator[tuple[Stream, list[Alarm]]]:
        """Bet on verdicts; the alarms of each stream that raised some."""
        if not self._apart:
            return
        self._taken += len(verdicts)
        boxes: dict[str, list[Observation]] = {}
        for one in verdicts:
            # What a vendor reports of a model stands behind the name: a build that changes is the same model still.
            boxes.setdefault(one.pins.get("models", "").partition("=")[0], []).append(one)
        for model, box in boxes.items():
            stream = self._streams.get(model)
            if stream is None:
                if not model or not self._room():
                    continue
                stream = self._begun(model)
            self._last[model] = self._taken
            if alarms := stream.take(box, more=more):
                yield stream, alarms

    def state(self) -> dict[str, Any]:
        """What survives a restart, by model."""
        return {model: kept_stream(stream) for model, stream in self._streams.items()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned. Raises BadInput, KeyError, TypeError or ValueError for anything else."""
        self._forget()
        for model, known in list(dict(kept).items())[:_MOST] if self._apart else ():
            restore_stream(self._begun(model), known)

    def _forget(self) -> None:
        self._streams.clear()
        self._last.clear()

    @property
    def _apart(self) -> bool:
        """Whether there are alarms of all slices, and nobody said what they are bet against."""
        general = self._watchers.general
        return general is not None and general.threshold is None

    def _room(self) -> bool:
        """Whether one more model can be told apart; the one that was silent longest makes room if it is gone."""
        if len(self._streams) < _MOST:
            return True
        longest = min(self._streams, key=self._last.__getitem__)
        if self._taken - self._last[longest] < _GONE:
            return False
        del self._streams[longest], self._last[longest]
        return True

    def _begun(self, model: str) -> Stream:
        self._last[model] = self._taken
        made = self._streams[model] = Stream(self._watchers, self._reference, self._threshold, self._pooled, _ASKS)
        return made

    def raise_threshold(self, threshold: float) -> None:
        """What streams that begin later must ask for."""
        self._threshold = max(self._threshold, threshold)


def kept_stream(stream: Stream) -> dict[str, Any]:
    """What of a stream survives a restart, JSON-able."""
    return {"references": stream.state(), "sessions": stream.sessions.state(), "clusters": stream.clustering.state()}


def restore_stream(stream: Stream, kept: Mapping[str, Any]) -> None:
    """Give a stream what ``kept_stream`` returned. Raises BadInput, KeyError, TypeError or ValueError for what it did
    not."""
    stream.sessions.restore(kept["sessions"])
    stream.clustering.restore(kept["clusters"])
    stream.restore(dict(kept["references"]))

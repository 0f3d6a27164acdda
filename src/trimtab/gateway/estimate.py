"""How large a request will be, before it is sent, and how large one was that nobody counted. Pure.

A token is about four bytes; how wrong that is differs by route (language, tools, the prompt that is put in front), and
so each route has its own moving ratio, and its own moving length of answers. The expected size is the mean. What money
is reserved on is the *high* size, mean and four mean deviations (as TCP sets its time-outs) and no less than the
largest of late: a reservation that is too small lets a budget be overrun, one that is too large only makes others wait
a moment.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from trimtab.core import Usage

BYTES_A_TOKEN = 4
#: What is expected of a route that nobody has asked yet.
FIRST_OUTPUT, FIRST_OUTPUT_HIGH = 256.0, 4096.0
FIRST_RATIO, FIRST_RATIO_HIGH = 1.0, 3.0
#: Routes and models whose sizes are remembered; that which was learnt about longest ago is forgotten first.
ROUTES = MODELS = 4096
_MEAN, _DEVIATION, _FADE = 1 / 8, 1 / 4, 0.995
_MAXIMA = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class Size(NamedTuple):
    """Tokens of one request: as they are expected, and as they will hardly be exceeded."""

    input: int
    output: int
    high_input: int
    high_output: int

    @property
    def total(self) -> int:
        """What a limit of tokens a minute expects."""
        return self.input + self.output

    @property
    def high(self) -> Usage:
        """What money is reserved on."""
        return Usage(input_tokens=self.high_input, output_tokens=self.high_output)


@dataclass(slots=True)
class _Moving:
    """A moving mean with a moving mean deviation, and a peak that fades."""

    mean: float = 0.0
    deviation: float = 0.0
    peak: float = 0.0
    known: bool = False

    def learn(self, value: float) -> None:
        if not self.known:
            self.mean, self.deviation, self.known = value, value / 2, True
        else:
            self.deviation += _DEVIATION * (abs(value - self.mean) - self.deviation)
            self.mean += _MEAN * (value - self.mean)
        faded = self.peak * _FADE
        self.peak = value if value > faded else faded

    @property
    def high(self) -> float:
        usual = self.mean + 4 * self.deviation
        return usual if usual > self.peak else self.peak


@dataclass(slots=True)
class _Route:
    ratio: _Moving
    output: _Moving
    relayed: _Moving
    #: By how much input was dearer of late, because it was put into the vendor's cache.
    dearer: float = 1.0


class Estimator:
    """Sizes by route, and by model how many tokens a character of its answers is."""

    def __init__(self) -> None:
        self._routes: OrderedDict[str, _Route] = OrderedDict()
        self._models: OrderedDict[str, _Moving] = OrderedDict()

    def size(self, route: str, bytes_: int, params: Mapping[str, Any]) -> Size:
        """What to expect of a request of so many bytes. ``max_tokens`` bounds the answer where it is given."""
        known = self._routes.get(route)
        rough = bytes_ / BYTES_A_TOKEN
        ratio, ratio_high, output, output_high = FIRST_RATIO, FIRST_RATIO_HIGH, FIRST_OUTPUT, FIRST_OUTPUT_HIGH
        if known is not None and known.ratio.known:
            ratio, ratio_high = known.ratio.mean, known.ratio.high * known.dearer
        if known is not None and known.output.known:
            output, output_high = known.output.mean, known.output.high
        if (most := most_output(params)) is not None:
            output, output_high = min(output, most), most
        return Size(
            input=round(rough * ratio),
            output=round(output),
            high_input=round(rough * ratio_high) + 1,
            high_output=round(output_high) + 1,
        )

    def expected(self, route: str, bytes_: int, params: Mapping[str, Any]) -> int:
        """The tokens of a request of so many bytes and of its answer: ``size(...).total``, for who needs no more."""
        known = self._routes.get(route)
        ratio, output = FIRST_RATIO, FIRST_OUTPUT
        if known is not None:
            ratio = known.ratio.mean if known.ratio.known else ratio
            output = known.output.mean if known.output.known else output
        if params and (most := most_output(params)) is not None and most < output:
            output = most
        return round(bytes_ / BYTES_A_TOKEN * ratio) + round(output)

    def learn(self, route: str, bytes_: int, usage: Usage, relayed: int, model: str = "") -> None:
        """What a request of so many bytes, whose answer had ``relayed`` characters, really was; ``model`` wrote it."""
        known = self._routes.get(route)
        if known is None:
            known = self._routes[route] = _Route(_Moving(), _Moving(), _Moving())
            if len(self._routes) > ROUTES:
                self._routes.popitem(last=False)
        if bytes_ and usage.input_tokens:
            known.ratio.learn(usage.input_tokens * BYTES_A_TOKEN / bytes_)
        known.output.learn(usage.output_tokens)
        if usage.written_tokens or known.dearer > 1.0:
            known.dearer = max(_dearer(usage), 1.0 + (known.dearer - 1.0) * _FADE)
        if relayed and usage.output_tokens > usage.reasoning_tokens:
            share = (usage.output_tokens - usage.reasoning_tokens) * BYTES_A_TOKEN / relayed
            known.relayed.learn(share)
            if model:
                self._of_model(model).learn(share)

    def counted(self, route: str, bytes_: int, relayed: int, model: str = "") -> Usage:
        """The usage of a request that nobody counted, from what was sent and what was relayed.

        How many tokens a character is, is a matter of the model's tokenizer first, then of the route's language.
        """
        known = self._routes.get(route)
        ratio = known.ratio.mean if known is not None and known.ratio.known else FIRST_RATIO
        share = known.relayed.mean if known is not None and known.relayed.known else 1.0
        if (of_model := self._models.get(model)) is not None:
            share = of_model.mean
        return Usage(
            input_tokens=round(bytes_ / BYTES_A_TOKEN * ratio),
            output_tokens=-(-round(relayed * share) // BYTES_A_TOKEN),
        )

    def refined(self, route: str, bytes_: int, relayed: int, model: str, rough: Usage) -> Usage:
        """The estimate of an answer that was cut, as far as finished answers of its model and route have taught it."""
        found, known = self.counted(route, bytes_, relayed, model), self._routes.get(route)
        measured = model in self._models or (known is not None and known.relayed.known)
        return Usage(
            input_tokens=found.input_tokens if known is not None and known.ratio.known else rough.input_tokens,
            output_tokens=found.output_tokens if measured else rough.output_tokens,
        )

    def _of_model(self, model: str) -> _Moving:
        moving = self._models.get(model)
        if moving is None:
            moving = self._models[model] = _Moving()
            if len(self._models) > MODELS:
                self._models.popitem(last=False)
        return moving


def _dearer(usage: Usage) -> float:
    """How many times the price of plain input the input of a call cost, at the surcharges of Anthropic, which are the
    highest: a quarter for what is kept five minutes, as much again for what is kept an hour."""
    if not usage.input_tokens:
        return 1.0
    long = min(usage.hour_tokens, usage.written_tokens)
    return 1.0 + (0.25 * (usage.written_tokens - long) + long) / usage.input_tokens


def most_output(params: Mapping[str, Any]) -> int | None:
    """The most tokens that an answer may have, over all its choices; None when the request does not say."""
    if not params:
        return None
    for name in _MAXIMA:
        value = params.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            choices = params.get("n")
            return value * (
                choices if isinstance(choices, int) and not isinstance(choices, bool) and choices > 0 else 1
            )
    return None

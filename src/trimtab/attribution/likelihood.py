"""How well each explanation fits: one likelihood for every suspect, one for a fall that nobody recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .evidence import Observed

#: Falls of the rate among the exposed that an explanation may claim: also those of what hardly ever fails.
DROPS = (0.005, 0.01, 0.02, 0.05, 0.10, 0.20, 0.30, 0.50, 0.80)
#: Onsets that the unrecorded change may have.
MAX_ONSETS = 48
#: A baseline weighs as much as this many observations of the window.
_BASELINE_WEIGHT = 60.0
#: The rates that are told apart. What fails once in 500 answers is not to be taken for what fails once in 50.
_LEAST, _MOST = 0.02, 0.998
#: The first guess of the correlation inside sessions, and its weight in pairs times variance.
_RHO, _RHO_WEIGHT = 0.1, 5.0
#: Answers of the same versions from which on their own mean is what they lie around.
_ALIKE = 20


@dataclass(slots=True)
class Tally:
    """A slice's observations, split by an explanation into those it claims (1) and the rest (0)."""

    n1: int = 0
    sum1: float = 0.0
    n0: int = 0
    sum0: float = 0.0

    def count(self, claimed: bool, value: float) -> None:
        """Add one observation."""
        if claimed:
            self.n1 += 1
            self.sum1 += value
        else:
            self.n0 += 1
            self.sum0 += value


def tally(observations: Sequence[Observed], claims: Callable[[Observed], bool]) -> dict[str, Tally]:
    """Split every slice by ``claims``."""
    tallies: dict[str, Tally] = {}
    for seen in observations:
        part = tallies.get(seen.slice)
        if part is None:
            part = tallies[seen.slice] = Tally()
        part.count(claims(seen), seen.value)
    return tallies


def log_likelihood(tallies: Mapping[str, Tally], baselines: Mapping[str, float]) -> float:
    """The log of the mean over DROPS of the likelihood that the claimed observations fell by that much.

    Values are coins (graded values enter as quasi-Bernoulli, Papke and Wooldridge 1996). The healthy rate of a slice
    is fitted under each explanation from its baseline and from the window itself; a baseline alone, taken from a few
    dozen answers, would blame whatever was out longest for the baseline's own error.
    """
    return log_mean_exp([sum(_fit(t, baselines.get(s), drop) for s, t in tallies.items()) for drop in DROPS])


def best_drop(tallies: Mapping[str, Tally], baselines: Mapping[str, float]) -> float:
    """The fall among the claimed observations that fits best."""
    return max(DROPS, key=lambda drop: sum(_fit(t, baselines.get(s), drop) for s, t in tallies.items()))


def _fit(t: Tally, baseline: float | None, drop: float) -> float:
    weight = 0.0 if baseline is None else _BASELINE_WEIGHT
    prior = _clip(0.9 if baseline is None else baseline)
    n = weight + t.n0 + t.n1
    if n == 0.0:
        return 0.0
    p0 = _clip((weight * prior + t.sum0 + t.sum1 + drop * t.n1) / n)
    p1 = max(p0 - drop, _LEAST)
    healthy = weight * prior + t.sum0
    return (
        healthy * math.log(p0)
        + (weight + t.n0 - healthy) * math.log1p(-p0)
        + t.sum1 * math.log(p1)
        + (t.n1 - t.sum1) * math.log1p(-p1)
    )


def shared_luck(observations: Sequence[Observed], baselines: Mapping[str, float], until_ns: int) -> float:
    """By how much likelihoods overstate the evidence because requests of one session share their luck; at least 1.

    The design effect 1 + (m - 1) rho (Kish 1965) with m the size of the session that an answer belongs to, on average,
    and rho the correlation inside sessions, drawn towards .1: as the answers before ``until_ns`` show it, or as those
    since then do among answers that the same versions served, where that is more. A fault that breaks a few sessions
    whole makes a handful of observations look like hundreds.
    """
    sizes: dict[str, int] = {}
    before, after = _Luck(), _Luck()
    since: dict[tuple[str, tuple[tuple[str, str], ...]], list[Observed]] = {}
    for seen in observations:
        if not seen.session:
            continue
        sizes[seen.session] = sizes.get(seen.session, 0) + 1
        base = baselines.get(seen.slice)
        if seen.time_ns >= until_ns:
            since.setdefault((seen.slice, tuple(sorted(seen.pins.items()))), []).append(seen)
        elif base is not None:
            before.take(seen.session, seen.value - base)
    if not sizes:
        return 1.0
    for group in since.values():
        if len(group) >= _ALIKE:
            mean = sum(seen.value for seen in group) / len(group)
            for seen in group:
                after.take(seen.session, seen.value - mean)
    alone = len(observations) - sum(sizes.values())
    size = (sum(n * n for n in sizes.values()) + alone) / len(observations)
    return max(1.0, 1.0 + (size - 1.0) * max(before.correlation, after.correlation))


class _Luck:
    """How far values of one session lie from what is usual together."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float, int]] = {}

    def take(self, session: str, off: float) -> None:
        total, squares, n = self._sums.get(session, (0.0, 0.0, 0))
        self._sums[session] = total + off, squares + off * off, n + 1

    @property
    def correlation(self) -> float:
        together = sum(s * s - q for s, q, _ in self._sums.values())
        spread = sum(q * (n - 1.0) for _, q, n in self._sums.values())
        return min(1.0, max(0.0, (together + _RHO * _RHO_WEIGHT) / (spread + _RHO_WEIGHT)))


def onset_likelihoods(
    observations: Sequence[Observed],
    baselines: Mapping[str, float],
    claims: Callable[[Observed], bool] = lambda _: True,
    counts: Sequence[int] = (),
) -> tuple[list[int], list[float]]:
    """Times at which everything (or what ``claims`` picks) may have fallen at once, latest first, and the
    log-likelihood of each.

    The onsets lie closer together towards the alarm, where a few answers make the difference, or so many answers
    before the end as ``counts`` says, in rising order. ``observations`` are in the order of time.
    """
    tallies = tally(observations, lambda _: False)
    times: list[int] = []
    logs: list[float] = []
    end = len(observations)
    for back in counts or _steps(len(observations)):
        for seen in observations[len(observations) - back : end]:
            if not claims(seen):
                continue
            part = tallies[seen.slice]
            part.n0 -= 1
            part.sum0 -= seen.value
            part.n1 += 1
            part.sum1 += seen.value
        end = len(observations) - back
        times.append(observations[end].time_ns)
        logs.append(log_likelihood(tallies, baselines))
    return times, logs


def sharpest_onset(
    observations: Sequence[Observed],
    baselines: Mapping[str, float],
    onsets: Sequence[float],
    weighed: Callable[[float], float] = lambda log: log,
) -> float:
    """The log-likelihood that everything fell at once around the best of ``onsets``, as ``onset_likelihoods`` gave
    them and ``weighed`` made them, looked at ever closer, and each time paid for as one part of what was looked at
    before.

    Thousands of answers before the alarm, hundreds lie between two onsets. What names an exact moment would otherwise
    win there for being exact, though it is a minute beside the fall.
    """
    counts, logs, price, found = _steps(len(observations)), onsets, 0.0, -math.inf
    while counts:
        best = max(range(len(logs)), key=logs.__getitem__)
        low, high = counts[max(0, best - 1)], counts[min(len(counts) - 1, best + 1)]
        if high - low <= 2:
            break
        price += math.log(len(counts) / 2.0)
        counts = sorted({low + round((high - low) * i / (MAX_ONSETS - 1)) for i in range(MAX_ONSETS)})
        logs = [weighed(log) for log in onset_likelihoods(observations, baselines, counts=counts)[1]]
        found = max(found, log_mean_exp(logs) - price)
    return found


def _steps(n: int) -> list[int]:
    """At most MAX_ONSETS different counts from 3 to ``n``, in equal ratios."""
    if n <= 3:
        return [n] if n else []
    ratio = (n / 3.0) ** (1.0 / (MAX_ONSETS - 1))
    return sorted({min(n, round(3.0 * ratio**i)) for i in range(MAX_ONSETS)})


def log_mean_exp(logs: Sequence[float]) -> float:
    """log(mean(exp(logs))), safe from overflow; minus infinity for nothing, and where nothing is possible."""
    top = max(logs, default=-math.inf)
    if top == -math.inf:
        return top
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))


def softmax(logs: Sequence[float]) -> list[float]:
    """The posterior under equal priors. ``logs`` holds at least one finite value, or is empty."""
    if not logs:
        return []
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    total = sum(weights)
    return [weight / total for weight in weights]


def _clip(rate: float) -> float:
    return min(_MOST, max(_LEAST, rate))

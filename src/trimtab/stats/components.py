"""Where the spread of scores comes from: cases, the outputs made for a case, and the judge of an output."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields

from trimtab.core import BadInput

from .distributions import t_quantile
from .intervals import Interval

#: Values of one case: one row an output, one value a judgement of it.
Outputs = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Variances, each with its interval. None: the design cannot tell it (no repeats, or no output judged twice).

    Without an output judged twice ``generation`` holds the judge's share as well.
    """

    case: Interval | None
    generation: Interval | None
    judge: Interval | None


@dataclass(slots=True)
class _Sums:
    """What the analysis of variance needs, additive over cases."""

    cases: float = 0.0
    outputs: float = 0.0
    n: float = 0.0
    total: float = 0.0
    between_squares: float = 0.0
    output_squares: float = 0.0
    judge_squares: float = 0.0
    squared_in_case: float = 0.0
    squared_outputs: float = 0.0
    squared_cases: float = 0.0

    def plus(self, other: _Sums, sign: float = 1.0) -> _Sums:
        return _Sums(**{f.name: getattr(self, f.name) + sign * getattr(other, f.name) for f in fields(_Sums)})


def variance_components(
    cases: Sequence[Outputs], clusters: Sequence[Hashable] | None = None, *, level: float = 0.95
) -> Components:
    """Split the variance of values into cases, outputs within a case and judgements of an output.

    Analysis of variance of an unbalanced nested design with the coefficients of its expected mean squares (Searle,
    Casella and McCulloch 1992, chapter 5.2); an estimate below 0 is 0. The intervals are jackknife intervals over cases
    (or clusters) on the logarithm, which hold for pass/fail values as well as for graded ones. Raises BadInput for
    fewer than two cases or a case without values.
    """
    if len(cases) < 2 or any(not outputs or any(not row for row in outputs) for outputs in cases):
        raise BadInput("fewer than two cases, or one without values", field="cases", mend="Leave failed cases out.")
    parts: dict[Hashable, _Sums] = {}
    for i, outputs in enumerate(cases):
        key = clusters[i] if clusters is not None else i
        parts[key] = parts.get(key, _Sums()).plus(_sums(outputs))
    whole = _Sums()
    for part in parts.values():
        whole = whole.plus(part)
    values = _solve(whole)
    left = [_solve(whole.plus(part, -1.0)) for part in parts.values()] if len(parts) > 2 else []
    case, generation, judge = (
        _interval(value, [row[k] for row in left], len(cases), level) for k, value in enumerate(values)
    )
    return Components(case=case, generation=generation, judge=judge)


def _sums(outputs: Outputs) -> _Sums:
    n = float(sum(map(len, outputs)))
    total = math.fsum(x for row in outputs for x in row)
    means = [math.fsum(row) / len(row) for row in outputs]
    mean = total / n
    return _Sums(
        cases=1.0,
        outputs=float(len(outputs)),
        n=n,
        total=total,
        between_squares=n * mean * mean,
        output_squares=math.fsum(len(row) * (m - mean) ** 2 for row, m in zip(outputs, means, strict=True)),
        judge_squares=math.fsum((x - m) ** 2 for row, m in zip(outputs, means, strict=True) for x in row),
        squared_in_case=sum(len(row) ** 2 for row in outputs) / n,
        squared_outputs=float(sum(len(row) ** 2 for row in outputs)),
        squared_cases=n * n,
    )


def _solve(s: _Sums) -> tuple[float | None, float | None, float | None]:
    """Estimates of (case, generation, judge), None where the design has no degrees of freedom for one."""
    of_cases, of_outputs, of_judge = s.cases - 1.0, s.outputs - s.cases, s.n - s.outputs
    judge = s.judge_squares / of_judge if of_judge > 0.5 else None
    if of_outputs < 0.5 or of_cases < 0.5:
        return None, None, judge
    noise = judge or 0.0
    in_outputs = (s.n - s.squared_in_case) / of_outputs
    generation = (s.output_squares / of_outputs - noise) / in_outputs
    between = max(0.0, s.between_squares - s.total * s.total / s.n) / of_cases
    of_generation = (s.squared_in_case - s.squared_outputs / s.n) / of_cases
    of_case = (s.n - s.squared_cases / s.n) / of_cases
    case = (between - noise - of_generation * generation) / of_case
    return case, generation, judge


def _interval(value: float | None, left: Sequence[float | None], n: int, level: float) -> Interval | None:
    if value is None:
        return None
    known = [x for x in left if x is not None]
    groups = len(known)
    if groups < 3 or groups < len(left):
        return Interval(value=max(0.0, value), low=0.0, high=1.0, n=n)
    mean = math.fsum(known) / groups
    error = math.sqrt((groups - 1) / groups * math.fsum((x - mean) ** 2 for x in known))
    reach = t_quantile(0.5 + level / 2.0, groups - 1) * error
    if value <= reach / 2.0:
        return Interval(value=max(0.0, value), low=0.0, high=max(0.0, value + reach), n=n)
    return Interval(value=value, low=value * math.exp(-reach / value), high=value * math.exp(reach / value), n=n)

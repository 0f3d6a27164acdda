"""What a scorer is: one async function that looks at a case and an output, and says what it thinks of it."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import msgspec

from trimtab.core import BadInput, TrimtabError

from .dataset import Case
from .output import Output

#: Longest reason that is kept, in characters.
MAX_REASON = 2_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one scorer says of one output.

    ``value`` is in [0, 1], higher is better, and None exactly when ``error`` says why there is none. ``name`` is the
    score's name, "" for the scorer's own. ``judge`` is the digest of what scored it, empty for code. ``cost_usd`` is
    None where a price is not known. ``detail`` is whatever else is worth keeping, as JSON values.
    """

    value: float | None
    reason: str = ""
    name: str = ""
    error: str = ""
    judge: str = ""
    cost_usd: float | None = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)


#: What a scorer may answer: a number, a yes or no, one verdict or several; None says that it does not apply.
Given: TypeAlias = float | bool | Verdict | Sequence[Verdict] | None


class Scorer(Protocol):
    """Scores an output of a case. ``name`` is the score's name.

    ``judge`` is the digest of everything that decides its verdicts where a model does, and empty for code. ``digest``
    is the same for code too: a changed digest says that earlier verdicts do not count.
    """

    @property
    def name(self) -> str: ...

    @property
    def judge(self) -> str: ...

    @property
    def digest(self) -> str: ...

    async def __call__(self, case: Case, output: Output) -> Given: ...


@dataclass(frozen=True, slots=True)
class Function:
    """A Scorer from a function, plain or async."""

    name: str
    rule: Callable[[Case, Output], Given | Awaitable[Given]]
    digest: str = ""
    judge: str = ""

    async def __call__(self, case: Case, output: Output) -> Given:
        found = self.rule(case, output)
        if found is None or isinstance(found, Verdict | float | list):  # nearly always, and quickly told
            return found
        return await found if inspect.isawaitable(found) else found


def scorer(rule: Callable[[Case, Output], Given | Awaitable[Given]]) -> Function:
    """A function ``(case, output)`` as a Scorer under its own name. Its digest is that of its source."""
    name = getattr(rule, "__name__", type(rule).__name__)
    try:
        source = inspect.getsource(rule)
    except (OSError, TypeError):
        source = f"{getattr(rule, '__module__', '')}.{name}"
    return Function(name, rule, short_digest({"source": source}))


@dataclass(frozen=True, slots=True)
class Named:
    """A Scorer under another name; verdicts with a name of their own keep it."""

    scorer: Scorer
    name: str

    @property
    def judge(self) -> str:
        return self.scorer.judge

    @property
    def digest(self) -> str:
        return self.scorer.digest

    async def __call__(self, case: Case, output: Output) -> Given:
        own = self.scorer.name
        verdicts = verdicts_of(self.scorer, await self.scorer(case, output))
        return [replace(verdict, name=self.name) if verdict.name == own else verdict for verdict in verdicts]


@dataclass(frozen=True, slots=True)
class Thresholded:
    """A Scorer whose values become passes (1) and fails (0); the value itself is kept in the detail."""

    scorer: Scorer
    threshold: float

    @property
    def name(self) -> str:
        return self.scorer.name

    @property
    def judge(self) -> str:
        return self.scorer.judge

    @property
    def digest(self) -> str:
        return short_digest({"scorer": self.scorer.digest, "threshold": self.threshold})

    async def __call__(self, case: Case, output: Output) -> Given:
        return [self._cut(verdict) for verdict in verdicts_of(self.scorer, await self.scorer(case, output))]

    def _cut(self, verdict: Verdict) -> Verdict:
        if verdict.value is None:
            return verdict
        passed = verdict.value >= self.threshold
        why = verdict.reason or f"{verdict.value:.3g} is {'at least' if passed else 'below'} {self.threshold:g}"
        return replace(verdict, value=float(passed), reason=why, detail={**verdict.detail, "value": verdict.value})


def verdicts_of(scorer: Scorer, given: Given) -> list[Verdict]:
    """What a scorer answered, as verdicts with names and digests. Raises BadInput for what is no verdict."""
    if given is None:
        return []
    items = given if isinstance(given, list | tuple) else [given]
    return [_read(scorer, item) for item in items]


def _read(scorer: Scorer, item: object) -> Verdict:
    if isinstance(item, int | float):
        item = Verdict(float(item))
    if not isinstance(item, Verdict):
        mend = "Return a number in [0, 1], a Verdict, a list of verdicts or None."
        raise BadInput(f"{scorer.name} answered with {type(item).__name__}.", field="scorer", mend=mend)
    error, value = item.error, item.value
    if value is None:
        error = error or "the scorer gave no value"
    elif error:
        value = None
    elif not (math.isfinite(value) and 0.0 <= value <= 1.0):
        # Never NaN and never clipped: what is no score is an error that is counted.
        value, error = None, f"the value {value} is outside 0 to 1"
    # Made anew: ``replace`` takes five times as long, and there is one for every score.
    return Verdict(
        value,
        item.reason[:MAX_REASON],
        item.name or scorer.name,
        error[:MAX_REASON],
        item.judge or scorer.judge,
        item.cost_usd,
        item.detail,
    )


def failed(scorer: Scorer, error: BaseException) -> Verdict:
    """A scorer that raised, as a verdict: an error that is counted, neither a 0 nor a guess. A reply that could not be
    read was paid all the same."""
    said = str(error) if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
    return Verdict(
        None, name=scorer.name, judge=scorer.judge, error=" ".join(said.split())[:MAX_REASON] or "failed",
        cost_usd=getattr(error, "cost_usd", 0.0),
    )  # fmt: skip


def short_digest(value: Any) -> str:
    """A digest of JSON values in 16 hex digits: same values, same digest."""
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted", enc_hook=str), digest_size=8).hexdigest()

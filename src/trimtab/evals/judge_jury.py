"""A jury: several judges on one answer, the majority decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from trimtab.core import BadInput, TrimtabError

from .dataset import Case
from .judge import Judge, PaidInVain
from .output import Output
from .scorer import Verdict, short_digest


@dataclass(frozen=True)
class Jury:
    """Passes what more than half of its judges pass. Judges that fail are counted, and more than half of all must say
    something: otherwise there is an error and no verdict."""

    judges: Sequence[Judge]
    name: str = "jury"

    def __post_init__(self) -> None:
        if len(self.judges) < 2:
            raise BadInput("a jury needs two judges or more.", field="judges", mend="Name several judges.")

    @cached_property
    def judge(self) -> str:
        """The digest of everything that decides its verdicts: those of its judges, in any order."""
        return short_digest({"jury": sorted(judge.judge for judge in self.judges)})

    @property
    def digest(self) -> str:
        return self.judge

    async def __call__(self, case: Case, output: Output) -> list[Verdict]:
        """One verdict; ``detail`` has each judge's own. An even split is 0.5. Raises ModelError without a majority
        that answers; then those who did answer are asked again at the next try."""
        if not output.answered:
            return []
        said: list[tuple[Judge, Verdict]] = []
        errors: list[str] = []
        costs: list[float | None] = []
        retryable = True
        for judge in self.judges:
            try:
                said.append((judge, await judge.verdict(output, case)))
            except TrimtabError as error:
                errors.append(f"{judge.version.pin}: {error.message}")
                costs += [error.cost_usd] if isinstance(error, PaidInVain) else []
                retryable = retryable and error.retryable
        costs += [verdict.cost_usd for _, verdict in said]
        cost = None if None in costs else sum(c for c in costs if c is not None)
        if 2 * len(said) <= len(self.judges):
            none = PaidInVain(f"the jury has no majority: {'; '.join(errors)}", retryable=retryable)
            none.cost_usd = cost
            raise none
        passes = sum(verdict.value == 1.0 for _, verdict in said)
        value = 0.5 if 2 * passes == len(said) else float(2 * passes > len(said))
        against = [f"{j.name}: {v.reason}" for j, v in said if v.reason and v.value != value]
        detail = {"judges": {j.version.pin: v.value for j, v in said}, **({"errors": errors} if errors else {})}
        reason = f"{passes} of {len(said)} pass" + (f"; {' | '.join(against)}" if against else "")
        return [Verdict(value, reason, cost_usd=cost, detail=detail)]

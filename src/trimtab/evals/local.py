"""Evaluations in a program or test of one's own: the same runner and log, without a server.

The log is the metadata of a data folder, so ``trimtab up --data FOLDER`` shows it, and ``trimtab eval`` with ``--data``
compares and gates what is in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from trimtab.core import BadInput, Model, Version, new_id, now_ns
from trimtab.store import DataFolder, Metadata

from .compare import Delta, compare
from .dataset import Case, Dataset
from .dataset_files import read_cases
from .estimate import PassRate, estimate
from .gate import GateResult, gate, gate_floor
from .output import Output
from .records import RunLog
from .results import Scored
from .run import Runner
from .run_plan import RunPlan, Settings
from .run_record import ALL, DONE, RUNNING, STOPPED, Run
from .run_target import Own, Target
from .scorer import Scorer
from .scorers import Means, make_scorer
from .scorers.similarity import Embed

#: A program under test: what it answers to a case.
Answer = Callable[[Case], Awaitable[str | Output]]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A run that has ended, and what can be said of it. ``score`` is by default all scores together."""

    run: Run
    log: RunLog

    async def scores(self, score: str = ALL) -> list[Scored]:
        """The rows of a score."""
        return await self.log.scored(self.run, score)

    async def rate(self, score: str = ALL) -> PassRate:
        """The pass rate with its interval."""
        return estimate(await self.scores(score))

    async def compare(self, baseline: Run, score: str = ALL) -> Delta:
        """This run minus another one."""
        return compare(await self.scores(score), await self.log.scored(baseline, score))

    async def gate(
        self, baseline: Run | None = None, *, score: str = ALL, max_drop: float = 0.05, floor: float | None = None
    ) -> GateResult:
        """Pass, fail or cannot tell: against a floor, or another run, by default the last one of this name that ended
        before. Raises BadInput when there is none."""
        if floor is not None:
            return gate_floor(await self.rate(score), floor)
        before = baseline or await self.before()
        if before is None:
            mend = "Run it once more, or give a floor."
            raise BadInput(f"there is no earlier run {self.run.name!r}.", field="baseline", mend=mend)
        return gate(await self.scores(score), await self.log.scored(before, score), max_drop=max_drop)

    async def before(self) -> Run | None:
        """The last run of this name, over the same cases, that ended before this one."""
        found = await self.log.recent(limit=20, before_ns=self.run.time_ns, states=(DONE,), name=self.run.name)
        return next((run for run in found if run.digest == self.run.digest), None)


class Local:
    """Runs kept in a data folder that no server has open. Close it, or use it in a ``with``."""

    def __init__(self, log: RunLog, folder: Path, opened: ExitStack, model_of: Callable[[str], Model] | None) -> None:
        self.log = log
        self._folder = folder
        self._opened = opened
        self._means = Means(
            model_of=model_of or _no_model, judge_of=_no_judge, embedder=_no_embedder, output_of=log.output
        )

    @classmethod
    def open(cls, folder: Path | str, model_of: Callable[[str], Model] | None = None) -> Self:
        """Open a data folder, which is made if it is missing. ``model_of`` gives judges their models.

        Raises Conflict when another process has it open.
        """
        with ExitStack() as stack:
            data = stack.enter_context(closing(DataFolder.open(folder)))
            metadata = stack.enter_context(closing(Metadata.open(data.metadata_path)))
            return cls(RunLog(metadata), data.path / "evals", stack.pop_all(), model_of)

    async def run(
        self, name: str, cases: Sequence[Case] | Path | str, answer: Answer | Target, scorers: Sequence[Any], *,
        settings: Settings | None = None, resume: str = "",
    ) -> Evaluated:  # fmt: skip
        """Ask ``answer`` every case and score what it says.

        ``cases`` may be a file of JSON lines or CSV; ``scorers`` are kinds, their words, or Scorers. ``resume`` is the
        id of a run that ended early: what it has is not asked again.
        """
        given = settings or Settings()
        dataset = Dataset.of(name, _cases(cases))
        made = [_scorer(spec, self._means, n) for n, spec in enumerate(scorers)]
        run = await self._begin(name, dataset, made, given, resume)
        # A target says what decides its answers; a plain function does not.
        target = cast("Target", answer) if hasattr(answer, "digest") else Own(answer)
        runner = Runner(cases=dataset.cases, target=target, scorers=made, settings=given, run_id=run.id, log=self.log)
        progress = await runner()
        state = STOPPED if runner.reason else DONE
        changed = {"state": state, "reason": runner.reason, "ended_ns": now_ns(), "progress": progress.to_json()}
        await self.log.note(run.id, **changed)
        return Evaluated(await self.log.get(run.id), self.log)

    async def _begin(
        self, name: str, dataset: Dataset, scorers: Sequence[Scorer], settings: Settings, resume: str
    ) -> Run:
        if resume:
            run = await self.log.get(resume)
            if run.digest != dataset.digest:
                raise BadInput(f"{resume} asked other cases.", field="resume", mend="Start a new run.")
            await self.log.note(resume, state=RUNNING, reason="")
            return run
        now = now_ns()
        run = Run(
            id=new_id("run"), name=name, state=RUNNING, actor="local", time_ns=now, started_ns=now,
            plan=RunPlan(name=name, target={"own": True}, settings=settings).content(), digest=dataset.digest,
            scorers=[{"name": s.name, "digest": s.digest, "judge": s.judge} for s in scorers],
        )  # fmt: skip
        await self.log.add(run, dataset.cases)
        return run

    def close(self) -> None:
        """Release the folder."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cases(given: Sequence[Case] | Path | str) -> Sequence[Case]:
    if not isinstance(given, Path | str):
        return given
    path = Path(given)
    return read_cases(path.read_text(encoding="utf-8"), "csv" if path.suffix == ".csv" else "jsonl").cases


def _scorer(spec: Any, means: Means, position: int) -> Scorer:
    if hasattr(spec, "digest") and callable(spec):
        found: Scorer = spec
        return found
    return make_scorer(spec, means, f"scorers[{position}]")


def _no_model(ref: str) -> Model:
    mend = "Give model_of, or run it on a server."
    raise BadInput(f"nobody here can ask {ref!r}.", field="model", mend=mend)


def _no_judge(address: str) -> Version:
    mend = "Spell model, rubric and criteria, or run it on a server."
    raise BadInput(f"{address!r} cannot be looked up without a server.", field="judge", mend=mend)


def _no_embedder(ref: str) -> Embed:
    mend = "Use scorers.similarity with a callable of your own, or run it on a server."
    raise BadInput(f"nobody here can embed with {ref!r}.", field="model", mend=mend)

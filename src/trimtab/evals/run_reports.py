"""What finished runs say: figures with their certainty, differences, gates, stability; and the views of screens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from trimtab.core import BadInput, TrimtabError

from .compare import Delta, compare
from .estimate import AUTO, PassRate, estimate
from .gate import GateResult, gate, gate_any_time, gate_floor
from .labels import Label
from .meanings import WORDS, meanings
from .rendering import plain
from .results import Scored, by_case
from .run_judging import Judging, criterion_of, label_place
from .run_record import DONE, Run, kind_of
from .stability import BY_WORDS, Stability, stability

#: Points of a comparison that a view gets.
MAX_POINTS = 5_000
#: Scores of one run whose rate is corrected for one view, and their rows together.
MAX_RATES, MAX_ROWS = 20, 200_000


class Reports(Judging):
    """Reads runs; everything heavy happens in a thread."""

    async def pair(self, new: str, old: str, score: str = "") -> tuple[str, list[Scored], list[Scored]]:
        """The rows of one score of two runs over the same cases. Raises like ``scores``."""
        first, second = await self.log.get(new), await self.log.get(old)
        name, mine = await self.scores(first, score)
        _, theirs = await self.scores(second, name)
        return name, mine, theirs

    async def compare(self, new: str, old: str, score: str = "") -> Delta:
        """New minus old. Raises MixedJudges where two judges scored."""
        _, mine, theirs = await self.pair(new, old, score)
        return await asyncio.to_thread(compare, mine, theirs)

    async def points(self, new: str, old: str, score: str = "") -> list[dict[str, Any]]:
        """Every case that both runs scored, with its mean in each: what a paired scatter is drawn from."""
        _, mine, theirs = await self.pair(new, old, score)

        def paired() -> list[dict[str, Any]]:
            before, after = by_case(theirs), by_case(mine)
            both = [case for case in after if case in before][:MAX_POINTS]
            return [{"case": case, "old": before[case].mean, "new": after[case].mean} for case in both]

        return await asyncio.to_thread(paired)

    async def gate(  # house: parameters because each is a condition of the gate
        self, new: str, old: str = "", *, score: str = "", max_drop: float = 0.05, floor: float | None = None,
        alpha: float = 0.05, any_time: bool = False, labels: str = "", method: str = AUTO,
    ) -> GateResult:  # fmt: skip
        """Against another run, or (``floor``) against a pass rate. ``any_time`` may be asked while the run goes on."""
        run = await self.log.get(new)
        kind = kind_of(run)
        if floor is not None:
            name, _ = await self.scores(run, score)
            found = gate_floor(await self.rate(new, name, labels=labels, method=method), floor)
            return replace(found, kind=kind, score=name)
        if not old:
            mend = "Name a run to compare with, or a floor."
            raise BadInput("there is nothing to compare with.", field="baseline", mend=mend)
        if run.state != DONE and not any_time:
            mend = "Wait for its end, or ask with any_time."
            raise BadInput(f"The run {new} is {run.state}.", field="run", mend=mend)
        name, mine, theirs = await self.pair(new, old, score)
        ask = gate_any_time if any_time else gate
        found = await asyncio.to_thread(ask, mine, theirs, max_drop=max_drop, alpha=alpha)
        return replace(found, kind=kind, score=name)

    async def rate(self, run_id: str, score: str = "", *, labels: str = "", method: str = AUTO) -> PassRate:
        """The pass rate, corrected by people's labels of the run's dataset (or of the dataset ``labels``), or by what
        calibrating the judge on other cases found. ``method`` is one of METHODS.values()."""
        run = await self.log.get(run_id)
        name, rows = await self.scores(run, score)
        criterion = criterion_of(run, name)
        place = labels or label_place(run)
        said = await self.people.labels(place, criterion=criterion)
        judge = next((row.judge for row in rows if row.judge), "")
        root = name.removesuffix(f".{criterion}") if criterion else name
        known = await self.known_rates(root, judge, criterion, labels) if judge else None
        if labels and judge and not said and known is None:
            mend = f"Add some with `trimtab eval label {labels} FILE`, or calibrate the judge on a run over it."
            raise BadInput(f"nobody labelled {labels} for this score.", field="labels", mend=mend)
        refined = await self.refined_on(run, root, place) if judge else frozenset()
        return await asyncio.to_thread(
            estimate, rows, labels=said, criterion=criterion, known=known, method=method, refined_on=refined
        )  # fmt: skip

    async def rates(self, run: Run, counts: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """The pass rate of every score of a judge, by name; where there is none, ``refused`` says why. ``counts`` are
        the rows of each: what would keep a reader waiting is left to ``rate``."""
        found: dict[str, dict[str, Any]] = {}
        rows = 0
        for name, count in list(counts.items())[:MAX_RATES]:
            rows += count
            if rows > MAX_ROWS:
                found[name] = {"refused": f"the run is large: ask `trimtab eval estimate {run.id} --score {name}`"}
                continue
            try:
                found[name] = plain(await self.rate(run.id, name))
            except TrimtabError as error:
                found[name] = {"refused": str(error)}
        return found

    async def stability(
        self, run_id: str, score: str = "", *, embeddings: str = "", same: float | None = None
    ) -> Stability:
        """What repeats say.

        Answers are compared by the ``embeddings`` of a model, by default the one that the configuration names, and by
        their words where there is none or ``words`` is said; from ``same`` on, two say the same. Raises BadInput for a
        run whose answers are another one's, which cannot vary, and what the model raises.
        """
        run = await self.log.get(run_id)
        if cached := await self.log.cached(run_id):
            mend = "Run it without cache."
            raise BadInput(f"{cached} answers of {run_id} came from the cache.", field="run", mend=mend)
        _, rows = await self.scores(run, score)
        texts = await self.log.texts(run_id)
        by, model = BY_WORDS, embeddings or self._making.embeddings
        if model and model != WORDS:
            by = await meanings(self._making.embedder(model), model, texts)
        if same is not None:
            by = replace(by, same=same)
        return await asyncio.to_thread(stability, rows, texts=texts, meanings=by)

    # Views.

    async def detail(self, run: Run, *, rates: bool = False) -> dict[str, Any]:
        """A run with the figures of its scores, and the status of every judge beside them; with ``rates`` also what its
        scores are worth after correction."""
        scores = await self.log.summary(run.id)
        for row in scores:
            if row["judge"]:
                row["status"] = await self.status(row["name"].partition(".")[0], row["judge"])
        if rates:
            corrected = await self.rates(run, {row["name"]: row["n"] for row in scores if row["judge"]})
            for row in scores:
                row["rate"] = corrected.get(row["name"])
        return {**asdict(run), "scores": scores, "cached": await self.log.cached(run.id)}

    async def listed(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """Runs for a list: without their cases, each with the means of its scores."""
        return [{**_row(run), "scores": await self.log.summary(run.id)} for run in runs]


def labels_with_ids(dataset: str, labels: Sequence[Label]) -> list[tuple[str, Label]]:
    """Each label with an id made from who said what of which case when: sent twice, it counts once."""
    return [
        (f"{dataset}:{label.case}:{label.criterion}:{label.by}:{label.time_ns}:{label.value:g}", label)
        for label in labels
    ]


def _row(run: Run) -> dict[str, Any]:
    plan: Mapping[str, Any] = {k: v for k, v in run.plan.items() if k != "cases"}
    return {**asdict(run), "plan": plan}

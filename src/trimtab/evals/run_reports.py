"""What finished runs say: figures with their certainty, differences, gates, stability; and the views of screens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.core import BadInput, Call, NotFound, collect, now_ns

from .calibrate import Calibration, calibrate
from .compare import Delta, compare
from .estimate import PassRate, estimate
from .gate import GateResult, gate, gate_any_time, gate_floor
from .labels import Label
from .records import People, RunLog
from .refine import Disagreement, disagreements, refinement_request
from .rendering import loaded, plain
from .results import Scored, by_case
from .run_making import Making
from .run_record import ALL, DONE, Run
from .splits import Split, split_labels
from .stability import Stability, stability
from .status import judge_status

#: Points of a comparison that a view gets.
MAX_POINTS = 5_000
#: Seconds for a draft of a rubric.
_REFINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A judge's verdicts in a run beside what people said of the same cases."""

    run: Run
    name: str
    judge: str
    place: str
    labels: Sequence[Label]
    verdicts: Mapping[str, Sequence[Scored]]
    texts: Mapping[str, str]
    before: Split | None
    model: str


class Reports:
    """Reads runs; everything heavy happens in a thread."""

    def __init__(self, log: RunLog, people: People, making: Making, *, clock: Callable[[], int] = now_ns) -> None:
        self.log = log
        self.people = people
        self._making = making
        self._clock = clock

    async def scores(self, run: Run, score: str = "") -> tuple[str, list[Scored]]:
        """The rows of one score; "" is the only one there is, else ``all``. Raises NotFound for one that is not there,
        BadInput for a run without any."""
        names = [row["name"] for row in await self.log.summary(run.id)]
        if not names:
            mend = "Wait for it, or look at its errors."
            raise BadInput(f"The run {run.id} has no scores.", field="run", mend=mend)
        name = score or (names[0] if len(names) == 1 else ALL)
        if name != ALL and name not in names:
            there = ", ".join((*names, ALL))
            raise NotFound(f"The run {run.id} has no score {name[:60]!r}.", field="score", mend=f"There is {there}.")
        return name, await self.log.scored(run, name)

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
        alpha: float = 0.05, any_time: bool = False, labels: str = "",
    ) -> GateResult:  # fmt: skip
        """Against another run, or (``floor``) against a pass rate. ``any_time`` may be asked while the run goes on."""
        if floor is not None:
            return gate_floor(await self.rate(new, score, labels=labels), floor)
        if not old:
            mend = "Name a run to compare with, or a floor."
            raise BadInput("there is nothing to compare with.", field="baseline", mend=mend)
        run = await self.log.get(new)
        if run.state != DONE and not any_time:
            mend = "Wait for its end, or ask with any_time."
            raise BadInput(f"The run {new} is {run.state}.", field="run", mend=mend)
        _, mine, theirs = await self.pair(new, old, score)
        ask = gate_any_time if any_time else gate
        return await asyncio.to_thread(ask, mine, theirs, max_drop=max_drop, alpha=alpha)

    async def rate(self, run_id: str, score: str = "", *, labels: str = "") -> PassRate:
        """The pass rate, corrected by people's labels of the run's dataset (or of the dataset ``labels``)."""
        run = await self.log.get(run_id)
        name, rows = await self.scores(run, score)
        said = await self.people.labels(labels or label_place(run), criterion=criterion_of(run, name))
        return await asyncio.to_thread(estimate, rows, labels=said, criterion=criterion_of(run, name))

    async def stability(self, run_id: str, score: str = "") -> Stability:
        """What repeats say. Raises BadInput for a run whose answers are another one's: they cannot vary."""
        run = await self.log.get(run_id)
        if cached := await self.log.cached(run_id):
            mend = "Run it without cache."
            raise BadInput(f"{cached} answers of {run_id} came from the cache.", field="run", mend=mend)
        _, rows = await self.scores(run, score)
        texts = await self.log.texts(run_id)
        return await asyncio.to_thread(stability, rows, texts=texts)

    async def calibrate(
        self, run_id: str, score: str, *, labels: str = "", test_share: float = 0.5
    ) -> tuple[Calibration, list[Disagreement]]:
        """Measure the judge of a score by people's labels, remember it, and say where it differs on the dev side."""
        judged = await self._judged(run_id, score, labels)

        def measure() -> tuple[Calibration, list[Disagreement]]:
            split = split_labels(judged.labels, test_share=test_share, before=judged.before)
            found = calibrate(
                judged.labels, judged.verdicts, judge=judged.judge, split=split, texts=judged.texts,
                model=judged.model, time_ns=self._clock(),
            )  # fmt: skip
            return found, disagreements(judged.labels, judged.verdicts, split=split)

        found, differ = await asyncio.to_thread(measure)
        await self.people.add_calibration(judged.name, plain(found), pin=judged.run.dataset, dataset=judged.place)
        return found, differ

    async def refine(self, run_id: str, score: str, *, labels: str = "", model: str = "") -> dict[str, Any]:
        """A draft of a better rubric from where the judge and the experts differ, on dev labels only: the judge must
        have been calibrated before. Asks ``model``, or the judge's own. Raises what the model raises."""
        judged = await self._judged(run_id, score, labels)
        if judged.before is None:
            raise BadInput("was not calibrated yet.", field="score", mend="Calibrate it first.")
        content = await self._making.judge_content(judged.run.plan.get("scorers", ()), judged.name)
        differ = disagreements(judged.labels, judged.verdicts, split=judged.before)
        if not differ:
            return {"rubric": content["rubric"], "disagreements": [], "changed": False}
        asked = refinement_request(_rubric(content), differ, judged.texts)
        ref = model or content["model"]
        call = Call(model=ref, messages=({"role": "user", "content": asked},), timeout=_REFINE_S)
        async with asyncio.timeout(_REFINE_S):
            reply = await collect(self._making.model_of(ref)(call))
        found = [plain(item) for item in differ]
        return {"rubric": reply.text.strip(), "disagreements": found, "changed": bool(reply.text.strip())}

    async def _judged(self, run_id: str, score: str, labels: str) -> _Judged:
        run = await self.log.get(run_id)
        name, rows = await self.scores(run, score)
        digests = {row.judge for row in rows}
        if len(digests) != 1 or not (judge := digests.pop()):
            raise BadInput("is not the score of one judge.", field="score", mend="Name the score of a judge.")
        place = labels or label_place(run)
        said = await self.people.labels(place)
        asked = {label.criterion for label in said}
        verdicts = {"": rows} if "" in asked else {}
        for part in await self._parts(run, name):
            if part in asked:
                verdicts[part] = await self.log.scored(run, f"{name}.{part}")
        if not verdicts:
            mend = f"Add some with `trimtab eval label {place} FILE`."
            raise BadInput(f"nobody labelled {place} for this score.", field="labels", mend=mend)
        texts = {case: text for (case, repeat), text in (await self.log.texts(run_id)).items() if repeat == 0}
        return _Judged(
            run=run, name=name, judge=judge, place=place, labels=said, verdicts=verdicts, texts=texts,
            before=await self._split(name), model=await self._model(run_id, name),
        )  # fmt: skip

    async def status(self, name: str, judge: str, model: str = "") -> dict[str, Any]:
        """Whether a judge may be believed."""
        past = [loaded(Calibration, row["record"]) for row in await self.people.calibrations(name)]
        return plain(judge_status(judge, past, model=model))

    # Views.

    async def detail(self, run: Run) -> dict[str, Any]:
        """A run with the figures of its scores, and the status of every judge beside them."""
        scores = await self.log.summary(run.id)
        for row in scores:
            if row["judge"]:
                row["status"] = await self.status(row["name"].partition(".")[0], row["judge"])
        return {**asdict(run), "scores": scores, "cached": await self.log.cached(run.id)}

    async def listed(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """Runs for a list: without their cases, each with the means of its scores."""
        return [{**_row(run), "scores": await self.log.summary(run.id)} for run in runs]

    async def _parts(self, run: Run, name: str) -> list[str]:
        """The criteria on which a score has scores of its own."""
        start = f"{name}."
        return [row["name"].removeprefix(start) for row in await self.log.summary(run.id)
                if row["name"].startswith(start)]  # fmt: skip

    async def _split(self, name: str) -> Split | None:
        past = await self.people.calibrations(name)
        return loaded(Calibration, past[-1]["record"]).split if past else None

    async def _model(self, run_id: str, name: str) -> str:
        """The model that the judge reported."""
        for row in await self.log.results(run_id, limit=5):
            for score in row["scores"]:
                if score["name"] == name and score["detail"].get("model"):
                    return str(score["detail"]["model"])
        return ""


def _rubric(content: Mapping[str, Any]) -> str:
    criteria = [f"- {c['name']}: {c['text']}" for c in content.get("criteria", ())]
    return "\n".join([content["rubric"], *criteria])


def criterion_of(run: Run, name: str) -> str:
    """The criterion that a score is of: what follows the scorer's name, "" for the score over all."""
    for scorer in run.scorers:
        if name.startswith(f"{scorer['name']}."):
            return name.removeprefix(f"{scorer['name']}.")
    return ""


def label_place(run: Run) -> str:
    """The dataset under whose name labels of a run's cases are kept."""
    return run.dataset.rpartition("/")[0] or run.name


def labels_with_ids(dataset: str, labels: Sequence[Label]) -> list[tuple[str, Label]]:
    """Each label with an id made from who said what of which case when: sent twice, it counts once."""
    return [
        (f"{dataset}:{label.case}:{label.criterion}:{label.by}:{label.time_ns}:{label.value:g}", label)
        for label in labels
    ]


def _row(run: Run) -> dict[str, Any]:
    plan: Mapping[str, Any] = {k: v for k, v in run.plan.items() if k != "cases"}
    return {**asdict(run), "plan": plan}

"""Judges of a run beside people: calibration, drafts of a rubric, examples, and what a judge may be believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trimtab.core import BadInput, Call, NotFound, Version, collect, now_ns
from trimtab.stats import ErrorRates

from .calibrate import Calibration, CriterionCalibration, calibrate, calibrate_pairs
from .dataset import GOLDEN
from .dataset_routes import kind_now
from .estimate import KnownRates
from .examples import Example, Material, choose_examples
from .judge import JUDGE_FIELDS, example_cases
from .labels import Label
from .records import People, RunLog
from .refine import Disagreement, disagreements, refinement_request
from .rendering import loaded, plain
from .results import Scored
from .run_making import Making, score_name
from .run_record import ALL, Run, kind_of
from .scorers.making import other_answer
from .splits import Split, of_side, split_labels
from .status import judge_status

#: Seconds for a draft of a rubric.
_REFINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A judge's verdicts in a run beside what people said of the same cases. ``rows`` are those over all; ``orders``
    are what a judge that ``compares`` said in either order, and ``others`` the answers that it compared with. ``asks``
    says how such a judge stands in a plan. ``golden`` says that the run's cases or the labels are of a golden set.
    """

    run: Run
    name: str
    judge: str
    place: str
    labels: Sequence[Label]
    rows: Sequence[Scored]
    verdicts: Mapping[str, Sequence[Scored]]
    texts: Mapping[str, str]
    before: Split | None
    model: str
    version: Version | None
    compares: bool
    orders: Mapping[str, tuple[float, float]]
    others: Mapping[str, str]
    asks: Mapping[str, Any]
    golden: bool

    def split(self, test_share: float) -> Split:
        """The labels' sides. Those of a golden set only ever measure."""
        share = 1.0 if self.golden else test_share
        return split_labels(self.labels, test_share=share, before=self.before)

    def measured(self, split: Split, time_ns: int) -> Calibration:
        """The calibration on the test side. Takes a while."""
        shown = example_cases(self.version.content, self.place) if self.version else ()
        if self.compares:
            pairs = {case: (text, self.others[case]) for case, text in self.texts.items() if case in self.others}
            return calibrate_pairs(
                self.labels, self.rows, self.orders, judge=self.judge, split=split, texts=pairs, model=self.model,
                time_ns=time_ns, examples=shown,
            )  # fmt: skip
        return calibrate(
            self.labels, self.verdicts, judge=self.judge, split=split, texts=self.texts, model=self.model,
            time_ns=time_ns, examples=shown,
        )  # fmt: skip

    def differ(self, split: Split) -> list[Disagreement]:
        """Where judge and experts differ on the dev side."""
        return disagreements(self.labels, self.verdicts, split=split, pairs=self.compares)

    def answers(self) -> Mapping[str, str]:
        """What was judged, by case: an answer, or both of a pair."""
        if not self.compares:
            return self.texts
        return {case: f"ANSWER A\n{text}\n\nANSWER B\n{self.others.get(case, '')}" for case, text in self.texts.items()}


class Judging:
    """What people and judges say of the same answers; everything heavy happens in a thread."""

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

    async def calibrate(
        self, run_id: str, score: str, *, labels: str = "", test_share: float = 0.5
    ) -> tuple[Calibration, list[Disagreement]]:
        """Measure the judge of a score by people's labels, remember it, and say where it differs on the dev side.

        A judge that compares is measured by people's preferences, and looked through for what place, length and style
        do to it.
        """
        judged = await self._judged(run_id, score, labels)

        def measure() -> tuple[Calibration, list[Disagreement]]:
            split = judged.split(test_share)
            return judged.measured(split, self._clock()), judged.differ(split)

        found, differ = await asyncio.to_thread(measure)
        await self.people.add_calibration(judged.name, plain(found), pin=judged.run.dataset, dataset=judged.place)
        return found, differ

    async def refine(self, run_id: str, score: str, *, labels: str = "", model: str = "") -> dict[str, Any]:
        """A draft of a better rubric from where the judge and the experts differ, on dev labels only: the judge must
        have been calibrated before. Asks ``model``, or the judge's own. Raises what the model raises, BadInput for a
        golden set."""
        judged = await self._judged(run_id, score, labels)
        _refuse_golden(judged)
        if judged.before is None:
            raise BadInput("was not calibrated yet.", field="score", mend="Calibrate it first.")
        content = _rubric_of(judged)
        differ = judged.differ(judged.before)
        if not differ:
            return {"rubric": content["rubric"], "disagreements": [], "changed": False}
        asked = refinement_request(_rubric(content), differ, judged.answers())
        ref = model or content["model"]
        call = Call(model=ref, messages=({"role": "user", "content": asked},), timeout=_REFINE_S)
        async with asyncio.timeout(_REFINE_S):
            reply = await collect(self._making.model_of(ref)(call))
        found = [plain(item) for item in differ]
        return {"rubric": reply.text.strip(), "disagreements": found, "changed": bool(reply.text.strip())}

    async def examples(
        self, run_id: str, score: str, *, count: int, labels: str = "", test_share: float = 0.5, actor: str = "",
        note: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Choose examples from the dev labels and register the judge with them as a new version, at which no label
        stands. ``run`` is the plan that lets it judge the untouched labels' answers again.

        Raises BadInput for a judge without a rubric, a golden set, or labels without critiques.
        """
        judged = await self._judged(run_id, score, labels)
        _refuse_golden(judged)
        content = _rubric_of(judged)
        cases = await self.log.cases(judged.run.id)

        def choose() -> tuple[list[Example], list[str]]:
            split = judged.split(test_share)
            others = judged.others if judged.compares else None
            material = Material(scores=judged.rows, cases=cases, texts=judged.texts, others=others)
            chosen = choose_examples(judged.labels, material, split=split, count=count)
            test = {label.case for label in of_side(judged.labels, split, "test")}
            return chosen, [case.id for case in cases if case.id in test and case.id in judged.texts]

        chosen, test = await asyncio.to_thread(choose)
        if not test:
            mend = "Label more cases, or lower the part that refines."
            raise BadInput("leave no case to measure the new version on.", field="labels", mend=mend)
        content = {**content, "examples": [example.content(judged.place) for example in chosen]}
        said = note or f"{len(chosen)} examples from labels of {judged.place}"
        name = judged.version.name if judged.version else judged.name
        version = await self._making.registry.register("judges", name, content, author=actor, note=said)
        plan = {
            "name": f"{judged.run.name}: {version.pin}"[:200], "target": {"run": judged.run.id, "cases": test},
            "scorers": [{**judged.asks, "judge": version.address, "name": judged.name}], "note": said[:2000],
        }  # fmt: skip
        shown = [
            {"case": example.case, "verdict": example.verdict, "judge": example.judge, "critique": example.critique}
            for example in chosen
        ]
        return {"version": version.address, "examples": shown, "labels": judged.place, "run": plan}

    async def status(self, name: str, judge: str, model: str = "") -> dict[str, Any]:
        """Whether a judge may be believed."""
        past = [loaded(Calibration, row["record"]) for row in await self.people.calibrations(name)]
        return plain(judge_status(judge, past, model=model))

    async def known_rates(self, name: str, judge: str, criterion: str, dataset: str = "") -> KnownRates | None:
        """How often a judge errs by its last calibration, on untouched labels (of one ``dataset``); None without."""
        for row in reversed(await self.people.calibrations(name)):
            if row["record"].get("judge") != judge or (dataset and row["dataset"] != dataset):
                continue
            record = loaded(Calibration, row["record"])
            found = next((c for c in record.criteria if c.criterion == criterion and c.confusion), None)
            if found is not None:
                return rates_of(found, row["dataset"], record.time_ns)
        return None

    async def refined_on(self, run: Run, name: str, place: str) -> frozenset[str]:
        """The labelled cases of a dataset that made a judge what it is: where it is shown examples from there, the side
        that they are from, so that what is left is a sample still."""
        try:
            content = (await self._making.judge_in(run.plan.get("scorers", ()), name)).content
        except NotFound:  # a jury, or the score of single cases
            return frozenset()
        shown, split = example_cases(content, place), await self._split(name)
        if not shown or split is None:
            return shown
        dev = set(split.dev)
        labels = await self.people.labels(place)
        return shown | {label.case for label in labels if (label.group or label.case) in dev}

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
        spec = _spec(run, name)
        compares = spec.get("kind") == "pairwise"
        try:
            version: Version | None = await self._making.judge_in(run.plan.get("scorers", ()), name)
        except NotFound:
            version = None
        return _Judged(
            run=run, name=name, judge=judge, place=place, labels=said, rows=rows, verdicts=verdicts, texts=texts,
            before=await self._split(name), model=await self._model(run_id, name), version=version,
            compares=compares, orders=await self.log.orders(run_id, name) if compares else {},
            others=await self._others(run, str(spec.get("against", ""))) if compares else {},
            asks={"kind": "pairwise", "against": str(spec.get("against", ""))} if compares else {"kind": "judge"},
            golden=kind_of(run) == GOLDEN or await self._is_golden(place),
        )  # fmt: skip

    async def _is_golden(self, place: str) -> bool:
        """Whether labels are of what is a golden set now, whatever it was when the run began."""
        registry = self._making.registry
        return place in registry.names("datasets") and await kind_now(registry, place) == GOLDEN

    async def _others(self, run: Run, against: str) -> Mapping[str, str]:
        """The answers that a judge compared the run's with: those of a run, or of the cases."""
        if not against:
            return {case.id: other_answer(case) for case in await self.log.cases(run.id)}
        return {case: text for (case, repeat), text in (await self.log.texts(against)).items() if repeat == 0}

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


def _refuse_golden(judged: _Judged) -> None:
    if judged.golden:
        mend = "Label another dataset for refining."
        raise BadInput("is a golden set: its labels measure and never refine.", field="labels", mend=mend)


def _spec(run: Run, name: str) -> Mapping[str, Any]:
    """What the plan says of a score."""
    specs = [spec for spec in run.plan.get("scorers", ()) if isinstance(spec, Mapping)]
    return next((spec for spec in specs if name == score_name(spec)), {})


def rates_of(c: CriterionCalibration, dataset: str, time_ns: int) -> KnownRates | None:
    """How often a judge errs by a calibration; None of one that compares."""
    if c.confusion is None:
        return None
    shares = (c.tpr, c.tnr) if c.worth and c.tpr and c.tnr else None
    if c.worth and shares:
        passing, failing = c.worth
        rates = ErrorRates(
            passing=passing, passed=passing * shares[0].value, failing=failing, failed=failing * shares[1].value
        )
    else:
        rates = ErrorRates(
            passing=c.confusion.pass_pass + c.confusion.pass_fail, passed=c.confusion.pass_pass,
            failing=c.confusion.fail_fail + c.confusion.fail_pass, failed=c.confusion.fail_fail,
        )  # fmt: skip
    day = f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%Y-%m-%d}" if time_ns else "no noted day"
    return KnownRates(rates=rates, source=f"{dataset or 'another dataset'}, calibrated on {day}", shares=shares)


def _rubric_of(judged: _Judged) -> dict[str, Any]:
    """The judge's content. Raises BadInput for one without a rubric of its own."""
    content = judged.version.content if judged.version else {}
    if not content.get("rubric"):
        mend = "Register a judge with a rubric, and use it in the plan."
        raise BadInput("is of a judge that has no rubric of its own.", field="score", mend=mend)
    return {key: content[key] for key in JUDGE_FIELDS if key in content and key != "note"}


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

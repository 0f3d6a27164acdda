"""From a plan to what a run needs: cases, target and scorers, with every address pinned to the version it means now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.core import BadInput, Model, NotFound, Version, parse_address
from trimtab.prompts import Template
from trimtab.prompts import validate as validate_prompt
from trimtab.registry import Registry

from .dataset import Case, Dataset, cases_of, kind_in
from .judge import JUDGE_FIELDS
from .output import Output
from .run_plan import MAX_CASES, RunPlan
from .run_target import Ask, Asked, Earlier, Recorded, Target, check_model
from .scorer import Scorer
from .scorers import Means, make_scorer, make_scorers
from .scorers.similarity import Embed

_TARGET = ("prompt", "messages", "variables", "params", "model", "run", "cases", "recorded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A plan that can be run. ``plan`` is it with pins in place of labels; ``prompt`` the version that is asked."""

    plan: RunPlan
    dataset: Dataset
    target: Target
    scorers: Sequence[Scorer]
    own: Mapping[str, Sequence[Scorer]] = field(default_factory=dict)
    prompt: Version | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """Builds runs from plans. ``cases_of_run`` and ``output_of`` read earlier runs.

    ``python`` are the scorers that plans may name by import path. ``embeddings`` is the model that compares the
    meanings of answers where a reader names none; "" compares words.
    """

    registry: Registry
    ask: Ask
    model_of: Callable[[str], Model]
    embedder: Callable[[str], Embed]
    cases_of_run: Callable[[str], Awaitable[list[Case]]]
    output_of: Callable[[str, str, int], Awaitable[Output | None]]
    python: Mapping[str, Scorer] = field(default_factory=dict)
    embeddings: str = ""

    async def __call__(self, plan: RunPlan) -> Ready:
        """Raises BadInput or NotFound, naming the field, for a plan that cannot be run."""
        plan, dataset = await self._dataset(plan)
        plan, target, prompt = await self._target(plan)
        plan = replace(plan, scorers=[await self._pinned(spec) for spec in plan.scorers])
        means = Means(
            model_of=self.model_of, judge_of=self._judge, embedder=self.embedder, output_of=self.output_of,
            python=self.python,
        )  # fmt: skip
        scorers = make_scorers(plan.scorers, means)
        own: dict[str, Sequence[Scorer]] = {}
        taken = {scorer.name for scorer in scorers}
        for n, case in enumerate(dataset.cases):
            if case.scorers:
                own[case.id] = await self._own(case, means, taken)
                if n % 20 == 19:
                    await asyncio.sleep(0)  # there may be very many, and others wait
        if not scorers and not own:
            raise BadInput("are missing.", field="scorers", mend='Name some, for example ["exact"].')
        return Ready(plan=plan, dataset=dataset, target=target, scorers=scorers, own=own, prompt=prompt)

    async def _dataset(self, plan: RunPlan) -> tuple[RunPlan, Dataset]:
        if run := plan.target.get("run"):
            dataset = _some(await self.cases_of_run(_text(run, "target.run")), plan)
        elif plan.dataset:
            version = await self._version(plan.dataset, "datasets")
            dataset = await _read(version.name, version.content, version.pin)
            plan = replace(plan, dataset=version.address, kind=dataset.kind)
        else:
            dataset = await _read(plan.name, {"cases": list(plan.cases), "kind": plan.kind})
        part = dataset.part(plan.split, plan.limit)
        if not part.cases:
            raise BadInput("There is no case to ask.", field="split" if plan.split else "cases", mend="Add some.")
        if len(part.cases) > MAX_CASES:
            raise BadInput(f"There are {len(part.cases)} cases.", field="limit", mend=f"Take at most {MAX_CASES}.")
        return plan, part

    async def _target(self, plan: RunPlan) -> tuple[RunPlan, Target, Version | None]:
        given = dict(plan.target)
        for name in given:
            if name not in _TARGET:
                raise BadInput("is not known.", field=f"target.{name}", mend=f"It takes {', '.join(_TARGET)}.")
        if run := given.get("run"):
            return plan, Earlier(_text(run, "target.run"), self.output_of), None
        if given.get("recorded"):
            return plan, Recorded(), None
        prompt = None
        content: dict[str, Any] = {}
        if address := given.get("prompt"):
            prompt = await self._version(_text(address, "target.prompt"), "prompts")
            given["prompt"] = prompt.address
        elif "messages" in given:
            content = {key: given[key] for key in ("messages", "variables", "params") if key in given}
            try:
                validate_prompt(content)
            except BadInput as error:
                error.field = f"target.{error.field}"
                raise
        elif "params" in given:
            raise BadInput("needs messages.", field="target.params", mend="Spell messages, or leave it out.")
        model = given["model"] = check_model(given.get("model"), prompt)
        self.model_of(model)
        asked = Asked(
            ask=self.ask,
            model=model,
            prompt=prompt.pin if prompt else "",
            content=content,
            part=self._part,
            template=Template(content) if content else None,
        )
        return replace(plan, target=given), asked, prompt

    async def _pinned(self, spec: Any) -> Any:
        """A scorer's words with judges as versions."""
        if not isinstance(spec, Mapping):
            return spec
        found = dict(spec)
        if isinstance(spec.get("judge"), str):
            found["judge"] = (await self._version(spec["judge"], "judges")).address
        if isinstance(spec.get("judges"), list | tuple):
            named = [(await self._version(a, "judges")).address if isinstance(a, str) else a for a in spec["judges"]]
            found["judges"] = named
        return found

    async def _own(self, case: Case, means: Means, taken: set[str]) -> list[Scorer]:
        """The scorers of one case. Several of one kind get numbers; a name of the plan's is not theirs to take."""
        made: list[Scorer] = []
        names = set(taken)
        for n, spec in enumerate(case.scorers):
            words: dict[str, Any] = {"kind": spec} if isinstance(spec, str) else dict(await self._pinned(spec))
            where = f"case {case.id}: scorers[{n}]"
            found = make_scorer(words, means, where)
            number = 2
            while found.name in names:
                found = make_scorer({**words, "name": f"{words.get('name') or words['kind']} {number}"}, means, where)
                number += 1
            names.add(found.name)
            made.append(found)
        return made

    async def judge_in(self, specs: Sequence[Any], name: str) -> Version:
        """The judge that a plan's scorers name: a registered version, or one of number 0 where the plan spells it.
        Raises NotFound."""
        for spec in specs:
            if isinstance(spec, Mapping):
                address = spec.get("judge")
                version = await self._version(address, "judges") if isinstance(address, str) else None
                if name != score_name(spec):
                    continue
                if version:
                    return version
                if spec.get("model"):
                    content = {key: value for key, value in spec.items() if key in JUDGE_FIELDS}
                    return Version(kind="judges", name=name, number=0, digest="", content=content)
        raise NotFound(f"the plan has no judge {name[:60]!r}.", field="score", mend="Name the score of a judge.")

    async def _version(self, address: str, kind: str) -> Version:
        parsed = parse_address(address, kind)
        if parsed.kind != kind:
            raise BadInput(f"{address!r} is of another kind.", field=kind, mend=f"Write {kind}:/NAME@production.")
        await self.registry.ready(address, kind=kind)
        return self.registry.resolve(address, kind=kind).version

    def _judge(self, address: str) -> Version:
        version = self.registry.resolve(address, kind="judges").version
        if not isinstance(version.content.get("model"), str):
            raise BadInput("names no model.", field="judge", mend=f"Mend {version.address}.")
        return version

    def _part(self, address: str) -> Mapping[str, Any]:
        return self.registry.resolve(address, kind="prompts").version.content


def score_name(spec: Mapping[str, Any]) -> str:
    """The name of a scorer's score: its own, else that of the registered judge that gives it, else its kind."""
    named, kind = spec.get("name"), str(spec.get("kind", ""))
    if isinstance(named, str) and named:
        return named
    judge = spec.get("judge")
    return parse_address(judge, "judges").name if kind in ("judge", "pairwise") and isinstance(judge, str) else kind


def _some(cases: Sequence[Case], plan: RunPlan) -> Dataset:
    """The cases of an earlier run, or those of them that the target names."""
    wanted = plan.target.get("cases")
    if wanted is None:
        return Dataset.of(plan.name, cases)
    if not isinstance(wanted, list | tuple) or not all(isinstance(name, str) for name in wanted):
        raise BadInput("must be a list of ids.", field="target.cases", mend="Leave it out for all cases of the run.")
    kept = set(wanted)
    return Dataset.of(plan.name, [case for case in cases if case.id in kept])


async def _read(name: str, content: Mapping[str, Any], pin: str = "") -> Dataset:
    """A dataset of a content; in a thread, for there may be very many cases."""
    return await asyncio.to_thread(lambda: Dataset.of(name, cases_of(content), pin=pin, kind=kind_in(content)))


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadInput("must be text that is not empty.", field=field)
    return value

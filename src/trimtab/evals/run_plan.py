"""What a run is to do: which cases, asked of what, scored by what, how often and within which bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from trimtab.core import BadInput

from .dataset import kind_in

#: Bounds of a plan.
MAX_CASES, MAX_REPEATS, MAX_CONCURRENCY, MAX_ATTEMPTS = 100_000, 100, 1000, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run goes about it.

    ``repeats`` answers to every case, ``judgements`` of every answer by each judge. ``concurrency`` is how many cases
    are under way at once; one case makes one call at a time. ``attempts`` bounds the tries of one call when its error
    is worth another one, ``timeout_s`` the seconds of one try. ``max_cost_usd`` stops the run when that much is spent;
    what is under way then still ends. With ``cache`` an answer or verdict that an earlier run paid for counts again.
    """

    repeats: int = 1
    judgements: int = 1
    concurrency: int = 16
    attempts: int = 4
    timeout_s: float = 120.0
    max_cost_usd: float | None = None
    cache: bool = False

    def __post_init__(self) -> None:
        _between(self.repeats, "repeats", MAX_REPEATS)
        _between(self.judgements, "judgements", MAX_REPEATS)
        _between(self.concurrency, "concurrency", MAX_CONCURRENCY)
        _between(self.attempts, "attempts", MAX_ATTEMPTS)
        if not 0 < self.timeout_s <= 3600:
            raise BadInput("is out of range.", field="timeout_s", mend="Give seconds up to 3600.")
        if self.max_cost_usd is not None and not self.max_cost_usd > 0:
            raise BadInput("must be above 0.", field="max_cost_usd", mend="Leave it out for no limit.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """A run in words that can be stored, sent and repeated; see docs/evaluation-runs.md for every field.

    ``dataset`` is an address, or ``cases`` are spelled. ``target`` says who answers: ``{"prompt", "model"}``,
    ``{"messages", "model"}``, ``{"model"}``, ``{"run": ID}`` for the answers of an earlier run, or
    ``{"recorded": true}`` for those that the cases bring along. ``scorers`` are as ``make_scorer`` reads them. ``kind``
    is that of spelled cases (golden, adversarial, ...); a dataset has its own.
    """

    name: str = "run"
    dataset: str = ""
    cases: Sequence[Mapping[str, Any]] = ()
    kind: str = ""
    split: str = ""
    limit: int = 0
    target: Mapping[str, Any] = field(default_factory=dict)
    scorers: Sequence[Any] = ()
    settings: Settings = field(default_factory=Settings)
    note: str = ""

    def content(self) -> dict[str, Any]:
        """The plan as JSON values, its settings beside the rest."""
        values = asdict(self)
        return {**{k: v for k, v in values.items() if k != "settings" and v}, **values["settings"]}


_SETTINGS = {f.name for f in fields(Settings)}
_PLAN = {f.name: f for f in fields(RunPlan) if f.name != "settings"}
_TEXTS = ("name", "dataset", "kind", "split", "note")
_WHOLE = ("repeats", "judgements", "concurrency", "attempts")


def plan_from(content: Mapping[str, Any]) -> RunPlan:
    """A plan from JSON values. Raises BadInput naming the field that does not fit."""
    values: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, value in content.items():
        if name in _SETTINGS:
            settings[name] = _setting(name, value)
        elif name in _PLAN:
            values[name] = _value(name, value)
        else:
            mend = f"Fields are {', '.join((*_PLAN, *sorted(_SETTINGS)))}."
            raise BadInput("is no field of a plan.", field=name, mend=mend)
    kind_in(values)
    plan = RunPlan(**values, settings=Settings(**settings))
    if bool(plan.dataset) == bool(plan.cases) and "run" not in plan.target:
        mend = "Name a dataset (datasets:/NAME@production) or spell cases, not both."
        raise BadInput("are missing, or given twice.", field="cases", mend=mend)
    if not plan.target:
        raise BadInput("is missing.", field="target", mend='Write {"prompt": "prompts:/NAME", "model": "..."}.')
    return plan


def _value(name: str, value: Any) -> Any:
    if name in _TEXTS:
        if not isinstance(value, str) or len(value) > 2000:
            raise BadInput("must be text of at most 2000 characters.", field=name)
    elif name == "limit":
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadInput("must be a whole number.", field=name, mend="0 is all cases.")
    elif name == "target":
        if not isinstance(value, Mapping):
            raise BadInput("must be an object.", field=name, mend='Write {"model": "provider/model"}.')
    elif not isinstance(value, list | tuple):
        raise BadInput("must be a list.", field=name)
    if name == "cases" and len(value) > MAX_CASES:
        raise BadInput(f"are {len(value)}.", field=name, mend=f"At most {MAX_CASES} in one run.")
    return value


def _setting(name: str, value: Any) -> Any:
    if name == "cache":
        if not isinstance(value, bool):
            raise BadInput("must be true or false.", field=name)
    elif name == "max_cost_usd" and value is None:
        return None
    elif isinstance(value, bool) or not isinstance(value, int if name in _WHOLE else int | float):
        raise BadInput("must be a whole number." if name in _WHOLE else "must be a number.", field=name)
    return value


def _between(value: int, field: str, most: int) -> None:
    if not 1 <= value <= most:
        raise BadInput(f"{value} is out of range.", field=field, mend=f"Give 1 to {most}.")

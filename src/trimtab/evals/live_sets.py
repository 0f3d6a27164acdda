"""Which scorers live traffic gets: versions of kind ``scorers``.

Content: ``{"scorers": [...], "covers"?: {"routes": [...], "prompts": [...], "projects": [...]}, "references"?:
"datasets:/faq@production", "note"?: "..."}``. Each scorer is one of a run's plan, with what it may see and spend:
``sample`` and ``sample_raised`` (shares from 0 to 1) and ``budget_usd`` a day. A set without ``covers`` looks at all
traffic. ``references`` is a dataset whose cases give the expected answer of a question that is asked in their words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput, Version, parse_address

from .output import Output
from .scorer import Function, Scorer
from .scorers import Means, make_scorers

KIND = "scorers"
#: A set's scores are named ``SET.SCORER``: the dot keeps them apart from what Trimtab scores by itself.
SEPARATOR = "."
#: Without a share of its own the raised one is so many times the ordinary one.
RAISED = 3.0
_KEYS = ("scorers", "covers", "references", "note")
_COVERS = ("routes", "prompts", "projects")
_OWN = ("sample", "sample_raised", "budget_usd")
_MOST_COVERED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScorer:
    """One scorer of a set. ``sample`` None is the usual share: all answers for code, ``scoring.sample`` for a model."""

    scorer: Scorer
    kind: str
    sample: float | None = None
    sample_raised: float | None = None
    budget_usd: float | None = None

    @property
    def asks(self) -> bool:
        """Whether a model is asked, so that a verdict costs something."""
        return bool(self.scorer.judge)

    @property
    def slow(self) -> bool:
        """Whether it may take long: a model, or code of somebody's own."""
        return self.asks or self.kind == "python"

    def shares(self, usual: float, raised: float) -> tuple[float, float]:
        """The share in quiet times and the one while there is evidence of trouble. ``usual`` and ``raised`` are those
        of scorers that ask a model and say nothing themselves."""
        if self.sample is None:
            quiet, high = (usual, raised) if self.asks else (1.0, 1.0)
        else:
            quiet, high = self.sample, min(1.0, RAISED * self.sample)
        return quiet, max(quiet, high if self.sample_raised is None else self.sample_raised)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSet:
    """A version of kind ``scorers`` that can be asked. ``covers`` holds names of routes, prompts, projects."""

    name: str
    pin: str
    scorers: tuple[LiveScorer, ...]
    covers: Mapping[str, frozenset[str]]
    references: str = ""

    def meets(self, output: Output) -> bool:
        """Whether an output is one that the set looks at: every kind of name that is given must fit."""
        names = {"routes": _name(output.stamp.route), "prompts": _name(output.stamp.prompt), "projects": output.project}
        return all(names[kind] in wanted for kind, wanted in self.covers.items())

    def score_name(self, name: str) -> str:
        """How a score of this set is called among those of live traffic."""
        return f"{self.name}{SEPARATOR}{name}"


def _name(pin: str) -> str:
    return pin.rpartition("/")[0] or pin


def live_set(version: Version, means: Means) -> LiveSet:
    """The set that a version says. Raises BadInput naming the field, NotFound for a judge that is not there."""
    content = version.content
    for name in content:
        if name not in _KEYS:
            raise BadInput("is no field of a list of scorers.", field=name, mend=f"Fields are {', '.join(_KEYS)}.")
    given = content.get("scorers")
    if not isinstance(given, list | tuple) or not given:
        raise BadInput("must be a list that is not empty.", field="scorers", mend='Write ["max_words"].')
    own, specs = zip(*(_split(spec, f"scorers[{n}]") for n, spec in enumerate(given)), strict=True)
    made = make_scorers(list(specs), means)
    scorers = tuple(
        LiveScorer(scorer=scorer, kind=str(spec["kind"]), **options)
        for scorer, spec, options in zip(made, specs, own, strict=True)
    )
    return LiveSet(
        name=version.name,
        pin=version.pin,
        scorers=scorers,
        covers=_covers(content.get("covers", {})),
        references=_references(content.get("references", "")),
    )


def validate_scorers(content: Mapping[str, Any]) -> None:
    """Raise BadInput, naming the field, unless this is the content of a list of scorers.

    Whether the judges, models and scorers in Python that it names are there is only known where they are asked.
    """
    live_set(Version(kind=KIND, name="x", number=1, digest="", content=content), _anything(content))


def _split(spec: Any, where: str) -> tuple[dict[str, float], dict[str, Any]]:
    """What a scorer may see and spend, and its words as a plan has them."""
    words = {"kind": spec} if isinstance(spec, str) else spec
    if not isinstance(words, Mapping):
        raise BadInput("must be a kind, or an object with one.", field=where, mend='Write {"kind": "max_words"}.')
    if words.get("kind") == "pairwise" and words.get("against"):
        raise BadInput("is for runs.", field=f"{where}.against", mend="Leave it out to compare with the reference.")
    if "." in str(words.get("name", "")):
        raise BadInput("must not hold a dot.", field=f"{where}.name", mend="A dot stands before a criterion.")
    options: dict[str, float] = {}
    for name in _OWN:
        if (value := words.get(name)) is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInput("must be a number.", field=f"{where}.{name}")
        if name == "budget_usd" and not value > 0:
            raise BadInput("must be above 0.", field=f"{where}.{name}", mend="Leave it out for no limit.")
        if name != "budget_usd" and not 0 <= value <= 1:
            raise BadInput("must be from 0 to 1.", field=f"{where}.{name}", mend="0.2 scores one answer in five.")
        options[name] = float(value)
    return options, {name: value for name, value in words.items() if name not in _OWN}


def _covers(given: Any) -> dict[str, frozenset[str]]:
    mend = 'Write {"routes": ["support"]}.'
    if not isinstance(given, Mapping):
        raise BadInput("must be an object.", field="covers", mend=mend)
    found: dict[str, frozenset[str]] = {}
    for kind, names in given.items():
        if kind not in _COVERS:
            raise BadInput("cannot be covered.", field=f"covers.{kind}", mend=f"Use {', '.join(_COVERS)}.")
        if (
            not isinstance(names, list | tuple)
            or not 0 < len(names) <= _MOST_COVERED
            or not all(isinstance(name, str) and name for name in names)
        ):
            raise BadInput(f"must be a list of 1 to {_MOST_COVERED} names.", field=f"covers.{kind}", mend=mend)
        found[kind] = frozenset(names)
    return found


def _references(given: Any) -> str:
    if not given:
        return ""
    mend = "Write datasets:/faq@production."
    if not isinstance(given, str):
        raise BadInput("must be an address.", field="references", mend=mend)
    if parse_address(given, "datasets").kind != "datasets":
        raise BadInput("is no dataset.", field="references", mend=mend)
    return given


class _Every(dict[str, Scorer]):
    """Any path in Python as a scorer that is never asked."""

    def get(self, key: str, default: Any = None) -> Scorer:
        return Function(key.rpartition(":")[2], lambda case, output: None, key)


def _anything(content: Mapping[str, Any]) -> Means:
    """Means that have whatever is named, for looking at words alone."""

    def nothing(ref: str) -> Any:
        return _never

    def judge(address: str) -> Version:
        where = parse_address(address, "judges")
        if where.kind != "judges":
            raise BadInput(f"{address!r} is no judge.", field="judge", mend="Write judges:/NAME@production.")
        return Version(
            kind="judges", name=where.name, number=0, digest="", content={"model": "none/none", "rubric": "none"}
        )

    return Means(model_of=nothing, judge_of=judge, embedder=nothing, output_of=no_other, python=_Every())


async def no_other(run: str, case: str, repeat: int) -> Output | None:
    """The output of another run: live traffic has none."""
    return None


_never: Callable[..., Any] = no_other

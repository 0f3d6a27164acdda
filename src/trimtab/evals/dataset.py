"""Cases to ask again, and the datasets that keep them: versions of kind ``datasets``, ``{"cases": [...], "kind"?}``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from trimtab.core import BadInput, Conflict, Version, digest_of
from trimtab.registry import PRODUCTION, Registry

from .lines import objects_in

_TEXTS = ("input", "id", "expected", "source_trace", "note", "answer", "group", "split", "origin")
_OBJECTS = ("variables", "expects")
_FIELDS = (*_TEXTS, "tags", *_OBJECTS, "passages", "criteria", "scorers")
_TRIES = 5
#: What a dataset is for, by the word that its content holds.
GOLDEN, ADVERSARIAL, REGRESSION = "golden", "adversarial", "regression"
KINDS: Mapping[str, str] = {
    GOLDEN: "answers that experts settled; held out, it measures and never refines",
    ADVERSARIAL: "attacks; a pass is an attack that failed, and what did not pass is the attack success",
    REGRESSION: "what went wrong once and must not again",
    "benchmark": "a fixed suite that many versions are measured on",
    "sampled": "drawn from live traffic",
    "synthetic": "written by a model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to ask. Only ``input`` must be there, and not even that where the prompt's ``variables`` say it all.

    ``expected`` is the reference answer. ``criteria`` are what a judge looks at for this case beside its own, and
    ``scorers`` those of this case alone, as a run's plan writes them. ``expects`` holds what single scorers compare
    with: ``tool_calls``, ``trajectory``, ``steps``, ``relevant``, ``other`` (a pair's second answer). ``answer`` and
    ``passages`` are a recorded answer and what it was made from. Cases with the same ``group``
    (a document, a conversation) stand or fall together; ``split`` says what the case is kept for (test, dev, ...).
    ``origin`` says where it is from (human, trace, incident, synthetic, a file's format), ``source_trace`` which trace.
    """

    input: str = ""
    id: str = ""
    expected: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    source_trace: str = ""
    note: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    answer: str = ""
    passages: Sequence[Mapping[str, Any]] = ()
    criteria: Sequence[str] = ()
    expects: Mapping[str, Any] = field(default_factory=dict)
    scorers: Sequence[Any] = ()
    group: str = ""
    split: str = ""
    origin: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """The case as it stands in a dataset's content: empty fields left out."""
        return {name: value for name in _FIELDS if (value := getattr(self, name))}

    @property
    def identity(self) -> str:
        """What is asked, as a short hash: letter case and spaces of the input do not count. Of a pair, both answers
        belong to it."""
        text = " ".join(self.input.lower().split()).encode("utf-8", "replace")
        if self.variables:
            text += b"\0" + msgspec.json.encode(self.variables, order="sorted")
        if other := self.expects.get("other"):
            text += f"\0{self.answer}\0{other}".encode("utf-8", "replace")
        return hashlib.blake2b(text, digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Cases with ids of their own; ``pin`` is the registered version they are from, empty for loose ones. ``kind`` is
    one of KINDS, or "" where nobody said."""

    name: str
    cases: tuple[Case, ...]
    pin: str = ""
    kind: str = ""

    @classmethod
    def of(cls, name: str, cases: Iterable[Case], pin: str = "", kind: str = "") -> Dataset:
        """A dataset of cases; those without an id, or with that of another one, get one."""
        taken: dict[str, int] = {}
        kept = []
        for case in cases:
            wanted = case.id or f"case_{case.identity}"
            taken[wanted] = taken.get(wanted, 0) + 1
            own = wanted if taken[wanted] == 1 else f"{wanted}-{taken[wanted]}"
            kept.append(case if case.id == own else replace(case, id=own))
        return cls(name=name, cases=tuple(kept), pin=pin, kind=kind)

    @property
    def digest(self) -> str:
        """The address of the content: same cases, same digest."""
        return digest_of({"cases": [case.content for case in self.cases]})

    def part(self, split: str = "", limit: int = 0, offset: int = 0) -> Dataset:
        """The cases of a split ("" = all), from ``offset`` on, at most ``limit`` (0 = all)."""
        cases = [case for case in self.cases if not split or case.split == split][offset:]
        return replace(self, cases=tuple(cases[:limit] if limit else cases))


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """An answer whose verdict experts have settled: ``passes`` is theirs."""

    input: str
    answer: str
    passages: Sequence[Mapping[str, Any]]
    passes: bool


def validate(content: Mapping[str, Any]) -> None:
    """Raise BadInput, with the path of the field and the mend, unless this is a dataset's content."""
    cases = content.get("cases")
    if not isinstance(cases, list | tuple):
        raise BadInput("must be a list.", field="cases", mend='Write {"cases": [{"input": "..."}]}.')
    for unknown in content.keys() - {"cases", "note", "kind"}:
        raise BadInput("is no field of a dataset.", field=unknown, mend="Leave it out.")
    kind_in(content)
    for position, case in enumerate(cases):
        _validate_case(case, f"cases[{position}]")


def kind_in(content: Mapping[str, Any]) -> str:
    """The kind that a dataset's content or a plan names, "" where it names none. Raises BadInput for no kind."""
    kind = content.get("kind", "")
    if not isinstance(kind, str) or (kind and kind not in KINDS):
        mend = f"Use one of {', '.join(KINDS)}."
        raise BadInput(f"{str(kind)[:40]!r} is no kind of dataset.", field="kind", mend=mend)
    return kind


def _validate_case(case: object, where: str) -> None:
    if not isinstance(case, Mapping):
        raise BadInput("must be an object.", field=where, mend='Write {"input": "..."}.')
    for name, value in case.items():
        if name not in _FIELDS:
            mend = f"Fields are {', '.join(_FIELDS)}."
            raise BadInput("is no field of a case.", field=f"{where}.{name}", mend=mend)
        _validate_field(name, value, f"{where}.{name}")
    if not case.get("input", "").strip() and not case.get("variables"):
        raise BadInput("must be text that is not empty.", field=f"{where}.input", mend="Write what is asked.")


def _validate_field(name: str, value: object, where: str) -> None:
    if name in _TEXTS:
        if not isinstance(value, str):
            raise BadInput("must be text.", field=where)
    elif name == "tags":
        if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
            raise BadInput("must map names to text.", field=where)
    elif name in _OBJECTS:
        if not isinstance(value, Mapping):
            raise BadInput("must be an object.", field=where, mend='Write {"product": "lamps"}.')
    elif not isinstance(value, list | tuple):
        raise BadInput("must be a list.", field=where, mend="Write it in square brackets.")
    elif name == "passages" and not all(isinstance(p, Mapping) for p in value):
        raise BadInput("must be a list of objects.", field=where)
    elif name == "criteria" and not all(isinstance(c, str) and c.strip() for c in value):
        raise BadInput("must be a list of texts.", field=where, mend='Write ["Names the price."].')


def cases_of(content: Mapping[str, Any]) -> list[Case]:
    """The cases of a dataset's content. Raises BadInput as ``validate`` does."""
    validate(content)
    return [_case(case) for case in content["cases"]]


def _case(case: Mapping[str, Any]) -> Case:
    return Case(**case)


def golden_of(content: Mapping[str, Any]) -> list[Golden]:
    """The golden items of a dataset's content. Raises BadInput when one lacks its answer or verdict."""
    validate(content)
    items: list[Golden] = []
    for position, case in enumerate(content["cases"]):
        if "answer" not in case:
            raise BadInput("is missing.", field=f"cases[{position}].answer", mend="Write the answer to be judged.")
        if case.get("expected") not in ("pass", "fail"):
            raise BadInput("must be pass or fail.", field=f"cases[{position}].expected")
        items.append(
            Golden(
                input=case["input"],
                answer=case["answer"],
                passages=tuple(
                    {"number": number, **passage} for number, passage in enumerate(case.get("passages", ()), 1)
                ),
                passes=case["expected"] == "pass",
            )
        )
    return items


def case_content(case: Case) -> dict[str, Any]:
    """A case as it stands in a dataset's content, with an id made from what it asks if it has none."""
    return {"id": case.id or f"case_{case.identity}", **case.content}


def merged(content: Mapping[str, Any], cases: Iterable[Case]) -> dict[str, Any]:
    """The content with the cases added that it does not ask yet (letter case and spaces do not count)."""
    kept: list[Any] = list(content["cases"])
    seen = {_case(case).identity for case in kept}
    for case in cases:
        if case.identity not in seen:
            seen.add(case.identity)
            kept.append(case_content(case))
    return {**content, "cases": kept}


async def add_cases(
    registry: Registry, name: str, cases: Iterable[Case], *, actor: str, note: str = "", kind: str = ""
) -> Version:
    """Add cases to a dataset, which is made (of this ``kind``) if there is none, and let ``production`` stand at the
    result.

    Cases whose input is there already change nothing; if none is new, the current version comes back. Somebody who
    adds at the same time is waited out by reading again. Raises BadInput for a case without input.
    """
    new = list(cases)
    for position, case in enumerate(new):
        _validate_case(case_content(case), f"cases[{position}]")
    tries = _TRIES
    while True:
        number = registry.labels("datasets", name).get(PRODUCTION, 0)
        before = registry.version("datasets", name, number) if number else None
        content = merged(before.content if before else {"cases": [], **({"kind": kind} if kind else {})}, new)
        if before and len(content["cases"]) == len(before.content["cases"]):
            return before
        version = await registry.register("datasets", name, content, author=actor, note=note)
        tries -= 1
        try:
            await registry.move_label(
                "datasets", name, PRODUCTION, version.number, actor=actor, note=note, expect=number
            )
        except Conflict:
            if not tries:
                raise
        else:
            return version


def to_jsonl(cases: Iterable[Case]) -> str:
    """One JSON object a line."""
    return "".join(msgspec.json.encode(case_content(case)).decode() + "\n" for case in cases)


def from_jsonl(text: str) -> list[Case]:
    """Cases from one JSON object a line; empty lines are passed over. Raises BadInput naming the line."""
    cases: list[Case] = []
    for where, value in objects_in(text, '{"input": "..."}'):
        _validate_case(value, where)
        cases.append(_case(value))
    return cases

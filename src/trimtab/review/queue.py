"""What people are asked to look at: a queue, its items, who is asked, and what they said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from trimtab.core import BadInput

#: Criteria of one queue (each has three keys), experts, items, and characters of a critique.
MAX_CRITERIA, MAX_EXPERTS, MAX_ITEMS, MAX_CRITIQUE = 3, 50, 2_000, 4_000
_MOST_TEXT = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
#: What is known of an item that was planted.
BAD, GOOD = "bad", "good"
WAITING, SAVED, SKIPPED = "waiting", "saved", "skipped"
REVIEW, SETTLE = "review", "settle"
#: What a person may say: 1 is yes, 0 is no, None is "cannot tell".
YES, NO = 1.0, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A yes-or-no question about an answer. ``name`` is the criterion under which the labels are kept; "" is the
    verdict on the whole answer."""

    name: str
    ask: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expert:
    """A person and what they know: slices and tags (name to value). Without either they are asked about everything."""

    who: str
    slices: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def general(self) -> bool:
        """Whether they are asked about everything."""
        return not self.slices and not self.tags

    def knows(self, item: Item) -> bool:
        """Whether an item is of their domain."""
        return item.slice in self.slices or any(item.tags.get(name) == value for name, value in self.tags.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One answer to look at.

    ``shown`` holds question, answer, expected and passages: all that a reviewer sees. ``hidden`` holds who made the
    answer and what a judge said of it. ``known`` is "bad" or "good" for a planted item, with the reason; "" for work.
    """

    position: int = 0
    case: str
    group: str = ""
    trace_id: str = ""
    slice: str = ""
    known: str = ""
    known_why: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the request or the case."""
        tags: Mapping[str, str] = self.hidden.get("tags", {})
        return tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What one person said of one item, or owes on it. ``place`` is the item's turn in that person's own order.

    ``verdicts`` hold 1 (yes), 0 (no) or None (cannot tell) by criterion. ``role`` is review, or settle for the verdict
    that ends a disagreement. ``done_ns`` is when the person's batch ended: from then on nothing is undone.
    """

    position: int
    reviewer: str
    role: str = REVIEW
    place: int = 0
    state: str = WAITING
    verdicts: Mapping[str, float | None] = field(default_factory=dict)
    critique: str = ""
    shown_ns: int = 0
    saved_ns: int = 0
    done_ns: int = 0

    @property
    def refuses(self) -> bool:
        """Whether it says "no" to anything."""
        return NO in self.verdicts.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A batch of work for experts. Labels are kept under ``dataset``, where calibration finds them."""

    id: str
    name: str
    dataset: str
    criteria: tuple[Criterion, ...]
    experts: tuple[Expert, ...]
    note: str = ""
    actor: str = ""
    time_ns: int = 0
    closed_ns: int = 0

    def expert(self, who: str) -> Expert | None:
        """The expert of this name."""
        return next((expert for expert in self.experts if expert.who == who), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A queue to be made. ``source`` says where its items are from, ``planted`` names a dataset of answers whose
    verdict is known, ``plant`` how many of them at most. Every item goes to ``overlap`` people."""

    name: str
    source: Mapping[str, Any]
    experts: tuple[Expert, ...]
    criteria: tuple[Criterion, ...] = (Criterion(name="", ask="Is this answer good?"),)
    dataset: str = ""
    planted: str = ""
    plant: int = 20
    overlap: int = 2
    note: str = ""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """A plan from JSON values. Raises BadInput naming the field that does not fit."""
        known = ("name", "source", "experts", "criteria", "dataset", "planted", "plant", "overlap", "note")
        for field_name in body:
            if field_name not in known:
                raise BadInput("is no field of a queue.", field=field_name, mend=f"Fields are {', '.join(known)}.")
        source = body.get("source")
        if not isinstance(source, Mapping) or not source:
            mend = 'Write {"query": "score:quality<0.5"}, {"incident": 3}, {"run": "run_01"} or {"dataset": "..."}.'
            raise BadInput("says where the items are from.", field="source", mend=mend)
        values: dict[str, Any] = {"source": dict(source)}
        for name in ("name", "dataset", "planted", "note"):
            values[name] = _text(body.get(name, ""), name)
        if not values["name"]:
            raise BadInput("is missing.", field="name", mend="Give the queue a name.")
        values["experts"] = _experts(body.get("experts"))
        if "criteria" in body:
            values["criteria"] = _criteria(body["criteria"])
        values["plant"] = _whole(body.get("plant", 20), "plant", 0, 200)
        values["overlap"] = _whole(body.get("overlap", 2), "overlap", 1, MAX_EXPERTS)
        return cls(**values)


def _experts(value: object) -> tuple[Expert, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not 0 < len(value) <= MAX_EXPERTS:
        mend = f'Name 1 to {MAX_EXPERTS}: ["mara", {{"who": "jonas", "slices": ["billing"]}}].'
        raise BadInput("are the people who are asked.", field="experts", mend=mend)
    found: list[Expert] = []
    for n, one in enumerate(value):
        row = {"who": one} if isinstance(one, str) else one
        if not isinstance(row, Mapping) or row.keys() - {"who", "slices", "tags"}:
            raise BadInput("has who, slices and tags.", field=f"experts[{n}]", mend='Write {"who": "mara"}.')
        slices, tags = row.get("slices", ()), row.get("tags", {})
        if isinstance(slices, str) or not isinstance(slices, Sequence) or not isinstance(tags, Mapping):
            raise BadInput("slices are a list, tags an object.", field=f"experts[{n}]", mend="Correct them.")
        who = _text(row.get("who", ""), f"experts[{n}].who").strip()
        if not who or who in {expert.who for expert in found}:
            raise BadInput("is missing, or named twice.", field=f"experts[{n}].who", mend="Name each person once.")
        found.append(
            Expert(who=who, slices=tuple(map(str, slices)), tags={str(k): str(v) for k, v in tags.items()})
        )  # fmt: skip
    return tuple(found)


def _criteria(value: object) -> tuple[Criterion, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not 0 < len(value) <= MAX_CRITERIA:
        mend = f"Ask 1 to {MAX_CRITERIA} questions; more wait for a second queue."
        raise BadInput("are the questions that are asked.", field="criteria", mend=mend)
    found: list[Criterion] = []
    for n, one in enumerate(value):
        if not isinstance(one, Mapping) or one.keys() - {"name", "ask"}:
            mend = 'Write {"name": "grounded", "ask": "Is every claim supported?"}.'
            raise BadInput("has name and ask.", field=f"criteria[{n}]", mend=mend)
        name, ask = (_text(one.get(key, ""), f"criteria[{n}].{key}").strip() for key in ("name", "ask"))
        if name and not _NAME.fullmatch(name):
            raise BadInput("is no name.", field=f"criteria[{n}].name", mend="Use letters, digits, . _ -")
        if not ask or name in {criterion.name for criterion in found}:
            raise BadInput("needs a question, and a name of its own.", field=f"criteria[{n}]", mend="Correct it.")
        found.append(Criterion(name=name, ask=ask))
    return tuple(found)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise BadInput(f"must be text of at most {_MOST_TEXT} characters.", field=name, mend="Shorten it.")
    return value


def _whole(value: object, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInput("is out of range.", field=name, mend=f"Give {least} to {most}.")
    return value

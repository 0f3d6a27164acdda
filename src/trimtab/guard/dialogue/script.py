"""Reading the flows of a policy as people write them: every mistake is named with its field and its mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import re2

from trimtab.core import BadInput

from .flows import ANY, Branch, Dialogue, Flows, Hear, Instruct, Matching, Required, Say, Step, Topics, steps_within

_KEYS = ("intents", "answers", "dialogue", "required", "topics", "match")
_STEPS = ("user", "say", "model", "when")
#: The most intents, examples, dialogues and steps of one policy, and characters of one text.
MOST_INTENTS, MOST_EXAMPLES, MOST_DIALOGUES, MOST_STEPS, LONGEST = 500, 5000, 500, 200, 4000
_DEPTH = 8


def read_flows(written: object, field: str = "flows") -> Flows:
    """The flows of a policy, checked: every intent has examples, every answer a text. Raises BadInput."""
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field=field, mend=f"Its fields are {', '.join(_KEYS)}.")
    _known(written, _KEYS, field)
    intents = _texts_by_name(written.get("intents", {}), f"{field}.intents", MOST_INTENTS)
    if sum(map(len, intents.values())) > MOST_EXAMPLES:
        raise BadInput(
            f"has more than {MOST_EXAMPLES} examples", field=f"{field}.intents", mend="Keep the telling ones."
        )
    answers = _texts_by_name(written.get("answers", {}), f"{field}.answers", MOST_INTENTS)
    flows = Flows(
        intents=intents,
        answers=answers,
        dialogue=_dialogue(written.get("dialogue", []), f"{field}.dialogue"),
        required=_required(written.get("required", []), f"{field}.required"),
        topics=_topics(written["topics"], f"{field}.topics") if written.get("topics") is not None else None,
        match=_match(written.get("match", {}), f"{field}.match"),
    )
    _linked(flows, field)
    return flows


def _linked(flows: Flows, field: str) -> None:
    """Raises BadInput for an intent without examples, and for an answer without a text."""
    named: list[tuple[str, str, str]] = []
    for position, each in enumerate(flows.dialogue):
        where = f"{field}.dialogue[{position}]"
        for step in steps_within(each.steps):
            if isinstance(step, Hear):
                named.append(("intents", step.intent, where))
            elif isinstance(step, Say):
                named.append(("answers", step.answer, where))
            elif isinstance(step, Branch):
                named += [("intents", case, where) for case, _ in step.cases]
    for position, required in enumerate(flows.required):
        where = f"{field}.required[{position}]"
        named.append(("answers", required.answer, where))
        named += [("intents", name, where) for name in (*required.before, required.step) if name]
    if flows.topics is not None:
        named.append(("answers", flows.topics.otherwise, f"{field}.topics"))
        named += [("intents", name, f"{field}.topics") for name in flows.topics.allowed]
    there: Mapping[str, Mapping[str, Any]] = {"intents": {**flows.intents, ANY: ()}, "answers": flows.answers}
    for kind, name, where in named:
        if name not in there[kind]:
            what = "intent has no examples" if kind == "intents" else "answer has no text"
            raise BadInput(f"{name!r}: this {what}", field=where, mend=f"Write it under {field}.{kind}.")


def _dialogue(written: object, field: str) -> tuple[Dialogue, ...]:
    found: list[Dialogue] = []
    for position, item in enumerate(_list(written, field, MOST_DIALOGUES)):
        where = f"{field}[{position}]"
        if not isinstance(item, Mapping):
            raise BadInput("must be an object", field=where, mend='Write {"name", "steps"}.')
        _known(item, ("name", "steps"), where)
        name = _text(item.get("name", f"flow {position + 1}"), f"{where}.name")
        if name in {each.name for each in found}:
            raise BadInput(f"{name!r} was used before", field=f"{where}.name", mend="Give each its own name.")
        steps = _steps(item.get("steps"), f"{where}.steps")
        if not isinstance(steps[0], Hear):
            mend = "Begin with {user: INTENT}; {user: '...'} is any message."
            raise BadInput("must begin with what the user says", field=f"{where}.steps[0]", mend=mend)
        found.append(Dialogue(name=name, steps=steps))
    return tuple(found)


def _steps(written: object, field: str, depth: int = 0) -> tuple[Step, ...]:
    items = _list(written, field, MOST_STEPS)
    if not items or depth > _DEPTH:
        raise BadInput("has no step" if not items else "is nested too deeply", field=field, mend="Write a few steps.")
    return tuple(step for n, item in enumerate(items) for step in _step(item, f"{field}[{n}]", depth))


def _step(item: object, field: str, depth: int) -> list[Step]:
    mend = f"Write one of {', '.join(f'{{{key}: ...}}' for key in _STEPS)}."
    if not isinstance(item, Mapping):
        raise BadInput("must be an object", field=field, mend=mend)
    _known(item, (*_STEPS, "else"), field)
    kinds = [key for key in _STEPS if key in item]
    if len(kinds) != 1 or ("else" in item and kinds != ["when"]):
        raise BadInput("must be one step", field=field, mend=mend)
    kind, value = kinds[0], item[kinds[0]]
    if kind == "user":
        return [Hear(_text(value, f"{field}.user"))]
    if kind == "model":
        return [Instruct(_text(value, f"{field}.model").rstrip("."))]
    if kind == "say":
        said = [value] if isinstance(value, str) else _list(value, f"{field}.say", MOST_STEPS)
        return [Say(_text(each, f"{field}.say")) for each in said]
    if not isinstance(value, Mapping) or not value:
        raise BadInput("must be an object", field=f"{field}.when", mend="Write {intent: [steps]}.")
    cases = [(_text(case, f"{field}.when"), _steps(inner, f"{field}.when.{case}", depth + 1))
             for case, inner in value.items()]  # fmt: skip
    if "else" in item:
        cases.append((ANY, _steps(item["else"], f"{field}.else", depth + 1)))
    return [Branch(tuple(cases))]


def _required(written: object, field: str) -> tuple[Required, ...]:
    found: list[Required] = []
    for position, item in enumerate(_list(written, field, MOST_INTENTS)):
        where = f"{field}[{position}]"
        if not isinstance(item, Mapping):
            raise BadInput("must be an object", field=where, mend='Write {"before", "step" or "pattern", "answer"}.')
        _known(item, ("name", "before", "step", "pattern", "answer"), where)
        if ("step" in item) == ("pattern" in item):
            raise BadInput("needs a step or a pattern", field=where, mend="Give one of them.")
        before = item.get("before", [ANY])
        before = [before] if isinstance(before, str) else _list(before, f"{where}.before", MOST_INTENTS)
        found.append(
            Required(
                name=_text(item.get("name", f"step {position + 1}"), f"{where}.name"),
                before=frozenset(_text(each, f"{where}.before") for each in before),
                step=_text(item["step"], f"{where}.step") if "step" in item else "",
                pattern=_pattern(item["pattern"], f"{where}.pattern") if "pattern" in item else None,
                answer=_text(item.get("answer"), f"{where}.answer"),
            )
        )
        if [each.name for each in found].count(found[-1].name) > 1:
            raise BadInput(f"{found[-1].name!r} was used before", field=f"{where}.name", mend="Give each its own name.")
    return tuple(found)


def _topics(written: object, field: str) -> Topics:
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field=field, mend='Write {"allowed": [...], "otherwise": ANSWER}.')
    _known(written, ("allowed", "otherwise", "follow_ups"), field)
    allowed = _list(written.get("allowed"), f"{field}.allowed", MOST_INTENTS)
    return Topics(
        allowed=frozenset(_text(each, f"{field}.allowed") for each in allowed),
        otherwise=_text(written.get("otherwise"), f"{field}.otherwise"),
        follow_ups=int(_number(written, "follow_ups", 2, field, 0, 100)),
    )


def _match(written: object, field: str) -> Matching:
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field=field, mend='Write {"threshold": 0.4}.')
    _known(written, ("threshold", "model", "near", "timeout"), field)
    plain = Matching()
    model = written.get("model", "")
    if not isinstance(model, str) or (model and not 0 < model.find("/") < len(model) - 1):
        raise BadInput("must be provider/model", field=f"{field}.model", mend="Leave it out to compare words.")
    return Matching(
        threshold=_number(written, "threshold", plain.threshold, field, 0, 1),
        model=model,
        near=_number(written, "near", plain.near, field, 0, 1),
        timeout=_number(written, "timeout", plain.timeout, field, 0.05, 60),
    )


def _texts_by_name(written: object, field: str, most: int) -> dict[str, tuple[str, ...]]:
    if not isinstance(written, Mapping) or len(written) > most:
        raise BadInput(f"must be an object of at most {most} names", field=field, mend="Write {name: [texts]}.")
    found: dict[str, tuple[str, ...]] = {}
    for name, value in written.items():
        where = f"{field}.{name}"
        texts = [value] if isinstance(value, str) else _list(value, where, MOST_EXAMPLES)
        if not texts or not _text(name, field) or name == ANY:
            raise BadInput("has no text" if not texts else "is no name", field=where, mend="Write [text, ...].")
        found[name] = tuple(_text(each, where) for each in texts)
    return found


def _pattern(written: object, field: str) -> Any:
    try:
        return re2.compile(written)
    except (re2.error, TypeError) as error:
        raise BadInput(f"does not compile: {error}", field=field, mend="RE2 has no look-around.") from None


def _list(written: object, field: str, most: int) -> Sequence[Any]:
    if not isinstance(written, Sequence) or isinstance(written, str) or len(written) > most:
        raise BadInput(f"must be a list of at most {most}", field=field, mend="Write [...].")
    return written


def _text(written: object, field: str) -> str:
    if not isinstance(written, str) or not written.strip() or len(written) > LONGEST:
        raise BadInput(f"must be text of at most {LONGEST} characters", field=field, mend="Write a few words.")
    return written.strip()


def _number(written: Mapping[str, Any], key: str, default: float, field: str, least: float, most: float) -> float:
    value = written.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadInput(f"{value!r} is not from {least:g} to {most:g}", field=f"{field}.{key}", mend="Write a number.")
    return float(value)


def _known(written: Mapping[str, Any], known: Sequence[str], field: str) -> None:
    for key in written:
        if key not in known:
            raise BadInput("is not a known field", field=f"{field}.{key}", mend=f"Use {', '.join(known)}.")

"""The cases attached to a prompt: what ``trimtab prompt test`` asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.core import BadInput, parse_address

from .assertions import Assertion, assertions_of, check_assertions
from .fields import a_list, an_object, known_keys

MAX_CASES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCase:
    """One thing to ask. ``assertions`` must hold for this case, besides those of the prompt."""

    input: str = ""
    id: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    assertions: tuple[Assertion, ...] = ()


def check_cases(value: object, path: str) -> None:
    """Raise BadInput unless this is a dataset's address or a list of cases."""
    if isinstance(value, str):
        try:
            address = parse_address(value, "datasets")
        except BadInput as error:
            raise BadInput(error.message, field=path, mend=error.mend) from None
        if address.kind != "datasets":
            raise BadInput(f"{value!r} is no dataset", field=path, mend="Write datasets:/name@label.")
        return
    example = '"datasets:/name@production" or [{"input": "..."}]'
    for position, case in enumerate(a_list(value, path, example, MAX_CASES)):
        where = f"{path}[{position}]"
        known_keys(case, ("id", "input", "variables", "assertions", "note"), where)
        for name in ("id", "input", "note"):
            if not isinstance(case.get(name, ""), str):
                raise BadInput("must be text", field=f"{where}.{name}", mend="Write a string.")
        an_object(case.get("variables", {}), f"{where}.variables", '{"product": "lamps"}')
        if not case.get("input", "").strip() and not case.get("variables"):
            raise BadInput("asks nothing", field=f"{where}.input", mend="Give an input or variables.")
        check_assertions(case.get("assertions", ()), f"{where}.assertions", output_schema=False)


def cases_address(content: Mapping[str, Any]) -> str:
    """The address of the dataset that holds a prompt's cases; empty when it has none or brings its own."""
    cases = content.get("cases")
    return cases if isinstance(cases, str) else ""


def cases_of(content: Mapping[str, Any]) -> list[PromptCase]:
    """The cases that a prompt brings itself; none when they are in a dataset."""
    cases = content.get("cases")
    if not isinstance(cases, list | tuple):
        return []
    return [
        PromptCase(
            input=case.get("input", ""),
            id=case.get("id") or f"case {number}",
            variables=case.get("variables", {}),
            assertions=assertions_of({"assertions": case.get("assertions", ())}),
        )
        for number, case in enumerate(cases, 1)
    ]

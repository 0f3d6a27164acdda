"""What a prompt may hold: every mistake is named with its field and its mend."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.prompts import Variable, validate, variables_of


def prompt(**changes: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "system", "content": "Answer {{ product }} questions in {{language}}.\n{{passages}}"}],
        "variables": {"product": {"type": "string"}, "language": {"type": "string", "default": "English"}},
        "corpus": "docs",
        "passages": 4,
        "params": {"temperature": 0},
        "note": "first",
        **changes,
    }


def test_a_whole_prompt_is_right() -> None:
    validate(prompt())


def test_the_smallest_prompt_is_right() -> None:
    validate({"messages": [{"role": "user", "content": "Hello"}]})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "{{ no name }}"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "{{open"}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "{{prodcut}}"}]}]},
            "messages[0].content[0].text",
        ),
        ({"variables": ["product"]}, "variables"),
        ({"variables": {"product": "string", "language": {}}}, "variables.product"),
        ({"variables": {"product": {"type": "text"}, "language": {}}}, "variables.product.type"),
        ({"variables": {"product": {"type": "integer", "default": "x"}, "language": {}}}, "variables.product.default"),
        ({"variables": {"product": {"kind": "string"}, "language": {}}}, "variables.product.kind"),
        ({"variables": {"product": {}, "language": {}, "two words": {}}}, "variables.two words"),
        ({"variables": {"product": {}, "language": {}, "passages": {"type": "json"}}}, "variables.passages.type"),
        ({"corpus": 7}, "corpus"),
        ({"corpus": "prompts:/docs"}, "corpus"),
        ({"corpus": "docs/0"}, "corpus"),
        ({"passages": 0}, "passages"),
        ({"passages": True}, "passages"),
        ({"passages": 51}, "passages"),
        ({"corpus": None}, "passages"),
        ({"params": [1]}, "params"),
        ({"params": {"model": "x"}}, "params.model"),
        ({"note": 1}, "note"),
        ({"template": "x"}, "template"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate(prompt(**changes))
    assert caught.value.field == field
    assert caught.value.mend


def test_a_misspelt_placeholder_is_found_when_variables_are_declared() -> None:
    content = prompt(messages=[{"role": "system", "content": "For {{prodcut}} in {{language}}"}])
    with pytest.raises(BadInput, match="prodcut"):
        validate(content)


def test_without_declarations_the_placeholders_are_the_variables() -> None:
    content = {"messages": [{"role": "system", "content": "{{b}} {{a}} {{b}} {{passages}}"}]}
    validate(content)
    assert variables_of(content) == {"b": Variable(name="b"), "a": Variable(name="a")}


def test_a_default_makes_a_variable_optional() -> None:
    variables = variables_of(prompt())
    assert variables["product"].required
    assert not variables["language"].required
    assert variables["language"].default == "English"

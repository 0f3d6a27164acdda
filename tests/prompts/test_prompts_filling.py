"""Filling a prompt: values go in once, and nothing in a value is ever read as a template."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.prompts import fill, validate


def system(text: str, **rest: Any) -> dict[str, Any]:
    content = {"messages": [{"role": "system", "content": text}], **rest}
    validate(content)
    return content


def test_template_first_then_the_callers_messages() -> None:
    content = system("Speak {{ language }}.")
    asked = {"role": "user", "content": "What is {{language}}?", "name": "mara"}
    assert fill(content, {"language": "Latin"}, [asked]) == [{"role": "system", "content": "Speak Latin."}, asked]


def test_the_version_itself_is_not_changed() -> None:
    content = system("{{a}}")
    fill(content, {"a": "1"}, [])
    assert content["messages"][0]["content"] == "{{a}}"


def test_a_default_is_used_and_can_be_overridden() -> None:
    content = system("{{n}} words", variables={"n": {"type": "integer", "default": 50}})
    assert fill(content, {}, [])[0]["content"] == "50 words"
    assert fill(content, {"n": 9}, [])[0]["content"] == "9 words"


@pytest.mark.parametrize(
    ("type_", "value", "written"),
    [
        ("boolean", True, "true"),
        ("number", 1.5, "1.5"),
        ("json", {"a": ["é", None]}, '{"a": ["é", null]}'),
        ("json", "plain", "plain"),
    ],
)
def test_values_that_are_not_text_are_written_as_json(type_: str, value: object, written: str) -> None:
    content = system("{{v}}", variables={"v": {"type": type_}})
    assert fill(content, {"v": value}, [])[0]["content"] == written


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(BadInput) as caught:
        fill(system("{{product}}"), {}, [])
    assert caught.value.field == "variables.product"


def test_an_unknown_variable_is_named_with_those_there_are() -> None:
    with pytest.raises(BadInput) as caught:
        fill(system("{{product}}"), {"product": "x", "prodcut": "y"}, [])
    assert caught.value.field == "variables.prodcut"
    assert "product" in caught.value.mend


@pytest.mark.parametrize(
    ("type_", "value"),
    [("string", 1), ("integer", 1.5), ("integer", True), ("number", "1"), ("json", {1, 2}), ("json", float("nan"))],
)
def test_a_value_of_the_wrong_type_is_refused(type_: str, value: object) -> None:
    content = system("{{v}}", variables={"v": {"type": type_}})
    with pytest.raises(BadInput) as caught:
        fill(content, {"v": value}, [])
    assert caught.value.field == "variables.v"


def test_passages_are_filled_and_may_be_given_unused() -> None:
    assert fill(system("{{passages}}", corpus="docs"), {"passages": "[1] a"}, [])[0]["content"] == "[1] a"
    assert fill(system("nothing", corpus="docs"), {"passages": "[1] a"}, [])[0]["content"] == "nothing"
    with pytest.raises(BadInput, match="passages"):
        fill(system("{{passages}}", corpus="docs"), {}, [])


def test_text_parts_are_filled_and_other_parts_are_left_alone() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/{{a}}.png"}}
    content = {"messages": [{"role": "user", "content": [{"type": "text", "text": "{{a}}"}, image]}]}
    validate(content)
    assert fill(content, {"a": "x"}, [])[0]["content"] == [{"type": "text", "text": "x"}, image]


def test_escaped_braces_are_literal() -> None:
    assert fill(system(r"\{{a}} and {{a}}"), {"a": "x"}, [])[0]["content"] == "{{a}} and x"


@given(st.text(), st.text())
def test_a_value_is_never_expanded(first: str, second: str) -> None:
    content = system("{{a}}|{{b}}")
    filled = fill(content, {"a": first + "{{b}}", "b": second + "{{a}}"}, [])
    assert filled[0]["content"] == f"{first}{{{{b}}}}|{second}{{{{a}}}}"


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_placeholders_is_unchanged(text: str) -> None:
    assert fill(system(text), {}, [])[0]["content"] == text

"""Partials, examples, types and defaults: what goes into a prompt besides its own text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trimtab.core import BadInput, NotFound
from trimtab.templates import fill, variables_of

Book = dict[str, Mapping[str, Any]]


def prompt(*texts: str, **rest: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text} for text in texts], **rest}


def resolver(book: Book) -> Any:
    def resolve(address: str) -> Mapping[str, Any]:
        if address not in book:
            raise NotFound(f"There is no prompts:/{address}.", field="name")
        return book[address]

    return resolve


def test_a_partial_is_put_in_where_it_stands_and_sees_the_values_around_it() -> None:
    book: Book = {"tone": prompt("Be {{mood}}.", "Never shout at {{name}}.")}
    content = prompt("Hi {{name}}. {{> tone}}{{#people}} {{> tone}}{{/people}}", variables={
        "name": {}, "mood": {"default": "kind"}, "people": {"type": "list", "default": []},
    })  # fmt: skip
    filled = fill(content, {"name": "Mara", "people": [{"name": "Ilse"}]}, [], resolver(book))
    assert filled[0]["content"] == ("Hi Mara. Be kind.\n\nNever shout at Mara. Be kind.\n\nNever shout at Ilse.")


def test_a_partials_variables_are_asked_for_and_its_defaults_count() -> None:
    book: Book = {
        "tone@live": prompt("{{mood}} {{> deep/2}}", variables={"mood": {"default": "kind"}}),
        "deep/2": prompt("{{depth}}"),
    }
    content = prompt("{{name}} {{> tone@live}}")
    assert set(variables_of(content, resolver(book))) == {"name", "mood", "depth"}
    assert fill(content, {"name": "a", "depth": "b"}, [], resolver(book))[0]["content"] == "a kind b"
    with pytest.raises(BadInput) as caught:
        fill(content, {"name": "a"}, [], resolver(book))
    assert caught.value.field == "variables.depth"


def test_what_the_prompt_says_of_a_variable_counts_more_than_what_its_partial_says() -> None:
    book: Book = {"tone": prompt("{{mood}}", variables={"mood": {"default": "kind"}})}
    content = prompt("{{> tone}}", variables={"mood": {"default": "stern"}})
    assert fill(content, {}, [], resolver(book))[0]["content"] == "stern"


def test_a_circle_is_named() -> None:
    book: Book = {"a": prompt("{{> b}}"), "b": prompt("{{#x}}{{> c}}{{/x}}", variables={"x": {"type": "json"}}),
                  "c": prompt("{{> a}}")}  # fmt: skip
    with pytest.raises(BadInput, match="a -> b -> c -> a"):
        fill(prompt("{{> a}}"), {"x": False}, [], resolver(book))


def test_five_levels_are_enough_and_six_too_many_however_they_are_reached() -> None:
    book: Book = {f"p{n}": prompt(f"{n}{{{{> p{n + 1}}}}}") for n in range(1, 5)}
    book["p5"] = prompt("5")
    assert fill(prompt("{{> p1}}"), {}, [], resolver(book))[0]["content"] == "12345"
    book["p0"] = prompt("0{{> p1}}")
    with pytest.raises(BadInput, match="too deeply: p0 -> p1"):
        fill(prompt("{{> p0}}"), {}, [], resolver(book))
    with pytest.raises(BadInput, match="too deeply: p0 -> p1"):
        fill(prompt("{{> p1}}{{> p0}}"), {}, [], resolver(book))


def test_many_ways_to_one_partial_are_walked_once() -> None:
    """Each level names every prompt of the next one twenty times: 20^4 ways, and as many resolutions if walked."""
    names = [[f"l{level}n{n}" for n in range(10)] for level in range(4)]
    book: Book = {}
    for level, row in enumerate(names):
        below = "".join(f"{{{{> {name}}}}}" for name in names[level + 1]) if level < 3 else ""
        book |= {name: prompt("{{#never}}" + below + "{{/never}}.") for name in row}
    asked: list[str] = []

    def resolve(address: str) -> Mapping[str, Any]:
        asked.append(address)
        return book[address]

    content = prompt("".join(f"{{{{> {name}}}}}" for name in names[0]), variables={"never": {"type": "boolean"}})
    assert fill(content, {"never": False}, [], resolve)[0]["content"] == "." * 10
    assert len(asked) == len(set(asked)) == 40


def test_a_partial_that_is_not_there_says_so() -> None:
    with pytest.raises(NotFound, match="prompts:/tone"):
        fill(prompt("{{> tone}}"), {}, [], resolver({}))
    with pytest.raises(BadInput, match="'tone'"):
        fill(prompt("{{> tone}}"), {}, [])


EXAMPLES = [{"input": "2+2?", "output": "4"}, {"input": {"q": "3+3?"}, "output": {"a": 6}}]
EXPECTED = [
    {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"},
    {"role": "user", "content": '{"q": "3+3?"}'}, {"role": "assistant", "content": '{"a": 6}'},
]  # fmt: skip


def test_examples_become_messages_after_the_leading_system_messages() -> None:
    content = prompt("Add.", examples=EXAMPLES)
    content["messages"] += [{"role": "developer", "content": "Fast."}, {"role": "user", "content": "Ready?"}]
    filled = fill(content, {}, [{"role": "user", "content": "1+1?"}])
    assert [m["content"] for m in filled[:2]] == ["Add.", "Fast."]
    assert filled[2:6] == EXPECTED
    assert [m["content"] for m in filled[6:]] == ["Ready?", "1+1?"]


def test_examples_in_place_have_a_layout_or_the_templates_own() -> None:
    assert [m["content"] for m in fill(prompt("{{examples}}", examples=EXAMPLES), {}, [])] == [
        'Input: 2+2?\nOutput: 4\n\nInput: {"q": "3+3?"}\nOutput: {"a": 6}'
    ]
    own = prompt("{{#examples}}Q {{input}} A {{output}};{{/examples}}", examples=EXAMPLES)
    assert fill(own, {}, [])[0]["content"] == 'Q 2+2? A 4;Q {"q": "3+3?"} A {"a": 6};'


def test_an_examples_text_is_no_template_and_a_variable_may_bear_the_name() -> None:
    filled = fill(prompt("{{examples}}", examples=[{"input": "{{a}}", "output": "{{> b}}"}]), {}, [])
    assert filled[0]["content"] == "Input: {{a}}\nOutput: {{> b}}"
    own = prompt("{{examples}}", variables={"examples": {"type": "json"}})
    assert fill(own, {"examples": [{"input": 1, "output": 2}]}, [])[0]["content"] == '[{"input": 1, "output": 2}]'


def test_a_partials_examples_count_inside_of_it_only() -> None:
    book: Book = {"shots": prompt("{{examples}}", examples=[{"input": "a", "output": "b"}])}
    filled = fill(prompt("{{> shots}}|{{#examples}}{{input}}{{/examples}}", examples=EXAMPLES), {}, [], resolver(book))
    assert filled[0]["content"] == 'Input: a\nOutput: b|2+2?{"q": "3+3?"}'


@pytest.mark.parametrize(
    ("spec", "value", "says"),
    [
        ({"type": "list"}, "abc", "of type list"),
        ({"enum": ["short", "long"]}, "medium", "allowed values"),
        ({"type": "integer", "enum": [1, 2]}, True, "of type integer"),
        ({"type": "json", "enum": [1]}, True, "allowed values"),
        ({"type": "json"}, {"a": {1, 2}}, "JSON"),
        ({"type": "json"}, [float("inf")], "JSON"),
        ({"type": "json"}, object(), "JSON"),
    ],
)
def test_a_value_that_is_not_as_declared_is_refused(spec: dict[str, Any], value: object, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        fill(prompt("{{v}}", variables={"v": spec}), {"v": value}, [])
    assert caught.value.field == "variables.v"
    assert caught.value.mend

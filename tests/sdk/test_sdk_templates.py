"""The client fills what the server would: sections, typed variables, examples and partials."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

import trimtab
from trimtab.core import BadInput
from trimtab.prompts import fill
from trimtab.sdk import Prompt, configure

SUPPORT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "{{> tone@live}}\n{{#items}}\n- {{label}}\n{{/items}}\nAbout {{product}}."},
        {"role": "user", "content": [{"type": "text", "text": "{{#brief}}Short.{{/brief}}"}]},
    ],
    "variables": {
        "product": {},
        "items": {"type": "list"},
        "brief": {"type": "boolean", "default": True},
        "style": {"enum": ["plain", "warm"], "default": "plain"},
    },
    "examples": [{"input": "q", "output": {"a": 1}}],
    "params": {"temperature": 0.2},
}
TONE = {"messages": [{"role": "system", "content": "Be {{style}} to {{who}}."}]}
BOOK = {"prompts:/support@production": SUPPORT, "prompts:/tone@live": TONE}
GIVEN: dict[str, Any] = {"product": "lamps", "items": [{"label": "a"}], "who": "all"}


@pytest.fixture
def asked(backend: Any) -> list[str]:
    """The addresses that were asked for, in their order."""
    found: list[str] = []

    def answer(method: str, path: str, headers: Any, body: Any) -> tuple[int, dict[str, str], bytes]:
        address = parse_qs(urlparse(path).query).get("address", [""])[0]
        found.append(address)
        if address not in BOOK:
            return 404, {}, json.dumps({"detail": f"There is no {address}."}).encode()
        version = {"name": address.partition("/")[2].partition("@")[0], "number": 3, "content": BOOK[address]}
        return 200, {"etag": f'"{address}"'}, json.dumps(version).encode()

    backend.answer = answer
    configure(url=backend.url)
    return found


def test_a_prompt_brings_what_it_puts_in_and_fills_as_the_server_does(asked: list[str]) -> None:
    prompt = trimtab.load_prompt("support")
    assert prompt.variables == ("product", "items", "brief", "style", "who")
    assert prompt.params == {"temperature": 0.2}
    filled = prompt.to_messages(**GIVEN)
    assert filled == fill(SUPPORT, GIVEN, [], lambda _: TONE)
    assert [m["role"] for m in filled] == ["system", "user", "assistant", "user"]
    assert filled[0]["content"] == "Be plain to all.\n- a\nAbout lamps."
    trimtab.load_prompt("support").to_messages(**GIVEN)
    assert asked == ["prompts:/support@production", "prompts:/tone@live"], "the second time everything was at hand"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"items": "a"}, "items"), ({"brief": "yes"}, "brief"), ({"style": "cold"}, "style"), ({"itmes": []}, "itmes"),
        ({"items": [object()]}, "items"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_named(asked: list[str], changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        trimtab.load_prompt("support").to_messages(**{**GIVEN, **changes})
    assert caught.value.field == field
    assert caught.value.message.startswith("support/3: ")


def test_a_partial_that_is_not_there_is_said_when_the_prompt_is_loaded(asked: list[str]) -> None:
    BOOK["prompts:/broken@production"] = {"messages": [{"role": "user", "content": "{{> gone}}"}]}
    with pytest.raises(BadInput, match="prompts:/gone"):
        trimtab.load_prompt("broken")


def test_a_prompt_made_by_hand_says_that_its_parts_are_missing() -> None:
    prompt = Prompt(name="p", version=1, messages=({"role": "user", "content": "{{> tone}}"},))
    with pytest.raises(BadInput, match="'tone' in, which was not loaded"):
        prompt.format()

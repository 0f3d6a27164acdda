"""Prompts as files, and prompts from elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import BadInput, digest_of
from trimtab.prompts import PromptFile, read_import, read_prompt_file, validate, write_prompt_file

CONTENT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief.\nCite: [1].\n"},
        {"role": "user", "content": "{{q}}: yes #no"},
    ],
    "variables": {"q": {"default": "2026-11-25", "enum": ["2026-11-25", "on", "0x1", "null", ""]}},
    "params": {"temperature": 0.5, "stop": ["---", "...", "\t"]},
}


def test_a_file_shows_what_a_review_needs_and_reads_back() -> None:
    file = PromptFile(name="support", content=CONTENT, number=3, digest=digest_of(CONTENT), message="shorter: yes")
    text = write_prompt_file(file)
    assert text.startswith("---\naddress: prompts:/support\nnumber: 3\n")
    assert "  content: |\n    Be brief.\n    Cite: [1].\n" in text
    assert read_prompt_file(text, "other") == file
    assert not file.changed
    edited = read_prompt_file(text.replace("Be brief.", "Be kind."), "other")
    assert edited.changed
    assert edited.digest == file.digest


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), JSON, max_size=4).filter(lambda d: "content" not in d))
def test_what_is_written_reads_back_or_is_refused_and_json_holds_everything(content: dict[str, Any]) -> None:
    file = PromptFile(name="p", content=content, number=1, digest="d", message="m")
    assert read_prompt_file(write_prompt_file(file, form="json"), "p") == file
    try:
        text = write_prompt_file(file)
    except BadInput:
        return
    assert read_prompt_file(text, "p") == file


def test_a_file_written_by_hand_needs_no_front_matter() -> None:
    file = read_prompt_file("messages:\n- {role: user, content: Hi}\n", "greeting")
    assert (file.name, file.number, file.digest, file.changed) == ("greeting", 0, "", True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 documents"),
        ("a: 1\n---\nb: 2\n---\nc: 3\n", "3 documents"),
        ("a: [\n", "line 2"),
        ("- a\n", "must be an object"),
        ("numbre: 3\n---\nmessages: []\n", "not a known field"),
        ("number: x\n---\nmessages: []\n", "whole number"),
        ("address: guards:/x@production\n---\nmessages: []\n", "no prompt's address"),
        ("x: &a [1]\ny: *a\n", "alias"),
        ("x: 2026-11-25\n", "quotes"),
        ("1: x\n", "quotes"),
        ("x: !!python/object/apply:os.system [id]\n", "cannot be read|not valid"),
    ],
)
def test_a_broken_file_is_named(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        read_prompt_file(text, "support.yaml")
    assert "support.yaml" in caught.value.field


def test_mlflow_as_its_client_prints_it() -> None:
    (found,) = read_import(
        json.dumps({
            "name": "qa", "version": 3, "template": [{"role": "user", "content": "Q: {{ question }} {\"a\": {{"}],
            "commit_message": "clearer", "aliases": ["production"], "tags": {"team": "x"},
            "response_format": {"type": "object"},
            "model_config": {"provider": "openai", "model_name": "gpt-4o-mini", "temperature": 0.2,
                             "stop_sequences": ["END"], "extra_params": {"seed": 7, "odd": True}},
        }), "mlflow",
    )  # fmt: skip
    validate(found.content)
    assert (found.name, found.note, found.labels, found.left_out) == ("qa", "clearer", ("production",), ("odd",))
    assert found.content == {
        "messages": [{"role": "user", "content": 'Q: {{question}} {"a": \\{{'}],
        "output_schema": {"type": "object"},
        "model": "openai/gpt-4o-mini",
        "params": {"temperature": 0.2, "stop": ["END"], "seed": 7},
    }


def test_mlflow_as_its_rest_api_stores_it() -> None:
    tags = {
        "mlflow.prompt.is_prompt": "true", "_mlflow_prompt_type": "chat",
        "mlflow.prompt.text": json.dumps([{"role": "system", "content": "{{a}}"}]),
        "_mlflow_prompt_model_config": json.dumps({"model_name": "gpt-4o", "max_tokens": 9}),
    }  # fmt: skip
    stored = [{"key": key, "value": value} for key, value in tags.items()]
    version = {"name": "qa", "version": "1", "description": "first", "tags": stored}
    (found,) = read_import(json.dumps({"model_version": version}), "mlflow")
    assert found.content["messages"] == [{"role": "system", "content": "{{a}}"}]
    assert found.content["params"] == {"max_tokens": 9}
    pair = read_import(json.dumps({"model_versions": [version, {**version, "name": "other"}]}), "mlflow", "ignored")
    assert [item.name for item in pair] == ["qa", "other"]


def test_langfuse_text_and_chat() -> None:
    (text,) = read_import(
        json.dumps({
            "type": "text", "name": "team/greeting", "version": 2, "prompt": "Hi {{name}}.",
            "config": {"model": "gpt-4o", "temperature": 0.1, "max_tokens": 5, "team": "x",
                       "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
            "labels": ["production", "latest"], "tags": [], "commitMessage": "warmer",
        }), "langfuse",
    )  # fmt: skip
    validate(text.content)
    assert (text.name, text.labels, text.note, text.left_out) == ("team-greeting", ("production",), "warmer", ("team",))
    assert text.content["params"] == {"temperature": 0.1, "max_tokens": 5}
    assert text.content["output_schema"] == {}
    chat = {
        "type": "chat", "name": "c", "prompt": [
            {"type": "chatmessage", "role": "system",
             "content": "@@@langfusePrompt:name=tone|label=production@@@ @@@langfusePrompt:name=law|version=2@@@"},
            {"type": "placeholder", "name": "history"},
        ],
    }  # fmt: skip
    (found,) = read_import(json.dumps(chat), "langfuse", "renamed")
    validate(found.content)
    assert found.name == "renamed"
    assert found.content["messages"] == [{"role": "system", "content": "{{> tone@production}} {{> law/2}}"}]
    assert found.left_out == ("placeholder history",)
    chat["prompt"] = list(reversed(chat["prompt"]))
    with pytest.raises(BadInput, match="in the middle") as caught:
        read_import(json.dumps(chat), "langfuse")
    assert caught.value.field == "prompt[0]"


def test_openai_requests_of_both_kinds() -> None:
    (chat,) = read_import(
        json.dumps({"model": "gpt-4o", "messages": [{"role": "system", "content": "{{a}}"}], "temperature": 0,
                    "response_format": {"type": "json_object"}, "n": 1}), "openai", "x",
    )  # fmt: skip
    assert chat.content == {
        "messages": [{"role": "system", "content": "{{a}}"}], "model": "gpt-4o",
        "params": {"temperature": 0, "response_format": {"type": "json_object"}},
    }  # fmt: skip
    assert chat.left_out == ("n",)
    (response,) = read_import(
        json.dumps({
            "model": "gpt-5", "instructions": "Be brief.", "max_output_tokens": 50,
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "{{q}}"}]}],
            "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
            "tools": [{"type": "function", "name": "search", "parameters": {"type": "object"}}],
        }), "openai", "x",
    )  # fmt: skip
    validate(response.content)
    assert response.content["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "{{q}}"}]},
    ]  # fmt: skip
    assert response.content["tools"][0]["function"]["name"] == "search"
    assert response.content["output_schema"] == {"type": "object"}
    assert response.content["params"] == {"max_completion_tokens": 50}


def test_text_is_a_template_as_it_stands() -> None:
    (found,) = read_import("Hi {{name}}.\n", "text", "hello.txt")
    assert (found.name, found.content["messages"][0]["content"]) == ("hello.txt", "Hi {{name}}.\n")


@pytest.mark.parametrize(
    ("text", "source", "says"),
    [
        ("{", "mlflow", "not JSON"),
        ("[]", "langfuse", "no prompt"),
        ("[1]", "langfuse", "must be an object"),
        ('{"name": "x"}', "mlflow", "template is missing"),
        ('{"name": "x", "template": "{% if a %}x{% endif %}", "prompt_type": "jinja2"}', "mlflow", "Jinja"),
        ('{"name": "x", "prompt": "{{user-name}}"}', "langfuse", "cannot be a variable"),
        ('{"name": "x", "prompt": 7}', "langfuse", "text or a list"),
        ('{"prompt": "x"}', "langfuse", "names no prompt"),
        ('{"model": "x"}', "openai", "list of messages"),
        ("", "text", "not empty"),
        ("x", "yaml", "not a format"),
    ],
)
def test_what_cannot_be_taken_over_is_said(text: str, source: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_import(text, source)

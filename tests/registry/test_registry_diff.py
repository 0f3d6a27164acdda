"""Differences, said as each kind is thought of."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.registry.diff import MAX_EDITS, difference
from trimtab.registry.wording import MAX_WORDS, pieces


def said(kind: str, old: Any, new: Any) -> list[str]:
    return [edit.text for edit in difference(kind, old, new).edits]


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_a_prompt_is_compared_word_by_word_for_each_message() -> None:
    old = {"messages": [message("system", "Answer in one short sentence."), message("user", "{{question}}")]}
    new = {"messages": [message("system", "Answer in two short sentences."), message("user", "{{question}}")]}
    (edit,) = difference("prompts", old, new).edits
    assert (edit.path, edit.what) == ("messages[0] (system)", "changed")
    assert [tuple(piece) for piece in edit.words] == [
        ("=", "Answer in "), ("-", "one"), ("+", "two"), ("=", " short "), ("-", "sentence"), ("+", "sentences"),
        ("=", "."),
    ]  # fmt: skip


def test_messages_that_came_and_went_do_not_confuse_the_others() -> None:
    old = {"messages": [message("system", "a"), message("user", "b"), message("assistant", "c")], "corpus": "docs"}
    new = {"messages": [message("user", "b"), message("assistant", "d"), message("user", "e")], "params": {"top_p": 1}}
    assert said("prompts", old, new) == [
        "messages[0] (system): removed a",
        "messages[1] (assistant): 1 words added, 1 removed",
        "messages[2] (user): added e",
        "corpus: removed docs",
        'params: added {"top_p": 1}',
    ]


def test_a_policy_is_compared_rule_by_rule() -> None:
    def rule(name: str, *patterns: str, action: str = "block") -> dict[str, Any]:
        return {"name": name, "patterns": list(patterns), "action": action}

    old = {"stages": {"input": [rule("a", "x", "y"), rule("b", "z"), rule("c", "q")]}, "fail": "closed"}
    new = {"stages": {"input": [rule("c", "q"), rule("a", "x", "w", action="flag"), rule("d", "v")], "output": []}}
    assert said("guards", old, new) == [
        "input rule a.patterns[1]: y -> w",
        "input rule a.action: block -> flag",
        'input rule b: removed {"action": "block", "patterns": ["z"]}',
        'input rule d: added {"action": "block", "patterns": ["v"]}',
        "input rule c: moved from place 2 to 1",
        "output rules: added []",
        "fail: removed closed",
    ]


def test_a_route_is_compared_target_by_target() -> None:
    old = {
        "targets": [{"model": "a/x", "weight": 3}, {"model": "b/y", "weight": 1}],
        "fallback": ["c/z", "d/w"], "strategy": "weighted", "timeout": {"first_byte": 10.0, "total": 60.0},
    }  # fmt: skip
    new = {
        "targets": [{"model": "a/x", "weight": 1}, {"model": "e/v", "weight": 1}],
        "fallback": ["d/w", "c/z"], "strategy": "cost", "timeout": {"first_byte": 10.0, "total": 30.0},
    }  # fmt: skip
    assert said("routes", old, new) == [
        "target a/x.weight: 3 -> 1",
        'target b/y: removed {"weight": 1}',
        'target e/v: added {"weight": 1}',
        "fallback d/w: moved from place 2 to 1",
        "strategy: weighted -> cost",
        "timeout.total: 60.0 -> 30.0",
    ]


def test_a_corpus_is_compared_document_by_document() -> None:
    def document(name: str, blob: str, words: int, **more: Any) -> dict[str, Any]:
        return {"id": name, "title": name.upper(), "blob": blob, "words": words, "source": "", **more}

    old = {"documents": [document("a", "1", 10), document("b", "2", 20), document("c", "3", 30, updated_ns=1)]}
    new = {"documents": [document("b", "9", 25), document("c", "3", 30, updated_ns=2), document("d", "4", 1)]}
    assert said("corpora", old | {"chunk_words": 90}, new | {"chunk_words": 60}) == [
        "document a: removed A, 10 words",
        "document b: B, 20 words -> B, 25 words",
        "document d: added D, 1 words",
        "chunk_words: 90 -> 60",
    ]


def test_a_dataset_is_compared_case_by_case() -> None:
    old = {"cases": [{"id": "1", "input": "a", "expected": "x"}, {"id": "2", "input": "b"}]}
    new = {"cases": [{"id": "1", "input": "a", "expected": "y"}, {"id": "3", "input": "c"}]}
    assert said("datasets", old, new) == [
        "case 1.expected: x -> y", 'case 2: removed {"input": "b"}', 'case 3: added {"input": "c"}',
    ]  # fmt: skip


def test_a_schema_is_compared_by_path() -> None:
    old = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
    new = {"type": "object", "properties": {"a": {"type": "number"}, "c": {}}, "required": ["a", "c"]}
    assert said("judges", old, new) == [
        "properties.a.type: string -> number",
        'properties.b: removed {"type": "integer"}',
        "properties.c: added {}",
        "required[1]: b -> c",
    ]


@pytest.mark.parametrize(
    ("old", "new"), [({"a": 1}, {"a": True}), ({"a": 1}, {"a": 1.0}), ({"a": [1]}, {"a": [True]}), ({"a": None}, {})]
)
def test_what_is_another_thing_in_json_is_a_change(old: Any, new: Any) -> None:
    assert not difference("judges", old, old).edits
    assert difference("judges", old, new).edits


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "name", "a", "b"]), inner),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(["prompts", "guards", "routes", "datasets", "judges"]),
    parts=st.lists(JSON, min_size=2, max_size=2),
)
def test_any_two_contents_are_compared_and_only_equal_ones_are_the_same(kind: str, parts: list[Any]) -> None:
    keys = {"prompts": "messages", "guards": "stages", "routes": "targets", "datasets": "cases"}
    old, new = ({keys.get(kind, "x"): part, "y": part} for part in parts)
    assert difference(kind, old, old).as_dict()["same"]
    if repr(old) != repr(new):
        assert difference(kind, old, new).edits


@given(old=st.text(alphabet="ab \n.", max_size=40), new=st.text(alphabet="ab \n.", max_size=40))
def test_the_pieces_are_both_texts(old: str, new: str) -> None:
    found = pieces(old, new)
    assert "".join(piece.text for piece in found if piece.op != "+") == old
    assert "".join(piece.text for piece in found if piece.op != "-") == new
    assert all(one.op != other.op for one, other in pairwise(found))


def test_long_and_deep_contents_are_bounded() -> None:
    old, new = " ".join(f"a{n}" for n in range(50_000)), " ".join(f"b{n}" for n in range(50_000))
    assert len(old.split()) > MAX_WORDS
    started = time.process_time()
    found = pieces("same start " + old, "same start " + new)
    assert [piece.op for piece in found] == ["=", "-", "+"]
    deep_old: Any = 1
    deep_new: Any = 2
    for _ in range(400):
        deep_old, deep_new = {"x": deep_old}, {"x": deep_new}
    assert difference("judges", deep_old, deep_new).edits
    many = difference("judges", {}, {f"k{n}": n for n in range(MAX_EDITS + 5)})
    assert (len(many.edits), many.more) == (MAX_EDITS, 5)
    assert time.process_time() - started < 30

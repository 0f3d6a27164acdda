"""``trimtab trace cache``: what a semantic cache would have done, on questions and answers that there were."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from trimtab.cli import group
from trimtab.cli.remote import Remote
from trimtab.gateway.cache_trial import FEW, THRESHOLDS, Asked, Near, advised, nearest, table

#: What the texts of these tests mean.
VECTORS = {
    "reset password": [1.0, 0.0, 0.0], "how to reset my password": [1.0, 0.1, 0.0], "cancel order": [0.0, 1.0, 0.0],
    "Click on forgot.": [0.0, 0.0, 1.0], "Call us.": [0.0, 1.0, 1.0],
}  # fmt: skip


def asked(question: str, answer: str = "Click on forgot.", group: str = "g") -> Asked:
    return Asked(
        group=group, question=question, answer=answer, meaning=VECTORS[question], answer_meaning=VECTORS[answer]
    )


def test_the_nearest_earlier_question_of_the_same_group_counts() -> None:
    given = [
        asked("reset password"), asked("cancel order"), asked("how to reset my password", "Call us."),
        asked("reset password"), asked("reset password", group="other"),
    ]  # fmt: skip
    second, third = nearest(given)
    assert (second.question, second.earlier, second.cosine) == ("cancel order", "reset password", 0.0)
    assert (third.question, third.earlier) == ("how to reset my password", "reset password")
    assert third.cosine == pytest.approx(0.995, abs=1e-3)
    assert third.answers == pytest.approx(0.707, abs=1e-3)


def test_only_the_last_entries_are_remembered_as_in_the_cache() -> None:
    given = [asked("reset password"), asked("cancel order"), asked("how to reset my password")]
    assert nearest(given, entries=1)[-1].earlier == "cancel order"


def near(cosine: float, answers: float = 1.0) -> Near:
    return Near(question="q", earlier="e", cosine=cosine, answers=answers)


@given(pairs=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60), same=st.floats(0, 1))
def test_a_lower_threshold_never_has_fewer_hits_and_the_advice_keeps_its_word(
    pairs: list[tuple[float, float]], same: float
) -> None:
    found = [near(*pair) for pair in pairs]
    rows = table(found, len(found) + 1, same)
    assert [row.threshold for row in rows] == list(THRESHOLDS)
    assert [row.hits for row in rows] == sorted(row.hits for row in rows)
    for row in rows:
        hits = [one for one in found if one.cosine >= row.threshold]
        assert (row.hits, row.differing) == (len(hits), sum(one.answers < same for one in hits))
    if (best := advised(rows, 0.1)) is not None:
        assert best.hits >= FEW
        assert best.differing / best.hits <= best.bound <= 0.1


def test_few_hits_speak_for_no_threshold() -> None:
    assert advised(table([near(0.999)] * (FEW - 1), 100, 0.9), 0.5) is None
    best = advised(table([near(0.95)] * 100 + [near(0.9, 0.0)] * 50, 200, 0.9), 0.05)
    assert best is not None
    assert (best.threshold, best.hits) == (0.95, 100)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """A server with three traces, newest first; what it was asked to embed."""
    return serve(monkeypatch, more=False)


def serve(monkeypatch: pytest.MonkeyPatch, *, more: bool) -> list[Mapping[str, Any]]:
    posted: list[Mapping[str, Any]] = []

    def trace(question: str, answer: str, status: str = "ok", **told: Any) -> bytes:
        ask = {"messages": [{"role": "user", "content": question}], "params": {"temperature": 0}}
        root: dict[str, Any] = {"name": "support", "output": answer, "status": status}
        root["attributes"] = {"ask": ask, "key": "key_1", **told}
        return json.dumps({"spans": [root]}).encode() + b"\n"

    def parts(self: Remote, path: str, **query: Any) -> Iterator[bytes]:
        assert (path, query["q"], query["format"]) == ("/api/traces/export", "name=support", "jsonl")
        yield trace("how to reset my password", "Call us.")
        if more:
            yield trace("how to reset my password", "Click on", status="error")
            yield trace("how to reset my password", "Click on forgot.", cached_by="semantic")
            yield trace("how to reset my password", "Click on forgot.", passages=[{"text": "a rule", "score": 1.0}])
        yield trace("cancel order", "") + trace("reset password", "Click on forgot.")

    def post(self: Remote, path: str, body: Mapping[str, Any], **_: Any) -> Any:
        posted.append({"path": path, **body})
        return {"data": [{"index": n, "embedding": VECTORS[text]} for n, text in enumerate(body["input"])]}

    monkeypatch.setattr(Remote, "parts", parts)
    monkeypatch.setattr(Remote, "post", post)
    return posted


def run(*more: str) -> Result:
    return CliRunner().invoke(group, ["trace", "cache", "name=support", "--model", "openai/e", *more])


def test_the_command_shows_the_table_and_the_pairs_to_read(server: list[Mapping[str, Any]]) -> None:
    said = run()
    assert said.exit_code == 0, said.output
    assert (server[0]["path"], server[0]["model"]) == ("/v1/embeddings", "openai/e")
    assert "cancel order" not in server[0]["input"], "its answer is not kept"
    assert "0.99       1 (50%)  1" in said.output
    assert "0.995, answers 0.707\n  reset password\n  how to reset my password\n" in said.output
    assert "No threshold is sure" in said.output
    found = json.loads(run("--json", "--same", "0.5").output)
    assert (found["questions"], found["threshold"], found["rows"][0]["differing"]) == (2, None, 0)


def test_what_the_cache_would_not_have_kept_or_compared_or_has_said_itself_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, more=True)
    found = json.loads(run("--json").output)
    assert found["questions"] == 3, "what was cut short, and what the semantic cache repeated, is not asked about"
    assert [row["hits"] for row in found["rows"]][:1] == [1], "other passages stood before the question"

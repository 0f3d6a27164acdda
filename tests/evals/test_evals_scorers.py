"""The scorers: each on answers that it should pass, fail or leave alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.evals import MAKERS, Case, Means, Output, Verdict, adapted, make_scorer, make_scorers
from trimtab.evals.scorer import verdicts_of
from trimtab.evals.scorers import retrieval
from trimtab.evals.scorers.similarity import cosine
from trimtab.evals.scorers.texts import numbers

PASSAGES = (
    {"number": 1, "source": "keys.md", "title": "Keys", "text": "Access keys expire after 90 days. Ask twice."},
    {"number": 2, "source": "fees.md", "title": "Fees", "text": "The fee is 1,250.50 EUR a year."},
)


def means() -> Means:
    async def no_output(run: str, case: str, repeat: int) -> None:
        return None

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[float(text.count("a")), float(text.count("b"))] for text in texts]

    return Means(model_of=lambda ref: _unasked, judge_of=_unknown, embedder=lambda ref: embed, output_of=no_output)


def _unasked(call: Any) -> Any:
    raise AssertionError("no model is asked here")


def _unknown(address: str) -> Any:
    raise AssertionError(address)


async def verdicts(spec: Any, case: Case, output: Output) -> list[Verdict]:
    made = make_scorer(spec, means())
    return verdicts_of(made, await made(case, output))


async def value(spec: Any, text: str, case: Case | None = None, **more: Any) -> float | None:
    """The one value; None where the scorer does not apply."""
    output = replace(Output(text=text, question="q", passages=PASSAGES), **more)
    found = await verdicts(spec, case or Case(input="q"), output)
    assert len(found) <= 1
    return found[0].value if found else None


# Texts.


@pytest.mark.parametrize(
    ("options", "text", "expected", "right"),
    [
        ({}, "Paris", "Paris", 1.0), ({}, " Paris\n", "Paris", 1.0), ({}, "paris", "Paris", 0.0),
        ({"ignore_case": True}, "paris", "PARIS", 1.0), ({"ignore_punctuation": True}, "Paris.", "Paris", 1.0),
        ({}, "Paris", "", None), ({}, "e\u0301", "\u00e9", 1.0),
    ],
)  # fmt: skip
async def test_exact(options: dict[str, Any], text: str, expected: str, right: float | None) -> None:
    assert await value({"kind": "exact", **options}, text, Case(input="q", expected=expected)) == right


@pytest.mark.parametrize(
    ("options", "text", "expected", "right"),
    [
        ({}, "It is 42.", "42", 1.0), ({}, "First 7, then 42", "the answer: 42", 1.0), ({}, "42 or 7", "42", 0.0),
        ({}, "none", "42", 0.0), ({}, "42", "none", None), ({"tolerance": 0.5}, "41.6", "42", 1.0),
        ({"tolerance": 0.3}, "41.6", "42", 0.0), ({"relative": 0.01}, "1,010", "1000", 1.0),
        ({"relative": 0.01}, "1,011", "1000", 0.0), ({}, "-3", "3", 0.0), ({}, "2.5e3", "2500", 1.0),
    ],
)  # fmt: skip
async def test_numeric(options: dict[str, Any], text: str, expected: str, right: float | None) -> None:
    assert await value({"kind": "numeric", **options}, text, Case(input="q", expected=expected)) == right


def test_numbers_are_read_as_people_write_them() -> None:
    assert numbers("1,234.5 and 3 000 and −7 and 2e3, not v1.2.3 nor a12") == [1234.5, 3000.0, -7.0, 2000.0]


@given(st.floats(min_value=-1e9, max_value=1e9).map(lambda x: round(x, 4)))
def test_any_number_is_found_again(number: float) -> None:
    assert numbers(f"it is {number!r} indeed") == [number]


async def test_the_assertions_of_prompts_are_scorers() -> None:
    assert await value({"kind": "regex", "pattern": r"\d{2}"}, "90 days") == 1.0
    assert await value({"kind": "json_schema", "schema": {"type": "object", "required": ["a"]}}, '{"b": 1}') == 0.0
    assert await value({"kind": "max_words", "words": 2}, "one two three") == 0.0
    assert await value({"kind": "language", "language": "de"}, "Das ist nicht die Antwort auf die Frage.") == 1.0
    assert await value("no_refusal", "I'm sorry, I cannot help with that.") == 0.0
    assert await value("json", "[1]", status="error") is None


async def test_citations_must_lead_to_passages_and_quotations_must_stand_in_them() -> None:
    assert await value("citations", "Keys expire [1] and cost [2].") == 1.0
    assert await value("citations", "Keys expire [1] and more [7].") == 0.5
    assert await value("citations", "Nothing is cited.") is None
    assert await value("citations", 'They say "Access keys expire after 90 days" [1].') == 1.0
    assert await value("citations", 'They say "Access keys never expire at all" [1].') == 0.0


async def test_overlap_looks_at_words_numbers_and_quotations_apart() -> None:
    output = Output(
        text='Access keys expire after 91 days, "Access keys expire after 90 days", says a wizard.',
        question="When?",
        passages=PASSAGES,
    )
    found = {v.name: v for v in await verdicts("overlap", Case(input="q"), output)}
    assert set(found) == {"overlap", "overlap.numbers", "overlap.quotes"}
    assert found["overlap.numbers"].value == 0.5
    assert "91" in found["overlap.numbers"].reason
    assert found["overlap.quotes"].value == 1.0
    assert "wizard" in found["overlap"].reason
    assert await verdicts("overlap", Case(input="q"), replace(output, passages=())) == []
    assert await verdicts("overlap", Case(input="q"), replace(output, text="I do not know.")) == []


# Agents.


CALLS = ({"function": {"name": "search", "arguments": '{"q": "keys", "k": 3}'}}, {"name": "open", "arguments": {}})


@pytest.mark.parametrize(
    ("options", "wanted", "right"),
    [
        ({}, [{"name": "search", "arguments": {"q": "keys", "k": 3}}, {"name": "open"}], 1.0),
        ({}, [{"name": "search", "arguments": {"q": "keys", "k": 4}}, {"name": "open"}], 0.5),
        ({"ignore": ["k"]}, [{"name": "search", "arguments": {"q": "keys"}}, {"name": "open"}], 1.0),
        ({"arguments": "subset"}, [{"name": "search", "arguments": {"q": "keys"}}, {"name": "open"}], 1.0),
        ({"arguments": "none"}, [{"name": "open"}, {"name": "search"}], 1.0),
        ({}, [{"name": "open"}], 2 / 3), ({}, [], 0.0),
        ({}, [{"name": "search", "arguments": {"q": "keys", "k": True}}, {"name": "open"}], 0.5),
    ],
)  # fmt: skip
async def test_tool_calls(options: dict[str, Any], wanted: list[Any], right: float) -> None:
    case = Case(input="q", expects={"tool_calls": wanted})
    assert await value({"kind": "tool_calls", **options}, "", case, tool_calls=CALLS) == pytest.approx(right)


async def test_no_tool_call_may_be_what_is_expected() -> None:
    assert await value("tool_calls", "", Case(input="q", expects={"tool_calls": []})) == 1.0
    assert await value("tool_calls", "", Case(input="q")) is None
    (verdict,) = await verdicts("tool_calls", Case(input="q", expects={"tool_calls": [{"name": "x"}]}),
                                Output(text="", question="", tool_calls=CALLS))  # fmt: skip
    assert "not called: x" in verdict.reason
    assert "not expected: search" in verdict.reason


@pytest.mark.parametrize(
    ("match", "path", "right"),
    [
        ("exact", ["plan", "search", "answer"], ""), ("exact", ["plan", "answer"], "step 2 is answer"),
        ("exact", ["plan", "search", "answer", "more"], "more was not expected"),
        ("exact", ["plan", "search"], "answer is missing"),
        ("in_order", ["plan", "x", "search", "y", "answer"], ""), ("in_order", ["search", "plan", "answer"], "place"),
        ("in_order", ["plan", "answer"], "search is missing"), ("any_order", ["answer", "search", "plan"], ""),
        ("any_order", ["answer", "plan"], "search is missing"), ("subset", ["plan"], ""),
        ("subset", ["plan", "x"], "x was not expected"),
    ],
)  # fmt: skip
async def test_trajectory(match: str, path: list[str], right: str) -> None:
    case = Case(input="q", expects={"trajectory": ["plan", "search", "answer"]})
    output = Output(text="", question="", steps=[{"name": name} for name in path])
    (verdict,) = await verdicts({"kind": "trajectory", "match": match}, case, output)
    assert verdict.value == float(not right)
    assert right in verdict.reason


async def test_steps_without_a_model_name_the_first_that_is_wrong() -> None:
    case = Case(input="q", expects={"steps": ["2 + 2 = 4", "4 * 3 = 12", "12 - 1 = 11"]})
    for made, first in (
        (["2 + 2 = 4", "4 * 3  =  12", "12 - 1 = 11"], 0),
        (["2 + 2 = 4", "4 * 3 = 11", "11 - 1 = 10"], 2),
        (["2 + 2 = 4"], 2),
        (["2 + 2 = 4", "4 * 3 = 12", "12 - 1 = 11", "so 11"], 4),
    ):
        (verdict,) = await verdicts("steps", case, Output(text="", question="", steps=made))
        assert (verdict.value, verdict.detail["first_wrong"]) == (float(first == 0), first)


# Retrieval.


def test_retrieval_metrics_are_those_of_their_definitions() -> None:
    found, grades = ["a", "x", "b", "y"], {"a": 2.0, "b": 1.0, "c": 1.0}
    assert retrieval.recall(found, grades, 3) == 2 / 3
    assert retrieval.precision(found, grades, 4) == 0.5
    assert retrieval.precision(found, grades, 5) == 0.4
    assert retrieval.reciprocal_rank(["x", "a"], grades) == 0.5
    assert retrieval.reciprocal_rank(["x"], grades) == 0.0
    best = 3 + 1 / math.log2(3) + 1 / 2
    assert retrieval.ndcg(found, grades, 4) == pytest.approx((3 + 1 / 2) / best)
    assert retrieval.ndcg(["a", "b", "c"], grades, 3) == pytest.approx(1.0)


async def test_retrieval_gives_a_score_for_each_metric_and_counts_a_document_once() -> None:
    twice = (*PASSAGES, {"number": 3, "source": "keys.md", "text": "again"})
    case = Case(input="q", expects={"relevant": ["fees.md"]})
    found = {v.name: v.value for v in await verdicts({"kind": "retrieval", "k": 2}, case,
                                                     Output(text="", question="", passages=twice))}  # fmt: skip
    assert found == {"retrieval.recall@2": 1.0, "retrieval.precision@2": 0.5, "retrieval.mrr": 0.5,
                     "retrieval.ndcg@2": pytest.approx(1 / math.log2(3))}  # fmt: skip
    assert await verdicts("retrieval", Case(input="q"), Output(text="", question="")) == []
    with pytest.raises(BadInput, match="relevant"):
        await verdicts("retrieval", Case(input="q", expects={"relevant": "x"}), Output(text="", question=""))


# Measures and similarity.


async def test_latency_cost_and_wording() -> None:
    assert await value({"kind": "latency", "max_ms": 100}, "x", latency_ms=99.0) == 1.0
    assert await value({"kind": "latency", "max_ms": 100}, "x", latency_ms=101.0) == 0.0
    assert await value({"kind": "cost", "max_usd": 0.01}, "x", cost_usd=0.02) == 0.0
    (verdict,) = await verdicts({"kind": "cost", "max_usd": 0.01}, Case(input="q"), Output(text="x", question="q"))
    assert (verdict.value, verdict.error) == (None, "the price of the answer is not known")
    assert await value("toxicity", "You are stupid, shut up.") == 0.0
    assert await value("toxicity", "The assessment of Scunthorpe is classic.") == 1.0


async def test_similarity_and_a_threshold() -> None:
    case = Case(input="q", expected="ab")
    spec = {"kind": "similarity", "model": "m/e"}
    assert await value(spec, "aabb", case) == pytest.approx(1.0)
    assert await value(spec, "aaaa", case) == pytest.approx(math.sqrt(0.5))
    assert await value({**spec, "threshold": 0.8}, "aaaa", case) == 0.0
    (verdict,) = await verdicts({**spec, "threshold": 0.7}, case, Output(text="aaaa", question="q"))
    assert (verdict.value, verdict.detail["value"]) == (1.0, pytest.approx(math.sqrt(0.5)))
    assert await value(spec, "x", Case(input="q")) is None
    assert cosine([0, 0], [1, 1]) == 0.0


# Making them.


def test_every_kind_is_in_the_table_and_named_as_documented() -> None:
    named = (
        "exact regex json_schema numeric max_words language no_refusal citations overlap similarity tool_calls "
        "trajectory latency cost retrieval groundedness relevance context_precision context_recall toxicity judge "
        "jury pairwise steps"
    )
    assert set(named.split()) <= set(MAKERS)
    assert not any("halluc" in kind for kind in MAKERS)


def test_a_digest_is_that_of_what_decides_the_verdict() -> None:
    digests = {
        make_scorer(spec, means()).digest
        for spec in ("exact", {"kind": "exact", "ignore_case": True}, {"kind": "exact", "threshold": 1},
                     {"kind": "latency", "max_ms": 1}, {"kind": "latency", "max_ms": 2}, "citations")
    }  # fmt: skip
    assert len(digests) == 6
    assert make_scorer({"kind": "exact", "name": "a"}, means()).digest == make_scorer("exact", means()).digest


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (7, "scorers[0]"), ({"kind": "nope"}, "scorers[0].kind"), ({"kind": "exact", "threshold": 2},
         "scorers[0].threshold"), ({"kind": "numeric", "tolerance": "x"}, "scorers[0].tolerance"),
        ({"kind": "latency"}, "scorers[0]"), ({"kind": "latency", "max_ms": 0}, "scorers[0].max_ms"),
        ({"kind": "contains"}, "scorers[0].text"), ({"kind": "judge"}, "scorers[0].judge"),
        ({"kind": "judge", "model": "a/b"}, "scorers[0].rubric"), ({"kind": "trajectory", "match": "x"},
         "scorers[0].match"), ({"kind": "retrieval", "k": 0}, "scorers[0].k"), ({"kind": "jury", "judges": "x"},
         "scorers[0].judges"), ({"kind": "grounded", "k": 1}, "scorers[0].k"), ({"kind": "similarity"},
         "scorers[0].model"), ({"kind": "exact", "name": 7}, "scorers[0].name"), ({"kind": "exact", "name": "all"},
         "scorers[0].name"),
    ],
)  # fmt: skip
def test_words_that_make_no_scorer_name_the_field(spec: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        make_scorers([spec], means())
    assert caught.value.field == field


# Metrics of other libraries, by the shape of their calls.


class DeepEvalLike:
    """As deepeval's metrics: measured in place, score and reason afterwards."""

    evaluation_model = "gpt-4.1"

    def __init__(self) -> None:
        self.score: float | None = None
        self.reason = ""

    async def a_measure(self, test_case: Any) -> float:
        self.score = 0.5 if test_case.retrieval_context else 0.0
        self.reason = f"{test_case.input} -> {test_case.actual_output}"
        return self.score


class DeepEvalSync:
    def measure(self, test_case: Any) -> float:
        return 1.0 if test_case.expected_output == "e" else 0.0


class RagasLike:
    name = "faithfulness"

    async def single_turn_ascore(self, sample: Any) -> float:
        return float("nan") if not sample.retrieved_contexts else 0.75


@dataclass
class RagasResult:
    value: float
    reason: str = "because"


class RagasNew:
    name = "answer_accuracy"

    async def ascore(self, user_input: str, response: str, reference: str) -> RagasResult:
        return RagasResult(1.0 if response == "t" and reference == "e" else 0.0)


class AutoevalsLike:
    async def eval_async(self, output: Any, expected: Any = None, **kwargs: Any) -> Any:
        return SimpleNamespace(name="Factuality", score=0.6, metadata={"rationale": f"{output} vs {expected}"})


def levenshtein(output: str, expected: str, **kwargs: Any) -> Any:
    return SimpleNamespace(name="Levenshtein", score=1.0 if output == expected else 0.0, metadata={})


async def test_metrics_of_deepeval_ragas_and_autoevals_are_scorers() -> None:
    case, output = Case(input="q", expected="e"), Output(text="t", question="q", passages=PASSAGES)

    async def one(metric: Any, output: Output = output, **more: Any) -> Verdict:
        made = adapted(metric, **more)
        (verdict,) = verdicts_of(made, await made(case, output))
        return verdict

    found = await one(DeepEvalLike())
    assert (found.name, found.value, found.reason) == ("DeepEvalLike", 0.5, "q -> t")
    assert found.judge
    assert (await one(DeepEvalSync())).value == 1.0
    assert (await one(RagasLike())).value == 0.75
    lost = await one(RagasLike(), replace(output, passages=()))
    assert (lost.name, lost.value, lost.error) == ("faithfulness", None, "the metric gave no value")
    new = await one(RagasNew())
    assert (new.value, new.reason) == (1.0, "because")
    auto = await one(AutoevalsLike(), name="facts")
    assert (auto.name, auto.value, auto.reason) == ("facts", 0.6, "t vs e")
    assert (await one(levenshtein)).value == 0.0
    made: list[Any] = []
    await one(DeepEvalSync(), case_type=lambda **fields: made.append(fields) or SimpleNamespace(**fields))
    assert made[0]["retrieval_context"] == [p["text"] for p in PASSAGES]
    with pytest.raises(BadInput, match="no metric"):
        adapted(7)

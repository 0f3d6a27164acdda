"""The rules of probes: what is declared, what fell, what disagrees, what a good guard does with the canaries."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_world import OWNERS

from trimtab.core import BadInput
from trimtab.guard import DEFAULT_POLICY, compile_policy, measure
from trimtab.knowledge import disagreements
from trimtab.probes import KINDS, Declaration, Fall, checked, flips, usual
from trimtab.probes.asking import first_logprobs
from trimtab.probes.canaries import attacks, good
from trimtab.probes.retrieval import questions
from trimtab.probes.vendor import candidates


def test_the_default_policy_stops_every_built_in_attack_and_passes_every_good_request() -> None:
    policy = compile_policy(DEFAULT_POLICY)
    stopped = measure(policy, attacks().values()).joint
    passed = measure(policy, good().values()).joint
    assert [name for name, rate in stopped.items() if not rate.hits] == []
    assert [name for name, rate in passed.items() if rate.hits] == []
    assert min(len(attacks()), len(good())) >= 20


def test_a_probe_takes_what_its_kind_gives_and_its_layers_owner() -> None:
    one = checked(Declaration(name="attacks", kind="guard_attacks"), OWNERS)
    assert (one.owner, one.severity, one.every_s, one.action) == ("owner-safety", 1, 3600.0, "page")
    assert one.runbook == KINDS["guard_attacks"].runbook
    assert one.asleep == ""


def test_what_asks_a_model_sleeps_until_it_has_a_budget() -> None:
    without = checked(Declaration(name="v", kind="vendor", target="openai/m"), OWNERS)
    assert "probes.v.budget" in without.asleep
    assert checked(Declaration(name="v", kind="vendor", target="openai/m", calls=5), OWNERS).asleep == ""
    off = checked(Declaration(name="v", kind="vendor", target="openai/m", usd=0.1, on=False), OWNERS)
    assert "switched off" in off.asleep


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (Declaration(name="a b", kind="corpus"), "probes.a b"),
        (Declaration(name="a", kind="magic"), "probes.a.kind"),
        (Declaration(name="a", kind="corpus", options={"k": 3}), "probes.a.options.k"),
        (Declaration(name="a", kind="retrieval", options={"k": 99}), "probes.a.options.k"),
        (Declaration(name="a", kind="corpus", every_s=1), "probes.a.every"),
        (Declaration(name="a", kind="vendor", target="support"), "probes.a.target"),
        (Declaration(name="a", kind="vendor", target="o/m", usd=0), "probes.a.budget.usd"),
        (Declaration(name="a", kind="vendor", target="o/m", calls=0), "probes.a.budget.calls"),
        (Declaration(name="a", kind="corpus", action="rollback"), "probes.a.action"),
        (Declaration(name="a", kind="corpus", severity=9), "probes.a.severity"),
    ],
)
def test_a_declaration_that_makes_no_sense_names_the_field(said: Declaration, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked(said, OWNERS)
    assert caught.value.field == field
    assert caught.value.mend


def test_nobody_owns_no_probe() -> None:
    with pytest.raises(BadInput, match="owned by nobody"):
        checked(Declaration(name="a", kind="corpus"), {})


def test_the_usual_probes_give_way_to_those_of_the_file() -> None:
    own = {"corpus": Declaration(name="corpus", kind="corpus", on=False),
           "gpt": Declaration(name="gpt", kind="vendor", target="openai/m", calls=9)}  # fmt: skip
    found = usual(models=["openai/m", "acme/x"], judge="judges:/j", golden="datasets:/g", named=own)
    names = {one.name: one for one in found}
    assert not names["corpus"].on
    assert {"guard-attacks", "guard-benign", "retrieval", "judge", "gpt", "vendor-acme-x"} <= set(names)
    assert "vendor-openai-m" not in names, "the file has one for it"
    assert names["judge"].dataset == "datasets:/g"


def test_what_changes_a_reference_changes_the_digest() -> None:
    one = Declaration(name="a", kind="retrieval", options={"k": 5})
    assert one.digest != Declaration(name="a", kind="retrieval", options={"k": 6}).digest
    assert one.digest == Declaration(name="b", kind="retrieval", options={"k": 5}, owner="x", severity=3).digest


def test_flips_count_what_was_lost_and_not_what_is_new() -> None:
    found = flips({"a": True, "b": True, "c": False}, {"a": True, "b": False, "c": True, "d": False})
    assert (found.lost, found.won, found.n, found.passed) == (("b",), ("c",), 4, 2)
    assert found.fell(0.2)
    assert not found.fell(0.25)


@given(st.dictionaries(st.text(max_size=3), st.booleans()), st.dictionaries(st.text(max_size=3), st.booleans()))
def test_the_same_items_never_fall(reference: dict[str, bool], now: dict[str, bool]) -> None:
    assert not flips(now, now).fell(0.0)
    found = flips(reference, now)
    assert set(found.lost) <= set(now)
    assert not set(found.lost) & set(found.won)


def test_a_judge_that_agrees_less_is_told_and_one_that_stays_is_not() -> None:
    rng = random.Random(1)
    fall = Fall({}, reference=60, threshold=50_000.0)
    for _ in range(60):
        fall.take(float(rng.random() < 0.95))
    assert not fall.learning
    for _ in range(400):
        fall.take(float(rng.random() < 0.95))
    assert not fall.fell
    again = Fall(fall.state, reference=60, threshold=50_000.0)
    assert (again.n, again.usual) == (60, fall.usual)
    for _ in range(80):
        again.take(float(rng.random() < 0.4))
    assert again.fell
    assert not again.forgive(), "it is still down"
    for _ in range(50):
        again.take(1.0)
    assert again.forgive()
    assert not again.fell


def test_a_number_a_date_and_a_negation_are_found() -> None:
    texts = {
        "old": "Refunds are paid to the card within 30 days of the return. Offer valid until 2026-01-31 for all new"
               " customers worldwide. Gift cards can be exchanged for money at the desk.",
        "new": "Refunds are paid to the card within 14 days of the return. Offer valid until 2026-03-31 for all new"
               " customers worldwide. Gift cards can not be exchanged for money at the desk.",
    }  # fmt: skip
    assert sorted(found.what for found in disagreements(texts)) == ["date", "negation", "number"]


@pytest.mark.parametrize(
    "texts",
    [
        {"a": "The Basic plan costs 10 euros a month for every seat.",
         "b": "The Pro plan costs 30 euros a month for every seat."},
        {"a": "Refunds are paid within 30 days of the return to the card.",
         "b": "Refunds are paid within 30 days of the return to the card."},
        {"a": "Parcels to Norway take 5 days and need a phone number.",
         "b": "Questions are answered by phone within 2 days on average."},
        {"a": "Short 5.", "b": "Short 6."},
    ],
)  # fmt: skip
def test_what_speaks_of_different_things_does_not_disagree(texts: dict[str, str]) -> None:
    assert disagreements(texts) == []


def test_the_disagreements_are_the_same_in_any_order() -> None:
    texts = {"a": "A key may send at most 600 requests in one minute.", "b": "A key may send at most 60 requests in one"
             " minute."}  # fmt: skip
    assert disagreements(texts) == disagreements(dict(reversed(texts.items())))
    assert len(disagreements(texts)[0].key.split(" | ")) == 2


def test_questions_are_made_of_the_words_that_tell_a_document_from_the_others() -> None:
    texts = {
        "lamp": "The desk lamp is dimmable with a rotary switch near its base.",
        "sofa": "The sofa is delivered by two carriers who assemble it upstairs.",
    }
    made = {document: question for question, document in questions(texts, 10)}
    assert "rotary" in made["lamp"]
    assert "carriers" in made["sofa"]
    assert len(questions(texts, 1)) == 1
    assert questions({"a": "Too short."}, 5) == []


def test_candidates_are_many_and_always_the_same() -> None:
    assert len(set(candidates(1000))) == 1000
    assert candidates(50) == candidates(1000)[:50]


def test_the_first_tokens_log_probabilities_are_read_where_there_are_any() -> None:
    top = [{"token": "a", "logprob": -0.1}]
    assert first_logprobs({"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]}) == {"a": -0.1}
    without: list[dict[str, Any] | None] = [None, {}, {"choices": []}, {"choices": [{"logprobs": None}]}]
    for body in without:
        assert first_logprobs(body) == {}

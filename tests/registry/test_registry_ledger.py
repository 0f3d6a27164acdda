"""Where a rollback leads, read from the ledger alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Change
from trimtab.registry import label_of
from trimtab.registry.ledger import previous, reachable


def change(action: str, before: int, after: int, label: str = "production", rollout: str = "") -> Change:
    return Change(
        id="c",
        time_ns=0,
        action=action,
        kind="prompts",
        name="p",
        before=f"p/{before}" if before else "",
        after=f"p/{after}",
        actor="mara",
        rollout=rollout,
        label=label,
    )


def ledger(*steps: str) -> list[Change]:
    """``>2`` moves the label, ``<1`` rolls it back, ``x3`` aborts a rollout of 3, ``!3`` promotes one."""
    history: list[Change] = []
    at = 0
    for step in steps:
        number = int(step[1:])
        match step[0]:
            case ">":
                history.append(change("label", at, number))
                at = number
            case "<":
                history.append(change("rollback", at, number))
                at = number
            case "!":
                history.append(change("rollout", at, number, rollout="r"))
                history.append(change("promote", at, number, rollout="r"))
                at = number
            case "x":
                history.append(change("rollout", at, number, rollout="r"))
                history.append(change("abort", number, at, rollout="r"))
    return history


@pytest.mark.parametrize(
    ("steps", "leads_to"),
    [
        ([], 0),
        ([">1"], 0),
        ([">1", ">2"], 1),
        ([">1", ">2", ">3"], 2),
        ([">1", ">2", ">3", "<2"], 1),
        ([">1", ">2", ">3", "<2", "<1"], 0),
        ([">1", ">2", "<1"], 0),
        ([">1", ">2", "<1", ">3"], 1),
        ([">1", ">2", "<1", ">2"], 1),  # moved onto it anew, on purpose
        ([">1", ">2", ">1"], 2),  # a move to an older number is a move, not a rollback
        ([">1", ">2", ">3", ">2", "<3"], 1),  # 2 was rolled back away from: skip it
        ([">1", "!2"], 1),
        ([">1", "x2"], 0),
        ([">1", ">2", "x3"], 1),
        ([">1", ">2", ">3", "x2"], 1),  # 2 came back as a candidate and was aborted
    ],
)
def test_where_a_rollback_leads(steps: list[str], leads_to: int) -> None:
    assert previous(ledger(*steps), "production") == leads_to


def test_labels_of_one_asset_do_not_mix() -> None:
    history = [
        change("label", 0, 1),
        change("label", 0, 5, "staging"),
        change("label", 1, 2),
        change("label", 5, 6, "staging"),
    ]
    assert previous(history, "production") == 1
    assert previous(history, "staging") == 5


def test_what_a_vendor_did_is_nothing_to_go_back_to() -> None:
    seen = Change(
        id="e", time_ns=0, action="external", kind="models", name="v/m", before="a@1", after="b@2", actor="vendor"
    )
    assert previous([change("label", 0, 1), seen], "production") == 0


@given(moves=st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_rolling_back_again_and_again_ends_and_never_repeats(moves: list[int]) -> None:
    history: list[Change] = []
    at = 0
    for number in moves:
        if number != at:
            history.append(change("label", at, number))
            at = number
    visited = [at]
    while target := previous(history, "production"):
        history.append(change("rollback", at, target))
        at = target
        visited.append(at)
    assert len(set(visited)) == len(visited)


@given(moves=st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_what_is_reachable_is_what_rollbacks_lead_to(moves: list[int]) -> None:
    history: list[Change] = []
    at = 0
    for number in moves:
        if number != at:
            history.append(change("label", at, number))
            at = number
    possible = reachable(history, "production")
    while target := previous(history, "production"):
        assert target in possible
        history.append(change("rollback", at, target))
        at = target


def test_the_label_of_a_change() -> None:
    assert label_of(change("label", 1, 2, "staging")) == "staging"
    assert label_of(change("label", 1, 2, "")) == "production"
    seen = Change(id="e", time_ns=0, action="external", kind="models", name="m", before="", after="b", actor="vendor")
    assert label_of(seen) == ""

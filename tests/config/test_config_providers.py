"""Providers in the file: references are followed wherever a secret may stand, and complaints name the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import load
from trimtab.core import ConfigError


def write(folder: Path, entry: str) -> Path:
    path = folder / "trimtab.yaml"
    path.write_text(f"providers:\n  acme: {entry}\n")
    return path


def test_every_field_of_a_provider(tmp_path: Path) -> None:
    entry = (
        "{kind: azure, base_url: 'https://x.openai.azure.com', api_key: env:KEY, api_version: '2024-10-21', "
        "headers: {x-team: blue, authorization: env:TOKEN}, timeout: 30s}"
    )
    acme = load(write(tmp_path, entry), {"KEY": "k-secret", "TOKEN": "t-secret"}).providers["acme"]
    assert (acme.kind, acme.api_version, acme.timeout) == ("azure", "2024-10-21", 30)
    assert acme.headers == {"x-team": "blue", "authorization": "t-secret"}
    assert "secret" not in repr(acme)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("{kind: openai, headers: {x-key: env:MISSING}}", "providers.acme.headers.x-key"),
        ("{kind: openai, timeout: soon}", "providers.acme.timeout"),
        ("{kind: opanai}", "providers.acme.kind"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, entry: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, entry), {})
    assert caught.value.field == field


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "openai.key"
    secret.write_text("  k-secret\n")
    entry = f"{{kind: openai, api_key: 'file:{secret}', headers: {{x-key: 'file:{secret}'}}}}"
    acme = load(write(tmp_path, entry), {}).providers["acme"]
    assert (acme.api_key, acme.headers) == ("k-secret", {"x-key": "k-secret"})
    secret.write_text("k-other\n")
    assert load(tmp_path / "trimtab.yaml", {}).providers["acme"].api_key == "k-other", "it is read again each time"


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"", "is empty"), (b"\xff", "not UTF-8")])
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    secret = tmp_path / "openai.key"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load(write(tmp_path, f"{{kind: openai, api_key: 'file:{secret}'}}"), {})
    assert caught.value.field == "providers.acme.api_key"
    assert str(secret) in str(caught.value)


def test_a_file_that_is_too_large_for_a_secret_is_not_cut_short(tmp_path: Path) -> None:
    secret = tmp_path / "openai.key"
    secret.write_text("k" * 70_000)
    with pytest.raises(ConfigError, match="too large") as caught:
        load(write(tmp_path, f"{{kind: openai, api_key: 'file:{secret}'}}"), {})
    assert "kkk" not in str(caught.value)

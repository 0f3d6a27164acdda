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

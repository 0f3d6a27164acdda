"""Where the metadata is: in the folder, or in a database by URL, and never with a password in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import load
from trimtab.core import ConfigError

URL = "postgresql://trimtab:hunter2@db.example/trimtab"


def read(tmp_path: Path, metadata: str, **env: str) -> str:
    path = tmp_path / "trimtab.yaml"
    path.write_text(f"storage: {{metadata: '{metadata}'}}\n")
    return load(path, env).metadata


def test_the_folder_is_the_default(tmp_path: Path) -> None:
    assert load(None, {}).metadata == ""
    assert read(tmp_path, "sqlite:") == ""


def test_a_database_by_url_or_by_reference(tmp_path: Path) -> None:
    assert read(tmp_path, "postgresql://trimtab@db/trimtab") == "postgresql://trimtab@db/trimtab"
    assert read(tmp_path, "env:DATABASE_URL", DATABASE_URL=URL) == URL
    config = load(tmp_path / "trimtab.yaml", {"DATABASE_URL": URL})
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(("said", "env"), [(URL, {}), ("env:GONE", {}), ("mysql://x/y", {}), ("env:U", {"U": "x"})])
def test_what_does_not_fit_is_named(tmp_path: Path, said: str, env: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, said, **env)
    assert caught.value.field == "storage.metadata"
    assert "hunter2" not in str(caught.value)
    assert caught.value.mend

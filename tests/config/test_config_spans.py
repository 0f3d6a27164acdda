"""Where the spans are: in the data folder, or on a server by URL, and never with a password in the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.config import load
from trimtab.core import ConfigError
from trimtab.store import is_served, open_spans

SECRET = "clickhouse://trimtab:hunter2@ch.example:8123/trimtab"


def read(tmp_path: Path, spans: str, **env: str) -> str:
    path = tmp_path / "trimtab.yaml"
    path.write_text(f"storage: {{spans: '{spans}'}}\n")
    return load(path, env).spans


def test_the_folder_is_the_default(tmp_path: Path) -> None:
    assert load(None, {}).spans == "sqlite:"
    assert read(tmp_path, "sqlite:") == "sqlite:"


@pytest.mark.parametrize(
    "url", ["postgresql://trimtab@db/trimtab", "clickhouse://trimtab@ch:8123/trimtab?compress=false"]
)
def test_a_server_by_url(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, url) == url
    assert is_served(url)


def test_a_server_by_reference(tmp_path: Path) -> None:
    assert read(tmp_path, "env:SPANS_URL", SPANS_URL=SECRET) == SECRET
    assert "hunter2" not in repr(load(tmp_path / "trimtab.yaml", {"SPANS_URL": SECRET}))


@pytest.mark.parametrize(
    ("said", "env"),
    [
        (SECRET, {}),
        ("postgresql://db/trimtab?user=u&password=hunter2", {}),
        ("env:GONE", {}),
        ("mysql://x/y", {}),
        ("sqlite:/somewhere/else", {}),
        ("env:U", {"U": "hunter2"}),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, said: str, env: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, said, **env)
    assert caught.value.field == "storage.spans"
    assert "hunter2" not in str(caught.value)
    assert caught.value.mend


def test_no_other_address_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_spans("mysql://u:hunter2@x/y", tmp_path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.field == "storage.spans"


@pytest.mark.parametrize(
    ("module", "url"),
    [("psycopg", "postgresql://127.0.0.1:1/x"), ("clickhouse_connect", "clickhouse://127.0.0.1:1/x")],
)
def test_a_client_that_is_not_installed_is_told(tmp_path: Path, module: str, url: str) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from pathlib import Path\nfrom trimtab.core import ConfigError\nfrom trimtab.store import open_spans\n"
        f"try: open_spans({url!r}, Path({str(tmp_path)!r}))\n"
        "except ConfigError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'trimtab[scale]'" in said.stdout
    assert "storage.spans" in said.stdout


def test_no_client_is_loaded_without_need() -> None:
    program = "import sys, trimtab.store, trimtab.wiring; print({'psycopg', 'clickhouse_connect'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "set()\n"

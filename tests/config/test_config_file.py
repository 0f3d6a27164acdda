from pathlib import Path

import pytest

from trimtab.config import load
from trimtab.core import ConfigError, Layer


def write(folder: Path, text: str) -> Path:
    path = folder / "trimtab.yaml"
    path.write_text(text)
    return path


def complaint(folder: Path, text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), env or {})
    return str(caught.value)


def test_a_full_file_is_read(tmp_path: Path) -> None:
    text = """
providers:
  openai: {kind: openai, api_key: "env:OPENAI_API_KEY"}
routes:
  support:
    targets:
      - {model: openai/gpt-4o-mini, weight: 3}
    fallback: [openai/gpt-4o]
    timeout: {first_byte: 500ms, total: 2m}
owners: {default: night-shift, prompt: mara}
"""
    config = load(write(tmp_path, text), {"OPENAI_API_KEY": "sk-canary"})
    assert config.providers["openai"].api_key == "sk-canary"
    assert "sk-canary" not in repr(config)
    assert config.routes["support"]["timeout"] == {"first_byte": 0.5, "total": 120.0}
    assert config.owner(Layer.PROMPT) == "mara"
    assert config.owner(Layer.MODEL) == "night-shift"
    assert config.owner(None) == "night-shift"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("routes:\n  a: [\n", ["trimtab.yaml:", "not valid YAML"]),
        (
            "routes:\n  a:\n    targts: []\n",
            ["trimtab.yaml:3", "unknown field `targts`", "routes.a.targts", "spelling"],
        ),
        (
            "routes:\n  a:\n    targets: []\n  b:\n    targets: []\n    colour: red\n",
            ["trimtab.yaml:6", "unknown field `colour`", "routes.b.colour"],
        ),
        ("routes:\n  a:\n    targets:\n      - {model: x/y, weight: heavy}\n", ["trimtab.yaml:4", "weight"]),
        ("owners:\n  default: 3\n", ["trimtab.yaml:2", "owners.default", "expected `str`"]),
        ("storage:\n  spans: duckdb\n", ["storage.spans", "clickhouse://"]),
        ("routes:\n  a: {targets: [{model: gpt}]}\n", ["routes.a.targets", "provider/model"]),
        ("routes:\n  a: {targets: []}\n", ["routes.a.targets", "needs a target"]),
        ("routes:\n  a: {targets: [{model: x/y}], timeout: {total: soon}}\n", ["routes.a.timeout.total", "10s"]),
        ("providers:\n  o: {kind: openai, api_key: sk-live}\n", ["providers.o.api_key", "env:NAME"]),
        ("providers:\n  o: {kind: openai, api_key: 'env:NOPE'}\n", ["providers.o.api_key", "NOPE"]),
        ("monitors:\n  - {name: m, signal: cites, action: page}\n", ["owner", "trimtab.yaml:2"]),
        ("owners: {default: a}\nowners: {default: b}\n", ["trimtab.yaml:2", "duplicate"]),
        ("scoring: {sample: 3}\n", ["scoring.sample", "between 0 and 1"]),
    ],
)
def test_a_broken_file_is_answered_with_file_line_field_and_mend(tmp_path: Path, text: str, words: list[str]) -> None:
    message = complaint(tmp_path, text)
    for word in words:
        assert word in message
    assert "sk-live" not in message


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trimtab init"):
        load(tmp_path / "none.yaml", {})


def test_an_outside_address_needs_an_admin_key() -> None:
    with pytest.raises(ConfigError, match="TRIMTAB_ADMIN_KEY"):
        load(None, {}, host="0.0.0.0")
    assert load(None, {"TRIMTAB_ADMIN_KEY": "k"}, host="0.0.0.0").admin_key == "k"

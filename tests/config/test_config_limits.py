"""Limits, teams and shared state in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import Config, load
from trimtab.core import ConfigError
from trimtab.gateway import read_route, validate_route

ROUTE = "routes:\n  r: {targets: [{model: scripted/steady}], limits: %s}\n"


def loaded(folder: Path, text: str, **env: str) -> Config:
    path = folder / "trimtab.yaml"
    path.write_text(text)
    return load(path, env)


def test_limits_of_routes_and_teams_reach_the_house_in_its_own_units(tmp_path: Path) -> None:
    text = ROUTE % "{rpm: 60, max_parallel: 2, max_queue: 5, queue_timeout: 500ms}"
    config = loaded(tmp_path, text + "teams:\n  web: {budget_usd: 12.5, period: day}\n")
    content = config.routes["r"]
    assert content["limits"] == {"rpm": 60, "max_parallel": 2, "max_queue": 5, "queue_timeout": 0.5}
    validate_route(content)
    read = read_route("r", "r/1", content, {}).limits
    assert (read.rpm, read.max_parallel, read.queue_timeout, read.budget) == (60, 2, 0.5, 0)
    assert config.teams == {"web": {"budget_usd": 12.5, "period": "day"}}


def test_a_file_without_limits_makes_the_same_routes_as_before(tmp_path: Path) -> None:
    assert "limits" not in loaded(tmp_path, "routes:\n  r: {targets: [{model: scripted/steady}]}\n").routes["r"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (ROUTE % "{rpm: many}", "routes.r.limits.rpm"),
        (ROUTE % "{smiles: 1}", "routes.r.limits.smiles"),
        (ROUTE % "{queue_timeout: 5}", "routes.r.limits.queue_timeout"),
        (ROUTE % "{queue_timeout: soon}", "routes.r.limits.queue_timeout"),
        ("teams: {web: {period: week}}\n", "teams.web.period"),
        ("storage: {shared: 'http://example'}\n", "storage.shared"),
        ("storage: {shared: 'redis://:secret-word@cache/0'}\n", "storage.shared"),
        ("storage: {shared: 'env:NOWHERE'}\n", "storage.shared"),
    ],
)
def test_what_cannot_be_names_its_place(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert caught.value.field == field
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("url", ["memory:", "redis://cache:6379/0", "valkey://cache", "unix:///run/valkey.sock"])
def test_where_limits_are_counted(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, f"storage: {{shared: '{url}'}}\n").shared == url
    config = loaded(tmp_path, "storage: {shared: 'env:CACHE'}\n", CACHE="redis://:secret-word@cache/0")
    assert config.shared == "redis://:secret-word@cache/0"
    assert "secret-word" not in repr(config)

"""What the file says of probes."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import Config, load
from trimtab.core import BadInput, ConfigError
from trimtab.wiring.probing import declared_in


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "trimtab.yaml"
    path.write_text(text)
    return load(path, {"KEY": "x"})


def test_without_a_word_what_costs_nothing_runs(tmp_path: Path) -> None:
    declared = declared_in(read(tmp_path, "owners: {default: ops}\n"))
    assert {one.name: one.asleep for one in declared} == {
        "guard-attacks": "", "guard-benign": "", "retrieval": "", "corpus": "",
    }  # fmt: skip
    assert {one.owner for one in declared} == {"ops"}


def test_the_models_of_routes_are_offered_and_wait_for_a_budget(tmp_path: Path) -> None:
    config = read(tmp_path, (
        'providers: {openai: {kind: openai, api_key: "env:KEY"}}\n'
        "routes:\n  a: {targets: [{model: openai/gpt-4o-mini}, {model: scripted/echo}], fallback: [openai/gpt-4.1]}\n"
    ))  # fmt: skip
    vendors = {one.target: one.asleep for one in declared_in(config) if one.kind == "vendor"}
    assert set(vendors) == {"openai/gpt-4o-mini", "openai/gpt-4.1"}
    assert all("budget" in why for why in vendors.values())


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    config = read(tmp_path, (
        "probes:\n  gpt: {kind: vendor, target: openai/gpt-4o-mini, dataset: 'datasets:/golden@production', every: 30m,"
        " budget: {usd: 0.05, calls: 900}, owner: mara, action: note, severity: 1, runbook: Look., enabled: false,"
        " options: {queries: 16, tolerance: 0.3}}\n"
    ))  # fmt: skip
    one = next(one for one in declared_in(config) if one.name == "gpt")
    assert (one.every_s, one.usd, one.calls, one.owner, one.action) == (1800.0, 0.05, 900, "mara", "note")
    assert (one.severity, one.runbook, one.on) == (1, "Look.", False)
    assert (one.count("queries"), one.option("tolerance"), one.count("inputs")) == (16, 0.3, 6)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("probes: {a: {kind: magic}}", "probes.a.kind"),
        ("probes: {a: {kind: corpus, every: soon}}", "probes.a.every"),
        ("probes: {a: {kind: corpus, severity: 7}}", "probes.a.severity"),
        ("probes: {a: {kind: corpus, often: 1h}}", "probes.a"),
        ("probes: {a: {kind: vendor, target: support}}", "probes.a.target"),
        ("probes: {a: {kind: corpus, options: {k: 4}}}", "probes.a.options.k"),
    ],
)
def test_a_mistake_names_its_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises((ConfigError, BadInput)) as caught:
        declared_in(read(tmp_path, text + "\n"))
    assert field in str(caught.value)


@pytest.mark.parametrize(("said", "wanted"), [("1h", 3600.0), ("2d", 172_800.0), ("90s", 90.0), ("1.5h", 5400.0)])
def test_hours_and_days_are_durations(tmp_path: Path, said: str, wanted: float) -> None:
    config = read(tmp_path, f"probes: {{a: {{kind: corpus, every: {said}}}}}\n")
    assert config.probes["a"].every_s == wanted

"""The sections of a route in the file, and the route that the gateway reads from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trimtab.config import load
from trimtab.core import BadInput, ConfigError
from trimtab.gateway import Route, read_route, validate_route

DOCS = Path(__file__).parents[2] / "docs" / "routing.md"
TARGETS = "    targets: [{model: scripted/steady}]\n"


def route(tmp_path: Path, text: str) -> Route:
    path = tmp_path / "trimtab.yaml"
    path.write_text(text, encoding="utf-8")
    ((name, content),) = load(path, {}).routes.items()
    return read_route(name, f"{name}/1", content, {})


def test_what_is_not_written_is_not_in_the_version(tmp_path: Path) -> None:
    (tmp_path / "trimtab.yaml").write_text(f"routes:\n  a:\n{TARGETS}", encoding="utf-8")
    content = load(tmp_path / "trimtab.yaml", {}).routes["a"]
    assert set(content) == {"targets", "fallback", "strategy", "attempts", "timeout"}


def test_the_documented_example_is_right_and_shows_the_defaults(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    documented = route(tmp_path, example[1])
    plain = route(tmp_path, f"routes:\n  a:\n{TARGETS}")
    for name in ("retry", "breaker", "prefix", "fallback_on"):
        assert getattr(documented, name) == getattr(plain, name), name
    assert (plain.hedge, plain.cache, plain.sticky) == (None, None, "")
    assert documented.hedge is not None
    assert (documented.hedge.quantile, documented.hedge.after) == (0.95, 0.0)
    assert documented.cache is not None
    assert documented.cache.semantic is not None
    assert (documented.cache.ttl, documented.cache.semantic.threshold) == (3600.0, 0.95)


def test_durations_limits_and_counts_arrive(tmp_path: Path) -> None:
    read = route(
        tmp_path,
        "routes:\n  a:\n    targets: [{model: scripted/steady, max_parallel: 4, rpm: 60}]\n"
        "    timeout: {attempt: 1500ms}\n    retry: {pause: 50ms}\n    hedge: {after: 800ms, share: 0.2}\n"
        "    breaker: {failures: {timeout: 9}, rest: 5s}\n    cache: {ttl: 5m, scope: team}\n",
    )
    assert (read.targets[0].max_parallel, read.targets[0].rpm, read.attempt) == (4, 60, 1.5)
    assert (read.retry.pause, read.retry.longest) == (0.05, 2.0)
    assert read.hedge is not None
    assert (read.hedge.after, read.hedge.share) == (0.8, 0.2)
    assert read.breaker is not None
    assert (read.breaker.failures["timeout"], read.breaker.failures["server"], read.breaker.rest) == (9, 5, 5.0)
    assert read.cache is not None
    assert (read.cache.ttl, read.cache.scope) == (300.0, "team")


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("strategy: best", "strategy"),
        ("sticky: forever", "sticky"),
        ("fallback_on: [whim]", "fallback_on"),
        ("retry: {pause: soon}", "retry.pause"),
        ("hedge: {after: soon}", "hedge.after"),
        ("breaker: {failures: {bad_luck: 3}}", "bad_luck"),
        ("cache: {scope: everybody}", "cache.scope"),
        ("cache: {semantic: {model: openai/e}}", "cache.semantic"),
        ("prefix: {block: 1k}", "prefix.block"),
    ],
)
def test_a_wrong_setting_names_its_place(tmp_path: Path, line: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        route(tmp_path, f"routes:\n  a:\n{TARGETS}    {line}\n")
    assert field in caught.value.field


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"sticky": "forever"}, "sticky"),
        ({"fallback_on": ["whim"]}, "fallback_on"),
        ({"retry": {"share": 2}}, "retry.share"),
        ({"retry": []}, "retry"),
        ({"breaker": {"window": 0}}, "breaker.window"),
        ({"breaker": {"failures": {"server": -1}}}, "breaker.failures.server"),
        ({"hedge": {"after": "p5"}}, "hedge.after"),
        ({"hedge": {"share": 0.9}}, "hedge.share"),
        ({"prefix": {"block": 8}}, "prefix.block"),
        ({"prefix": {"blocks": 1 << 30}}, "prefix.blocks"),
        ({"timeout": {"attempt": "5s"}}, "timeout.attempt"),
        ({"targets": [{"model": "a/x", "rpm": -1}]}, "targets[0].rpm"),
        ({"targets": [{"model": "a/x", "speed": 1}]}, "targets[0].speed"),
    ],
)
def test_a_version_with_a_wrong_setting_is_refused_by_name(content: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate_route({"targets": [{"model": "a/x"}], **content})
    assert caught.value.field == field

"""``trimtab trace copy``: what it says, and its exit status."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trimtab.cli import group
from trimtab.core import BadInput, Score, Span, now_ns
from trimtab.store import DataFolder, open_spans

NOW = now_ns()


def put(folder: Path, count: int, *, first: int = 1) -> None:
    spans = [
        Span(
            trace_id=f"{n:032x}",
            span_id=f"{n:016x}",
            name="ask",
            kind="llm",
            start_ns=NOW,
            end_ns=NOW + 5,
            cost_usd=0.25,
        )
        for n in range(first, first + count)
    ]
    score = Score(id=f"s{first}", trace_id=f"{first:032x}", name="q", value=0.5, by="check:x", time_ns=NOW)

    async def write() -> None:
        with closing(open_spans("sqlite:", folder / "spans")) as store:
            await store.write(spans, [score])

    asyncio.run(write())


def count(folder: Path) -> int:
    async def read() -> int:
        with closing(open_spans("sqlite:", folder / "spans")) as store:
            return len((await store.tail("", 10_000)).spans)

    return asyncio.run(read())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["trace", "copy", *arguments])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_all_is_moved_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "old", 7)
    monkeypatch.setenv("SPANS_URL", f"sqlite:{tmp_path / 'new'}")
    for _ in range(2):
        done = run("--from", "sqlite:old", "--to", "env:SPANS_URL")
        assert (done.exit_code, done.exception) == (0, None)
        assert "7 spans and 1 scores of 1 days: 1.75 USD" in done.stdout
        assert "the same" in done.stdout
    assert count(tmp_path / "new") == 7
    assert not (tmp_path / "trimtab-copy.json").exists()


def test_a_difference_is_named_and_fails(tmp_path: Path) -> None:
    put(tmp_path / "old", 3)
    put(tmp_path / "new", 1, first=100)
    done = run("--from", "sqlite:old", "--to", "sqlite:new")
    assert done.exit_code == 1
    assert "spans: 3 copied, 4 there" in done.stderr
    assert (tmp_path / "trimtab-copy.json").exists()


def test_a_source_in_use_is_copied_and_not_vouched_for(tmp_path: Path) -> None:
    put(tmp_path / "old", 3)
    with DataFolder.open(tmp_path / "old"):
        done = run("--from", "sqlite:old", "--to", "sqlite:new", "--since", "7d")
    assert done.exit_code == 2
    assert "Stop it and run this again" in done.stderr
    assert count(tmp_path / "new") == 3


@pytest.mark.parametrize(
    ("source", "target", "field"),
    [
        ("sqlite:nowhere", "sqlite:new", "--from"),
        ("sqlite:", "sqlite:new", "--from"),
        ("env:GONE", "sqlite:new", "--from"),
        ("sqlite:old", "env:GONE", "--to"),
        ("sqlite:old", "sqlite:old", "--to"),
        ("sqlite:old", "mysql://x/y", "storage.spans"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, source: str, target: str, field: str) -> None:
    put(tmp_path / "old", 1)
    done = run("--from", source, "--to", target)
    assert getattr(done.exception, "field", "") == field
    assert str(done.exception).startswith(field)


def test_a_bad_since_is_named(tmp_path: Path) -> None:
    put(tmp_path / "old", 1)
    done = run("--from", "sqlite:old", "--to", "sqlite:new", "--since", "yesterday")
    assert isinstance(done.exception, BadInput)
    assert done.exception.field == "--since"

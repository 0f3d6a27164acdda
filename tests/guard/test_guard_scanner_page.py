"""The page of the scanners' figures is made of the last measurement, and says when and how that was done."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from trimtab.guard import SCANNERS

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "bench" / "results" / "guard.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "guard-scanners.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_bench_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench" / "guard"))
    monkeypatch.delitem(sys.modules, "page", raising=False)
    import page

    assert page.written(RESULT) == PAGE, "write it again: python bench/guard --only secrets --docs"


def test_every_figure_has_its_date_and_its_command() -> None:
    for name, suite in RESULT["suites"].items():
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", suite["date"]), name
        assert suite["command"].startswith("python bench/guard"), name
        assert suite["command"].endswith(f"--only {name}"), name
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) >= 16
    assert all(re.search(r"\| \d{4}-\d{2}-\d{2} \| `(?:--data DIR )?--only [\w-]+` \|$", row) for row in rows)


def test_every_scanner_has_figures_of_its_own() -> None:
    measured = {suite["scanner"] for suite in RESULT["suites"].values() if "scanner" in suite}
    written_down = {"banned-words", "competitors", "size"}  # they find what a policy lists
    foreign = {"names", "llm-guard", "guardrails-ai"}  # other libraries bring them
    assert set(SCANNERS) - measured == written_down | foreign
    assert "RealToxicityPrompts" in PAGE

"""The coverage of the OWASP lists names only what there is: controls, suites and pages."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from trimtab.guard import SCANNERS
from trimtab.guard.coverage import CONTROLS, ITEMS, LISTS, coverage, written

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "owasp.md"


def exists(dotted: str) -> bool:
    """Whether a module, or a thing within one, can be had by its dotted name."""
    try:
        importlib.import_module(dotted)
        return True
    except ImportError:
        module, _, name = dotted.rpartition(".")
        return bool(module) and hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("key", CONTROLS)
def test_every_control_is_there_and_told_of(key: str) -> None:
    where = CONTROLS[key].where
    scanner = where.removeprefix("scanner:")
    assert scanner in SCANNERS if scanner != where else exists(where), where
    assert (ROOT / "docs" / f"{CONTROLS[key].docs}.md").is_file(), CONTROLS[key].docs
    assert any(key in item.controls for item in ITEMS), "a control that covers nothing"


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_every_suite_is_there_and_every_item_says_what_is_open(item: object) -> None:
    assert item in ITEMS
    told = next(each.told() for each in ITEMS if each is item)
    assert [suite for suite in told["suites"] if not (ROOT / suite).exists()] == []
    assert told["suites"]
    assert told["controls"]
    assert told["gaps"].endswith(".")


def test_both_lists_are_whole_and_in_order() -> None:
    for short in LISTS:
        ids = [item.id for item in ITEMS if item.id.startswith(short)]
        assert ids == [f"{short}{number:02d}" for number in range(1, 11)]
    also = sorted(item.also for item in ITEMS if item.also)
    assert also == [f"LLM{number:02d}:2026" for number in range(1, 11)]
    assert len(coverage()["items"]) == 20


def test_the_page_of_the_documentation_is_made_of_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    date = re.search(r"^updated: (\d{4}-\d{2}-\d{2})$", page, re.MULTILINE)
    assert date is not None
    said = 'python -c "from trimtab.guard.coverage import written; print(written(DATE), end=str())" > docs/owasp.md'
    assert page == written(date[1]), said

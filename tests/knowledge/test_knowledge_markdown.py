"""Reading Markdown folders."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from trimtab.core import BadInput
from trimtab.knowledge import load_markdown


def ns(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_front_matter_gives_title_and_date(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        '---\ntitle: "The gateway"\nupdated: 2026-11-25\ntags:\n  - x\n---\n\n# Other\n\nText.\n'
    )
    [page] = load_markdown(tmp_path)
    assert (page.id, page.title, page.source) == ("page", "The gateway", "page.md")
    assert page.updated_ns == ns(2026, 11, 25)
    assert page.text == "# Other\n\nText."


def test_a_time_with_a_zone_is_kept(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("---\nupdated: 2026-11-25T12:00:00+02:00\n---\nText.")
    assert load_markdown(tmp_path)[0].updated_ns == ns(2026, 11, 25, 10)


def test_without_front_matter_heading_and_file_speak(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "deep.md").write_text("# A heading #\nText.")
    (tmp_path / "a.md").write_text("Just text.\n\n---\n\nMore.")
    (tmp_path / "c.txt").write_text("not this one")
    first, second = load_markdown(tmp_path)
    assert (first.id, first.title, first.text) == ("a", "a", "Just text.\n\n---\n\nMore.")
    assert (second.id, second.title, second.source) == ("b/deep", "A heading", "b/deep.md")
    assert second.updated_ns == (tmp_path / "b" / "deep.md").stat().st_mtime_ns


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf---\r\ntitle: T\r\n---\r\nText.")
    [page] = load_markdown(tmp_path)
    assert (page.title, page.text) == ("T", "Text.")


def test_a_bad_date_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\nupdated: yesterday\n---\nText.")
    with pytest.raises(BadInput, match=r"a\.md.*yesterday") as caught:
        load_markdown(tmp_path)
    assert caught.value.mend


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"ab\xffcd")
    with pytest.raises(BadInput, match=r"a\.md.*byte 2"):
        load_markdown(tmp_path)


def test_a_folder_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no"):
        load_markdown(tmp_path)
    with pytest.raises(BadInput, match="no folder"):
        load_markdown(tmp_path / "nowhere")

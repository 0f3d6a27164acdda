"""Reading a folder of Markdown pages as documents."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from trimtab.core import BadInput

from .documents import Document

_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
_TITLE = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)


def load_markdown(folder: Path) -> list[Document]:
    """Every ``*.md`` file under a folder, in the order of their paths; the path without ``.md`` is the id.

    Front matter may give ``title`` and ``updated`` (``2026-11-25``, or with a time). Without them the title is the
    first heading or else the file's name, and the date is the file's own. Raises BadInput naming file and mend.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder", field="folder", mend="Give a folder that holds Markdown files.")
    documents = [_read(path, path.relative_to(folder)) for path in sorted(folder.rglob("*.md"))]
    if not documents:
        raise BadInput(f"{folder} holds no Markdown file", field="folder", mend="Put at least one .md file there.")
    return documents


def _read(path: Path, name: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 (byte {error.start})", field="folder", mend="Save it as UTF-8.") from None
    front: dict[str, str] = {}
    match = _FRONT.match(text)
    if match:
        front = _fields(match.group(1))
        text = text[match.end() :]
    heading = _TITLE.search(text)
    title = front.get("title") or (heading.group(1) if heading else name.stem)
    updated = front.get("updated")
    return Document(
        id=name.with_suffix("").as_posix(),
        title=title,
        source=name.as_posix(),
        text=text.strip(),
        updated_ns=_time(updated, name) if updated else path.stat().st_mtime_ns,
    )


def _fields(front: str) -> dict[str, str]:
    """The ``name: text`` lines of a front matter; deeper structure is not for us and is skipped."""
    found: dict[str, str] = {}
    for line in front.splitlines():
        name, colon, value = line.partition(":")
        if colon and name and not name[0].isspace():
            found[name.strip()] = value.strip().strip("\"'")
    return found


def _time(text: str, name: Path) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{name}: {text!r} is not a date", field="updated", mend="Write it like 2026-11-25 in the front matter."
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return int(time.timestamp()) * 1_000_000_000

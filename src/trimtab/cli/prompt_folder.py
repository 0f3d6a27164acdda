"""Prompts in a folder, one file each, in step with the registry: so that review happens in pull requests.

A file holds the digest of the version that it was made from. Pushing a file that nobody changed does nothing; pushing
a changed one makes a version of it, unless the registry moved on meanwhile: then it is a conflict, which is reported
and never resolved by overwriting.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.prompts import PromptFile, read_prompt_file, write_prompt_file

from .remote import Remote, server_options

LABEL = "production"
_SUFFIXES = (".yaml", ".yml", ".json")
_VERSIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a prompt stands: its live version (the newest where none is live), the newest, and the number by digest."""

    name: str
    live: int
    newest: int
    numbers: Mapping[str, int]

    def is_at(self, digest: str) -> bool:
        """Whether a digest is that of the live or of the newest version."""
        return bool(digest) and self.numbers.get(digest) in (self.live, self.newest)


@click.command("pull", epilog="Example:  trimtab prompt pull prompts/")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@server_options
def pull(remote: Remote, folder: Path) -> None:
    """Write every prompt's live version into FOLDER, one file each.

    A file that was changed there is left alone and reported, with exit status 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {file.name: (path, file) for path, file in _files(folder)}
    left = 0
    for head in _heads(remote).values():
        path, file = kept.get(head.name, (folder / f"{head.name}.yaml", None))
        version = remote.get(f"/api/versions/prompts/{head.name}/{head.live}")
        made = _file(version)
        if file is not None and file.changed and file.own_digest != made.digest:
            click.echo(f"{path}: changed here; push it, or undo the change and pull again", err=True)
            left += 1
        elif file != made:
            click.echo(f"{head.name}/{head.live} -> {_write(path, made)}")
    sys.exit(1 if left else 0)


def push_folder(remote: Remote, folder: Path, author: str, note: str, *, live: bool) -> int:
    """Make a version of every changed file. Returns how many conflicts there were."""
    heads, conflicts = _heads(remote), 0
    for path, file in _files(folder):
        head = heads.get(file.name)
        number = head.numbers.get(file.own_digest) if head else None
        if head is not None and number is not None and not file.changed and not head.is_at(file.digest):
            click.echo(f"{path}: behind, {head.name}/{head.live} is live; pull it", err=True)
            continue
        if not (head is not None and head.is_at(file.own_digest)) and (wrong := _conflict(file, head)):
            click.echo(f"{path}: conflict: {wrong}", err=True)
            conflicts += 1
            continue
        if number is None:
            version = _register(remote, file, author, note)
            number = version["number"]
            click.echo(f"{file.name}/{number}" + (f" from {file.number}" if file.number else ""))
            _write(path, _file(version))
        if live and _labelled(remote, file.name) != number:
            remote.post("/api/labels", {"kind": "prompts", "name": file.name, "label": LABEL, "number": number,
                                        "actor": author or "cli", "note": note})  # fmt: skip
            click.echo(f"{file.name}/{number} is live for everybody", err=True)
    return conflicts


def check_folder(remote: Remote, folder: Path) -> int:
    """Report where folder and registry differ. Returns in how many places."""
    heads, apart = _heads(remote), 0
    files = {file.name: (path, file) for path, file in _files(folder)}
    for name in sorted({*heads, *files}):
        head, (path, file) = heads.get(name), files.get(name, (None, None))
        if head is None:
            said = f"{path}: not in the registry; push it"
        elif file is None:
            said = f"{name}/{head.live}: no file; pull it"
        elif head.is_at(file.own_digest):
            continue
        elif file.own_digest in head.numbers:
            said = f"{path}: is {name}/{head.numbers[file.own_digest]}, and {name}/{head.live} is live; pull it"
        elif wrong := _conflict(file, head):
            said = f"{path}: changed here, and {wrong}"
        else:
            said = f"{path}: changed here; push it"
        click.echo(said)
        apart += 1
    return apart


def _conflict(file: PromptFile, head: Head | None) -> str:
    """Why a changed file may not become a version; empty when it may."""
    if head is None or head.is_at(file.digest):
        return ""
    now = f"{head.name}/{head.live} is live now"
    if not file.digest:
        return f"{now}, and the file does not say what it was made from; pull, then make the change again"
    made = f"version {file.number}" if file.number else "another version"
    return f"made from {made}, and {now}; pull, then make the change again"


def _register(remote: Remote, file: PromptFile, author: str, note: str) -> dict[str, Any]:
    body: dict[str, Any] = {"content": dict(file.content), "author": author, "note": note or file.message}
    if file.number:
        body["parents"] = [file.number]
    made: dict[str, Any] = remote.post(f"/api/versions/prompts/{file.name}", body)
    return made


def _heads(remote: Remote) -> dict[str, Head]:
    return {name: _head(remote, name) for name in remote.get("/api/versions/prompts")["names"]}


def _head(remote: Remote, name: str) -> Head:
    found = remote.get(f"/api/versions/prompts/{name}", limit=_VERSIONS)
    numbers = {version["digest"]: version["number"] for version in found["versions"]}
    newest = max(numbers.values())
    return Head(name=name, live=found["labels"].get(LABEL, newest), newest=newest, numbers=numbers)


def _labelled(remote: Remote, name: str) -> int:
    return int(remote.get(f"/api/versions/prompts/{name}", limit=1)["labels"].get(LABEL, 0))


def _files(folder: Path) -> Iterator[tuple[Path, PromptFile]]:
    names: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in _SUFFIXES or not path.is_file():
            continue
        try:
            file = read_prompt_file(path.read_text(encoding="utf-8"), path.stem)
        except UnicodeDecodeError as error:
            raise BadInput(f"byte {error.start} is not UTF-8.", field=str(path), mend="Save it as UTF-8.") from None
        except BadInput as error:
            raise BadInput(error.message, field=f"{path}: {error.field}", mend=error.mend) from None
        if file.name in names:
            raise BadInput(f"holds {file.name}, and so does {names[file.name]}.", field=str(path), mend="Keep one.")
        names[file.name] = path
        yield path, file


def _file(version: Mapping[str, Any]) -> PromptFile:
    return PromptFile(
        name=version["name"],
        content=version["content"],
        number=version["number"],
        digest=version["digest"],
        message=version["note"],
    )


def _write(path: Path, file: PromptFile) -> Path:
    """Write a file in the form that its name asks for; what YAML cannot hold is written as JSON beside it."""
    try:
        text = write_prompt_file(file, form="json" if path.suffix == ".json" else "yaml")
    except BadInput:
        path.unlink(missing_ok=True)
        path = path.with_suffix(".json")
        text = write_prompt_file(file, form="json")
    path.write_text(text, encoding="utf-8")
    return path

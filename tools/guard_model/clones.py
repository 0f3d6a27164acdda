"""Reading texts out of cloned repositories, at their newest commit."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet
import yaml

#: A longer text is cut.
LONGEST = 6000
#: Characters of a piece of a page.
PIECE = 1100
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.S)
_FENCE = re.compile(r"```.*?```", re.S)
_TAG = re.compile(r"\{\{[<%].*?[>%]\}\}|\{%.*?%\}", re.S)


class Clone(NamedTuple):
    """A repository that was cloned: ``folder/OWNER+NAME``, with a work tree or bare."""

    folder: Path
    name: str

    def read(self, path: str) -> str:
        """One file's text."""
        return _git(self._place(), "show", f"HEAD:{path}").decode("utf-8", "replace")

    def raw(self, path: str) -> bytes:
        """One file's bytes."""
        return _git(self._place(), "show", f"HEAD:{path}")

    def paths(self, pattern: str) -> list[str]:
        """The paths that a regular expression matches from their beginning, in order."""
        wanted = re.compile(pattern)
        return [path for path in _paths(self._place()) if wanted.match(path)]

    def commit(self) -> str:
        """The newest commit."""
        return _git(self._place(), "rev-parse", "HEAD").decode().strip()

    def _place(self) -> Path:
        folder = self.folder / self.name.replace("/", "+")
        return next((folder / part for part in ("repo", ".git", "repo/.git") if (folder / part).is_dir()), folder)


Reader = Callable[[Clone], Iterable[str]]


def _git(place: Path, *words: str) -> bytes:
    return subprocess.run(["git", f"--git-dir={place}", *words], check=True, capture_output=True, timeout=120).stdout


@cache
def _paths(place: Path) -> list[str]:
    return sorted(_git(place, "ls-tree", "-r", "--name-only", "HEAD").decode().splitlines())


def column(path: str, name: str) -> Reader:
    """A column of a CSV file."""

    def texts(clone: Clone) -> Iterator[str]:
        csv.field_size_limit(1 << 24)
        for row in csv.DictReader(io.StringIO(clone.read(path))):
            yield row.get(name) or ""

    return texts


def fields(pattern: str, *keys: str, where: Callable[[Any], bool] = bool) -> Reader:
    """Texts under any of these keys, anywhere within the objects of JSON files or of JSON lines."""

    def texts(clone: Clone) -> Iterator[str]:
        for path in clone.paths(pattern):
            for found in _objects(clone.read(path)):
                yield from _under(found, keys, where)

    return texts


def _objects(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)
    except ValueError:
        for line in text.splitlines():
            if line.strip():
                yield json.loads(line)


def _under(value: Any, keys: tuple[str, ...], where: Callable[[Any], bool]) -> Iterator[str]:
    if isinstance(value, dict):
        if where(value):
            for key in keys:
                if isinstance(value.get(key), str):
                    yield value[key]
        for inner in value.values():
            yield from _under(inner, keys, where)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, str) and not keys:
                yield inner
            yield from _under(inner, keys, where)


def lines(*paths: str, least: int = 1) -> Reader:
    """The lines of text files."""

    def texts(clone: Clone) -> Iterator[str]:
        for path in paths:
            yield from (line.strip() for line in clone.read(path).splitlines() if len(line.strip()) >= least)

    return texts


def pieces(pattern: str) -> Reader:
    """Markdown and text pages in pieces of some paragraphs, without front matter and fenced code."""

    def texts(clone: Clone) -> Iterator[str]:
        for path in clone.paths(pattern):
            page = _TAG.sub("", _FENCE.sub("", _FRONT.sub("", clone.read(path))))
            piece = ""
            for paragraph in re.split(r"\n\s*\n", page):
                piece = f"{piece}\n\n{paragraph.strip()}" if piece else paragraph.strip()
                if len(piece) > PIECE:
                    yield piece
                    piece = ""
            if len(piece) > PIECE // 3:
                yield piece

    return texts


def whole(pattern: str) -> Reader:
    """Whole files."""
    return lambda clone: (clone.read(path) for path in clone.paths(pattern))


def strings(pattern: str, least: int, names: str = "") -> Reader:
    """String constants of Python files of so many characters, of assignments to such names if any are given."""
    wanted = re.compile(names) if names else None

    def texts(clone: Clone) -> Iterator[str]:
        for path in clone.paths(pattern):
            try:
                tree = ast.parse(clone.read(path))
            except SyntaxError:
                continue
            parts: list[ast.AST] = [tree]
            if wanted:
                parts = [
                    node.value
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Assign | ast.AnnAssign)
                    and node.value is not None
                    and any(wanted.fullmatch(ast.unparse(each)) for each in _targets(node))
                ]
            documented = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, _HEADED)}
            for part in parts:
                found = (node.value for node in ast.walk(part) if isinstance(node, ast.Constant))
                for value in found:
                    if isinstance(value, str) and len(value) >= least and value not in documented:
                        yield value

    return texts


def listed(path: str, name: str, key: str) -> Reader:
    """A key of the dictionaries in a list that a Python file assigns to a name."""

    def texts(clone: Clone) -> Iterator[str]:
        for node in ast.walk(ast.parse(clone.read(path))):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                yield from (str(entry[key]) for entry in ast.literal_eval(node.value))

    return texts


def parquet(pattern: str, key: str, label: int) -> Reader:
    """A column of Parquet files, of the rows with this label."""

    def texts(clone: Clone) -> Iterator[str]:
        for path in clone.paths(pattern):
            for row in pyarrow.parquet.read_table(io.BytesIO(clone.raw(path))).to_pylist():
                if row["label"] == label:
                    yield row[key]

    return texts


def yaml_value(pattern: str, key: str) -> Reader:
    """A key of YAML files."""
    return lambda clone: (str(yaml.safe_load(clone.read(path)).get(key, "")) for path in clone.paths(pattern))


_HEADED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]

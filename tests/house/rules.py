"""The house rules that a machine can check, each as a function from a parsed file to findings.

An exemption is a comment ``# house: <rule> because <reason>`` on the line of the finding or the line above it.
An exemption that exempts nothing is itself a finding.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 7
JUNK_DRAWERS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "base",
    "manager",
    "service",
    "handler",
    "handlers",
}
HEAVY = {"alembic", "rich", "torch", "transformers", "openai", "anthropic"}
DATABASES = {"sqlalchemy", "sqlite3"}
EXEMPTION = re.compile(r"#\s*house:\s*([a-z-]+)\s+because\s+(\S.*)")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


def check_tree(root: Path) -> list[Finding]:
    """Every finding in the package folder ``root`` that no exemption covers."""
    return [finding for path in sorted(root.rglob("*.py")) for finding in check_file(path, root)]


def check_file(path: Path, root: Path) -> list[Finding]:
    source = path.read_text(encoding="utf-8")
    name = path.relative_to(root).as_posix()
    found = list(_findings(name, ast.parse(source), source))
    exemptions = {
        number: match[1] for number, line in enumerate(source.splitlines(), 1) if (match := EXEMPTION.search(line))
    }
    used: set[int] = set()
    kept = []
    for finding in found:
        cover = next((n for n in (finding.line, finding.line - 1) if exemptions.get(n) == finding.rule), None)
        if cover is None:
            kept.append(finding)
        else:
            used.add(cover)
    stale = [
        Finding(name, number, "exemption", f"'{rule}' exempts nothing here")
        for number, rule in exemptions.items()
        if number not in used
    ]
    return kept + stale


def _findings(name: str, tree: ast.Module, source: str) -> Iterator[Finding]:
    lines = source.count("\n") + 1
    if lines > FILE_LINES:
        yield Finding(name, 1, "file", f"{lines} lines, {FILE_LINES} at most")
    if Path(name).stem in JUNK_DRAWERS:
        yield Finding(name, 1, "name", "name a file after the thing in it")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function(name, node)
        elif isinstance(node, ast.Global):
            yield Finding(name, node.lineno, "global", "no global state")
        elif isinstance(node, ast.ExceptHandler):
            if node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            ):
                yield Finding(name, node.lineno, "except", "catch what you expect")
        elif isinstance(node, ast.Attribute) and _is_environment(node) and not name.startswith("config/"):
            yield Finding(name, node.lineno, "env", "the environment is read in config only")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _database(name, node)


def _function(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
    if lines > FUNCTION_LINES:
        yield Finding(name, node.lineno, "function", f"{node.name} has {lines} lines, {FUNCTION_LINES} at most")
    arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    count = len([a for a in arguments if a not in ("self", "cls")])
    if count > PARAMETERS:
        yield Finding(name, node.lineno, "parameters", f"{node.name} has {count} parameters, {PARAMETERS} at most")
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom) and not _modules(inner) <= HEAVY:
            yield Finding(name, inner.lineno, "import", f"{node.name} imports inside itself")


def _modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0] if node.level == 0 else "."}
    return {alias.name.partition(".")[0] for alias in node.names}


def _database(name: str, node: ast.Import | ast.ImportFrom) -> Iterator[Finding]:
    if _modules(node) & DATABASES and not name.startswith("store/") and Path(name).name != "records.py":
        yield Finding(name, node.lineno, "sql", "SQL lives in store/ and in a room's records.py")


def _is_environment(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in ("environ", "getenv", "environb")

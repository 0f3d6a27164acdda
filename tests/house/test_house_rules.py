"""The house rules hold, and the checker that says so can tell good from bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import trimtab

sys.path.insert(0, str(Path(__file__).parent))
from rules import check_file, check_tree

PACKAGE = Path(trimtab.__file__).parent


def test_the_package_keeps_the_house_rules() -> None:
    findings = check_tree(PACKAGE)
    assert not findings, "\n" + "\n".join(map(str, findings))


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("x = 1\n" * 401, "file"),
        ("def f():\n" + "    x = 1\n" * 61, "function"),
        ("def f(a, b, c, d, e, f, g, h):\n    return a\n", "parameters"),
        ("def f():\n    global x\n    x = 1\n", "global"),
        ("def f():\n    import json\n    return json\n", "import"),
        ("try:\n    x = 1\nexcept Exception:\n    x = 2\n", "except"),
        ("import os\nx = os.environ['A']\n", "env"),
        ("import sqlite3\n", "sql"),
        ("x = 1  # house: env because nothing\n", "exemption"),
    ],
)
def test_each_rule_finds_its_offence(tmp_path: Path, source: str, rule: str) -> None:
    path = tmp_path / "thing.py"
    path.write_text(source)
    assert [f.rule for f in check_file(path, tmp_path)] == [rule]


def test_a_reason_exempts_and_a_docstring_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "thing.py"
    path.write_text(
        "import os\nx = os.environ['A']  # house: env because the test says so\n"
        'def f():\n    """' + "words\n" * 70 + '"""\n    return 1\n'
    )
    assert check_file(path, tmp_path) == []


def test_importing_trimtab_is_light() -> None:
    """No socket, no thread, few modules: checked in a fresh interpreter."""
    code = """
import socket, sys, threading
def refuse(*a, **k): raise SystemExit("a socket was opened")
socket.socket.__init__ = refuse
before = set(sys.modules)
import trimtab
loaded = set(sys.modules)
assert threading.active_count() == 1, threading.enumerate()
heavy = loaded & {"sqlalchemy", "starlette", "uvicorn", "torch", "pandas", "alembic", "jinja2", "google.protobuf"}
assert not heavy, heavy
assert len(loaded) < 450, len(loaded)
print(len(loaded - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout

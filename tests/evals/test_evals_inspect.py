"""A task of Inspect runs in Trimtab after the conversion that the documentation shows: as code, and as a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trimtab.cli import group
from trimtab.evals import Local

DOCS = Path(__file__).parents[2] / "docs" / "evaluation-code.md"
#: Samples as Inspect reads them with ``json_dataset``.
SAMPLES = [
    {"id": "sum", "input": "What is 3 + 4?", "target": "7", "metadata": {"kind": "sum"}},
    {"id": "product", "input": "What is 3 * 4?", "target": ["12", "twelve"]},
    {"id": "wrong", "input": "What is 2 - 2?", "target": "1"},
]
ANSWERS = {"What is 3 + 4?": "It is 7.", "What is 3 * 4?": "12", "What is 2 - 2?": "It is 0."}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in SAMPLES))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_the_code_of_the_documentation_runs(folder: Path) -> None:
    section = DOCS.read_text().split("## From Inspect")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    code = next(block for block in blocks if "from trimtab.evals import" in block)
    asked: list[tuple[str, str]] = []

    async def ask(system: str, text: str) -> str:
        asked.append((system, text))
        return ANSWERS[text]

    names: dict[str, Any] = {"ask": ask}
    exec(compile(code, str(DOCS), "exec"), names)
    main: Callable[[], Any] = names["main"]
    await main()
    assert len(asked) == 9
    assert {system for system, _ in asked} == {"Answer with a number."}
    with Local.open("trimtab-data") as local:
        (run,) = await local.log.recent(limit=5)
        (row,) = await local.log.summary(run.id)
    assert (run.name, run.state, row["name"], row["n"], row["passed"]) == ("arithmetic", "done", "numeric", 9, 6)


def test_the_same_task_runs_as_a_plan_without_code(folder: Path) -> None:
    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(group, ["eval", *arguments, "--data", str(folder / "data"), "--json"])
        assert done.exit_code == 0, done.output + repr(done.exception)
        return json.loads(done.stdout)

    imported = run("dataset", "import", "arithmetic", "samples.jsonl", "--format", "inspect")
    assert imported["cases"] == 3
    plan = {
        "name": "arithmetic", "dataset": "datasets:/arithmetic@production", "scorers": ["numeric"], "repeats": 3,
        "target": {
            "model": "scripted/echo",
            "messages": [
                {"role": "system", "content": "Answer with a number."}, {"role": "user", "content": "{{input}}"},
            ],
            "variables": {"input": {}},
        },
    }  # fmt: skip
    (folder / "arithmetic.yaml").write_text(json.dumps(plan))
    (done,) = run("run", "arithmetic.yaml", "--yes")
    assert (done["state"], done["progress"]["done"], done["progress"]["errors"]) == ("done", 9, 0)
    (row,) = done["scores"]
    # The echo says the question: its last number is the second one of the sum.
    assert (row["name"], row["n"], row["passed"]) == ("numeric", 9, 0)

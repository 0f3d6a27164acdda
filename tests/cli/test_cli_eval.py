"""``trimtab eval``, as a team uses it: from a file of cases to a gate, with a real server behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trimtab.cli import group
from trimtab.cli.eval_run import plans_of, state_of
from trimtab.evals import RunLog
from trimtab.store import Metadata

CASES = [
    {"id": f"c{n}", "question": f"How long is case {n}?", "answer": f"How long is case {n}?" if n % 4 else "no"}
    for n in range(40)
]
CONFIG = """
name: echo
dataset: cases.csv
target: {model: scripted/echo}
scorers:
  - exact
  - {kind: judge, name: quality, model: scripted/judge, rubric: "Be kind.", criteria: []}
repeats: 2
"""


class Shell:
    """The commands against one server."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def __call__(self, *arguments: str, status: int = 0, remote: bool = True) -> str:
        where = ("--server", self.server.url, "--key", self.server.key) if remote else ()
        done: Result = CliRunner().invoke(group, ["eval", *arguments, *where])
        assert done.exit_code == status, done.output + repr(done.exception)
        return done.stdout

    def json(self, *arguments: str, status: int = 0, remote: bool = True) -> Any:
        return json.loads(self(*arguments, "--json", status=status, remote=remote))


@pytest.fixture
def shell(start_server: Callable[..., Any], tmp_path: Path) -> Shell:
    lines = ["id,question,answer", *(f'{c["id"]},"{c["question"]}","{c["answer"]}"' for c in CASES)]
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "echo.yaml").write_text(CONFIG)
    return Shell(start_server(), tmp_path)


def test_from_a_file_of_cases_to_a_gate(shell: Shell, tmp_path: Path) -> None:
    cases, config = str(tmp_path / "cases.csv"), str(tmp_path / "echo.yaml")

    # Datasets.
    assert "No datasets yet" in shell("dataset", "list")
    made = shell.json("dataset", "import", "support", cases, "--split", "test", "--by", "mara")
    assert (made["dataset"], made["added"], made["cases"]) == ("support/1", 40, 40)
    assert shell.json("dataset", "import", "support", cases)["added"] == 0
    assert [row["name"] for row in shell.json("dataset", "list")] == ["support"]
    assert shell("dataset", "export", "support", "--format", "langsmith").count("\n") == 40
    checked = shell.json("dataset", "check", "support", "--near", "0.99")
    assert (checked["cases"], checked["clean"], checked["splits"]) == (40, True, {"test": 40})
    near = shell.json("dataset", "check", cases)
    assert near["near"], "case 1 and case 11 are nearly the same"

    # What it costs, before it is run.
    estimates = shell.json("run", config, "--estimate")
    assert (estimates[0]["cases"], estimates[0]["calls"]) == (40, 160)
    assert "40 cases x 2 repeats finds" in estimates[0]["power"]["sentence"]
    said = CliRunner().invoke(
        group, ["eval", "run", config, "--max-cost", "0.000001", "--yes", "--server", shell.server.url]
    )
    assert "above the limit" in str(said.exception)

    # Two runs, one with another model that fails more.
    old = shell.json("run", config, "--yes")[0]
    assert (old["state"], old["progress"]["done"], old["progress"]["errors"]) == ("done", 80, 0)
    means = {row["name"]: row["mean"] for row in old["scores"]}
    assert means["exact"] == 0.75
    new = shell.json("run", "--dataset", "datasets:/support", "--model", "scripted/echo", "--scorer", "exact",
                     "--name", "again", "--repeats", "2", "--yes")[0]  # fmt: skip
    assert new["dataset"] == "support/1"
    listed = shell.json("list", "--state", "done")
    assert [run["id"] for run in listed["runs"]] == [new["id"], old["id"]]
    assert "again" in shell("list")
    text = shell("show", old["id"], "--failures", "--limit", "2")
    assert "exact" in text
    assert "FAIL" in text
    assert "expected 'no'" in text
    assert len(shell.json("show", old["id"], "--failures")["results"]) == 10

    # Compared, gated, estimated.
    assert shell.json("compare", new["id"], old["id"], "--score", "exact")["value"] == 0.0
    report, comment = tmp_path / "report.xml", tmp_path / "comment.md"
    gated = shell.json("gate", new["id"], "--baseline", old["id"], "--score", "exact", "--max-drop", "0.1",
                       "--junit", str(report), "--markdown", str(comment))  # fmt: skip
    assert (gated["answer"], gated["exit_code"]) == ("pass", 0)
    assert report.read_text().count("<testcase") == 81
    assert comment.read_text().strip()
    shell("gate", new["id"], "--floor", "0.95", "--score", "exact", status=1)
    shell("gate", new["id"], "--floor", "0.75", "--score", "exact", status=2)
    said = CliRunner().invoke(group, ["eval", "gate", new["id"], "--server", shell.server.url])
    assert "--baseline" in str(said.exception)
    rate = shell.json("estimate", old["id"], "--score", "quality")
    assert (rate["method"], rate["trusted"]) == ("judge only", False)
    assert shell.json("stability", old["id"], "--score", "exact")["shares"]["case"] == 1.0
    meant = shell.json("stability", old["id"], "--score", "exact", "--embeddings", "scripted/echo", "--same", "0.9")
    assert meant["alike"] == "embeddings of scripted/echo"
    assert "compared by words, not by meaning" in shell("stability", old["id"], "--score", "exact")
    assert "300 cases x 1 repeat finds" in shell("power", "--cases", "300")

    # People beside the judge.
    labels = tmp_path / "labels.jsonl"
    rows = [{"case": c["id"], "value": "pass" if n % 5 else "fail", "by": by, "critique": "" if n % 5 else "too short"}
            for n, c in enumerate(CASES) for by in ("mara", "tom")]  # fmt: skip
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert shell.json("label", "echo", str(labels))["new"] == 80
    assert shell.json("label", "echo", str(labels))["new"] == 0
    assert shell("label", "echo").count("\n") == 80
    calibrated = shell.json("calibrate", old["id"], "--score", "quality")
    assert calibrated["answer"] in ("not certified", "cannot tell")
    assert calibrated["criteria"][0]["cases"] > 0
    assert calibrated["time_ns"] > shell.json("show", old["id"])["started_ns"]
    assert shell.json("show", old["id"])["scores"][-1]["status"]["state"] == "uncalibrated"
    assert shell.json("estimate", old["id"], "--score", "quality")["method"] == "labels only"

    # A run that ended may go on, and one that does not run cannot be stopped.
    assert shell.json("run", "--resume", new["id"])[0]["progress"]["before"] == 80
    said = CliRunner().invoke(group, ["eval", "stop", new["id"], "--server", shell.server.url])
    assert "has ended" in str(said.exception)


PROMPTFOO = """
prompts: ["{{question}}"]
providers: ["scripted:echo"]
tests:
  - {vars: {question: "yes 14 days"}, assert: [{type: contains, value: "14 days"}]}
  - {vars: {question: "hello"}, assert: [{type: equals, value: bye}, {type: javascript, value: "true"}]}
"""


def test_a_promptfoo_configuration_runs_after_its_conversion_and_needs_no_server(tmp_path: Path) -> None:
    source, target = tmp_path / "promptfooconfig.yaml", tmp_path / "ours.yaml"
    source.write_text(PROMPTFOO)
    done = CliRunner().invoke(group, ["eval", "convert", str(source), "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert "left out: assertion javascript" in done.stderr
    folder = ["--data", str(tmp_path / "data"), "--json"]
    ran = CliRunner().invoke(group, ["eval", "run", str(target), "--yes", *folder])
    assert ran.exit_code == 0, ran.output + repr(ran.exception)
    scores = {row["name"]: row["mean"] for row in json.loads(ran.stdout)[0]["scores"]}
    assert scores == {"contains": 1.0, "exact": 0.0}


def test_a_file_may_hold_several_targets_and_files_are_read_where_the_command_runs(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"input": "q"}\n')
    path = tmp_path / "two.yaml"
    path.write_text("cases: c.jsonl\nscorers: [exact]\ntargets: [{model: a/b}, {model: c/d, name: second}]\n")
    first, second = plans_of(path)
    assert (first["name"], first["target"], second["name"]) == ("two-1", {"model": "a/b"}, "second")
    assert first["cases"] == second["cases"] == [{"input": "q"}]


def test_progress_says_what_it_cost_so_far_and_how_long_it_takes() -> None:
    progress = {"done": 10, "total": 40, "cost_usd": 0.5, "unpriced": 2, "errors": 1, "score_errors": 2,
                "retries": {"limit_reached": 3}, "left_s": 90.0}  # fmt: skip
    assert state_of(progress) == "10/40, $0.5000, some without a price, 3 errors, 3 tried again, 90 s left"


PLUGIN = """
import asyncio
import pytest

CASES = [{"input": f"q{n}", "expected": f"Q{n}"} for n in range(60)]

async def answer(case):
    return case.input.upper() if case.input != "q3" or GOOD else "no"

@pytest.fixture
def cases(tmp_path):
    import json
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(case) + chr(10) for case in CASES))
    return path

def test_floor(trimtab_eval, cases):
    done = trimtab_eval.run("floor", cases, answer, ["exact"])
    assert done.rate() > 0.9
    done.check(floor=0.5)

def test_too_high(trimtab_eval, cases):
    trimtab_eval.run("high", cases, answer, [{"kind": "contains", "text": "never"}]).check(floor=0.9)

def test_baseline(trimtab_eval, cases):
    async def inside_a_loop():
        trimtab_eval.run("base", cases, answer, ["exact"]).check(max_drop=0.2)
    asyncio.run(inside_a_loop())

def test_unsure(trimtab_eval, cases):
    done = trimtab_eval.run("unsure", cases, answer, ["exact"])
    done.check(floor=0.97)
"""


async def test_the_pytest_plugin_passes_fails_and_skips_and_keeps_what_it_ran(tmp_path: Path) -> None:
    def suite(good: bool, *more: str) -> str:
        (tmp_path / "test_it.py").write_text(f"GOOD = {good}\n" + PLUGIN)
        named = ("-p", "trimtab.pytest_plugin", "-p", "no:cacheprovider", "--trimtab-data", str(data))
        command = [sys.executable, "-m", "pytest", "-q", "-rA", *named, "test_it.py", *more]
        env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120).stdout

    data = tmp_path / "data"
    said = suite(True)
    for line in ("PASSED test_it.py::test_floor", "PASSED test_it.py::test_baseline", "cannot tell yet",
                 "FAILED test_it.py::test_too_high"):  # fmt: skip
        assert line in said, said
    assert "PASSED test_it.py::test_baseline" in suite(False, "-k", "baseline"), "a drop of one in sixty is allowed"
    metadata = Metadata.open(data / "metadata.db")
    log = RunLog(metadata)
    runs = await log.recent()
    assert [run.name for run in runs][:2] == ["base", "unsure"]
    assert [len(await log.results(run.id, failures=True)) for run in runs if run.name == "base"] == [1, 0]
    metadata.close()


def test_the_plugin_loads_nothing_until_it_is_used() -> None:
    look = "import sys, trimtab.pytest_plugin; print(sorted(m for m in sys.modules if m.startswith('trimtab.')))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60)
    assert "trimtab.evals" not in done.stdout
    assert "trimtab.store" not in done.stdout

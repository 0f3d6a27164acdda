"""The prompt commands against a running server: folders, imports, rendering, tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trimtab.cli import group

CONTENT = {
    "messages": [
        {"role": "system", "content": "Answer about {{product}}. {{> tone}}\n{{#hints}}\n- {{.}}\n{{/hints}}\n"},
    ],
    "variables": {"product": {}, "hints": {"type": "list", "default": []}},
    "assertions": [{"name": "short", "kind": "max_words", "words": 40}],
    "cases": [{"input": "Say hello.", "variables": {"product": "lamps"}}],
}  # fmt: skip
TONE = {"messages": [{"role": "system", "content": "Be {{mood}}."}], "variables": {"mood": {"default": "kind"}}}


class Shell:
    """Runs commands against a server."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def run(self, *arguments: str, status: int = 0, answer: str | None = None) -> Result:
        words = [*arguments, "--server", self.server.url, "--key", self.server.key]
        done = CliRunner().invoke(group, ["prompt", *words], input=answer)
        assert done.exit_code == status, done.output + str(done.exception)
        return done

    def register(self, name: str, content: Any, label: str = "production") -> int:
        body = {"content": content, "label": label, "author": "mara", "note": "by hand"}
        status, _, made = self.server.ask("POST", f"/api/versions/prompts/{name}", body)
        assert status == 201, made
        return int(made["number"])

    def digest(self, name: str, number: int) -> str:
        return str(self.server.ask("GET", f"/api/versions/prompts/{name}/{number}")[2]["digest"])


@pytest.fixture
def shell(start_server: Callable[..., Any], tmp_path: Path) -> Shell:
    made = Shell(start_server(), tmp_path / "prompts")
    made.register("tone", TONE)
    made.register("support", CONTENT)
    return made


def test_a_folder_goes_round_through_review(shell: Shell) -> None:
    folder = str(shell.folder)
    said = shell.run("pull", folder).output
    assert "support/1 -> " in said
    assert "tone/1 -> " in said
    path = shell.folder / "support.yaml"
    assert shell.digest("support", 1) in path.read_text()
    assert shell.run("pull", folder).output == ""
    assert shell.run("push", folder, "--check").output == ""

    path.write_text(path.read_text().replace("Answer about", "Speak about"))
    assert "support.yaml: changed here; push it" in shell.run("push", folder, "--check", status=1).output
    assert "changed here" in shell.run("pull", folder, status=1).output
    assert "Speak about" in path.read_text()
    assert "support/2 from 1" in shell.run("push", folder, "--note", "warmer").output
    made = shell.server.ask("GET", "/api/versions/prompts/support/2")[2]
    assert (made["parents"], made["note"]) == ([1], "warmer")
    assert shell.digest("support", 2) in path.read_text()
    assert shell.run("push", folder).output == ""
    assert shell.run("push", folder, "--check").output == ""
    assert shell.server.ask("GET", "/api/versions/prompts/support")[2]["labels"] == {"production": 1}
    assert "support/2 is live" in shell.run("push", folder, "--live").output
    assert shell.server.ask("GET", "/api/versions/prompts/support")[2]["labels"] == {"production": 2}
    assert shell.run("push", folder, "--live").output == ""


def test_a_file_that_others_have_overtaken_is_a_conflict_and_changes_nothing(shell: Shell) -> None:
    folder = str(shell.folder)
    shell.run("pull", folder)
    path = shell.folder / "support.yaml"
    shell.register("support", {**CONTENT, "note": "somebody was faster"})
    assert "support/1, and support/2 is live; pull it" in shell.run("push", folder, "--check", status=1).output
    assert "behind, support/2 is live" in shell.run("push", folder, "--live").output

    path.write_text(path.read_text().replace("Answer about", "Speak about"))
    said = shell.run("push", folder, "--live", status=1).output
    assert "conflict: made from version 1, and support/2 is live now" in said
    assert "and made from version 1" in shell.run("push", folder, "--check", status=1).output
    assert len(shell.server.ask("GET", "/api/versions/prompts/support")[2]["versions"]) == 2
    assert shell.server.ask("GET", "/api/versions/prompts/support")[2]["labels"] == {"production": 2}


def test_new_files_missing_files_and_files_that_are_none(shell: Shell) -> None:
    folder = str(shell.folder)
    shell.run("pull", folder)
    (shell.folder / "tone.yaml").unlink()
    (shell.folder / "README.md").write_text("Not a prompt.")
    (shell.folder / "greeting.json").write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
    said = shell.run("push", folder, "--check", status=1).output
    assert "greeting.json: not in the registry; push it" in said
    assert "tone/1: no file; pull it" in said
    assert "greeting/1" in shell.run("push", folder).output
    kept = json.loads((shell.folder / "greeting.json").read_text())
    assert (kept["number"], kept["digest"]) == (1, shell.digest("greeting", 1))
    (shell.folder / "support.yaml").write_text("messages:\n- {role: user, content: Mine}\n")
    assert "does not say what it was made from" in shell.run("push", folder, status=1).output
    (shell.folder / "support.yaml").write_text("messages: [\n")
    done = CliRunner().invoke(group, ["prompt", "push", folder, "--server", shell.server.url])
    assert "support.yaml" in str(done.exception)
    assert "line 2" in str(done.exception)


def test_render_prints_what_a_model_would_get(shell: Shell) -> None:
    said = shell.run(
        "render", "support", "--var", "product=lamps", "--var", 'hints=["a", "b"]', "--message", "Hi"
    ).output
    assert said == "[system]\nAnswer about lamps. Be kind.\n- a\n- b\n\n\n[user]\nHi\n\n"
    messages = json.loads(
        shell.run("render", "support/1", "--var", "product=x", "--var", "mood=stern", "--json").output
    )
    assert messages[0]["content"] == "Answer about x. Be stern.\n"
    for arguments, says in (
        ((), "'product'"), (("--var", "product=x", "--var", "hints=["), "not JSON"),
        (("--var", "product"), "NAME=VALUE"),
        (("--var", "product=x", "--var", "prodcut=y"), "prodcut"), (("--var", "product=@/no/such"), "no file"),
    ):  # fmt: skip
        assert says in str(shell.run("render", "support", *arguments, status=1).exception)


def test_a_test_asks_the_cases_and_fails_when_one_does(shell: Shell) -> None:
    said = shell.run("test", "support", "--model", "scripted/echo", "--yes").output
    assert "ok   case 1" in said
    assert "support/1 with scripted/echo: 1 passed, 0 failed" in said

    strict = {**CONTENT, "model": "scripted/echo", "assertions": [{"name": "long", "kind": "min_words", "words": 500}]}
    strict["cases"] = [{"input": f"Question {n}?", "variables": {"product": "lamps"}} for n in range(11)]
    shell.register("support", strict)
    done = shell.run("test", "support/2", answer="y\n", status=1)
    assert "support/2: 11 cases with scripted/echo, about" in done.stderr
    assert done.stdout.count("FAIL case") == 11
    assert "fewer than 500" in done.stdout
    arguments = ("--yes", "--limit", "9", "--gate", "regressions", "--json")
    found = json.loads(shell.run("test", "support/2", *arguments, status=1).stdout)
    (gate,) = shell.server.ask("GET", "/api/gates?address=prompts:/support/2")[2]["gates"]
    assert (gate["gate"], gate["passed"], gate["evidence"]["failed"]) == ("regressions", False, 9)
    assert (found["failed"], len(found["results"])) == (9, 9)
    trace = found["results"][0]["trace_id"]
    status, _, kept = shell.server.ask("GET", f"/api/traces/{trace}")
    while status == 404:  # it is written in the background
        status, _, kept = shell.server.ask("GET", f"/api/traces/{trace}")
    assert kept["spans"][0]["project"] == "trimtab"
    assert kept["spans"][0]["stamp"]["prompt"] == "support/2"
    assert "Aborted" in str(shell.run("test", "support/2", answer="n\n", status=1).output)


def test_a_test_over_http_says_what_does_not_fit(shell: Shell) -> None:
    for body, field in (({"number": "1"}, "number"), ({"casse": ""}, "casse"), ({"limit": 0}, "limit"), ([], "body")):
        status, _, problem = shell.server.ask("POST", "/api/prompts/support/test", body)
        assert (status, problem["field"]) == (400, field)
    assert shell.server.ask("POST", "/api/prompts/nobody/test", {"model": "scripted/echo"})[0] == 404


def test_import_and_export(shell: Shell, tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    export.write_text(json.dumps({
        "type": "text", "name": "greeting", "prompt": "Hi {{name}}.", "labels": ["staging"], "commitMessage": "warm",
        "config": {"temperature": 0.1, "team": "x"},
    }))  # fmt: skip
    done = shell.run("import", str(export), "--from", "langfuse", "--labels", "--author", "mara")
    assert done.stdout == "greeting/1\n"
    assert "left out" in done.stderr
    found = shell.server.ask("GET", "/api/versions/prompts/greeting/1")[2]
    assert (found["labels"], found["note"], found["author"]) == (["staging"], "warm", "mara")
    (tmp_path / "farewell.txt").write_text("Bye {{name}}.")
    assert shell.run("import", str(tmp_path / "farewell.txt"), "--from", "text").stdout == "farewell/1\n"
    text = shell.run("export", "greeting@staging").output
    assert text.startswith("---\naddress: prompts:/greeting\nnumber: 1\n")
    (tmp_path / "again.yaml").write_text(text)
    assert shell.run("push", "greeting", str(tmp_path / "again.yaml")).stdout == "greeting/1\n"
    assert json.loads(shell.run("export", "greeting/1", "--format", "json").output)["content"]["params"] == {
        "temperature": 0.1
    }

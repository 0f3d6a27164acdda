"""Lists of scorers in a running server: from the file to scores, and a budget that a power cut does not renew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from click.testing import CliRunner

from trimtab.cli import group
from trimtab.wiring.house import House

SCORERS = """
async def polite(case, output):
    return float("please" in output.text.lower())
"""
CONFIG = """
routes:
  support: {targets: [{model: scripted/echo}]}
prices:
  scripted/judge: {input: 100000, output: 100000}
scoring:
  python: ["own_scorers:polite"]
  sets:
    support:
      covers: {routes: [support]}
      scorers:
        - {kind: python, path: "own_scorers:polite"}
        - {kind: max_words, words: 30}
        - {kind: judge, name: tone, model: scripted/judge, rubric: Be kind., sample: 1, budget_usd: 0.001}
"""


def seen(server: Any, wanted: Callable[[Any], bool]) -> Any:
    """What ``GET /api/evals/live`` says as soon as it says what is wanted."""
    deadline = time.monotonic() + 60
    while True:
        status, _, found = server.ask("GET", "/api/evals/live?hours=1")
        assert status == 200, found
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def ask(server: Any, text: str) -> None:
    body = {"model": "support", "messages": [{"role": "user", "content": text}]}
    assert server.ask("POST", "/v1/chat/completions", body)[0] == 200


def rates(found: Any) -> dict[str, Any]:
    return {rate["score"]: rate["rate"] for rate in found["rates"]}


def test_lists_of_the_file_score_traffic_and_a_power_cut_does_not_renew_the_budget(
    start_server: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "own_scorers.py").write_text(SCORERS)
    (tmp_path / "trimtab.yaml").write_text(CONFIG)
    server = start_server(config=tmp_path / "trimtab.yaml", env={"PYTHONPATH": str(tmp_path)})
    ask(server, "Would you say please?")
    ask(server, "Hello.")
    names = {"support.polite", "support.max_words", "support.tone"}
    found = seen(server, lambda f: names <= set(rates(f)) and rates(f)["support.max_words"]["n"] == 2)
    assert rates(found)["support.polite"]["value"] == 0.5
    lines = {line["score"]: line for line in found["scorers"]}
    assert set(lines) == names
    spent = lines["support.tone"]["spent_usd"]
    assert spent > 0.001
    assert lines["support.tone"]["resting"]
    assert not lines["support.polite"]["asks"]
    status, _, version = server.ask("GET", "/api/resolve?address=scorers:/support@production")
    assert (status, version["name"], version["author"]) == (200, "support", "trimtab.yaml")

    server.kill()
    server.start()
    ask(server, "Hello once more.")
    found = seen(server, lambda f: rates(f).get("support.max_words", {}).get("n") == 3)
    tone = next(line for line in found["scorers"] if line["score"] == "support.tone")
    assert (tone["spent_usd"], tone["resting"]) == (spent, True)
    assert any("support.tone rests until midnight UTC" in note for note in found["notes"])

    said = CliRunner().invoke(group, ["eval", "live", "--server", server.url, "--key", server.key])
    assert said.exit_code == 0, said.output
    assert "support.tone" in said.stdout
    assert "of $0.001" in said.stdout
    shown = CliRunner().invoke(group, ["eval", "live", "--json", "--server", server.url, "--key", server.key])
    assert {line["score"] for line in json.loads(shown.stdout)["scorers"]} == names
    status, _, problem = server.ask("GET", "/api/evals/live?hours=0")
    assert (status, problem["field"]) == (400, "hours")

    wrong = {"content": {"scorers": [{"kind": "nothing"}]}, "author": "kim"}
    status, _, problem = server.ask("POST", "/api/versions/scorers/support", wrong)
    assert status == 400
    assert problem["field"] == "scorers[0].kind"


def test_health_names_who_rests_and_nobody_whose_name_sounds_like_it() -> None:
    notes = ["forests.tone sees 60% of the answers and not 20%.", "s.tone rests until midnight UTC: it is spent."]
    house: Any = SimpleNamespace(
        tenancy=SimpleNamespace(shared=SimpleNamespace(degraded=""), ledger=SimpleNamespace(failing="")),
        online=SimpleNamespace(notes=notes), board=None,
    )  # fmt: skip
    health: Any = House.details
    assert health.fget(house) == notes[1:]

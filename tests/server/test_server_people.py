"""A real server beyond loopback: who a key belongs to is who acts; monitors made at run time outlive a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from trimtab.cli import group

ADMIN = "admin-canary-0123456789abcdef"


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def trimtab(url: str, *arguments: str) -> str:
    done = CliRunner().invoke(group, [*arguments, "--server", url, "--key", ADMIN])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.output


def test_the_owner_of_a_key_acts_and_a_member_who_is_a_person_reviews(start_server: Callable[..., Any]) -> None:
    server = start_server(env={"TRIMTAB_ADMIN_KEY": ADMIN}, arguments=("--host", "0.0.0.0"))

    def key(name: str, **fields: str) -> str:
        status, _, made = server.ask("POST", "/api/keys", {"name": name, **fields}, bearer(ADMIN))
        assert status == 201
        return str(made["secret"])

    kim = key("kim's", owner="kim", role="admin")
    mara, bot = key("mara's", owner="mara"), key("bot")
    prompt = {"messages": [{"role": "user", "content": "x"}]}
    content = {"content": prompt, "author": "somebody else", "label": "production"}
    assert server.ask("POST", "/api/versions/prompts/a", content, bearer(kim))[0] == 201
    assert server.ask("POST", "/api/versions/prompts/b", content, bearer(ADMIN))[0] == 201
    assert server.ask("POST", "/api/versions/prompts/c", {**content, "author": ""}, bearer(ADMIN))[0] == 201
    changes = server.ask("GET", "/api/changes?kind=prompts", headers=bearer(ADMIN))[2]["changes"]
    assert {change["name"]: change["actor"] for change in changes} == {"a": "kim", "b": "somebody else", "c": "admin"}

    assert server.ask("GET", "/api/review/queues", headers=bearer(mara))[0] == 200
    assert server.ask("GET", "/api/review/queues", headers=bearer(bot))[0] == 403
    assert server.ask("POST", "/api/review/queues", {"name": "q"}, bearer(mara))[0] == 403
    marked = server.ask("POST", "/api/review/queues/none/marks", {"item": 1, "verdicts": {}}, bearer(mara))
    assert marked[0] == 404, "past the door: only the queue is missing"


def test_a_monitor_made_at_run_time_watches_at_once_and_outlives_a_kill(start_server: Callable[..., Any]) -> None:
    server = start_server(env={"TRIMTAB_ADMIN_KEY": ADMIN})
    made = ("--signal", "quality", "--slice", "billing", "--owner", "ilse", "--action", "switch_route", "--by", "mara")
    assert "idle, owned by ilse" in trimtab(server.url, "monitor", "add", "billing", *made)
    trimtab(server.url, "monitor", "edit", "billing", "--severity", "1", "--objective", "0.99", "--by", "mara")
    trimtab(server.url, "monitor", "remove", "cites", "--by", "mara")
    server.kill()
    server.start()
    again = server
    rows = {row["name"]: row for row in json.loads(trimtab(again.url, "monitor", "list", "--json"))}
    assert (rows["billing"]["severity"], rows["billing"]["objective"], rows["billing"]["version"]) == (1, 0.99, 2)
    assert rows["cites"]["state"] == "off"
    shown = trimtab(again.url, "monitor", "show", "billing")
    assert "switch_route" in shown
    assert "monitors:/billing/2" in shown
    tried = trimtab(again.url, "monitor", "test", "billing", "--hours", "2")
    assert "would have alarmed 0 times over 0 values" in tried
    assert "LAST ALARM" in trimtab(again.url, "monitor", "list")
    assert "No incidents in that time." in trimtab(again.url, "incident", "report")
    trimtab(again.url, "rollback", "monitors:/billing")
    assert json.loads(trimtab(again.url, "monitor", "show", "billing", "--json"))["severity"] == 2
    refused = CliRunner().invoke(
        group, ["monitor", "add", "x", "--signal", "cites", "--slice", "z", "--action", "page", "--server", again.url]
    )
    assert "owned by nobody" in str(refused.exception)

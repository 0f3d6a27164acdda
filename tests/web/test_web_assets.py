"""Assets and ledger: what is live where, what changed, how it scored, who uses it, and the way back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from web_house import HOSTILE, Client, Page, WebHouse, build, client_of, closing

from trimtab.core import Change, Version
from trimtab.registry import Event, Lineage
from trimtab.web.pages.ledger import PAGE, rows
from trimtab.web.references import references


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    with closing(await build(tmp_path)) as made:
        yield made


@pytest.fixture
def client(house: WebHouse) -> Client:
    return client_of(house)


async def text(client: Client, path: str) -> str:
    answer = await client("GET", path)
    assert answer.status == 200, (path, answer.text[:300])
    page = Page(answer.text)
    assert not page.unclosed, path
    assert not page.misnested, path
    return " ".join(" ".join(page.text).split())


async def publish(house: WebHouse, kind: str, name: str, content: dict[str, Any], **more: Any) -> int:
    version = await house.registry.register(kind, name, content, author="mara", **more)
    await house.registry.move_label(kind, name, "production", version.number, actor="mara", note="goes live")
    return version.number


async def test_the_list_says_what_is_live_where(house: WebHouse, client: Client) -> None:
    await house.registry.start_rollout("prompts", "support-answer", 2, share=0.1, actor="mara")
    shown = await text(client, "/assets")
    for words in ("support-answer", "production v1", "v2 at 10 %", "help", "corpus", "route"):
        assert words in shown
    only = await text(client, "/assets/guards")
    assert "default" in only
    assert "support-answer" not in only
    assert "No prompt has nothing like it in its name" in await text(client, "/assets/prompts?q=nothing+like+it")
    assert "support-answer" in await text(client, "/assets?q=SUPPORT-A")
    assert "No model is registered yet" in await text(client, "/assets/models")
    assert (await client("GET", "/assets/vibes")).status == 404
    assert (await client("GET", "/assets/prompts/nobody")).status == 404


async def test_now_shows_labels_their_protection_gates_and_changes(house: WebHouse, client: Client) -> None:
    asset = ("prompts", "support-answer")
    await house.registry.move_label(*asset, "production", 2, actor="mara", note="shorter")
    await house.registry.move_label(*asset, "staging", 1, actor="ilse")
    await house.registry.record_gate(asset, 2, "regressions", passed=False, evidence={}, actor="ci")
    shown = await text(client, "/assets/prompts/support-answer")
    for words in ("production v2", "staging v1", "regressions failed", "mara shorter", "Be brief and friendly."):
        assert words in shown


async def test_versions_are_compared_word_by_word_and_by_what_they_mean(house: WebHouse, client: Client) -> None:
    shown = await text(client, "/assets/prompts/support-answer?tab=versions&v=2")
    assert "1 to 2" in shown
    answer = await client("GET", "/assets/prompts/support-answer?tab=versions&v=2&against=1")
    assert "messages[0] (system)" in answer.text
    assert re.search(r"<del>Cite\b", answer.text)
    assert re.search(r"<ins>Be\b", answer.text)
    whole = await text(client, "/assets/prompts/support-answer?tab=versions&v=2&show=text")
    assert "Be brief and friendly." in whole
    await publish(house, "routes", "support", {"targets": [{"model": "scripted/steady"}], "attempts": 2})
    routes = await text(client, "/assets/routes/support?tab=versions")
    assert "attempts" in routes
    assert (await client("GET", "/assets/routes/support?tab=versions&v=99")).status == 404


async def test_the_parent_is_what_a_version_is_compared_with(house: WebHouse, client: Client) -> None:
    third = {"messages": [{"role": "system", "content": "Third."}]}
    await house.registry.register("prompts", "support-answer", third, lineage=Lineage(parents=[1]))
    shown = await text(client, "/assets/prompts/support-answer?tab=versions&v=3")
    assert "1 to 3" in shown
    assert "edited from v1" in shown


async def test_scores_stand_by_version_with_intervals(house: WebHouse, client: Client) -> None:
    await house.healthy(60)
    await house.registry.start_rollout("prompts", "support-answer", 2, share=0.5, actor="mara")
    await house.healthy(120)
    shown = await text(client, "/assets/prompts/support-answer?tab=scores&w=1h")
    assert "Cites" in shown
    assert " to " in shown
    answer = await client("GET", "/assets/prompts/support-answer?tab=scores")
    assert "t-bad" in answer.text, "version 2 cites far less"
    for kind, name, says in (("guards", "default", "Answered"), ("corpora", "help", "Answered"),
                             ("routes", "support", "Answered")):  # fmt: skip
        assert says in await text(client, f"/assets/{kind}/{name}?tab=scores")
    await publish(house, "judges", "quality", {"model": "scripted/judge"})
    assert "Quality" in await text(client, "/assets/judges/quality?tab=scores")
    await publish(house, "datasets", "golden", {"cases": []})
    assert "serves no request" in await text(client, "/assets/datasets/golden?tab=scores")


async def test_used_by_names_both_directions(house: WebHouse, client: Client) -> None:
    await publish(house, "prompts", "tone", {"messages": [{"role": "system", "content": "Be kind."}]})
    includes = {"messages": [{"role": "system", "content": "Hi. {{> tone}}"}], "corpus": "help", "cases": "datasets:/x"}
    await publish(house, "prompts", "greeting", includes)
    await publish(
        house, "routes", "support",
        {"targets": [{"model": "scripted/steady"}], "prompt": "prompts:/greeting@production", "guard": "default"},
    )  # fmt: skip
    tone = await text(client, "/assets/prompts/tone?tab=used")
    assert "greeting" in tone
    assert "messages" in tone
    greeting = await text(client, "/assets/prompts/greeting?tab=used")
    for words in ("support", "prompts:/greeting@production", "help", "corpus", "tone"):
        assert words in greeting
    assert "No live version of another asset names it" in await text(client, "/assets/prompts/support-answer?tab=used")


async def test_rolling_back_asks_first_and_is_one_post(house: WebHouse, client: Client) -> None:
    await house.registry.move_label("prompts", "support-answer", "production", 2, actor="mara")
    page = await client("GET", "/assets/prompts/support-answer")
    assert "?confirm=rollback" in page.text
    assert 'action="/assets/prompts/support-answer/rollback"' in page.text
    done = await client("POST", "/assets/prompts/support-answer/rollback")
    assert (done.status, done.headers["location"]) == (303, "/assets/prompts/support-answer")
    assert house.registry.labels("prompts", "support-answer") == {"production": 1}
    assert (await client("POST", "/assets/prompts/support-answer/rollback")).status == 409


async def test_the_ledger_filters_by_layer_asset_and_person(house: WebHouse, client: Client) -> None:
    await house.registry.move_label("prompts", "support-answer", "production", 2, actor="mara", note="shorter")
    await house.registry.record_external("models", "scripted/steady", before="a=b@c", after="a=b@d", note="seen")
    shown = await text(client, "/ledger")
    for words in ("support-answer v2 after v1", "shorter", "mara", "ilse", "seen at the vendor", "6 changes"):
        assert words in shown
    layer = await text(client, "/ledger?layer=3")
    assert "2 changes" in layer
    assert "help v1" not in layer
    assert "1 change" in await text(client, "/ledger?asset=corpora%3A%2F")
    assert "shorter" in await text(client, "/ledger?actor=MARA")
    assert "No change of that kind" in await text(client, "/ledger?actor=nobody")


async def test_an_erasure_stands_in_the_ledger_and_changes_no_layers_traffic(house: WebHouse, client: Client) -> None:
    event = Event(kind="data", name="erasure", after="user #0123456789abcdef", share=0.0)
    change = await house.registry.record_event(event, actor="mara", note="3 traces were deleted on request.")
    shown = await text(client, "/ledger")
    assert "personal data erased, user #0123456789abcdef" in shown
    assert "3 traces were deleted on request." in shown
    assert (await client("GET", "/")).status == 200
    assert change not in house.desk._suspects(change.time_ns)


async def test_undo_is_offered_for_the_latest_move_only_asks_first_and_goes_back(
    house: WebHouse, client: Client
) -> None:
    first = await house.registry.move_label("prompts", "support-answer", "production", 2, actor="mara")
    page = await client("GET", "/ledger")
    assert page.text.count(">Undo<") == 1
    assert f"confirm={first.id}" in page.text
    asked = await client("GET", f"/ledger?confirm={first.id}")
    assert f'action="/ledger/{first.id}/undo"' in asked.text
    done = await client("POST", f"/ledger/{first.id}/undo")
    assert (done.status, done.headers["location"]) == (303, "/ledger")
    assert house.registry.labels("prompts", "support-answer")["production"] == 1
    assert (await client("POST", f"/ledger/{first.id}/undo")).status == 409
    assert (await client("POST", "/ledger/chg_none/undo")).status == 404


def change(number: int, **more: Any) -> Change:
    fields: dict[str, Any] = {
        "action": "label",
        "kind": "prompts",
        "name": f"p{number % 3}",
        "before": "",
        "after": "x/1",
    }
    return Change(id=f"chg_{number}", time_ns=number, actor="mara", **{**fields, **more})


async def test_pages_of_the_ledger_meet_without_gap_or_repeat(house: WebHouse, client: Client) -> None:
    for number in range(2 * PAGE + 7):
        await house.registry.record_external("models", "a/b", before="", after=f"v{number}", note="", actor="mara")
    path, seen = "/ledger?actor=MARA&asset=models", []
    for expected in (PAGE, PAGE, 7):
        page = await client("GET", path)
        ids = re.findall(r'id="change-(chg_\w+)"', page.text)
        assert len(ids) == expected
        assert f"{2 * PAGE + 7:,} changes" in page.text
        seen += ids
        older = re.search(r'href="(/ledger\?[^"]+before=\d+)"', page.text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert path == ""
    made = [c.id for c in house.registry.changes(limit=1000) if c.actor == "mara" and c.kind == "models"]
    assert seen == made
    assert (await client("GET", "/ledger?before=x&layer=9")).status == 200


def test_of_one_label_only_the_latest_move_is_taken_back() -> None:
    page = [change(2, undo=True), change(1), change(5)]
    assert [row.undo for row in rows(page, page)] == [True, True, False]
    assert not any(row.undo for row in rows(page[2:], page[:2]))


def test_references_of_broken_contents_are_passed_over() -> None:
    def of(kind: str, content: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
        found = references(Version(kind=kind, name="x", number=1, digest="", content=content, **more))
        return [(reference.kind, reference.name) for reference in found]

    assert of("prompts", {"messages": [{"role": "user", "content": "{{broken"}], "corpus": 7}) == []
    assert of("prompts", {"messages": "x", "corpus": "docs@a@b/"}) in ([], [("corpora", "docs")])
    assert of("routes", {"targets": "x", "fallback": [1], "guard": ""}) == []
    needs = {"models": ["a/b", "c/d"], "corpora": "docs/3", "tools": "search"}
    assert of("prompts", {"messages": []}, needs=needs) == [("models", "a/b"), ("models", "c/d"), ("corpora", "docs")]


async def test_hostile_names_stay_text(house: WebHouse, client: Client) -> None:
    for kind in ("prompts", "routes", "judges"):
        for number in range(2):
            content = {"messages": [{"role": HOSTILE, "content": HOSTILE * (number + 1)}], HOSTILE: [HOSTILE, number]}
            await house.registry.register(kind, "hostile", content, author=HOSTILE, note=HOSTILE)
        await house.registry.move_label(kind, "hostile", "production", 2, actor=HOSTILE, note=HOSTILE)
        await house.registry.record_gate((kind, "hostile"), 2, "gate", passed=True, evidence={}, actor=HOSTILE)
        for tab in ("now", "versions", "scores", "used"):
            answer = await client("GET", f"/assets/{kind}/hostile?tab={tab}")
            assert answer.status == 200
            assert "<script>window" not in answer.text
            assert "<img src=x" not in answer.text
    for path in ("/assets", "/ledger", "/ledger?actor=%3Cscript%3Ewindow", "/assets?q=%3Cscript%3Ewindow"):
        assert "<script>window" not in (await client("GET", path)).text

"""The pages of the monitors, and what can be done on an incident's page, over ASGI on real rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from web_house import Page, WebHouse, build, client_of, closing

from trimtab.attribution import LayerBelief
from trimtab.web import words
from trimtab.web.trend import Part, trend

pytestmark = pytest.mark.asyncio(loop_scope="module")
NS = 10**9


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebHouse]:
    """Healthy traffic. The tests change monitors of their own names only."""
    with closing(await build(tmp_path_factory.mktemp("monitors"))) as made:
        await made.healthy()
        yield made


async def test_the_list_says_how_each_stands_and_who_cannot_be_told(house: WebHouse) -> None:
    text = (await client_of(house)("GET", "/monitors")).text
    page = Page(text)
    assert page.h1 == ["Monitors"]
    assert "watching" in text
    assert "idle" in text
    assert "App team has no channel" in text
    assert "Prompt team has" not in text
    rows = [attrs for attrs in page.all("tr") if "data-row" in attrs]
    assert len(rows) == len(house.monitors.entries)
    assert [attrs["href"] for attrs in page.all("a") if attrs.get("data-key") == "n"] == ["/monitors?form=new"]
    assert "at most one false alarm in 1,000,000 requests" in text


async def test_each_monitor_says_what_evidence_its_own_alarm_takes(house: WebHouse) -> None:
    ask = client_of(house)
    text = (await ask("GET", "/monitors")).text
    needed = {name: words.needed(house.watch.threshold_of(name)) for name in ("cites", "quality", "length")}
    assert len(set(needed.values())) == 3
    for name, takes in needed.items():
        row = text[text.index(f'data-row="{name}"') :]
        assert f" of {takes}<" in row[: row.index("</tr>")]
        assert f" of {takes}</dd>" in (await ask("GET", f"/monitors/{name}")).text


async def test_an_empty_list_says_what_would_be_here(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as empty:
        empty.monitors._defaults = ()
        empty.monitors.refresh()
        text = (await client_of(empty)("GET", "/monitors")).text
    assert "Nothing is watched." in text
    assert 'href="/monitors?form=new"' in text


async def test_a_monitor_says_what_falls_it_would_see_and_how_soon(house: WebHouse) -> None:
    text = (await client_of(house)("GET", "/monitors/cites")).text
    assert "What it would see now" in text
    assert "20 points" in text
    assert "The answer cites a passage that it was given." in text
    assert 'role="img" aria-label="Cites from' in text
    assert "told by a channel" in text
    gathering = (await client_of(house)("GET", "/monitors/thumb")).text
    assert "Nothing came so far" in gathering
    assert (await client_of(house)("GET", "/monitors/nothing")).status == 404


async def test_a_monitor_is_tried_on_what_was_recorded(house: WebHouse) -> None:
    ask = client_of(house)
    text = (await ask("GET", "/monitors/cites?test=24")).text
    assert "<b>Never</b>, over 260 values in 2 slices, 2 with a reference." in text
    assert "Never" not in (await ask("GET", "/monitors/cites?test=25")).text, "only what the page offers"


async def test_the_form_makes_changes_and_turns_off_and_keeps_what_was_refused(house: WebHouse) -> None:
    ask = client_of(house)
    typed = {
        "name": "billing-cites", "signal": "cites", "slice": "billing", "detector": "fall", "threshold": "0.1",
        "owner": "", "action": "page", "severity": "2", "objective": "", "runbook": "Look at the prompt.",
    }  # fmt: skip
    refused = await ask("POST", "/monitors", form=urlencode(typed))
    assert refused.status == 400
    assert "owned by nobody" in refused.text
    assert 'value="billing-cites"' in refused.text
    assert "Look at the prompt." in refused.text
    made = await ask("POST", "/monitors", form=urlencode({**typed, "owner": "ilse"}))
    assert (made.status, made.headers["location"]) == (303, "/monitors/billing-cites?saved=1")
    monitor = house.monitors.find("billing-cites").monitor
    assert (monitor.owner, monitor.threshold, monitor.slice) == ("ilse", 0.1, "billing")
    assert monitor in house.watch.monitors
    again = await ask("POST", "/monitors", form=urlencode({**typed, "owner": "ilse"}))
    assert again.status == 409
    here = "/monitors/billing-cites"
    bad = await ask("POST", f"{here}/edit", form=urlencode({**typed, "owner": "ilse", "threshold": "much"}))
    assert bad.status == 400
    assert 'value="much"' in bad.text
    changed = await ask("POST", f"{here}/edit", form=urlencode({**typed, "owner": "kim", "threshold": ""}))
    assert changed.status == 303
    assert house.monitors.find("billing-cites").monitor.threshold is None
    page = (await ask("GET", f"{here}?saved=1")).text
    assert "Saved: in effect now." in page
    assert "v2" in page
    assert 'href="/assets/monitors/billing-cites"' in page
    assert (await ask("GET", "/assets/monitors/billing-cites")).status == 200
    assert "Turn this monitor off?" in (await ask("GET", f"{here}?confirm=remove")).text
    assert (await ask("POST", f"{here}/remove")).status == 303
    assert house.monitors.find("billing-cites").off
    assert (await ask("POST", f"{here}/explode")).status == 400


async def test_actions_are_taken_and_taken_back_on_the_incidents_page(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        await house.healthy()
        incident = await house.break_prompt()
        await house.rollouts.turn()
        ask, here = client_of(house), f"/incidents/{incident.id}"
        page = (await ask("GET", here)).text
        assert "Pause the rollout" in page
        assert "support has no other model to fall back to" in page or "Switch the route:" in page
        assert 'href="/monitors/cites"' in page
        done = await ask("POST", f"{here}/act", form="action=pause_rollout")
        assert (done.status, done.headers["location"]) == (303, f"{here}#acts-h")
        page = (await ask("GET", here)).text
        assert "it is paused already" in page
        assert "Take it back" in page
        refused = await ask("POST", f"{here}/act", form="action=pin_model")
        assert refused.status == 409
        assert "no change of a model" in refused.text
        (deed,) = (await house.desk.get(incident.id)).deeds
        assert (await ask("POST", f"{here}/undo", form=f"deed={deed.id}")).status == 303
        assert "taken back by operator" in (await ask("GET", here)).text
        assert (await ask("POST", f"{here}/undo", form=f"deed={deed.id}")).status == 409
        assert (await ask("POST", f"{here}/undo", form="deed=act_none")).status == 404
        listed = (await ask("GET", "/monitors")).text
        assert f'href="/incidents/{incident.id}">alarm</a>' in listed
        assert "waits for Prompt team" in listed


async def test_causes_that_act_together_and_beliefs_without_a_cause_are_told(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        await house.healthy()
        incident = await house.break_prompt()
        report = incident.report
        assert report is not None
        assert report.cause is not None
        other = replace(report.cause, kind="guards", asset="guards:/default", after="default/2", layer=4)
        chained = report.evolve(also=(other,), together="chain", apart=("cost moved for another reason",))
        await house.desk._change(incident.id, lambda i, now: replace(i, report=chained))
        ask, here = client_of(house), f"/incidents/{incident.id}"
        text = (await ask("GET", here)).text
        assert "How it hangs together" in text
        assert "it takes both to break an answer, so taking back either mends them" in text
        assert "cost moved for another reason" in text
        beliefs = tuple(LayerBelief(layer=layer, belief=belief) for layer, belief in ((2, 0.7), (1, 0.25), (5, 0.001)))
        unknown = report.evolve(cause=None, certainty="unknown", layers=beliefs)
        await house.desk._change(incident.id, lambda i, now: replace(i, report=unknown))
        text = (await ask("GET", here)).text
        assert "No recorded change is to blame." in text
        assert "70 %" in text
        assert "0 %" not in text.partition("How it hangs together")[2].partition("</section>")[0].replace("70 %", "")


async def test_a_trend_has_gaps_where_nothing_came_and_stays_inside_its_frame() -> None:
    known = ((0, 10, 9.0), (600, 4, 0.0), (9_999, 1, 1.0))
    parts = [Part(start_ns=at * NS, n=n, total=total) for at, n, total in known]
    found = trend(
        parts, (0, 3600 * NS), 300 * NS, title="Cites", levels=[(0.95, "usual", "")], alarms=[600 * NS, 7200 * NS]
    )  # fmt: skip
    assert found is not None
    assert "lowest 0.00" in found.sentence
    assert "over 14 values" in found.sentence
    assert len(found.alarms) == 1
    assert all(34 <= x <= 800 for x, _ in found.alarms)
    assert trend([], (0, 3600 * NS), 300 * NS, title="Cites") is None

"""The list of incidents with its report, and what a person does on the page of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from web_house import WebHouse, build, client_of, closing

from trimtab.incidents import Pair
from trimtab.web.pages.incidents import report_of
from trimtab.web.pages.stack import moved_signals, remembered, serving
from trimtab.web.window import window

pytestmark = pytest.mark.asyncio


async def broken(house: WebHouse) -> int:
    await house.healthy()
    return (await house.break_prompt()).id


async def test_the_list_tells_how_long_it_took_and_where_incidents_come_from(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        number = await broken(house)
        ask = client_of(house)
        text = (await ask("GET", "/incidents")).text
        for said in ("Last 30 days", "1 incident, ", "Detected", "Attributed", "after the onset", "Prompt", "100 %"):
            assert said in text, said
        incident = await house.desk.get(number)
        assert f'href="/incidents?state={incident.state}"' in text
        other = "closed" if incident.state != "closed" else "open"
        text = (await ask("GET", f"/incidents?state={other}")).text
        assert f"No incident is {other}." in text
        assert "No incident is" not in (await ask("GET", "/incidents?state=nonsense")).text
        assert report_of([incident], incident.opened_ns + 40 * 86_400 * 10**9) is None
        open_one = replace(incident, mitigated_ns=0, acknowledged_by="", closed_ns=0)
        found = report_of([open_one], incident.opened_ns)
        assert found is not None
        assert (found.figures.without_action, found.layers[0].layer) == ((number,), 3)


async def test_an_empty_list_has_no_report(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        text = (await client_of(house)("GET", "/incidents")).text
        assert "Last 30 days" not in text
        assert "No incident so far" in text


async def test_a_person_resolves_what_the_machine_cannot_see(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        number = await broken(house)
        await house.desk._change(number, lambda i, _: replace(i, state="acknowledged", mitigated_ns=0))
        ask = client_of(house)
        here = f"/incidents/{number}"
        assert f'action="{here}/resolve"' in (await ask("GET", here)).text
        empty = await ask("POST", f"{here}/resolve", form="text=+")
        assert (empty.status, (await house.desk.get(number)).state) == (400, "acknowledged")
        assert "Say how you know." in empty.text
        assert (await ask("POST", f"{here}/resolve", form="text=the+vendor+says+so")).status == 303
        assert (await house.desk.get(number)).state == "resolved"
        text = (await ask("GET", here)).text
        assert "the vendor says so" in text
        assert f'action="{here}/resolve"' not in text


async def test_the_page_shows_what_a_replay_mended_while_its_trace_is_kept(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        number = await broken(house)
        trace = (await house.desk.get(number)).traces[0]
        pairs = tuple(
            Pair(trace_id=each, restored="prompts answer/1", layer=3, before=f"<b>{each[:4]} bad</b>", after="good")
            for each in (trace, "e" * 32)
        )
        await house.desk._change(number, lambda i, _: replace(i, pairs=pairs))
        text = (await client_of(house)("GET", f"/incidents/{number}")).text
        assert "Before and after" in text
        assert "1 request asked again; nothing but" in text
        assert "eeee bad" not in text, "its trace is gone"
        assert f"&lt;b&gt;{trace[:4]} bad" in text
        assert "with prompts answer/1 put back" in text


async def test_the_stack_lists_no_versions_of_the_regression_cases(tmp_path: Path) -> None:
    """They serve nobody, and an incident writes several of them."""
    with closing(await build(tmp_path)) as house:
        await broken(house)
        kept = [change for change in house.registry.changes() if change.name == "regressions"]
        assert kept, "the machine keeps cases"
        assert "regressions v" not in (await client_of(house)("GET", "/")).text
        assert serving([*kept, replace(kept[0], actor="mara")])[0].actor == "mara", "what a person does is shown"


async def test_the_stack_draws_a_measured_signal_while_somebody_looks_into_it(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        number = await broken(house)
        ask = client_of(house)
        await house.desk._change(number, lambda i, _: replace(i, signals=(*i.signals, "length", "nonsense")))
        live = await house.desk.get(number)
        assert moved_signals(house.watch, [live]) == ("length",)
        shown = window("15m", house.clock(), 0)
        seen = house.watch.evidence("length")[0]
        found = remembered(house.watch, ("length",), shown)
        assert sum(bucket.n for bucket in found) == sum(shown.since_ns <= one.time_ns < shown.until_ns for one in seen)
        text = (await ask("GET", "/")).text
        assert "Length as usual" in text
        await house.desk._change(number, lambda i, _: replace(i, state="closed"))
        assert moved_signals(house.watch, [await house.desk.get(number)]) == ()
        assert "Length as usual" not in (await ask("GET", "/")).text

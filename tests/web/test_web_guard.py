"""The guard's pages: figures, findings, the box to try a text in, calls that wait, and where data went."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from web_guard import did, dual_run, finding, tell_guard
from web_house import Answer, Page, WebHouse, build, client_of, closing

from trimtab.web.dataflow import dataflow


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    with closing(await build(tmp_path)) as made:
        await tell_guard(made, "<b>hostile</b>")
        yield made


async def get(house: WebHouse, path: str) -> str:
    answer = await client_of(house)("GET", path)
    assert answer.status == 200, answer.text[:500]
    return answer.text


async def post(house: WebHouse, path: str, **fields: str) -> Answer:
    return await client_of(house)("POST", path, form=urlencode(fields))


def seen(html: str) -> str:
    """The words of a page, each space once."""
    return " ".join("".join(Page(html).text).split())


def row(html: str, name: str) -> list[str]:
    """The cells of the last row of a table that begins with a name."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    cells = [[" ".join(re.sub(r"<[^>]+>", " ", c).split()) for c in re.findall(r"<td[^>]*>(.*?)</td>", r, re.DOTALL)]
             for r in rows]  # fmt: skip
    return next(found for found in reversed(cells) if found and found[0] == name)


async def test_the_joint_rate_stands_first_and_every_scanner_below_it(house: WebHouse) -> None:
    html = await get(house, "/guard/support-guard")
    said = seen(html)
    assert said.index("Good requests blocked") < said.index("Attacks caught") < said.index("Scanners")
    assert "1.00 % inside budget" in said
    assert "100 benign texts, none of them yours" in said
    _, where, does, share, interval, _chart, only, caught, p50, _p95, hits = row(html, "codename")
    assert (where, does, share, only, caught, p50, hits) == (
        "input",
        "block",
        "1.00 %",
        "1",
        "50 %",
        "in one pass",
        "3",
    )
    assert interval == "0.18 to 5.45"
    assert row(html, "personal")[10] == "1"
    assert row(html, "tool calls")[10] == "1"
    assert row(html, "All together")[3] == "1.00 %"


async def test_a_policy_that_nobody_measured_says_so_and_is_measured_by_hand(house: WebHouse) -> None:
    assert "not measured" in seen(await get(house, "/guard/default"))
    await house.registry.register("guards", "narrow", {"stages": {"input": [
        {"name": "how", "patterns": ["(?i)how do"], "action": "block", "reason": "no questions"}]}})  # fmt: skip
    await did(house, "Where is my order?", finding("x", "flag"), pin="narrow/1")
    answer = await post(house, "/guard/narrow/measure")
    assert (answer.status, answer.headers["location"]) == (303, "/guard/narrow")
    said = seen(await get(house, "/guard/narrow"))
    assert "measured just now by operator" in said or "measured just now by" in said
    assert "of them yours" in said
    last = await house.guarding.measuring.measurements.last("narrow")
    assert last is not None
    assert {"ordinary", "traffic"} <= {each["set"] for each in last.report["sets"]}


async def test_one_click_says_that_a_block_was_wrong(house: WebHouse) -> None:
    html = await get(house, "/guard/support-guard")
    trace = re.findall(r'name="trace_id" value="([0-9a-f]{32})"', html)[-1]
    answer = await post(house, "/guard/support-guard/wrong", trace_id=trace)
    assert (answer.status, answer.headers["location"]) == (303, "/guard/support-guard#recent")
    said = seen(await get(house, "/guard/support-guard"))
    assert "called wrong" in said
    assert "“This was wrong”, 7 days1of 4 blocks1 since the last measurement" in said
    (case,) = house.registry.versions("datasets", "guard-benign")[-1].content["cases"]
    assert (case["input"], case["source_trace"]) == ("What is project osprey 0?", trace)
    await post(house, "/guard/support-guard/measure")
    assert "Of 1 block called wrong it still stops 1." in seen(await get(house, "/guard/support-guard"))
    assert (await post(house, "/guard/support-guard/wrong", trace_id="0" * 32)).status == 404


async def test_findings_are_shown_by_what_was_done(house: WebHouse) -> None:
    assert "What is project osprey 2?" in await get(house, "/guard/support-guard")
    redacted = await get(house, "/guard/support-guard?show=redact")
    assert "My IBAN is DE89" in redacted
    assert "data-wrong" not in redacted
    assert "Nothing of this kind" in await get(house, "/guard/default")
    assert (await client_of(house)("GET", "/guard/nobody")).status == 404


async def test_a_text_is_tried_and_nothing_of_it_is_kept(house: WebHouse) -> None:
    text = "Tell me of PROJECT OSPREY.\nPay DE89 3704 0044 0532 0130 00"
    before = await house.metadata.read(lambda c: c.exec_driver_sql("select count(*) from guard_measurements").scalar())
    answer = await post(house, "/guard/support-guard/try", text=text, stage="input", source="user")
    assert answer.status == 200
    marked = re.findall(r"<mark[^>]*>(.*?)</mark>", answer.text)
    assert marked == ["PROJECT OSPREY", "DE89 3704 0044 0532 0130 00"]
    assert row(answer.text, "codename")[1:] == ["1.00", "1.00", "block"]
    assert row(answer.text, "personal")[3].startswith("redact")
    assert "PROJECT OSPREY" not in await get(house, "/guard/support-guard")
    after = await house.metadata.read(lambda c: c.exec_driver_sql("select count(*) from guard_measurements").scalar())
    assert after == before
    for fields in ({"text": " "}, {"text": "x" * 20_001}):
        assert (await post(house, "/guard/support-guard/try", **fields)).status == 400
    hidden = await post(house, "/guard/support-guard/try", text="ｐｒｏｊｅｃｔ ｏｓｐｒｅｙ")
    assert "project osprey" in hidden.text
    assert row(hidden.text, "codename")[3] == "block"


async def test_calls_that_wait_are_decided_here_once(house: WebHouse) -> None:
    html = await get(house, "/guard/approvals")
    assert "2 tool calls wait for a person" in seen(html)
    assert html.index("send_money") < html.index("send_mail")
    assert 'data-left="' in html
    assert "DE89 3704 0044 0532 0130 00" in html
    first, second = re.findall(r'action="/guard/approvals/(apr_\w+)"', html)
    bare = await post(house, f"/guard/approvals/{second}", decision="refuse")
    assert (bare.status, "needs a reason" in bare.text) == (400, True)
    assert (await post(house, f"/guard/approvals/{first}", decision="perhaps")).status == 400
    assert (await post(house, f"/guard/approvals/{first}", decision="approve")).status == 303
    assert (await post(house, f"/guard/approvals/{second}", decision="refuse", note="unknown")).status == 303
    again = await post(house, f"/guard/approvals/{second}", decision="approve", note="typed")
    assert (again.status, "refused already" in again.text) == (409, True)
    assert (await post(house, "/guard/approvals/apr_none", decision="approve")).status == 404
    said = seen(await get(house, "/guard/approvals"))
    assert "No tool call waits for a person" in said
    assert (await house.guarding.approvals.find(second)).note == "unknown"


async def test_a_policy_that_does_not_compile_is_shown_as_what_it_is(house: WebHouse) -> None:
    await house.registry.register("guards", "broken", {"stages": {"input": [{"name": "x"}]}})
    assert "does not compile" in await get(house, "/guard/broken")
    assert (await post(house, "/guard/broken/measure")).status == 409
    assert (await post(house, "/guard/broken/try", text="hello")).status == 400


async def test_the_data_flow_of_a_dual_run(house: WebHouse) -> None:
    html = await get(house, f"/traces/{'d0' * 16}/flow")
    said = seen(html)
    assert "The call of send_money was refused: to comes from tool:read_bill." in said
    assert row(html, "3.1")[4] == "1"
    assert "refused" in row(html, "3.1")[5]
    assert "tool:read_bill user" in row(html, "3.1")[2]
    assert row(html, "$account")[1:] == ["2", "tool:read_bill user", "accounting@ours.example", "3, 3.1, 4"]
    assert f'href="/traces/{"d0" * 16}/flow"' in await get(house, f"/traces/{'d0' * 16}")
    assert (await client_of(house)("GET", f"/traces/{house.asked:032x}/flow")).status == 404


def test_a_plan_that_a_sender_made_up_breaks_nothing() -> None:
    (root, *rest) = dual_run(10**18, "ab" * 16)
    for plan in (
        "[",
        "[[[[",
        "{}",
        '["x", 3, {"call": {"a": 1}, "arguments": 4, "as": 7}]',
        '[{"each": 1, "steps": 3}]',
    ):
        root.attributes["dual.plan"] = plan  # type: ignore[index]
        found = dataflow([root, *rest])
        assert found is not None
    assert dataflow(rest) is None

"""Dashboards, the explorer, and what stands around the list of traces: figures that agree with the store."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from web_house import Client, Page, WebHouse, build, client_of, close, explore

from trimtab.core import Stamp

SECOND = 10**9
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebHouse]:
    """Two models and two prompts over three hours, some requests failed, one without a price, one of Trimtab's own."""
    house = await build(tmp_path_factory.mktemp("busy"))
    for number in range(60):
        house.clock.ns += 180 * SECOND
        second = {"model": "quick", "cost_usd": 0.01, "stamp": Stamp(prompt="support-answer/2")}
        more = second if number % 3 == 0 else {}
        bad = {"status": "error", "error": "it broke"} if number % 6 == 0 else {}
        await house.ask(**more | bad)
    await house.ask(cost_usd=None)
    await house.ask(project="trimtab")
    await house.registry.move_label("prompts", "support-answer", "production", 2, actor="mara", note="shorter answers")
    await house.spans.flush()
    yield house
    close(house)


@pytest.fixture
def client(busy: WebHouse) -> Client:
    return client_of(busy)


def cells(text: str, caption: str) -> list[list[str]]:
    """The rows of the table under a heading, as text."""
    part = text[text.index(f'id="{caption}"') :]
    body = part[part.index("<tbody>") : part.index("</tbody>")]
    return [
        [html.unescape(re.sub(r"<[^>]*>", " ", cell)).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)]
        for row in re.findall(r"<tr.*?</tr>", body, re.S)
    ]


async def test_the_dashboard_counts_what_the_store_counts(busy: WebHouse, client: Client) -> None:
    text = (await client("GET", "/dashboards?w=24h")).text
    rows = cells(text, "cells")
    assert sum(int(row[1]) for row in rows) == 61, "all but Trimtab's own"
    assert sum(int(row[2]) for row in rows) == 10
    models = {row[0]: row for row in cells(text, "models")}
    assert models["quick"][1] == "20"
    assert models["quick"][3] == "20 ¢"
    assert models["steady"][3].endswith("+ 1 unpriced")
    assert "61 requests" in text


async def test_every_chart_has_a_sentence_and_the_change_stands_on_the_axis(client: Client) -> None:
    page = Page((await client("GET", "/dashboards?w=24h")).text)
    sentences = [attrs["aria-label"] or "" for tag, attrs in page.tags if attrs.get("role") == "img" and tag == "svg"]
    for title in ("Requests", "Share that failed", "Latency", "Cost by model", "Tokens", "Cites"):
        assert any(one.startswith(f"{title}, ") for one in sentences), title
    assert any("served 51, refused 0, errors 10" in one for one in sentences)
    marks = [attrs for tag, attrs in page.tags if tag == "a" and attrs.get("class", "").startswith("mk ")]  # type: ignore[union-attr]
    ids = {attrs.get("id") for _, attrs in page.tags}
    assert marks
    assert all(f"{mark['href']}"[1:] in ids for mark in marks)
    assert any("support-answer v2" in f"{mark['aria-label']}" for mark in marks)


async def test_windows_cells_and_projects_live_in_the_address(busy: WebHouse, client: Client) -> None:
    by_day = (await client("GET", "/dashboards?w=7d&by=day")).text
    assert "by day of UTC" in by_day
    assert "by hour" in (await client("GET", "/dashboards?w=7d")).text
    own = (await client("GET", "/dashboards?w=24h&project=trimtab")).text
    assert "1 request" in own
    earlier = re.search(r'href="(/dashboards\?[^"]*until=\d+)" data-key="\["', by_day)
    assert earlier is not None
    before = await client("GET", html.unescape(earlier[1]))
    assert 'data-key="]"' in before.text
    assert parse_qs(urlsplit(html.unescape(earlier[1])).query)["by"] == ["day"]
    unknown = await client("GET", "/dashboards?w=forever&by=moon&until=soon")
    assert unknown.status == 200


async def test_a_question_is_answered_as_a_table_whose_rows_lead_to_their_requests(client: Client) -> None:
    text = (await client("GET", "/dashboards/explore?" + urlencode({
        "q": "| by prompt, status | count, avg cost, p95 duration", "w": "24h"})
    )).text  # fmt: skip
    rows = cells(text, "groups")
    assert rows[0][:3] == ["support-answer/1", "ok", "41"]
    link = next(
        html.unescape(found)
        for found in re.findall(r'data-main href="([^"]*)"', text)
        if "error" in html.unescape(found)
    )
    asked = parse_qs(urlsplit(link).query)["q"][0]
    assert asked == "prompt=support-answer/2 status=error"
    listed = await client("GET", link)
    assert listed.text.count("<tr data-row=") == 10


async def test_a_course_of_time_is_drawn_and_adds_up(client: Client) -> None:
    text = (await client("GET", "/dashboards/explore?" + urlencode({
        "q": "| by time:1h, model | count, sum cost", "w": "24h"})
    )).text  # fmt: skip
    labels = [html.unescape(one) for one in re.findall(r'role="img" aria-label="([^"]*)"', text)]
    count = next(one for one in labels if one.startswith("Count, by hour"))
    assert "steady 41, quick 20." in count
    assert any(one.startswith("Sum of cost, by hour") and "quick 20 ¢" in one for one in labels)


async def test_two_versions_and_two_windows_stand_side_by_side(client: Client) -> None:
    question = "| count, errors, avg cost | compare prompt=support-answer/1 with prompt=support-answer/2"
    text = (await client("GET", "/dashboards/explore?" + urlencode({"q": question, "w": "24h"}))).text
    rows = {row[0]: row[1:] for row in cells(text, "compared")}
    assert rows["Count"][:3] == ["41", "20", "−21"]
    before, after, difference, interval_text, n = rows["Share of errors"]
    assert (before, after, difference, n) == ("0 %", "50 %", "+50.0 points", "41 → 20")
    low, high = (float(one) for one in interval_text.split(" to "))
    assert 20 < low < 50 < high < 75
    assert rows["Mean cost"][3] == "no interval"
    windows = (await client("GET", explore("| count | compare previous"))).text
    assert "The window before and This window" in windows or "The window before and this window" in windows


async def test_a_question_without_groups_is_figures_and_leads_to_the_list(client: Client) -> None:
    text = (await client("GET", "/dashboards/explore?q=status%3Derror&w=24h")).text
    assert re.search(r"<dt>Count</dt><dd class=\"big\">10</dd>", text)
    assert "/traces?q=status%3Derror" in text


async def test_a_word_that_cannot_be_read_is_marked(client: Client) -> None:
    answer = await client("GET", "/dashboards/explore?" + urlencode({"q": "| by moon | count"}))
    assert answer.status == 400
    assert '<mark class="bad">moon</mark>' in answer.text


async def test_questions_that_are_asked_often_can_be_asked(client: Client) -> None:
    text = (await client("GET", "/dashboards?w=24h")).text
    links = re.findall(r'href="(/dashboards/explore\?[^"]*)"', text)
    assert len(links) > 8
    assert any("compare+prompt%3Dsupport-answer%2F1+with" in link for link in links)
    for link in links:
        assert (await client("GET", html.unescape(link))).status == 200, link


async def test_the_list_counts_before_its_rows_and_leaves_what_takes_long_for_later(client: Client) -> None:
    at_once = (await client("GET", "/traces?q=prompt%3Dsupport-answer/2")).text
    assert "20 requests, 10 failed or refused" in at_once
    later = (await client("GET", "/traces?q=score:cites%3E0")).text
    poll = re.search(r'hx-get="(/traces/about\?[^"]*)" hx-trigger="load"', later)
    assert poll is not None
    assert 'id="count" class="small nowrap muted count" role="status"></span>' in later
    part = await client("GET", html.unescape(poll[1]), headers={"hx-request": "true"})
    assert "requests" in part.text
    assert 'id="facets"' in part.text
    by_hand = re.search(r'href="([^"]*about=1[^"]*)"', later)
    assert by_hand is not None
    assert 'hx-trigger="load"' not in (await client("GET", html.unescape(by_hand[1]))).text
    wrong = await client("GET", "/traces/about?q=cost%3Dmuch")
    assert wrong.status == 204


async def test_a_stretch_of_time_is_an_address(busy: WebHouse, client: Client) -> None:
    until = busy.clock() - 3600 * SECOND
    text = (await client("GET", f"/traces?since={until - 1800 * SECOND}&until={until}")).text
    assert text.count("<tr data-row=") == 10
    assert "Only from" in text
    assert 'id="newer"' not in text

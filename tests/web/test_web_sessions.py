"""Sessions: the list with its pages and filters, and a conversation from the top down."""

from __future__ import annotations

import re

from web_house import HOSTILE, Page, WebHouse, client_of

from trimtab.core import Score
from trimtab.web.pages.sessions import PAGE, session_href


async def talk(house: WebHouse, session: str, turns: int, first: int = 1, **more: object) -> list[str]:
    numbers = range(first, first + turns)
    return [(await house.ask(f"Turn {n} of {session}?", session=session, **more))[0] for n in numbers]


def names(text: str) -> list[str]:
    return re.findall(r'<span class="out clip mono">([^<]*)</span>', text)


async def test_the_list_counts_whole_sessions_newest_first(house: WebHouse) -> None:
    await talk(house, "first", 3, tags={"user": "ana"})
    await talk(house, "second", 2, status="error", error="it broke", model="", cost_usd=None)
    await talk(house, "", 2)
    await house.spans.flush()
    text = (await client_of(house)("GET", "/sessions")).text
    assert names(text) == ["second", "first"]
    row = text[text.index("Turn 1 of first?") :]
    assert ">ana<" in row
    assert '<td class="num">3</td>' in row
    assert "unpriced" not in text, "a request that reached no model costs nothing"
    assert 'class="num t-bad b">2<' in text


async def test_a_filter_finds_sessions_and_still_counts_all_of_their_requests(house: WebHouse) -> None:
    await talk(house, "mixed", 2)
    await talk(house, "mixed", 1, status="error", error="it broke")
    await talk(house, "fine", 2)
    await house.spans.flush()
    text = (await client_of(house)("GET", "/sessions?q=status%3Derror")).text
    assert names(text) == ["mixed"]
    assert '<td class="num">3</td>' in text
    assert "not only those that match" in text


async def test_pages_list_every_session_once(house: WebHouse) -> None:
    """Also those that come back long after their first turn, and those that go on while somebody reads."""
    for number in range(3 * PAGE):
        await talk(house, f"s{number}", 1)
        if number % 5 == 0:
            await talk(house, "again", 1)
    await house.spans.flush()
    client, path, found = client_of(house), "/sessions", list[str]()
    while path:
        text = (await client("GET", path)).text
        found += names(text)
        await talk(house, "s3", 1)
        await house.spans.flush()
        older = re.search(r'href="(/sessions\?cursor=[^"]*)">Older', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(found) == len(set(found))
    assert set(found) == {"again", *(f"s{number}" for number in range(3 * PAGE))}
    assert found[:2] == ["s74", "s73"]


async def test_a_wrong_word_or_place_is_pointed_at(house: WebHouse) -> None:
    await talk(house, "one", 1)
    await house.spans.flush()
    client = client_of(house)
    answer = await client("GET", "/sessions?q=cost%3Dmuch")
    assert answer.status == 400
    assert '<mark class="bad">cost=much</mark>' in answer.text
    for cursor in ("x", "1.2", "1.2.", "-1.2.abc", f"{'9' * 30}.1.a"):
        assert (await client("GET", f"/sessions?cursor={cursor}")).status == 400, cursor


async def test_a_conversation_reads_from_the_top_down(house: WebHouse) -> None:
    trace_ids = await talk(house, "talk", 2)
    await house.registry.move_label("prompts", "support-answer", "production", 2, actor="mara", note="new words")
    trace_ids += await talk(house, "talk", 1, 3)
    trace_ids += await talk(house, "talk", 1, 4, status="refused", error="The guard stopped it.", output="")
    await house.spans.write(
        (), [Score(id="thumb", trace_id=trace_ids[0], name="thumb", value=0.0, by="user", time_ns=1)]
    )
    await house.spans.flush()
    text = (await client_of(house)("GET", "/sessions/talk")).text
    assert Page(text).h1 == ["Turn 1 of talk?"]
    places = [text.index(f"Turn {n} of talk?</p>") for n in (1, 2, 3, 4)]
    assert places == sorted(places)
    assert [f'href="/traces/{trace_id}"' in text for trace_id in trace_ids] == [True] * 4
    assert text.count(">changed<") == 1
    changed = text.index(">changed<")
    assert places[2] < changed < places[3]
    assert "support-answer v2" in text[:changed][-300:]
    assert "The guard stopped it." in text
    assert 'href="/prompts/support-answer?v=1"' in text
    assert "Thumbs up" in text


async def test_a_long_conversation_comes_in_pages_with_its_numbers(house: WebHouse) -> None:
    await talk(house, "long", 130)
    await house.spans.flush()
    client = client_of(house)
    text = (await client("GET", "/sessions/long")).text
    assert re.findall(r">Turn ([\d,]+)</a>", text)[::99] == ["31", "130"]
    earlier = re.search(r'href="(/sessions/long\?cursor=[^"]*)"', text)
    assert earlier is not None
    text = (await client("GET", earlier[1].replace("&amp;", "&"))).text
    assert re.findall(r">Turn ([\d,]+)</a>", text)[::29] == ["1", "30"]
    assert "Newest turns" in text
    assert '<dd class="b">130</dd>' in text


async def test_any_name_of_a_session_has_an_address(house: WebHouse) -> None:
    client = client_of(house)
    for name in (HOSTILE, "..", ".", "a/b", "a/../b", "two words?", "ä#%2F&q=1"):
        await talk(house, name, 1)
    await house.spans.flush()
    for name in (HOSTILE, "..", ".", "a/b", "a/../b", "two words?", "ä#%2F&q=1"):
        answer = await client("GET", session_href(name))
        assert answer.status == 200, name
        assert "Turn 1 of" in answer.text
    missing = await client("GET", "/sessions/nobody")
    assert missing.status == 404
    assert "no session" in missing.text


async def test_a_trace_says_its_turn_and_leads_to_its_session(house: WebHouse) -> None:
    trace_ids = await talk(house, "talk", 3)
    await house.spans.flush()
    text = (await client_of(house)("GET", f"/traces/{trace_ids[1]}")).text
    assert '<a href="/sessions/talk">session talk, turn 2 of 3</a>' in text


async def test_without_sessions_the_page_says_how_they_come(house: WebHouse) -> None:
    text = (await client_of(house)("GET", "/sessions")).text
    assert "x-trimtab-session" in text

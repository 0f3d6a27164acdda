"""The pages over ASGI, on real rooms: what they say, what they hold back, what the forms do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from web_house import Page, Story, build, client_of, closing, tell

from trimtab.core import Layer
from trimtab.web.querybar import PAGE


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """Told once: its tests only read."""
    with closing(await build(tmp_path_factory.mktemp("story"))) as house:
        yield await tell(house)


pytestmark = pytest.mark.asyncio(loop_scope="module")


# What every page must have


async def test_every_page_has_its_landmarks_one_h1_labels_and_whole_markup(story: Story) -> None:
    for path in story.paths:
        answer = await story.client("GET", path)
        assert answer.status == 200, path
        page = Page(answer.text)
        assert len(page.h1) == 1, path
        assert page.h1[0].strip(), path
        assert page.headings[0] == 1 or set(page.headings[: page.headings.index(1)]) <= {2}, path
        assert not page.unclosed, path
        assert not page.misnested, path
        for landmark in ("header", "nav", "main"):
            assert page.all(landmark), (path, landmark)
        assert page.all("html")[0]["lang"] == "en"
        assert page.all("title")
        names = {attrs.get("for") for attrs in page.all("label")}
        for control in [*page.all("input"), *page.all("select"), *page.all("textarea")]:
            named = control.get("type") == "hidden" or control.get("aria-label") or control.get("id") in names
            assert named, (path, control)
        for image in [attrs for _, attrs in page.tags if attrs.get("role") == "img"]:
            assert image.get("aria-label"), path
        assert all("scope" in attrs for attrs in page.all("th")), path
        ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
        assert len(ids) == len(set(ids)), (path, sorted(i for i in ids if ids.count(i) > 1))
        for _, attrs in page.tags:
            for name in ("aria-labelledby", "aria-describedby"):
                assert attrs.get(name) is None or attrs[name] in ids, (path, attrs)


async def test_no_page_needs_what_the_policy_forbids(story: Story) -> None:
    for path in [*story.paths, "/nothing-here"]:
        answer = await story.client("GET", path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        page = Page(answer.text)
        for tag, attrs in page.tags:
            assert "style" not in attrs, (path, tag)
            assert not [name for name in attrs if name.startswith("on")], (path, tag)
            for name in ("src", "href", "action", "hx-get"):
                value = attrs.get(name)
                assert value is None or value.startswith(("/", "#", "?")), (path, tag, value)
        assert not page.all("style")
        assert all(attrs.get("src") for attrs in page.all("script"))


async def test_hostile_text_is_shown_as_text(story: Story) -> None:
    seen = 0
    for path in story.paths:
        text = (await story.client("GET", path)).text
        assert "<script>window" not in text, path
        assert "<img" not in text, path
        assert "<svg onload" not in text, path
        seen += "&lt;script&gt;window.pwned=1" in text
    assert seen >= 6


async def test_every_link_of_every_page_leads_somewhere(story: Story) -> None:
    asked: set[str] = set()
    for path in story.paths:
        base = path.partition("?")[0]
        for attrs in Page((await story.client("GET", path)).text).all("a"):
            href = (attrs.get("href") or "").partition("#")[0]
            asked.add(base + href if href.startswith("?") else href)
    for href in sorted(asked - {""}):
        answer = await story.client("GET", href)
        assert answer.status == 200, href
    assert len(asked) > 40


async def test_every_fragment_that_a_link_names_is_there(story: Story) -> None:
    text = (await story.client("GET", "/")).text
    page = Page(text)
    ids = {attrs.get("id") for _, attrs in page.tags}
    targets = {a["href"][1:] for a in page.all("a") if (a.get("href") or "").startswith("#")}  # type: ignore[index]
    assert targets <= ids
    assert any(target.startswith("change-") for target in targets)


# Stack


async def test_the_stack_says_what_is_wrong_in_which_layer_and_what_to_do(story: Story) -> None:
    text = (await story.client("GET", "/")).text
    h1 = Page(text).h1[0]
    assert "Answers stopped citing their sources" in h1
    assert "support-answer v2" in text
    assert "Layer 3, prompt, proven" in text
    assert "Roll back to v1" in text
    assert "at fault, proven" in text
    assert "the cause, proven" in text
    assert 'class="q5"' in text
    assert "support-answer v2 to 50 % of sessions" in text


async def test_a_swap_brings_the_live_part_and_the_clock_and_nothing_else(story: Story) -> None:
    for path in ("/", f"/incidents/{story.incident.id}"):
        answer = await story.client("GET", path, headers={"hx-request": "true"})
        assert re.match(r"\s*<div id=\"live\" hx-get=", answer.text)
        assert 'id="asof"' in answer.text
        assert "<html" not in answer.text
        assert "HX-Request" in answer.headers["vary"]


async def test_a_past_window_does_not_poll(story: Story) -> None:
    until = story.house.clock.ns - 600 * 10**9
    text = (await story.client("GET", f"/?w=15m&until={until}")).text
    assert 'id="live"' in text
    assert "hx-trigger" not in text
    assert 'data-key="]"' in text


async def test_nonsense_in_the_address_gives_a_page_and_not_an_error(story: Story) -> None:
    for path in ("/?w=9y&until=-5", "/?until=99999999999999999999999", "/traces?cursor=zzz", "/traces?w=x&q=%22"):
        assert (await story.client("GET", path)).status in (200, 400)
    assert (await story.client("GET", "/traces/newer?q=%22")).status == 400
    for path in ("/traces/compare?t=1", "/traces/compare"):
        assert (await story.client("GET", path)).status == 303
    for path in ("/incidents/x", "/incidents/999", "/traces/zz", "/prompts/none", "/prompts/support-answer?v=99"):
        answer = await story.client("GET", path)
        assert answer.status == 404, path
        assert "What to do" in answer.text


# Incident


async def test_an_incident_shows_facts_evidence_and_the_way_out(story: Story) -> None:
    text = (await story.client("GET", f"/incidents/{story.incident.id}")).text
    for needle in (
        "What broke", "For whom", "Same minutes, with and without v2", "95 % interval", "Failing answers", "Not tested",
        "Prompt team", "Before you close", "not acknowledged", "Roll back to v1", "Yes, gladly.",
    ):  # fmt: skip
        assert needle in text, needle
    assert re.search(r'class="ln bad" d="M', text)
    assert re.search(r'class="ln " d="M', text)
    effect = story.incident.report
    assert effect is not None
    assert re.search(r"−[01]\.\d\d to −0\.\d\d", text)


async def test_the_list_shows_it_too(story: Story) -> None:
    text = (await story.client("GET", "/incidents")).text
    assert "Answers stopped citing their sources" in text
    assert '<span class="vh">, open: </span>1' in text


# Traces


async def test_the_list_pages_by_cursor_and_says_the_same_as_the_detail(story: Story) -> None:
    seen: list[str] = []
    path = "/traces?q=score:cites%3C0.5"
    while path:
        text = (await story.client("GET", path)).text
        rows = re.findall(r"<tr data-row.*?</tr>", text, re.S)
        assert len(rows) <= PAGE
        assert all("fail" in row for row in rows)
        seen += [re.search(r"/traces/([0-9a-f]{32})", row)[1] for row in rows]  # type: ignore[index]
        older = re.search(r'href="([^"]+)">Older', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) > 3
    detail = (await story.client("GET", f"/traces/{seen[0]}")).text
    assert '<span class="v fail">fail</span>' in detail


async def test_a_wrong_word_is_pointed_at_and_the_query_is_kept(story: Story) -> None:
    answer = await story.client("GET", "/traces?q=refund+modle%3Dx+status%3Dok")
    assert answer.status == 400
    assert '<mark class="bad">modle=x</mark>' in answer.text
    assert "Did you mean model?" in answer.text
    assert 'value="refund modle=x status=ok"' in answer.text


async def test_nothing_found_says_what_to_do(story: Story) -> None:
    text = (await story.client("GET", "/traces?q=session%3Dnobody&w=1h")).text
    assert "No request matches" in text
    assert "session=nobody" in text
    assert "Search all time" in text


async def test_newer_requests_are_counted_and_not_pushed(story: Story) -> None:
    after = story.house.clock.ns - 2 * 10**9
    text = (await story.client("GET", f"/traces/newer?q=&w=&after={after}", headers={"hx-request": "true"})).text
    assert re.search(r">\d+\+? newer</a>", text)
    none = await story.client("GET", f"/traces/newer?after={story.house.clock.ns + 1}", headers={"hx-request": "true"})
    assert "newer</a>" not in none.text


async def test_a_trace_shows_stamp_tree_passages_and_cost(story: Story) -> None:
    trace = f"{story.house.asked:032x}"
    text = (await story.client("GET", f"/traces/{trace}")).text
    for needle in (
        "simulated-steady-1 sim_a1", "help v1", "default v1", "3 spans", "500 d ▲", "input, from cache", "check cites",
        "judge quality v1", "show all", "50 % rollout",
    ):  # fmt: skip
        assert needle in text, needle
    assert "Part of" not in text or f"/incidents/{story.incident.id}" in text


async def test_a_trace_of_the_suspect_version_says_so(story: Story) -> None:
    text = (await story.client("GET", "/traces?q=score:cites%3C0.5+prompt%3Dsupport-answer/2")).text
    trace = re.search(r"/traces/([0-9a-f]{32})", text)
    assert trace
    detail = (await story.client("GET", f"/traces/{trace[1]}")).text
    assert "suspect" in detail
    assert f'href="/incidents/{story.incident.id}"' in detail


async def test_two_traces_side_by_side_mark_what_differs(story: Story) -> None:
    text = (await story.client("GET", f"/traces/compare?t={1:032x}&t={story.hostile}")).text
    assert "<mark>" in text
    assert "Stamp, figures, scores" in text


async def test_jump_goes_where_the_words_say(story: Story) -> None:
    trace = f"{3:032x}"
    for q, where in (
        (trace, f"/traces/{trace}"), (str(story.incident.id), f"/incidents/{story.incident.id}"),
        ("support-answer", "/prompts/support-answer"), ("incidents", "/incidents"), ("refund", "/traces?q=refund"),
    ):  # fmt: skip
        answer = await story.client("GET", f"/jump?q={q}")
        assert (answer.status, answer.headers["location"]) == (303, where)


# Prompts


async def test_a_prompt_shows_difference_rollout_and_scores_of_both_versions(story: Story) -> None:
    text = (await story.client("GET", "/prompts/support-answer")).text
    assert "1 to 2" in text
    assert '<div class="d">' in text
    assert '<div class="a">' in text
    assert "Rollout of v2" in text
    assert "50 % rollout" in text
    assert "production 50 %" in text
    assert "Roll back to v1" in text
    assert re.search(r'num b t-bad">0\.\d\d', text)


# Errors


async def test_errors_of_the_api_are_problem_details(story: Story) -> None:
    limit = await story.client("GET", "/api/fails/limit")
    assert limit.status == 429
    assert limit.headers["content-type"] == "application/problem+json"
    assert limit.headers["retry-after"] == "2"
    assert limit.json == {
        "type": "urn:trimtab:error:limit_reached", "title": "Limit reached", "status": 429,
        "detail": "Too many requests.", "field": "", "mend": "Wait.", "layer": int(Layer.OPERATIONS),
    }  # fmt: skip
    field = (await story.client("GET", "/api/fails/field")).json
    assert (field["field"], field["mend"], field["status"]) == ("name", "Send text.", 400)
    assert (await story.client("GET", "/api/nothing")).json["status"] == 404
    method = await story.client("POST", "/api/fails/limit")
    assert method.status == 405
    assert method.json["status"] == 405


async def test_errors_of_pages_are_pages(story: Story) -> None:
    for path, status in (("/nothing", 404), ("/fails/limit", 429), ("/fails/full", 503)):
        answer = await story.client("GET", path)
        assert answer.status == status
        assert Page(answer.text).h1
    assert "retry-after" in (await story.client("GET", "/fails/limit")).headers


async def test_a_mistake_of_ours_is_a_500_that_tells_nothing(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/fails/other", "/api/fails/other"):
        answer = await story.client("GET", path, breaks=RuntimeError)
        assert answer.status == 500
        assert "secret detail" not in answer.text
        assert "The server's log has the details." in answer.text.replace("&#39;", "'")
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert "secret detail" in caplog.text


async def test_static_files_are_kept_and_vendored_ones_are_what_they_claim(story: Story) -> None:
    style = await story.client("GET", "/static/style.css?v=1")
    assert style.status == 200
    assert "max-age=31536000" in style.headers["cache-control"]
    assert (await story.client("GET", "/static/../app.py")).status == 404


async def test_health_and_metrics(story: Story) -> None:
    assert (await story.client("GET", "/healthz")).text == "ok\n"
    assert (await story.client("GET", "/readyz")).text == "ready\n"
    text = (await story.client("GET", "/metrics")).text
    assert "trimtab_spans_dropped_total 0\n" in text
    assert 'trimtab_incidents_open{severity="2"} 1\n' in text
    assert re.search(r'trimtab_requests\{status="ok"\} [1-9]', text)
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{\w+=\"\w+\"\})? \d+(\.\d+)?", line)


async def test_a_page_is_small(story: Story) -> None:
    for path in ("/", "/traces"):
        answer = await story.client("GET", path, headers={"accept-encoding": "gzip"})
        assert int(answer.headers["content-length"]) < 60_000


# Houses that a test changes


async def test_before_the_first_request_the_stack_shows_how_to_send_one(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        client = client_of(house)
        text = (await client("GET", "/")).text
        assert "Send your first request" in text
        assert "http://127.0.0.1:4100/v1" in text
        assert "curl http" in (await client("GET", "/?lang=curl")).text.replace("<mark>", "")
        assert 'hx-trigger="tick from:body"' in text
        assert "No request has arrived yet" in (await client("GET", "/traces")).text
        assert "No incident so far" in (await client("GET", "/incidents")).text
        await house.ask()
        await house.spans.flush()
        swap = (await client("GET", "/", headers={"hx-request": "true"})).text
        assert "Send your first request" not in swap
        assert "Nothing is wrong. Last change" in swap
        assert "1 seen, learning" in swap


async def test_notes_and_dropped_spans_are_on_every_page(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        house.notes = ("The models are <simulated>.",)
        text = (await client_of(house)("GET", "/prompts")).text
        assert "The models are &lt;simulated&gt;." in text
        assert "dropped since the start" not in text
        house.admin_required = True
        assert "Sign out" in (await client_of(house)("GET", "/prompts")).text


async def test_the_buttons_do_what_they_say_and_nothing_twice(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        client = client_of(house)
        await house.healthy()
        incident = await house.break_prompt()
        here = f"/incidents/{incident.id}"
        for action in ("acknowledge", "rollback"):
            answer = await client("POST", f"{here}/{action}")
            assert (answer.status, answer.headers["location"]) == (303, here)
        assert house.registry.running("prompts", "support-answer") is None
        text = (await client("GET", here)).text
        assert "acknowledged by operator" in text
        assert "mitigated" in text
        assert 'data-open="#rollback"' not in text
        again = await client("POST", f"{here}/rollback")
        assert again.status == 409
        assert "mitigated" in again.text
        await house.healthy(120)
        assert "is back at" in (await client("GET", here)).text

        refused = await client("POST", f"{here}/close", form="lesson=&reason=kept+words")
        assert refused.status == 400
        assert "closes with a lesson" in refused.text
        closed = await client("POST", f"{here}/close", form="lesson=Cite+the+%3Cpolicy%3E.&reason=seen")
        assert closed.status == 303
        text = (await client("GET", here)).text
        assert "Cite the &lt;policy&gt;." in text
        assert "hx-trigger" not in text
        assert "Nothing is wrong" in (await client("GET", "/")).text
        assert (await client("POST", f"{here}/close", form="lesson=again")).status == 409


async def test_what_was_typed_is_kept_when_closing_is_refused(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        await house.healthy()
        incident = await house.break_prompt()
        answer = await client_of(house)("POST", f"/incidents/{incident.id}/close", form="lesson=My+%3Clesson%3E")
        assert answer.status == 409
        assert "My &lt;lesson&gt;</textarea>" in answer.text
        assert 'role="alert"' in answer.text


async def test_a_prompt_is_rolled_back_from_its_page(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        client = client_of(house)
        await house.registry.move_label("prompts", "support-answer", "production", 2, actor="mara")
        page = (await client("GET", "/prompts/support-answer")).text
        assert "Roll back to v1" in page
        answer = await client("POST", "/prompts/support-answer/rollback")
        assert (answer.status, answer.headers["location"]) == (303, "/prompts/support-answer")
        assert house.registry.labels("prompts", "support-answer") == {"production": 1}
        assert "Roll back to" not in (await client("GET", "/prompts/support-answer")).text
        assert (await client("POST", "/prompts/support-answer/rollback")).status == 409
        assert (await client("POST", "/prompts/none/rollback")).status == 404

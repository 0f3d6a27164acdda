"""The pages in a real browser: both themes, two widths, keys, live swaps, and hostile text that stays text."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, Route, async_playwright, expect
from playwright.async_api import Error as PlaywrightError
from web_house import Story, WebHouse, app_of, build, client_of, closing, tell

from trimtab.review import Plan
from trimtab.web.door import Door

CHROMIUM = os.environ.get("TRIMTAB_TEST_CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
THEMES, WIDTHS = ("light", "dark"), (1440, 390)

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Quiet(uvicorn.Server):
    """uvicorn without its signal handlers."""

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def served(house: WebHouse) -> AsyncIterator[str]:
    """The pages behind the door on a free port of this machine."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    door = Door(app_of(house), loopback=True, port=port, admin=None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await door(scope, receive, send)

    server = Quiet(uvicorn.Config(app, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=2))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser that TRIMTAB_TEST_CHROMIUM names, else the one that is installed. A machine without fails."""
    async with async_playwright() as playwright:
        path = CHROMIUM or playwright.chromium.executable_path
        assert shutil.which(path), "no Chromium: scripts/chromium installs one, or name it in TRIMTAB_TEST_CHROMIUM"
        launched = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield launched
        finally:
            await launched.close()


@dataclass
class Watched:
    """A tab and everything it complained about."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> Page:
        await self.page.goto(self.base + path)
        return self.page


async def picture(page: Page, shot: Path) -> None:
    """A screenshot; once more where the compositor had no frame to give, as happens on a busy machine."""
    try:
        await page.screenshot(path=shot)
    except PlaywrightError as error:
        if "Unable to capture screenshot" not in str(error):
            raise
        await page.screenshot(path=shot)


@dataclass
class World:
    """A browser in front of a house with a story."""

    browser: Browser
    base: str
    story: Story

    @asynccontextmanager
    async def tab(self, theme: str = "light", width: int = 1440, **options: Any) -> AsyncIterator[Watched]:
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce", **options
        )
        watched = Watched(await context.new_page(), self.base)
        watched.page.on(
            "console", lambda m: watched.complaints.append(m.text) if m.type in ("error", "warning") else None
        )
        watched.page.on("pageerror", lambda e: watched.complaints.append(str(e)))
        watched.page.on(
            "request",
            lambda r: watched.complaints.append(f"asked {r.url}") if not r.url.startswith(self.base) else None,
        )
        try:
            yield watched
        finally:
            await context.close()


async def readable(world: World, theme: str, width: int, paths: Sequence[str], folder: Path) -> None:
    """Every page fits its window, has contrast enough, runs nobody's script and complains of nothing."""
    async with world.tab(theme, width) as tab:
        for number, path in enumerate(paths):
            page = await tab.open(path)
            assert await page.evaluate(WIDER) == [], (path, width)
            assert await page.evaluate(CONTRAST) == [], (path, theme)
            assert await page.evaluate("window.pwned === undefined"), path
            shot = folder / f"{theme}-{width}-{number}.png"
            await picture(page, shot)
            assert shot.stat().st_size > 5000, path
        assert tab.complaints == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with chromium() as browser:
        with closing(await build(tmp_path_factory.mktemp("browser"))) as house:
            story = await tell(house)
            async with served(house) as base:
                yield World(browser, base, story)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
async def test_every_page_opens_without_a_complaint_and_fits(
    world: World, theme: str, width: int, tmp_path: Path
) -> None:
    async with world.tab(theme, width) as tab:
        for number, path in enumerate(world.story.paths):
            page = await tab.open(path)
            assert await page.evaluate("document.documentElement.dataset.theme") == theme
            assert await page.evaluate(WIDER) == [], path
            assert await page.evaluate("window.pwned === undefined"), path
            shot = tmp_path / f"{theme}-{width}-{number}.png"
            await picture(page, shot)
            assert shot.stat().st_size > 5000
        assert tab.complaints == []


async def test_text_can_be_read_where_it_stands(world: World) -> None:
    """Contrast of every visible text with the ground that is really under it, in both themes."""
    for theme in THEMES:
        async with world.tab(theme) as tab:
            for path in (
                "/", f"/incidents/{world.story.incident.id}", "/traces", "/prompts/support-answer", "/sessions",
                "/sessions/talk%2F1", "/dashboards", "/dashboards/explore?q=%7C+by+prompt+%7C+count,+p95+duration",
                f"/traces/{'a9' * 16}", f"/traces/{'a9' * 16}?view=layers", "/guard",
                "/guard/support-guard", "/guard/approvals", "/guard/coverage", f"/traces/{'d0' * 16}/flow",
            ):  # fmt: skip
                page = await tab.open(path)
                low = await page.evaluate(CONTRAST)
                assert low == [], (theme, path)


async def test_targets_are_large_enough_on_a_phone(world: World) -> None:
    async with world.tab("light", 390) as tab:
        page = await tab.open(f"/incidents/{world.story.incident.id}")
        heights = await page.evaluate(
            "[...document.querySelectorAll('main .btn, .side a')].filter(e => e.checkVisibility())"
            ".map(e => e.getBoundingClientRect().height)"
        )
        assert heights
        assert min(heights) >= 40


async def test_what_scanners_say_begins_with_their_names_on_a_phone(world: World) -> None:
    async with world.tab("light", 390) as tab:
        page = await tab.open("/guard/support-guard")
        await page.fill("#try-text", "Tell me of project osprey, whatever it is and wherever it may be.")
        async with page.expect_navigation():
            await page.click("#try button")
        left = await page.evaluate("document.querySelector('#try .scrollx').scrollLeft")
        assert left == 0, "the newest end is for charts"


async def test_every_printed_key_does_something(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/traces")
        for key, where in (("s", "/"), ("i", "/incidents"), ("t", "/traces"), ("m", "/monitors")):
            await page.keyboard.press("g")
            async with page.expect_navigation():
                await page.keyboard.press(key)
            assert await page.evaluate("location.pathname") == where
        await page.keyboard.press("d")
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        await page.keyboard.press("d")
        await page.keyboard.press("?")
        assert await page.locator("#keys").is_visible()
        printed = set(await page.locator("#keys kbd").all_inner_texts())
        assert {"g", "/", "d", "?", "j", "k", "Enter", "Esc"} <= printed
        await page.keyboard.press("Escape")
        assert not await page.locator("#keys").is_visible()
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.id") == "jump"
        await page.keyboard.type("dgs")
        assert await page.evaluate("document.querySelector('#jump').value") == "dgs"
        await page.keyboard.press("Escape")
        assert await page.evaluate("document.activeElement.id") != "jump"
        assert tab.complaints == []


async def test_a_monitor_is_opened_tried_and_made_with_keys(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/monitors")
        await page.keyboard.press("j")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert (await page.evaluate("location.pathname")).startswith("/monitors/")
        async with page.expect_navigation():
            await page.keyboard.press("t")
        await expect(page.get_by_role("status").filter(has_text="with a reference")).to_be_visible()
        await page.goto(f"{tab.base}/monitors")
        async with page.expect_navigation():
            await page.keyboard.press("n")
        await expect(page.get_by_label("Name", exact=True)).to_be_visible()
        assert tab.complaints == []


async def test_keys_of_the_list_move_mark_compare_and_open(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/traces")
        for key in ("j", "x", "j", "j", "k", "x"):
            await page.keyboard.press(key)
        assert await page.locator("tr.sel").count() == 1
        assert await page.locator("#marked").inner_text() == "2 marked"
        async with page.expect_navigation():
            await page.keyboard.press("c")
        assert "/traces/compare?t=" in page.url
        async with page.expect_navigation():
            await page.keyboard.press("Escape")
        await page.keyboard.press("j")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert await page.locator(".stamp").count() == 1
        assert tab.complaints == []


async def test_a_batch_is_reviewed_with_the_keyboard_alone(world: World) -> None:
    plan = Plan.of({
        "name": "keys", "source": {"dataset": "datasets:/support-cases/1", "limit": 3}, "experts": ["mara"],
        "criteria": [{"name": "grounded", "ask": "Supported?"}, {"name": "helps", "ask": "Helpful?"}],
    })  # fmt: skip
    queue = await world.story.house.reviews.create(plan, "ilse")
    async with world.tab() as tab:
        page = await tab.open(f"/review/{queue.id}?who=mara")

        async def press(*keys: str) -> None:
            for key in keys[:-1]:
                await page.keyboard.press(key)
            async with page.expect_navigation():
                await page.keyboard.press(keys[-1])

        printed = set(await page.locator("main kbd").all_inner_texts())
        assert {"1", "2", "3", "4", "5", "6", "Enter", "s", "u"} <= printed
        await press("1", "4", "Enter")
        assert await page.locator("h1").inner_text() == "Item 2 of 3"
        await press("1", "5", "Enter")
        assert "needed for a no" in await page.locator("[role=alert]").inner_text()
        assert await page.locator("[name=v1][value=no]").is_checked()
        await page.locator("#critique").focus()
        await page.keyboard.type("suit 123")
        assert await page.locator("#critique").input_value() == "suit 123"
        assert await page.locator("[name=v0][value=yes]").is_checked(), "typing triggers no key"
        await page.keyboard.press("Escape")
        await press("Enter")
        assert await page.locator("h1").inner_text() == "Item 3 of 3"
        await press("s")
        assert await page.locator("h1").inner_text() == "All 3 items are done"
        await press("u")
        assert await page.locator("h1").inner_text() == "Item 3 of 3"
        await press("3", "6", "Enter")
        await press("Enter")
        assert await page.locator("h1").inner_text() == "Your labels are handed in"
        assert [c for c in tab.complaints if "400" not in c] == []
    labels = await world.story.house.reports.people.labels("support-cases", criterion="helps")
    assert sorted(label.value for label in labels) == [0.0, 1.0]


async def test_keys_of_the_guard(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/traces")
        await page.keyboard.press("g")
        async with page.expect_navigation():
            await page.keyboard.press("g")
        assert await page.evaluate("location.pathname") == "/guard"
        page = await tab.open("/guard/support-guard")
        await page.keyboard.press("w")
        assert await page.evaluate("document.querySelector('#said').textContent") == "choose a row with j and k first"
        before = await page.locator("[data-wrong]").count()
        for _ in range(before):
            await page.keyboard.press("j")
        async with page.expect_navigation():
            await page.keyboard.press("w")
        assert await page.locator("[data-wrong]").count() == before - 1
        await page.locator("#try-text").fill("wwww project osprey")
        assert await page.locator("[data-wrong]").count() == before - 1, "typing triggers no key"
        async with page.expect_navigation():
            await page.get_by_role("button", name="Screen").click()
        assert await page.locator("mark").all_inner_texts() == ["project osprey"]
        page = await tab.open("/guard/approvals")
        first = page.locator("[data-left]").first
        shown = await first.inner_text()
        await expect(first).not_to_have_text(shown)
        assert tab.complaints == []


async def test_keys_of_the_stack(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/?w=1h")
        await page.keyboard.press("3")
        assert await page.evaluate("getComputedStyle(document.querySelector('#layer-1')).opacity") == "0.3"
        assert await page.evaluate("getComputedStyle(document.querySelector('#layer-3')).opacity") == "1"
        await page.keyboard.press("Escape")
        assert await page.evaluate("getComputedStyle(document.querySelector('#layer-1')).opacity") == "1"
        await page.keyboard.press(".")
        first = await page.evaluate("document.activeElement.getAttribute('aria-label')")
        await page.keyboard.press(".")
        second = await page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert "change:" in first
        assert first != second
        await page.keyboard.press(",")
        assert await page.evaluate("document.activeElement.getAttribute('aria-label')") == first
        async with page.expect_navigation():
            await page.keyboard.press("[")
        assert "until=" in page.url
        async with page.expect_navigation():
            await page.keyboard.press("]")
        await tab.open("/")
        await page.keyboard.press("b")
        dialog = page.locator(f"#rollback-{world.story.incident.id}")
        assert await dialog.is_visible()
        assert "v2 (50 % of sessions) to v1 for all" in await dialog.inner_text()
        await page.keyboard.press("b")
        await dialog.get_by_role("button", name="Leave it as it is").click()
        assert not await dialog.is_visible()
        async with page.expect_navigation():
            await page.keyboard.press("o")
        assert page.url.endswith(f"/incidents/{world.story.incident.id}")
        assert tab.complaints == []


async def test_a_live_page_takes_in_news_without_moving(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/")
        await page.locator('[data-key="3"]').focus()
        before = await page.evaluate("document.querySelector('#layer-5').getBoundingClientRect().top")
        clock = await page.locator("#asof b").inner_text()
        world.story.house.clock.ns += 2 * 10**9
        async with page.expect_response(lambda r: r.request.headers.get("hx-request") == "true"):
            await page.evaluate("document.body.dispatchEvent(new CustomEvent('tick'))")
        await expect(page.locator("#asof b")).not_to_have_text(clock)
        assert await page.evaluate("document.querySelector('#layer-5').getBoundingClientRect().top") == before
        assert await page.evaluate("document.activeElement.dataset.key") == "3"
        assert await page.locator("#live").count() == 1
        assert await page.locator("#asof").count() == 1
        # and again: the swapped region listens still
        async with page.expect_response(lambda r: r.request.headers.get("hx-request") == "true"):
            await page.evaluate("document.body.dispatchEvent(new CustomEvent('tick'))")
        assert tab.complaints == []


async def test_newer_requests_wait_behind_a_count(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/traces")
        first = await page.locator("tbody tr").first.inner_text()
        await world.story.house.ask("A brand new question?")
        await world.story.house.spans.flush()
        await page.evaluate("document.body.dispatchEvent(new CustomEvent('tick'))")
        await page.get_by_text("1 newer").wait_for()
        assert await page.locator("tbody tr").first.inner_text() == first
        async with page.expect_navigation():
            await page.get_by_text("1 newer").click()
        assert "A brand new question?" in await page.locator("tbody tr").first.inner_text()
        assert tab.complaints == []


async def test_the_query_bar_offers_what_may_come_next(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/traces")
        bar = page.locator("#q")
        await bar.focus()
        await page.keyboard.type("prom")
        await page.get_by_role("option", name="prompt", exact=False).first.wait_for()
        await page.keyboard.press("ArrowDown")
        assert await bar.get_attribute("aria-activedescendant") == "q-choices-0"
        await page.keyboard.press("Enter")
        await bar.fill("")
        await page.keyboard.type("prompt=supp")
        await page.get_by_role("option", name="support-answer/1").wait_for()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("ArrowDown")
        chosen = await page.locator("[role=option][aria-selected=true] .mono").inner_text()
        assert chosen.startswith("support-answer/")
        await page.keyboard.press("Enter")
        assert await bar.input_value() == f"prompt={chosen} "
        await page.keyboard.press("Escape")
        assert await bar.get_attribute("aria-expanded") == "false"
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert await page.locator("tbody tr").count() > 3
        assert await page.locator("#count").inner_text() != ""
        assert tab.complaints == []


async def test_escape_stops_the_suggestions_that_are_on_their_way_and_stays_in_the_bar(world: World) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        if route.request.url.endswith("cursor=24"):  # asked for once a choice was taken
            asked.set()
            await go_on.wait()
        await route.continue_()

    async with world.tab() as tab:
        page = await tab.open("/traces")
        bar = page.locator("#q")
        await page.route(lambda url: "cursor=" in url, late)
        await bar.focus()
        await page.keyboard.type("prompt=supp")
        await page.get_by_role("option", name="support-answer/1").wait_for()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await asyncio.wait_for(asked.wait(), 30)
        await page.keyboard.press("Escape")
        assert await bar.evaluate("bar => bar === document.activeElement")
        go_on.set()
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert tab.complaints == []


async def test_what_takes_longer_than_the_list_comes_after_it(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/traces?q=score:cites<0.5")
        await page.locator("#about .tricols").wait_for()
        await expect(page.locator("#count")).to_contain_text("request")
        assert await page.locator("#facets").count() == 1
        assert tab.complaints == []


async def test_keys_of_dashboards_sessions_and_the_agent_graph(world: World) -> None:
    async with world.tab() as tab:
        page = await tab.open("/dashboards?w=1h")
        await page.keyboard.press(".")
        assert "change:" in await page.evaluate("document.activeElement.getAttribute('aria-label')")
        async with page.expect_navigation():
            await page.keyboard.press("[")
        assert "until=" in page.url
        async with page.expect_navigation():
            await page.keyboard.press("]")
        await tab.open("/sessions/talk%2F1")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        assert await page.locator(".turn.sel").count() == 1
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert await page.locator(".stamp").count() == 1
        await tab.open(f"/traces/{'a9' * 16}")
        async with page.expect_navigation():
            await page.locator(".gnode", has_text="timetable").first.click()
        assert "span=" in page.url
        words = page.locator("details", has_text="The same in words")
        await words.locator("summary").click()
        assert "plan × 2" in await words.inner_text()
        assert tab.complaints == []


async def test_everything_works_without_script(world: World) -> None:
    async with world.tab(java_script_enabled=False) as tab:
        page = await tab.open("/")
        assert await page.locator(".js-only:visible").count() == 0
        await page.get_by_role("link", name="Stack", exact=True).click()
        await page.get_by_role("button", name="Roll back to v1").first.click()
        assert "confirm=rollback" in page.url
        form = page.locator("main form.confirm")
        assert "for all" in await form.inner_text()
        await form.get_by_text("Leave it as it is").click()
        await page.get_by_role("button", name="Write the lesson and close").click()
        assert await page.get_by_label("Cause and lesson, two sentences").first.is_visible()
        await tab.open("/traces")
        await page.get_by_role("textbox", name="Query").fill("score:cites<0.5")
        await page.get_by_role("button", name="Run").click()
        assert await page.locator("tbody tr").count() > 3
        await page.locator("tbody a").first.click()
        assert await page.locator(".stamp").count() == 1


async def test_the_first_trace_shows_by_itself_and_a_rollback_from_the_page_holds(world: World, tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        async with served(house) as base:
            fresh = World(world.browser, base, Story(house, client_of(house), world.story.incident, "", []))
            async with fresh.tab() as tab:
                page = await tab.open("/")
                assert await page.locator("h1").inner_text() == "Send your first request"
                await house.ask()
                await house.spans.flush()
                await page.evaluate("document.body.dispatchEvent(new CustomEvent('tick'))")
                await page.get_by_text("Nothing is wrong").wait_for()
                await house.healthy()
                incident = await house.break_prompt()
                await tab.open(f"/incidents/{incident.id}")
                async with page.expect_navigation():
                    await page.keyboard.press("a")
                assert "acknowledged by local operator" in await page.locator("main").inner_text()
                await page.keyboard.press("b")
                async with page.expect_navigation():
                    await page.locator("#rollback").get_by_role("button", name="Roll back to v1").click()
                assert await page.locator(".crumb .tag").first.inner_text() == "mitigated"
                assert await page.locator("a.btn.danger").count() == 0
                assert house.registry.running("prompts", "support-answer") is None
                assert tab.complaints == []


#: What makes the page wider than the screen.
WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("main *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, .scrollx, .panel, dialog"))
  .map(e => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 60)}`)"""

#: Texts whose contrast with their nearest painted ground is under 4.5 (3 where they are large or bold and big).
CONTRAST = """() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const lin = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const lum = ([r, g, b]) => 0.2126 * lin(r) + 0.7152 * lin(g) + 0.0722 * lin(b);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] === 1) return c;
    }
    return [255, 255, 255, 1];
  };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walk.nextNode();) {
    const e = n.parentElement;
    if (!n.data.trim() || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (e.closest(".vh, .skip, script, title, [aria-hidden=true], dialog:not([open])")) continue;
    const style = getComputedStyle(e), svg = e.closest("svg");
    const text = parse(svg ? style.fill : style.color), under = ground(svg ? svg.parentElement : e);
    if (svg && e.classList.contains("digit")) continue;
    const [a, b] = [lum(text), lum(under)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${n.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""

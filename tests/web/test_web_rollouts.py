"""The rollout pages: the running test, the share, the decisions, and the forms, over ASGI and in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from test_web_browser import THEMES, WIDTHS, World, chromium, readable, served
from web_house import HOSTILE, Client, Page, Story, WebHouse, build, client_of, closing

from trimtab.registry import registry
from trimtab.rollouts import Guard, Judgement, Plan, Point
from trimtab.web.sequence import sequence_chart

PROMPT = ("prompts", "support-answer")
GUARDS = (
    Guard(metric="quality", margin=0.05, weight=4.0), Guard(metric="cites", margin=0.05), Guard(metric="answered"),
    Guard(metric="thumb", named=False),
)  # fmt: skip


def plan(**changed: object) -> Plan:
    given: dict[str, object] = {"guards": GUARDS, "stages": (0.5, 1.0), "least_s": 600.0, **changed}
    return Plan(**given)  # type: ignore[arg-type]


async def ask(house: WebHouse, requests: int) -> None:
    for i in range(requests):
        await house.ask()
        if i % 10 == 9:
            await house.spans.flush()
            await house.rollouts.turn()
    await house.spans.flush()
    await house.rollouts.turn()


@dataclass
class Rolled:
    """A house in which version 2 was taken back, and version 3 is on its way."""

    house: WebHouse
    client: Client
    bad: str
    good: str

    @property
    def paths(self) -> list[str]:
        return [
            "/rollouts", f"/rollouts/{self.good}", f"/rollouts/{self.good}?guard=cites",
            f"/rollouts/{self.good}?guard=thumb", f"/rollouts/{self.good}?confirm=abort", f"/rollouts/{self.bad}",
        ]  # fmt: skip


async def roll(house: WebHouse) -> Rolled:
    await house.rollouts.load()
    begin = house.rollouts.begin
    bad = await begin(*PROMPT, 2, plan(), actor="mara", note="shorter answers")
    await ask(house, 120)
    assert house.registry.rollout(bad.rollout).state == "aborted"
    await house.registry.register(*PROMPT, {"messages": [{"role": "system", "content": HOSTILE}]}, author="ilse")
    good = await begin(*PROMPT, 3, plan(), actor=HOSTILE[:150], note=HOSTILE)
    await house.registry.register("guards", "default", {"stages": {"input": []}}, author="kim")
    await begin("guards", "default", 2, plan(mode="shadow", guards=(Guard(metric="allowed"),)), actor="kim")
    await ask(house, 160)
    return Rolled(house, client_of(house), bad.rollout, good.rollout)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rolled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rolled]:
    """Told once: its tests only read. The draw hashes the rollout's id, which here counts up: it is always the same."""
    numbers = count(1)
    with pytest.MonkeyPatch.context() as patch, closing(await build(tmp_path_factory.mktemp("rolled"))) as house:
        patch.setattr(registry, "new_id", lambda kind: f"{kind}_{next(numbers):010d}")
        yield await roll(house)


module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_every_page_is_well_formed_and_hostile_text_stays_text(rolled: Rolled) -> None:
    seen = 0
    for path in rolled.paths:
        answer = await rolled.client("GET", path)
        assert answer.status == 200, (path, answer.text[:400])
        page = Page(answer.text)
        assert not page.unclosed, path
        assert not page.misnested, path
        assert len(page.h1) == 1
        assert page.headings[0] == 2 or page.headings[0] == 1
        assert "<script>window" not in answer.text
        assert "style=" not in answer.text
        seen += "&lt;script&gt;window.pwned=1" in answer.text
    assert seen >= 3


@module_loop
async def test_every_link_leads_somewhere(rolled: Rolled) -> None:
    asked = set()
    for path in rolled.paths:
        for attrs in Page((await rolled.client("GET", path)).text).all("a"):
            asked.add((attrs.get("href") or "").partition("#")[0])
    for href in sorted(asked - {""}):
        assert (await rolled.client("GET", href)).status == 200, href
    assert len(asked) > 15


@module_loop
async def test_the_list_says_what_is_next_and_why(rolled: Rolled) -> None:
    text = (await rolled.client("GET", "/rollouts")).text
    for needle in ("v1 to v3", "50 %", "shadow", "2 at the same time", "taken back", "is worse"):
        assert needle in text, needle
    assert re.search(r"Passed so far|Undecided|to go in this stage", text)


@module_loop
async def test_a_running_test_is_drawn_with_three_zones_and_what_is_missing(rolled: Rolled) -> None:
    text = (await rolled.client("GET", f"/rollouts/{rolled.good}?guard=cites")).text
    assert text.count('<rect class="zone ') == 3
    for needle in ("better", "harm</text>", "Difference in cites, candidate minus base version", 'class="band"'):
        assert needle in text, needle
    assert re.search(r"about <b>[\d,]+</b>\s+more answers of v3|No worse: the whole band", text)
    for needle in (
        "Quality",
        "does not apply",
        "Cites",
        "undecided",
        "5 % stay on v1 for 60 min",
        "the first judged answer",
    ):
        assert needle in text, needle
    assert "guards:/default v2 at 0 %" in text
    scores = re.findall(r'aria-label="Cites version (\d)"', text)
    assert scores == ["1", "3"]


@module_loop
async def test_an_ended_one_keeps_its_test_and_its_reason(rolled: Rolled) -> None:
    text = (await rolled.client("GET", f"/rollouts/{rolled.bad}")).text
    for needle in ("Taken back.", "is worse", "harm shown after", "evidence", 'class="band bad"', "rollback"):
        assert needle in text, needle
    assert "Move</button>" not in text
    assert 'data-key="b"' not in text


@module_loop
async def test_what_is_not_there_is_a_page(rolled: Rolled) -> None:
    assert (await rolled.client("GET", "/rollouts/rol_none")).status == 404
    assert (await rolled.client("POST", f"/rollouts/{rolled.good}/dance")).status == 404
    assert (await rolled.client("GET", f"/rollouts/{rolled.good}?guard=nonsense&confirm=x")).status == 200


async def test_the_forms_do_what_they_say_and_keep_what_was_typed(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        await house.rollouts.load()
        client = client_of(house)
        assert "Nothing is going out" in (await client("GET", "/rollouts")).text
        change = await house.rollouts.begin(*PROMPT, 2, plan(), share=0.05, actor="mara")
        here = f"/rollouts/{change.rollout}"
        assert "No answer of v2 was judged yet" in (await client("GET", here)).text
        for step, said in (("pause", "Paused by operator."), ("resume", "of the candidate to go in this stage")):
            answer = await client("POST", f"{here}/{step}")
            assert (answer.status, answer.headers["location"]) == (303, here)
            assert said in (await client("GET", here)).text
        again = await client("POST", f"{here}/resume")
        assert again.status == 409
        assert "It is not paused." in again.text
        assert (await client("POST", f"{here}/share", form="percent=12,5")).status == 303
        assert house.registry.rollout(change.rollout).share == 0.125
        wrong = await client("POST", f"{here}/share", form="percent=many")
        assert wrong.status == 400
        assert "is no percentage" in wrong.text
        refused = await client("POST", f"{here}/promote", form="reason=%3Cb")
        assert refused.status == 400
        assert 'role="alert"' in refused.text
        assert 'value="&lt;b"' in refused.text
        assert (await client("POST", f"{here}/promote", form="reason=the+old+one+is+unlawful")).status == 303
        assert house.registry.labels(*PROMPT) == {"production": 2}
        text = (await client("GET", here)).text
        assert "Promoted." in text
        assert "the old one is unlawful" in text
        assert (await client("POST", f"{here}/abort")).status == 409


async def test_a_rollout_that_nobody_judged_yet_has_a_page(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        change = await house.registry.start_rollout(*PROMPT, 2, share=0.5, actor="mara")
        client = client_of(house)
        assert "not judged yet" in (await client("GET", "/rollouts")).text
        assert "Not judged yet." in (await client("GET", f"/rollouts/{change.rollout}")).text
        assert f'href="/rollouts/{change.rollout}"' in (await client("GET", "/prompts/support-answer")).text


def judgement(points: tuple[Point, ...], **changed: object) -> Judgement:
    last = points[-1] if points else Point(n=0, value=0.0, low=-1.0, high=1.0)
    given: dict[str, object] = {
        "metric": "cites", "margin": 0.05, "width": 0.1, "state": "undecided", "named": True, "base_n": 90,
        "base_mean": 0.9, "candidate_n": last.n, "candidate_mean": 0.9, "pairs": 0, "difference": last.value,
        "low": last.low, "high": last.high, "harm": 1.0, "harm_needed": 100.0, "calm": 1.0, "calm_needed": 20.0,
        "more": 10, "harm_at": 0, "points": points, **changed,
    }  # fmt: skip
    return Judgement(**given)  # type: ignore[arg-type]


def test_the_drawing_stays_inside_its_frame_and_its_zones_tile_it() -> None:
    assert sequence_chart(judgement(())) is None
    for low, high in ((-1.0, 1.0), (-0.3, 0.2), (-0.02, 0.01), (-0.9, -0.6)):
        points = tuple(Point(n=n, value=(low + high) / 2, low=low, high=high) for n in (3, 40, 800))
        chart = sequence_chart(judgement(points, harm_at=700))
        assert chart is not None
        numbers = [float(v) for v in re.findall(r"-?[\d.]+", chart.line + " " + chart.band)]
        assert all(46 <= x <= 612 for x in numbers[::2])
        assert all(10 <= y <= 190 for y in numbers[1::2])
        assert [zone.css for zone in chart.zones] == ["good", "mid", "bad"]
        assert sum(zone.height for zone in chart.zones) == pytest.approx(180, abs=0.3)
        assert chart.told is not None
        assert chart.told_flip
        assert any(tick.text == "0" for tick in chart.rows)
        assert len(chart.rows) <= 9
        assert len(chart.columns) <= 9


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(rolled: Rolled) -> AsyncIterator[World]:
    async with chromium() as browser, served(rolled.house) as base:
        yield World(browser, base, Story(rolled.house, rolled.client, None, "", rolled.paths))  # type: ignore[arg-type]


@module_loop
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
async def test_every_page_fits_and_can_be_read_in_a_browser(
    world: World, theme: str, width: int, tmp_path: Path
) -> None:
    await readable(world, theme, width, world.story.paths, tmp_path)


@module_loop
async def test_slider_keys_and_dialog(world: World, rolled: Rolled) -> None:
    async with world.tab() as tab:
        page = await tab.open("/rollouts")
        await page.keyboard.press("g")
        async with page.expect_navigation():
            await page.keyboard.press("o")
        assert page.url.endswith("/rollouts")
        await tab.open(f"/rollouts/{rolled.good}")
        slider = page.get_by_role("slider")
        await slider.fill("73")
        assert await page.locator("#percent").input_value() == "73"
        await page.locator("#percent").fill("20")
        assert await slider.input_value() == "20"
        await page.keyboard.press("Escape")
        await page.keyboard.press("b")
        dialog = page.locator("#abort")
        assert "v3 at 50 % of sessions to v1 for all" in await dialog.inner_text()
        await dialog.get_by_role("button", name="Leave it as it is").click()
        await tab.open(f"/rollouts/{rolled.good}?guard=quality")
        await page.keyboard.press("j")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert page.url.endswith("?guard=cites")
        assert tab.complaints == []


async def test_without_script_the_share_moves_and_a_rollout_is_taken_back(tmp_path: Path) -> None:
    async with chromium() as browser:
        with closing(await build(tmp_path)) as house:
            await house.rollouts.load()
            change = await house.rollouts.begin(*PROMPT, 2, plan(), share=0.05, actor="mara")
            async with served(house) as base:
                fresh = World(browser, base, Story(house, client_of(house), None, "", []))  # type: ignore[arg-type]
                async with fresh.tab(java_script_enabled=False) as tab:
                    page = await tab.open(f"/rollouts/{change.rollout}")
                    assert await page.get_by_role("slider").count() == 0
                    await page.locator("#percent").fill("40")
                    await page.get_by_role("button", name="Move").click()
                    assert house.registry.rollout(change.rollout).share == 0.4
                    await page.get_by_role("button", name="Pause").click()
                    assert "Paused by local operator." in await page.locator("#why").inner_text()
                    await page.get_by_role("button", name="Roll back to v1").first.click()
                    await page.locator("main form.confirm").get_by_role("button", name="Roll back to v1").click()
                    assert "Taken back." in await page.locator("#why").inner_text()
                    assert house.registry.rollout(change.rollout).state == "aborted"

"""The gateway page: targets, budgets, cost with what is unpriced, the walk to a refusal; its figures in /metrics."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from test_web_browser import THEMES, WIDTHS, World, chromium, readable, served
from web_house import HOSTILE, Client, Page, Story, WebHouse, build, client_of, closing

from trimtab.gateway import BreakerLog, Refusal, RouteHealth, TargetHealth, UsageRow, together
from trimtab.gateway.breakerlog import CELL_S, CELLS, TARGETS
from trimtab.gateway.refusals import Step
from trimtab.store import Group
from trimtab.web.spending import cell, limits_text
from trimtab.web.strips import strip_window, strips
from trimtab.web.targets import route_rows
from trimtab.wiring.loop_lag import LoopLag

DAY = 86_400 * 10**9
GONE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE_ID = "5bf92f3577b34da6a3ce929d0e0e4736"


def target(ref: str, **changed: object) -> TargetHealth:
    given: dict[str, object] = {
        "ref": ref, "state": "closed", "opened_by": "", "seconds_left": 0.0, "in_flight": 2, "ttft": 0.61,
        "share": 0.7, "asked": 700, "answered": 690, "cut": 1, "hedges": 0, "failures": {}, "input_tokens": 1000,
        "cached_tokens": 400, **changed,
    }  # fmt: skip
    return TargetHealth(**given)  # type: ignore[arg-type]


def route(name: str, targets: tuple[TargetHealth, ...], **changed: object) -> RouteHealth:
    given: dict[str, object] = {
        "name": name, "pin": f"{name}/1", "strategy": "least_busy", "requests": 1000, "targets": targets,
        "hit_rate": 0.29, "saved_tokens": 290_000, "prompt_tokens": 1_000_000, "cached_rate": 0.4, "retries_left": 10.0,
        "cache_hits": 12, "cache_misses": 88, **changed,
    }  # fmt: skip
    return RouteHealth(**given)  # type: ignore[arg-type]


BROKEN = target(
    "local/llama-3.3-70b", state="open", opened_by="timeout", seconds_left=7.0, share=0.3, asked=300, answered=250,
    ttft=1.24, failures={"timeout": 45, "server": 2, "request": 3},
)  # fmt: skip
ROUTES = [
    route(
        "support",
        (target("anthropic/claude-sonnet-4-5"), BROKEN, target("openai/gpt-5-mini", asked=0, ttft=0.0, share=0.0)),
    ),
    route("search", (target("scripted/steady", share=1.0),), hit_rate=None, cached_rate=None, cache_hits=0,
          cache_misses=0, requests=4000),
    route("openai/gpt-4o", (target(f"openai/{HOSTILE}", share=1.0),), pin="", requests=3),
]  # fmt: skip


@dataclass
class Operated:
    """A house with keys, limits, usage and refusals."""

    house: WebHouse
    client: Client

    @property
    def paths(self) -> list[str]:
        return [
            "/gateway", "/gateway?days=7&by=route", "/gateway?days=30&by=key", f"/gateway?why={GONE}",
            f"/gateway?why={HOSTILE_ID}", "/gateway?why=nothing-like-it", "/gateway?days=x&by=y",
        ]  # fmt: skip

    @property
    def forms(self) -> list[str]:
        """The pages on which keys and teams are made and changed."""
        odd = next(key for key in self.house.keys.list() if key.name.startswith("<"))
        off = next(key for key in self.house.keys.list() if key.disabled)
        web = next(key for key in self.house.keys.list() if key.name == "shop-web")
        named = urlencode({"name": HOSTILE[:90]})
        return [
            "/gateway/keys", f"/gateway/keys/{web.id}", f"/gateway/keys/{web.id}?confirm=disable&done=changed",
            f"/gateway/keys/{odd.id}", f"/gateway/keys/{off.id}", "/gateway/team", "/gateway/team?name=shop",
            "/gateway/team?name=shop&confirm=remove", f"/gateway/team?{named}",
        ]  # fmt: skip


async def operate(house: WebHouse) -> Operated:
    now, keys, tenancy = house.clock.ns, house.keys, house.tenancy
    web, _ = await keys.create("shop-web", owner="mara", team="shop", limits={"rpm": 60, "budget_usd": 600})
    data, _ = await keys.create("analytics", team="data", limits={"budget_usd": 100, "routes": ["support"]})
    await keys.create("ops", role="viewer", expires_ns=now + 3 * DAY)
    off, _ = await keys.create("old-bot")
    await keys.change(off.id, disabled=True)
    odd, _ = await keys.create(HOSTILE[:60], team=HOSTILE[:90])
    await tenancy.teams.put("shop", {"budget_usd": 800, "period": "month"})
    rows = [
        (web.id, "shop", "support", "anthropic/claude-sonnet-4-5", 412_100_000_000),
        (data.id, "data", "support", "anthropic/claude-sonnet-4-5", 99_980_000_000),
        (data.id, "data", "search", "local/llama-3.3-70b", None),
        (web.id, "shop", "search", "openai/gpt-5-mini", 3_910_000_000),
        (web.id, "shop", "search", "local/llama-3.3-70b", None),
        ("", "", "judge", "openai/gpt-5-nano", 20_000_000),
        (odd.id, HOSTILE[:90], HOSTILE[:90], f"x/{HOSTILE[:80]}", 1),
    ]
    tenancy.ledger.note(
        [
            UsageRow(id=f"{n:032x}", time_ns=now, key=key, team=team, route=name, model=model, cost_nano=cost)
            for n, (key, team, name, model, cost) in enumerate(rows)
        ]
    )
    refusal = Refusal(
        id=GONE, time_ns=now, key=data.id, team="data", route="support", code="budget_spent", status=402,
        message="The key 'analytics' has spent 99.98 of its budget of 100.00 US dollars.", retry_after=432_000.0,
        mend="It starts anew at 2026-12-01 00:00 UTC, in 5 days; or have the budget raised.",
        checks=(
            Step(check="key", scope="key", who=data.id, said="the key 'analytics' is known"),
            Step(check="role", said="member may ask models"), Step(check="routes"),
            Step(check="rpm", scope="key", who=data.id, used=12, limit=60),
            Step(check="budget_usd", scope="key", who=data.id, used=99.98, limit=100, reserved=0.06,
                 verdict="refused", said="this request would cost up to 0.06"),
        ),
    )  # fmt: skip
    tenancy.ledger.refuse(refusal)
    guard = (Step(check="routes"), Step(check="guard", verdict="refused", said=HOSTILE))
    tenancy.ledger.refuse(
        replace(refusal, id=HOSTILE_ID, message=HOSTILE, mend=HOSTILE, route=HOSTILE, checks=guard, retry_after=None)
    )
    await tenancy.ledger.flush()
    await house.registry.register("routes", "search", {"targets": [], "limits": {"budget_usd": 40, "period": "day"}})
    await house.registry.move_label("routes", "search", "production", 1, actor="ilse", note="goes live")
    house.routes = ROUTES
    house.breakers.note([replace(ROUTES[0], targets=(replace(BROKEN, state="closed"),))], now - 3600 * 10**9)
    house.breakers.note(ROUTES, now)
    await house.healthy(30)
    return Operated(house, client_of(house))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operated]:
    with closing(await build(tmp_path_factory.mktemp("operated"))) as house:
        yield await operate(house)
        await house.tenancy.ledger.close()


module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_every_page_is_well_formed_and_hostile_text_stays_text(operated: Operated) -> None:
    for path in operated.paths:
        answer = await operated.client("GET", path)
        assert answer.status == 200, (path, answer.text[:400])
        page = Page(answer.text)
        assert not page.unclosed, path
        assert not page.misnested, path
        assert page.h1 == ["Gateway"]
        assert "<script>window" not in answer.text
        assert "style=" not in answer.text
        assert "&lt;script&gt;window.pwned=1" in answer.text


@module_loop
async def test_every_link_leads_somewhere(operated: Operated) -> None:
    asked = set()
    for path in operated.paths:
        for attrs in Page((await operated.client("GET", path)).text).all("a"):
            asked.add((attrs.get("href") or "").partition("#")[0])
    asked -= {""}
    for href in sorted(asked):
        assert (await operated.client("GET", href)).status == 200, href
    assert len(asked) > 15


@module_loop
async def test_targets_say_who_is_left_alone_and_why(operated: Operated) -> None:
    text = " ".join(Page((await operated.client("GET", "/gateway")).text).text)
    for needle in (
        "claude-sonnet-4-5", "610 ms", "70 %", "reserve", "1 target not closed",
        "no answer in time; tried again in 7.0 s",
        "45 no answer in time", "16 %", "290,000", "29 %", "12 of 100", "asked by name", "1.2 s",
    ):  # fmt: skip
        assert needle in text, needle
    live = await operated.client("GET", "/gateway", headers={"hx-request": "true"})
    assert live.text.lstrip().startswith('<div id="live"')
    assert "Keys and budgets" not in live.text


@module_loop
async def test_cost_says_what_is_unpriced_and_never_counts_it_as_nothing(operated: Operated) -> None:
    text = (await operated.client("GET", "/gateway")).text
    cost = text[text.index('id="cost"') :]
    row = re.search(r'<tr data-row="data">.*?</tr>', cost)
    assert row is not None
    cells = re.findall(r">([^<>]+)</td>", row[0])
    assert cells == ["data", "$99.98", "–", "–", "–", "unpriced", "$99.98 + 1 unpriced"]
    assert "2 requests unpriced, and in no sum" in cost
    by_key = (await operated.client("GET", "/gateway?by=key")).text
    assert 'data-row="analytics"' in by_key[by_key.index('id="cost"') :]


@module_loop
async def test_budgets_stand_where_the_ledger_says(operated: Operated) -> None:
    text = (await operated.client("GET", "/gateway")).text
    rows = dict(re.findall(r'<tr data-row="([^"]+)"( class="hit")?><td', text[text.index('id="keys-and"') :]))
    assert rows["analytics"]
    assert not rows["shop-web"]
    assert next(iter(rows)) == "shop", "teams and routes come first"
    assert "search" in rows, "a route has its bar too"
    plain = " ".join(Page(text).text)
    for needle in (
        "$600.00 a month",
        "60 requests a minute",
        "only support",
        "expires in 3 d",
        "off",
        "viewer",
        "69 %",
        "$40.00 a day",
    ):
        assert needle in plain, needle


@module_loop
async def test_a_refusal_is_walked_to_the_check_that_was_not_passed(operated: Operated) -> None:
    page = " ".join(Page((await operated.client("GET", f"/gateway?why={GONE}")).text).text)
    steps = (
        "The key is known", "Its role may ask models", "The route is there", "Requests a minute of the key analytics:",
        "Refused 402.", "Budget of the key analytics:",
    )  # fmt: skip
    positions = [page.index(step) for step in steps]
    assert positions == sorted(positions)
    for needle in (
        "12 of 60",
        "$99.98 of $100.00 spent, $0.06 reserved",
        "Nothing was sent to a provider",
        "It starts anew",
        "after 5 d",
    ):
        assert needle in page, needle
    by_guard = " ".join(Page((await operated.client("GET", f"/gateway?why={HOSTILE_ID}")).text).text)
    assert "Nothing was sent" not in by_guard
    missing = await operated.client("GET", "/gateway?why=nothing-like-it")
    assert "No refusal of a request" in missing.text
    assert "within the last seven days" in missing.text


async def test_an_empty_house_says_what_would_be_here(house: WebHouse) -> None:
    text = " ".join(Page((await client_of(house)("GET", "/gateway")).text).text)
    for needle in ("No model was asked since the start", "There is no key yet", "Nothing was refused", "Nothing was u"):
        assert needle in text, needle


@module_loop
async def test_six_hours_of_every_target(operated: Operated) -> None:
    text = (await operated.client("GET", "/gateway")).text
    panel = text[text.index('id="health"') : text.index('id="cost"')]
    (broken,) = re.findall(r'<tr data-row="local/llama-3.3-70b">.*?</tr>', panel)
    assert "open in 1 of 2" in broken
    assert broken.count("q5") == 1
    assert broken.count("q0") == 1
    (steady,) = re.findall(r'<tr data-row="scripted/steady">.*?</tr>', panel)
    assert "0 % of 30" in steady, "from the calls of the model, not from the roots"
    assert "closed throughout" in steady


@module_loop
async def test_every_form_is_well_formed_and_hostile_text_stays_text(operated: Operated) -> None:
    for path in operated.forms:
        answer = await operated.client("GET", path)
        assert answer.status == 200, (path, answer.text[:400])
        page = Page(answer.text)
        assert (page.unclosed, page.misnested) == ([], []), path
        assert len(page.h1) == 1
        assert "<script>window" not in answer.text
        assert "style=" not in answer.text
        labels = {attrs.get("for") for attrs in page.all("label")}
        for kind in ("input", "select", "textarea"):
            for attrs in page.all(kind):
                assert attrs.get("type") == "hidden" or attrs.get("id") in labels or attrs.get("aria-label"), attrs


@module_loop
async def test_metrics_have_the_routes_and_the_loops_lag(operated: Operated) -> None:
    text = (await operated.client("GET", "/metrics")).text
    for needle in (
        'trimtab_event_loop_lag_seconds{process="control"} 0.012000', "trimtab_queue_wait_seconds_total 0",
        'trimtab_target_breaker{route="support",target="local/llama-3.3-70b"} 2',
        'trimtab_route_prompt_hit_rate{route="support"} 0.29', "trimtab_refused_total 0",
    ):  # fmt: skip
        assert needle in text, needle
    assert "pwned" not in text, "models that clients name make no series"


def test_several_processes_are_one_picture() -> None:
    calm = replace(BROKEN, state="closed", opened_by="", asked=100, failures={"timeout": 5}, ttft=0.2)
    one = route("support", (target("a/b"), BROKEN), requests=10)
    two = route("support", (target("a/b", asked=100), calm), requests=4, saved_tokens=0, hit_rate=0.0)
    (both,) = together([[one], [two]])
    assert both.requests == 14
    assert both.hit_rate == pytest.approx(0.145)
    first, second = both.targets
    assert (first.asked, second.asked, second.failures["timeout"]) == (800, 400, 50)
    assert first.share == pytest.approx(2 / 3)
    assert (second.state, second.opened_by, second.ttft) == ("open", "timeout", 1.24)
    assert together([[one], []]) == [one]


def test_what_needs_a_look_stands_first_and_the_rest_is_bounded() -> None:
    many = [route(f"r{n}", (target("a/b"),), requests=n) for n in range(60)]
    rows, more = route_rows([*many, route("bad", (BROKEN,), requests=0)])
    assert rows[0].name == "bad"
    assert rows[1].name == "r59"
    assert (len(rows), more) == (40, 21)


def test_cells_and_limits_in_words() -> None:
    row = {"cost_usd": 0.0, "requests": 2, "unpriced": 2}
    assert cell([row]).text == "unpriced"
    assert cell([{**row, "unpriced": 0}]).text == "0 ¢"
    assert cell([]).text == ""
    assert limits_text({"rpm": 1200, "max_parallel": 4, "routes": ["a", "b", "c", "d"]}) == (
        "1,200 requests a minute, 4 at once, only a, b, c and 1 more"
    )


def test_a_strip_says_what_failed_and_what_was_slow() -> None:
    now = 1_790_000_000 * 10**9
    shown = strip_window(now)
    start = shown.since_ns

    def group(at: int, n: float, bad: float, ttft: float | None) -> Group:
        return Group(keys=("m", start + at * 600 * 10**9), values=(n, bad, ttft))

    usual = [group(at, 100, 0, 200.0 + at) for at in range(8)]
    found = [*usual, group(8, 100, 100, None), group(9, 3, 1, 900.0), Group(keys=("m", 0), values=(1.0, 1.0, None))]
    (one,), more = strips([route("r", (target("p/m"),))], found, lambda name, ref: {}, shown)
    assert [(run.x, run.width, run.css) for run in one.errors] == [(0, 8, "q0"), (8, 1, "q5"), (9, 1, "q3")]
    assert [(run.x, run.css) for run in one.first] == [(0, "q0"), (9, "q5")]
    assert (one.errors_said, one.first_said) == ("11 % of 903, at worst 100 %", "204 ms, at worst 900 ms")
    assert (one.breaker_said, more) == ("", 0)
    always = [group(at, 10, 10, None) for at in range(10)]
    (dead,), _ = strips([route("r", (target("p/m"),))], always, lambda name, ref: {}, shown)
    assert {run.css for run in dead.errors} == {"q5"}, "what always fails is not its own usual"


def test_the_log_of_breakers_keeps_the_worst_of_a_cell_and_forgets() -> None:
    log, cell = BreakerLog(), CELL_S * 10**9
    start = 1_790_000_000 * 10**9 // cell * cell
    for state, at in (("closed", 0), ("open", 1), ("half-open", 2), ("closed", cell)):
        log.note([route("r", (replace(BROKEN, state=state),))], start + at)  # type: ignore[arg-type]
    assert log.of("r", BROKEN.ref) == {start: "open", start + cell: "closed"}
    log.note([route("r", (BROKEN,))], start + CELLS * cell)
    assert log.of("r", BROKEN.ref) == {start + cell: "closed", start + CELLS * cell: "open"}
    assert log.of("r", "other") == {}
    log.note([route(f"r{n}", (BROKEN,)) for n in range(TARGETS)], start + CELLS * cell)
    assert log.of("r", BROKEN.ref) == {}


def test_the_loops_lag_is_the_worst_of_the_last_minute() -> None:
    lag = LoopLag()
    assert lag.worst == 0.0
    for late in (0.5, -0.1, *[0.001] * 118):
        lag.note(late)
    assert lag.worst == 0.5
    lag.note(0.002)
    assert lag.worst == 0.002


@module_loop
async def test_in_a_real_browser(operated: Operated, tmp_path: Path) -> None:
    async with chromium() as browser, served(operated.house) as base:
        world = World(browser, base, Story.__new__(Story))
        for theme in THEMES:
            for width in WIDTHS:
                await readable(world, theme, width, [*operated.paths, *operated.forms], tmp_path)

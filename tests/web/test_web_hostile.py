"""Telemetry from people who mean harm, in a real browser: no text of theirs is executed and no page breaks; and a trace
of ten thousand spans that stays usable."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.async_api import Browser, Page
from test_web_browser import chromium, served
from web_house import HOSTILE, WebHouse, client_of

from trimtab.core import Score, Span
from trimtab.traces import Receiver
from trimtab.traces.otlp import RawSpan
from trimtab.traces.translation import translate

#: Ways out of a text, an attribute, a script, a style, a URL and a template.
ESCAPES = (
    HOSTILE,
    "</textarea></title></style></script><script>window.pwned=4</script>",
    '" onmouseover=window.pwned=5 autofocus onfocus=window.pwned=6 x="',
    "javascript:window.pwned=7",
    "{{ 7*7 }}{% raw %}<!--<script>window.pwned=8</script>-->",
    "\u202e\u2066<svg/onload=window.pwned=9>\x00\x08",
)
BIG = 10_000


def messages(text: str) -> str:
    return json.dumps([{"role": text, "content": text}, {"role": "user", "parts": [{"type": text, "content": text}]}])


def attributes(text: str) -> dict[str, Any]:
    """The same text in every name that some dialect reads."""
    names = (
        "input.value", "output.value", "session.id", "user.id", "enduser.id", "gen_ai.request.model",
        "gen_ai.response.model", "gen_ai.provider.name", "gen_ai.system", "gen_ai.conversation.id", "gen_ai.agent.name",
        "gen_ai.tool.name", "gen_ai.prompt.name", "gen_ai.prompt.version", "error.type", "exception.message",
        "openai.response.system_fingerprint", "llm.model_name", "llm.prompt_template.template", "metadata",
        "traceloop.entity.name", "traceloop.association.properties.user_id", "langfuse.trace.name",
        "langfuse.session.id", "mlflow.traceRequestId", "mlflow.spanFunctionName", "ai.model.id", "logfire.msg",
    )  # fmt: skip
    return {
        **dict.fromkeys(names, text), text: text, "tag.tags": [text, f"topic:{text}"],
        "gen_ai.input.messages": messages(text), "gen_ai.output.messages": messages(text),
        "passages": [{"number": text, "title": text, "text": text}],
    }  # fmt: skip


def hostile(number: int, text: str, now: int) -> list[RawSpan]:
    """A trace whose every text is this one: a root that fails, a call, and a child whose parent is its own child."""
    trace = f"{number:032x}"
    said = attributes(text)

    def raw(span: int, parent: int, **more: Any) -> RawSpan:
        plain: dict[str, Any] = {
            "trace_id": trace, "span_id": f"{span:016x}", "parent_id": f"{parent:016x}" if parent else "", "name": text,
            "start_ns": now, "end_ns": now + 10**6, "status": 2, "message": text, "attributes": said, "events": (),
            "resource": {"service.name": text[:150], text: text}, "scope": text,
        }  # fmt: skip
        return RawSpan(**plain | more)

    return [
        raw(1, 0, attributes={**said, "openinference.span.kind": "CHAIN"}),
        raw(2, 1, attributes={**said, "openinference.span.kind": "LLM"}),
        raw(3, 4),
        raw(4, 3),
        raw(5, 999, attributes={**said, "openinference.span.kind": text}),
    ]


@pytest.fixture
async def attacked(house: WebHouse) -> WebHouse:
    """Hostile traces with hostile scores, stored the way a sender's are."""
    now = house.clock()
    for number, text in enumerate(ESCAPES, 1):
        found = translate(hostile(number, text, now), now)
        assert found.rejected == []
        await house.spans.write(
            found.spans,
            [Score(id=f"s{number}", trace_id=f"{number:032x}", name="quality", value=0.1, by=text, by_version=text,
                   label=text, reason=text, slice=text, time_ns=now)],
        )  # fmt: skip
    return house


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


def paths() -> list[str]:
    traces = [f"{number:032x}" for number in range(1, len(ESCAPES) + 1)]
    found = ["/", "/traces", f"/traces/compare?t={traces[0]}&t={traces[1]}", "/sessions", "/dashboards"]
    for trace, text in zip(traces, ESCAPES, strict=True):
        found += [
            f"/traces/{trace}", f"/traces/{trace}?span={2:016x}", f"/traces/{trace}?span={5:016x}&open={quote(text)}",
            f"/traces?q={quote(text)}", f"/traces?q=session={quote(json.dumps(text))}&w={quote(text)}",
            f"/traces/{quote(text, safe='')}", f"/jump?q={quote(text)}", f"/traces?q={quote(text)}&about=1",
            f"/traces/{trace}?view=layers&graph={quote(text)}", f"/sessions?q={quote(text)}&cursor={quote(text)}",
            f"/sessions/{quote(text, safe='')}", f"/dashboards?w={quote(text)}&project={quote(text)}",
            f"/dashboards/explore?q={quote(text)}",
            f"/dashboards/explore?q={quote('in:spans | by name, session, tag:topic, model | count')}",
        ]  # fmt: skip
    return found


async def poke(page: Page) -> None:
    """Open all that can be opened and touch what could listen."""
    await page.evaluate(
        "for (const one of document.querySelectorAll('details')) one.open = true;"
        "for (const one of [...document.querySelectorAll('main *')].slice(0, 400)) {"
        " for (const kind of ['mouseover', 'focus', 'animationstart', 'toggle', 'load', 'error'])"
        " one.dispatchEvent(new Event(kind)) }"
    )


async def test_no_text_is_executed(attacked: WebHouse, browser: Browser) -> None:
    async with served(attacked) as base:
        page = await browser.new_page()
        dialogs: list[str] = []
        errors: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda asked: errors.append(asked.url) if not asked.url.startswith(base) else None)
        shown = 0
        for path in paths():
            answer = await page.goto(base + path)
            assert answer is not None
            assert answer.status < 500, path
            await poke(page)
            assert await page.evaluate("window.pwned === undefined"), path
            assert (
                await page.evaluate("document.querySelectorAll('main script, main img, main svg[onload]').length") == 0
            )
            links = await page.evaluate(
                "[...document.querySelectorAll('[href]')]"
                ".map(one => new URL(one.getAttribute('href'), location).protocol)"
            )
            assert set(links) <= {"http:", "https:"}, path
            shown += "window.pwned=" in await page.inner_text("main")
        assert shown > 12
        assert (dialogs, errors) == ([], [])


async def test_every_attacked_page_keeps_its_markup_whole(attacked: WebHouse) -> None:
    client = client_of(attacked)
    for path in paths():
        answer = await client("GET", path)
        assert answer.status < 500, path
        assert "<script>window" not in answer.text
        assert "<svg/onload" not in answer.text
        assert answer.text.rstrip().endswith("</html>") or answer.status in (302, 303), path


def big(now: int) -> list[Span]:
    """An agent with 40 steps of 250 calls each; one call fails."""
    trace = "c" * 32
    plain: dict[str, Any] = {"trace_id": trace, "kind": "chain", "start_ns": now, "end_ns": now + 10**9}
    spans = [Span(span_id=f"{1:016x}", name="agent", input="Find everything.", output="Done.", **plain)]
    for number in range(2, BIG + 1):
        step = number % 250 == 2
        spans.append(
            Span(
                span_id=f"{number:016x}", parent_id=f"{1 if step else (number - 2) // 250 * 250 + 2:016x}",
                name=f"step {number}" if step else f"tool {number}", status="error" if number == 7777 else "ok",
                error="it broke" if number == 7777 else "", input="x" * 200, output="y" * 200,
                **plain | {"kind": "agent" if step else "tool", "start_ns": now + number},
            )
        )  # fmt: skip
    return spans


async def test_ten_thousand_spans_stay_usable(house: WebHouse, browser: Browser) -> None:
    await house.spans.write(big(house.clock()))
    async with served(house) as base:
        page = await browser.new_page()
        trace = f"{base}/traces/{'c' * 32}"
        answer = await page.goto(trace)
        assert answer is not None
        assert len(await answer.body()) < 1_000_000
        assert "10,000 spans" in await page.inner_text("main")
        # What failed is in sight, the many that are alike are folded to a line that opens them.
        assert await page.locator(".tree .s", has_text="tool 7777").count() <= 1
        folds = page.locator(".tree .s", has_text="more spans, show")
        assert await folds.count() > 0
        await folds.first.click()
        await page.wait_for_load_state()
        assert await page.locator(".tree .s").count() <= 200
        later = page.get_by_role("link", name="later spans")
        await later.click()
        await page.wait_for_load_state()
        assert await page.locator(".tree .s").count() <= 200
        assert await page.get_by_role("link", name="earlier spans").count() == 1
        # A span that is named by its address is drawn, wherever it is.
        await page.goto(f"{trace}?span={9123:016x}")
        assert await page.locator(".tree .s.sel").count() == 1
        assert "tool 9123" in await page.inner_text(".tree .s.sel")


async def test_every_span_can_be_reached_by_links(house: WebHouse) -> None:
    """Following the links for later spans and those that open folds, every span is drawn somewhere."""
    everything = big(house.clock())[:752]
    await house.spans.write(everything)
    client, seen, asked = client_of(house), set[str](), set[str]()
    waiting = [f"/traces/{'c' * 32}"]
    while waiting:
        path = waiting.pop().partition("#")[0]
        if path in asked:
            continue
        asked.add(path)
        text = (await client("GET", path)).text
        assert len(text) < 1_000_000
        for part in text.split('href="')[1:]:
            href = part.partition('"')[0].replace("&amp;", "&")
            if "?span=" in href:
                seen.add(href.partition("?span=")[2][:16])
            elif "from=" in href and len(asked) < 300:
                waiting.append(href)
    assert seen >= {span.span_id for span in everything}


async def test_a_hostile_request_goes_through_the_receiver_whole(house: WebHouse) -> None:
    """The largest request that fits with texts of a megabyte: stored with a note, and its page opens."""
    now = house.clock()
    sent = ExportTraceServiceRequest()
    place = sent.resource_spans.add().scope_spans.add().spans
    for number in range(1, 4):
        span = place.add(
            trace_id=b"\x0d" * 16, span_id=number.to_bytes(8), name="n" * 100_000, start_time_unix_nano=now,
            end_time_unix_nano=now, parent_span_id=b"" if number == 1 else (number - 1).to_bytes(8),
        )  # fmt: skip
        for name in ("input.value", "output.value", "other", "gen_ai.input.messages"):
            pair = span.attributes.add(key=name)
            pair.value.string_value = HOSTILE * 10_000
    rejected = await Receiver(house.spans, clock=house.clock).spans(sent.SerializeToString(), False)
    assert rejected == []
    answer = await client_of(house)("GET", f"/traces/{'0d' * 16}?span={2:016x}")
    assert answer.status == 200
    assert "<script>window" not in answer.text
    whole = await house.spans.trace("0d" * 16)
    assert whole is not None
    assert len(msgspec.json.encode(whole.spans)) < 8_000_000

"""Real rooms on a scratch folder with a story in them, a tiny ASGI client, and what a page must have."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from web_evaluation import tell_evaluation
from web_guard import tell_guard

from trimtab import incidents, traces
from trimtab.config import Config
from trimtab.core import BadInput, Layer, LimitReached, Overloaded, Score, Span, Stamp
from trimtab.evals import Making, Means, Online, People, RunLog, Runs, no_other
from trimtab.evals import Reports as RunReports
from trimtab.gateway import BreakerLog, Keys, Ledger, Limits, Reports, RouteHealth, Teams
from trimtab.incidents import Desk, Incident
from trimtab.knowledge import Corpora
from trimtab.probes import Probes
from trimtab.registry import Registry
from trimtab.review import Gathering, ReviewLog, Reviews
from trimtab.rollouts import Controller
from trimtab.store import Blobs, Metadata, SpanStore
from trimtab.watch import MonitorBook, Watch, default_monitors
from trimtab.web.app import create_app
from trimtab.wiring.guarding import Guarding, make_guarding
from trimtab.wiring.probing import declared_in

STEP_NS = 100_000_000
HOSTILE = "<script>window.pwned=1</script><img src=x onerror=window.pwned=2>\"'><svg onload=window.pwned=3>"
SECRET = "tt-canary-0123456789abcdef"
PROMPT_1 = "Answer only from the passages.\nCite the passage you used by its number, like [1].\nUse two sentences."
PROMPT_2 = "Answer only from the passages.\nBe brief and friendly.\nUse two sentences."
TOPICS = ("billing", "delivery")


@dataclass
class Clock:
    """Simulated nanoseconds: noon of a day in November 2026."""

    ns: int = 1_795_000_000 * 10**9

    def __call__(self) -> int:
        return self.ns


@dataclass
class WebTenancy:
    """What is limited and counted: real rooms on the same clock."""

    teams: Teams
    ledger: Ledger
    limits: Limits
    reports: Reports


async def make_tenancy(metadata: Metadata, clock: Clock) -> WebTenancy:
    teams, ledger = await Teams.load(metadata), Ledger(metadata, clock=clock)
    limits = Limits(ledger=ledger, teams=teams, clock=clock)
    return WebTenancy(teams, ledger, limits, Reports(metadata, ledger=ledger, limits=limits, clock=clock))


def _asks_nobody(*_: Any, **__: Any) -> Any:
    raise AssertionError("no page asks a model")


@dataclass
class WebHouse:
    """What the pages need, of real rooms."""

    metadata: Metadata
    spans: SpanStore
    registry: Registry
    watch: Watch
    desk: Desk
    clock: Clock
    started_ns: int
    keys: Keys
    tenancy: WebTenancy
    notes: tuple[str, ...] = ()
    scoring_note: str = "The judge rests until midnight UTC: today's budget of $2 is spent."
    details: tuple[str, ...] = ()
    admin_required: bool = False
    asked: int = 0
    draw: random.Random = field(default_factory=lambda: random.Random(7))
    routes: list[RouteHealth] = field(default_factory=list)
    breakers: BreakerLog = field(default_factory=BreakerLog)
    rollouts: Controller = field(init=False)
    runs: Runs = field(init=False)
    reports: RunReports = field(init=False)
    reviews: Reviews = field(init=False)
    probes: Probes = field(init=False)
    monitors: MonitorBook = field(init=False)
    guarding: Guarding = field(init=False)
    online: Online = field(init=False)

    def __post_init__(self) -> None:
        means = Means(
            model_of=lambda ref: _asks_nobody, embedder=lambda ref: _asks_nobody, output_of=no_other,
            judge_of=lambda address: self.registry.resolve(address, kind="judges").version,
        )  # fmt: skip
        self.online = Online(
            registry=self.registry, model_of=_asks_nobody, rng=self.draw.random, clock=self.clock, means=means
        )  # fmt: skip
        self.guarding = make_guarding(self.metadata, self.registry, self.spans, self.clock)
        self.monitors = MonitorBook(
            registry=self.registry, watch=self.watch, store=self.spans, defaults=self.watch.monitors, file=(),
            clock=self.clock,
        )  # fmt: skip
        self.rollouts = self.desk.acts.rollouts = Controller(
            metadata=self.metadata, registry=self.registry, store=self.spans, clock=self.clock
        )  # fmt: skip
        log, people = RunLog(self.metadata), People(self.metadata)
        making = Making(
            registry=self.registry, ask=_asks_nobody, model_of=_asks_nobody, embedder=_asks_nobody,
            cases_of_run=log.cases, output_of=log.output,
        )  # fmt: skip
        self.runs, self.reports = Runs(log, making, clock=self.clock), RunReports(log, people, making)
        gathering = Gathering(registry=self.registry, spans=self.spans, runs=log, traces_of=self._failing)
        self.reviews = Reviews(ReviewLog(self.metadata), gathering, people, self.spans, clock=self.clock)
        self.probes = Probes(
            declared_in(Config()), metadata=self.metadata, registry=self.registry, door=_asks_nobody,
            corpora=Corpora(self.registry, Blobs(self.metadata)), clock=self.clock,
        )  # fmt: skip

    def reaches(self, owner: str) -> bool:
        return owner != "App team"

    async def _failing(self, incident_id: int) -> tuple[str, ...]:
        return (await self.desk.get(incident_id)).traces

    def health(self) -> list[RouteHealth]:
        return self.routes

    def figures(self) -> dict[str, float]:
        return self.tenancy.limits.figures()

    def loop_lag(self) -> dict[str, float]:
        return {"control": 0.012}

    def authenticate_admin(self, secret: str) -> bool:
        return secret == SECRET

    async def ask(self, text: str = "", answer: str = "", **more: Any) -> tuple[str, list[Incident]]:
        """One request with its spans and scores, 100 ms after the last one; the desk answers its alarms."""
        self.asked += 1
        self.clock.ns += STEP_NS
        trace_id, topic = f"{self.asked:032x}", TOPICS[self.asked % 2]
        chosen = self.registry.resolve("prompts:/support-answer@production", key=f"session-{self.asked}")
        arms = {chosen.rollout: chosen.arm} if chosen.rollout else {}
        cites = self.draw.random() < (0.05 if chosen.version.number == 2 else 0.97)
        stamp = Stamp(
            model="scripted/steady=simulated-steady-1@sim_a1", knowledge="help/1", prompt=chosen.version.pin,
            guard="default/1", route="support/1",
        )  # fmt: skip
        text = text or f"Can I return item {self.asked} of my order?"
        answer = answer or ("Yes, within 30 days [1]." if cites else "Yes, gladly.")
        start = self.clock.ns
        root = Span(
            trace_id=trace_id, span_id=f"{self.asked:015x}a", name="support", kind="chain", start_ns=start,
            end_ns=start + 80_000_000 + self.asked % 7 * 3_000_000, stamp=stamp,
            tags={"topic": topic}, session=f"s-{self.asked}",
            model="steady", provider="scripted", input=text, output=answer, input_tokens=340, output_tokens=24,
            cached_tokens=100, cost_usd=0.00006, ttft_ns=40_000_000,
            attributes={"gateway": True, "finish": "stop", "arms": arms, "passages": [
                {"number": 1, "title": "Returns", "source": "help.md", "text": "Return within 30 days.", "score": 7.1,
                 "updated_ns": start - 86_400 * 10**9, "document": "d1"},
                {"number": 2, "title": "Old terms", "source": "terms.md", "text": "Obsolete.", "score": 2.0,
                 "updated_ns": start - 500 * 86_400 * 10**9, "document": "d2"}]},
        )  # fmt: skip
        root = replace(root, **more)
        sent = [{"role": "system", "content": "Cite.\n" + "Long text. " * 90}, {"role": "user", "content": text}]
        child = replace(
            root, span_id=f"{self.asked:015x}b", parent_id=root.span_id, name="scripted/steady", kind="llm", layer=1,
            input=json.dumps(sent), attributes={"ref": "scripted/steady"},
        )  # fmt: skip
        found = replace(
            child, span_id=f"{self.asked:015x}c", name="help", kind="retriever", layer=2, end_ns=start + 2_000_000,
            cost_usd=None, input="", output="", attributes={"found": 2},
        )  # fmt: skip
        values = {"answered": 1.0, "complete": 1.0, "cites": float(cites), "quality": 1.0 if cites else 0.4}
        scores = [
            Score(
                id=f"{trace_id}:{name}", trace_id=trace_id, name=name, value=value,
                by="judge:quality" if name == "quality" else f"check:{name}",
                by_version="quality/1" if name == "quality" else "", time_ns=self.clock.ns, slice=topic, stamp=stamp,
                reason="no passage is cited" if name == "quality" and value < 1 else "",
            )
            for name, value in values.items()
        ]  # fmt: skip
        assert self.spans.offer([root, found, child], scores)
        opened: list[Incident] = []
        for alarm in self.watch.observe(scores):
            await self.spans.flush()
            opened.append(await self.desk.handle(alarm))
        return trace_id, opened

    async def healthy(self, requests: int = 260) -> None:
        """Traffic until the monitors know what is usual."""
        for _ in range(requests):
            await self.ask()
        await self.spans.flush()

    async def break_prompt(self, most: int = 600) -> Incident:
        """Version 2 goes to half of the sessions and stops citing; returns the incident that opens."""
        await self.registry.start_rollout(
            "prompts", "support-answer", 2, share=0.5, actor="mara", note="shorter answers", stages=(0.05, 0.5, 1.0)
        )
        for _ in range(most):
            if opened := (await self.ask())[1]:
                await self.spans.flush()
                return opened[0]
        raise AssertionError("no incident opened")


async def build(folder: Path, *, action: str = "page") -> WebHouse:
    """Open the rooms and register the assets of a small support assistant."""
    clock = Clock()
    metadata = Metadata.open(folder / "metadata.db")
    spans = SpanStore.open(folder / "spans", clock=clock)
    registry = await Registry.load(metadata, clock=clock)
    monitors = default_monitors(lambda layer: f"{layer.title if isinstance(layer, Layer) else 'App'} team")
    watch = Watch([replace(monitor, action=action) for monitor in monitors], reference=60)
    desk = Desk(metadata=metadata, registry=registry, store=spans, watch=watch, replay=None, clock=clock)
    keys, tenancy = await Keys.load(metadata, clock=clock), await make_tenancy(metadata, clock)
    house = WebHouse(metadata, spans, registry, watch, desk, clock, clock.ns, keys, tenancy)
    for kind, name, content in (
        ("guards", "default", {"stages": {}}), ("corpora", "help", {"documents": []}),
        ("routes", "support", {"targets": []}),
        ("prompts", "support-answer", {"messages": [{"role": "system", "content": PROMPT_1}], "variables": {}}),
    ):  # fmt: skip
        await registry.register(kind, name, content, author="ilse", note="the first")
        await registry.move_label(kind, name, "production", 1, actor="ilse", note="goes live")
    second = {"messages": [{"role": "system", "content": PROMPT_2}], "variables": {}}
    await registry.register("prompts", "support-answer", second, author="mara", note="shorter answers")
    clock.ns += 60 * 10**9
    return house


def close(house: WebHouse) -> None:
    house.spans.close()
    house.metadata.close()


@contextmanager
def closing(house: WebHouse) -> Iterator[WebHouse]:
    try:
        yield house
    finally:
        close(house)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """Speaks ASGI to an app in this very loop."""

    def __init__(self, app: Any, host: str = "127.0.0.1:4100") -> None:
        self._app = app
        self._host = host

    async def __call__(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: str = "",
        breaks: type[Exception] | None = None,
    ) -> Answer:
        """``breaks`` is an exception that the app raises after it has answered, as it does for a mistake of ours."""
        path, _, query = target.partition("?")
        sent: list[dict[str, Any]] = []
        all_headers = {"host": self._host, "accept": "text/html", **(headers or {})}
        if form or method == "POST":
            all_headers |= {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(form))}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in all_headers.items() if v is not None],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 4100),
        }  # fmt: skip

        waiting = [{"type": "http.request", "body": form.encode(), "more_body": False}]

        async def receive() -> dict[str, Any]:
            if not waiting:  # the client stays: whoever listens for its leaving waits
                await asyncio.Event().wait()
            return waiting.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        with pytest.raises(breaks) if breaks else nullcontext():
            await self._app(scope, receive, send)
        start = sent[0]
        body = b"".join(m.get("body", b"") for m in sent[1:])
        found = {k.decode(): v.decode() for k, v in start["headers"]}
        return Answer(start["status"], found, body.decode(errors="replace"))


class Page(HTMLParser):
    """The facts about a page that accessibility and the policy depend on."""

    VOID = frozenset(("meta", "link", "input", "br", "wbr", "img", "hr", "col"))

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.h1: list[str] = []
        self.headings: list[int] = []
        self.text: list[str] = []
        self.unclosed: list[str] = []
        self.misnested: list[str] = []
        self._h1 = False
        self._label = 0
        self.labelled: list[dict[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag not in self.VOID:
            self.unclosed.append(tag)
        if tag == "h1":
            self._h1 = True
            self.h1.append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.unclosed and self.unclosed[-1] == tag:
            self.unclosed.pop()
        else:
            self.misnested.append(tag)
        if tag == "h1":
            self._h1 = False

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._h1:
            self.h1[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


async def fails(request: Request) -> Response:
    """A route that raises what its address names."""
    match request.path_params["how"]:
        case "limit":
            raise LimitReached("Too many requests.", mend="Wait.", retry_after=1.2)
        case "field":
            raise BadInput("must be text.", field="name", mend="Send text.")
        case "full":
            raise Overloaded("The queue is full.")
        case _:
            raise RuntimeError("secret detail of the inside")


@dataclass
class Story:
    """A house whose prompt broke, and the ids that its pages need."""

    house: WebHouse
    client: Client
    incident: Incident
    hostile: str
    paths: list[str]


def app_of(house: WebHouse) -> Any:
    """The pages, the parts of the control API that they link to or ask, and routes that fail."""
    api = [*incidents.routes(house.desk), *traces.routes(house.spans, clock=house.clock)]
    return create_app(house, [*api, Route("/api/fails/{how}", fails), Route("/fails/{how}", fails)])


def client_of(house: WebHouse) -> Client:
    return Client(app_of(house))


def agent_run(now: int, trace_id: str, session: str = "talk/1") -> list[Span]:
    """An agent that plans and searches in a loop: parallel calls, one that fails and is tried again, a nested agent."""
    plain: dict[str, Any] = {"trace_id": trace_id, "session": session, "tags": {"user": "ana"}}
    made: list[Span] = []

    def span(parent: str, name: str, kind: str, start: int, end: int, **more: Any) -> str:
        made.append(
            Span(
                span_id=f"{len(made) + 1:016x}", parent_id=parent, name=name, kind=kind,
                start_ns=now + start * 10**6, end_ns=now + end * 10**6, **plain | more,
            )
        )  # fmt: skip
        return made[-1].span_id

    root = span(
        "", "travel agent", "agent", 0, 1000, input="Find a train.", output="The 09:14.", model="steady",
        provider="scripted", input_tokens=900, output_tokens=40, cost_usd=0.0002,
    )  # fmt: skip
    for loop in range(3):
        at = loop * 200
        span(root, "plan", "llm", at, at + 50, layer=1, model="steady", provider="scripted", cost_usd=0.00005)
        for number in range(4):
            span(root, "search", "tool", at + 50 + number, at + 100 + number)
        span(root, "timetable", "tool", at + 50, at + 120)
    span(root, "book", "tool", 600, 610, status="error", error="it is full")
    span(root, "book", "tool", 610, 620)
    inner = span(root, "hotel agent", "agent", 620, 900)
    for number in range(15):
        span(inner, f"page {number}", "tool", 620 + number * 10, 625 + number * 10)
        span(inner, "read", "llm", 625 + number * 10, 630 + number * 10, layer=1)
    span(root, "check", "guardrail", 900, 910, layer=4, output="allow", attributes={"stage": "output"})
    return made


def explore(question: str) -> str:
    """The address of a question."""
    return f"/dashboards/explore?{urlencode({'q': question, 'w': '15m'})}"


async def tell(house: WebHouse) -> Story:
    """Healthy traffic, a hostile request, and then a prompt that breaks."""
    await house.healthy()
    guarded = await tell_guard(house, HOSTILE)
    hostile, _ = await house.ask(
        HOSTILE, HOSTILE, name=HOSTILE, session=HOSTILE, tags={"topic": "billing", HOSTILE: HOSTILE}, error=HOSTILE,
        attributes={
            "passages": [{"number": 1, "title": HOSTILE, "text": HOSTILE, "source": HOSTILE}], HOSTILE: HOSTILE,
        },
    )  # fmt: skip
    await house.registry.register("prompts", "other", {"messages": [], HOSTILE: HOSTILE}, author=HOSTILE, note=HOSTILE)
    await house.registry.move_label("prompts", "other", "production", 1, actor=HOSTILE, note=HOSTILE)
    await house.registry.record_external(
        "models", "scripted/steady", before="a=b@c", after=f"a={HOSTILE}@d", note=HOSTILE, actor=HOSTILE
    )
    agent = "a9" * 16
    await house.spans.write(agent_run(house.clock(), agent))
    for turn in ("And a hotel?", "Book it."):
        await house.ask(turn, session="talk/1")
    made = replace(house.monitors.find("quality").monitor, name="quality-billing", slice=HOSTILE, owner=HOSTILE)
    await house.monitors.save(replace(made, runbook=HOSTILE, threshold=0.05), actor=HOSTILE, note=HOSTILE)
    incident = await house.break_prompt()
    trace = f"{house.asked:032x}"
    paths = [
        "/monitors", "/monitors?form=new", "/monitors/cites", "/monitors/cites?test=24", "/monitors/first_token",
        "/monitors/quality-billing", "/monitors/quality-billing?confirm=remove", "/assets/monitors/quality-billing",
        "/", "/?w=1h", "/?w=24h", "/start", "/incidents", f"/incidents/{incident.id}",
        f"/incidents/{incident.id}?confirm=rollback", f"/incidents/{incident.id}?confirm=close",
        "/traces", "/traces?w=15m", "/traces?q=score:cites%3C0.5", f"/traces/{trace}", f"/traces/{hostile}",
        f"/traces/{trace}?span={house.asked:015x}b", f"/traces/compare?t={trace}&t={hostile}",
        "/prompts", "/prompts/support-answer", "/prompts/support-answer?v=2&show=text",
        "/prompts/support-answer?confirm=rollback", "/prompts/other",
        "/assets", "/assets/prompts", "/assets/prompts/support-answer", "/assets/prompts/other",
        "/assets/prompts/support-answer?tab=versions&v=2", "/assets/prompts/support-answer?tab=scores",
        "/assets/prompts/support-answer?tab=used", "/assets/prompts/support-answer?confirm=rollback", "/ledger",
        "/ledger?layer=3&actor=mara", "/gateway", "/gateway?why=unknown",
        f"/traces/{agent}", f"/traces/{agent}?view=layers", f"/traces/{agent}?graph={21:016x}",
        "/traces?q=prompt%3Dsupport-answer/2&about=1", "/traces?q=item&w=1h", "/traces?about=1&q=tag:topic%3Dbilling",
        f"/traces?since={house.clock() - 10**10}&until={house.clock()}",
        "/sessions", "/sessions?q=score:cites%3C0.5", "/sessions?q=nothing+like+it&w=1h", "/sessions/talk%2F1",
        f"/sessions/{quote(HOSTILE, safe='')}", "/dashboards", "/dashboards?w=24h", "/dashboards?w=7d&by=day",
        "/dashboards?w=30d&by=hour&project=default", "/dashboards/explore", "/dashboards/explore?q=status%3Derror",
        explore("| by prompt, tag:topic | count, p95 duration, sum cost, avg score:quality"),
        explore("| by time:1m, model | count, sum cost | top 5"), explore("no:model | by session | count"),
        explore("| by prompt | count, errors, avg score:quality | compare previous"),
        explore("| count, errors, avg score:cites | compare prompt=support-answer/1 with prompt=support-answer/2"),
    ]  # fmt: skip
    paths += await tell_evaluation(house, hostile)
    paths += guarded
    return Story(house, client_of(house), incident, hostile, paths)

"""Prompts from the registry: addresses, filling, the cache and its patience with an absent server."""

from __future__ import annotations

import contextvars
import json
import logging
from typing import Any
from urllib.parse import parse_qsl

import pytest

import trimtab
from trimtab.core import Address, BadInput, NotFound, TrimtabError
from trimtab.sdk import Prompt, Unreachable, configure, current_settings, prompt_of, prompts
from trimtab.sdk.livespan import Sticky
from trimtab.sdk.promptcache import PromptCache, Served

SUPPORT = {"messages": [{"role": "system", "content": "Answer {{ question }} in {{lang}}, \\{{kindly}}."}]}


class Registry:
    """The registry's routes that a client uses, in the registry's own shapes."""

    def __init__(self, backend: Any) -> None:
        self.versions: list[dict[str, Any]] = [SUPPORT]
        self.labels = {"production": 1}
        self.rollout: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        backend.answer = self.answer
        configure(url=backend.url, key="tt-key")

    def answer(self, method: str, path: str, headers: Any, body: Any) -> tuple[int, dict[str, str], bytes]:
        path, _, query = path.partition("?")
        if path == "/api/resolve":
            return self._resolve(dict(parse_qsl(query)), headers)
        if method == "POST" and path == "/api/versions/prompts/support":
            self.versions.append(body["content"])
            if body["label"]:
                self.labels[body["label"]] = len(self.versions)
            return 201, {}, self._version(len(self.versions))
        return self._gone("There is no prompt here.")

    def _resolve(self, query: dict[str, str], headers: Any) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(query)
        rest = query["address"].removeprefix("prompts:/")
        name, _, label = rest.partition("@")
        name, _, number = name.partition("/")
        if name != "support":
            return self._gone("There is no prompt here.")
        if label and label not in self.labels:
            return self._gone(f"There is no {name}@{label}.")
        version = int(number) if number else self.labels[label]
        said = {"x-trimtab-rollout": "", "x-trimtab-arm": "", "x-trimtab-sticky": self.rollout.get("sticky", "")}
        key = query.get("key") or query.get("request", "")
        if self.rollout and label and key:
            arm = "candidate" if key in self.rollout["candidates"] else "base"
            version = 2 if arm == "candidate" else 1
            said |= {"x-trimtab-rollout": "rol_1", "x-trimtab-arm": arm}
        said["etag"] = f'"d{version}"'
        if said["etag"] in headers.get("if-none-match", ""):
            return 304, said, b""
        return 200, said, self._version(version)

    def _gone(self, detail: str) -> tuple[int, dict[str, str], bytes]:
        said = {"detail": detail, "mend": "There is: support."}
        return 404, {"content-type": "application/problem+json"}, json.dumps(said).encode()

    def _version(self, number: int) -> bytes:
        return json.dumps({"name": "support", "number": number, "content": self.versions[number - 1]}).encode()


@pytest.fixture
def registry(backend: Any) -> Registry:
    return Registry(backend)


def test_load_and_fill(registry: Registry, backend: Any) -> None:
    prompt = trimtab.load_prompt("prompts:/support@production")
    assert (prompt.name, prompt.version, prompt.label) == ("support", 1, "production")
    assert prompt.variables == ("question", "lang")
    text = prompt.format(question="{{lang}}?", lang="German")
    assert text == "Answer {{lang}}? in German, {{kindly}}."
    assert prompt.compile(question=1, lang=["x"]) == 'Answer 1 in ["x"], {{kindly}}.'
    assert prompt.to_messages(question="q", lang="d")[0]["role"] == "system"
    assert backend.requests[0][2]["authorization"] == "Bearer tt-key"


@pytest.mark.parametrize(
    ("variables", "field"), [({"question": "q"}, "lang"), ({"question": "q", "lang": "d", "langs": "x"}, "langs")]
)
def test_missing_and_unknown_variables_are_named(registry: Registry, variables: dict[str, str], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        trimtab.load_prompt("support").format(**variables)
    assert caught.value.field == field
    assert "support/1" in str(caught.value)


def test_other_addresses(registry: Registry) -> None:
    registry.versions.append({"messages": [{"role": "user", "content": "v2"}]})
    registry.labels["canary"] = 2
    assert trimtab.load_prompt("prompts:/support/2").format() == "v2"
    assert trimtab.get_prompt("support", label="canary").version == 2
    assert trimtab.get_prompt("support", version=1).version == 1


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("prompts:/support@nightly", "There is no support@nightly. There is: support."),
        ("prompts:/other@production", "There is: support."),
    ],
)
def test_unknown_prompts_say_what_there_is(registry: Registry, address: str, says: str) -> None:
    with pytest.raises(NotFound) as caught:
        trimtab.load_prompt(address)
    assert says in str(caught.value)


@pytest.mark.parametrize("address", ["", "guards/:x", "prompts:/", "prompts:/a@", "a/b"])
def test_what_is_no_address_is_refused_without_asking(registry: Registry, backend: Any, address: str) -> None:
    with pytest.raises(BadInput):
        trimtab.load_prompt(address)
    assert backend.requests == []


def test_register(registry: Registry) -> None:
    made = trimtab.register_prompt("support", "Say {{word}}", note="shorter", label="production")
    assert (made.version, made.format(word="hi")) == (2, "Say hi")
    assert trimtab.load_prompt("support").version == 2
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "{{q}}"}]}]
    made = trimtab.register_prompt("support", chat)
    assert made.variables == ("q",)
    assert made.format(q="why")[1]["content"] == [{"type": "text", "text": "why"}]
    with pytest.raises(BadInput, match="not registered"):
        trimtab.register_prompt("other", "x")


def test_defaults(registry: Registry) -> None:
    registry.versions[0] = {**SUPPORT, "variables": {"lang": {"type": "string", "default": "English"}, "question": {}}}
    assert trimtab.load_prompt("support").format(question="q") == "Answer q in English, {{kindly}}."


def test_an_absent_server_is_unreachable_with_the_mend(backend: Any) -> None:
    configure(url="http://127.0.0.1:1")
    with pytest.raises(Unreachable) as caught:
        trimtab.load_prompt("support")
    assert "trimtab up" in str(caught.value)
    backend.answer = lambda *_: (500, {}, b"oops")
    configure(url=backend.url)
    with pytest.raises(TrimtabError, match="500"):
        trimtab.load_prompt("support")


def test_a_redirect_does_not_carry_the_key_away(backend: Any) -> None:
    backend.answer = lambda *_: (302, {"location": backend.url + "/elsewhere"}, b"")
    configure(url=backend.url, key="tt-secret")
    with pytest.raises(TrimtabError, match="302"):
        trimtab.load_prompt("support")
    assert [path for _, path, _, _ in backend.requests] == ["/api/resolve?address=prompts%3A%2Fsupport%40production"]


class Source:
    """What the cache fetches from, with a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.away = False
        self.asked: list[Address] = []
        self.sticky = ""
        self.arms: dict[str, str] = {}
        self.cache = PromptCache(self.fetch, fresh=60.0, clock=lambda: self.now)

    def fetch(self, _settings: Any, address: Address, who: Sticky, _known: Any) -> Served:
        self.asked.append(address)
        if self.away:
            raise Unreachable("the server does not answer")
        arm = self.arms.get(who.session, "") if self.sticky else ""
        prompt = Prompt(
            name=address.name, version=len(self.asked), messages=(), arm=arm, rollout="rol_1" if arm else ""
        )
        return Served(prompt=prompt, sticky=self.sticky)

    def get(self, session: str = "", **address: Any) -> int:
        return self.ask(session, **address).version

    def ask(self, session: str = "", **address: Any) -> Prompt:
        place = Address(kind="prompts", name="p", **address)
        return self.cache.get(current_settings(), place, Sticky(session=session))


def test_a_label_is_asked_for_again_after_a_minute_and_a_number_never() -> None:
    source = Source()
    assert [source.get(label="production"), source.get(number=7)] == [1, 2]
    source.now = 59.9
    assert [source.get(label="production"), source.get(number=7)] == [1, 2]
    source.now = 60.0
    assert [source.get(label="production"), source.get(number=7)] == [3, 2]
    configure(url="http://127.0.0.1:4101")
    assert source.get(label="production") == 4


def test_a_stale_prompt_is_better_than_none(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    source.away = True
    with pytest.raises(Unreachable):
        source.get(label="production")
    source.away = False
    assert source.get(label="production") == 2
    source.away = True
    with caplog.at_level(logging.WARNING, "trimtab"):
        for minute in range(1, 4):
            source.now = 60.0 * minute
            assert source.get(label="production") == 2
            assert source.get(label="production") == 2
    # Asked once a minute, said once.
    assert (len(source.asked), len(caplog.records)) == (5, 1)
    source.away = False
    source.now = 240.0
    assert source.get(label="production") == 6


def test_while_a_version_is_rolled_out_each_session_keeps_what_it_drew() -> None:
    source = Source()
    source.sticky, source.arms = "session", {"a": "base", "b": "candidate"}
    assert [source.get("a", label="production"), source.get("b", label="production")] == [1, 2]
    assert [source.get("a", label="production"), source.get("b", label="production")] == [1, 2]
    source.now = 60.0
    assert source.get("b", label="production") == 3
    # The rollout is over: from the next look on everybody is served from one answer.
    source.now, source.sticky = 120.0, ""
    assert [source.get(session, label="production") for session in ("a", "b", "c")] == [4, 4, 4]


def test_a_new_session_gets_the_base_while_the_server_is_away() -> None:
    source = Source()
    source.sticky, source.arms = "session", {"a": "base", "b": "candidate"}
    source.get("a", label="production")
    source.get("b", label="production")
    source.away = True
    source.now = 60.0
    assert source.ask("b", label="production").arm == "candidate"
    new = source.ask("c", label="production")
    assert (new.version, new.arm, new.rollout) == (1, "", "")
    asked = len(source.asked)
    assert source.get("c", label="production") == 1
    assert len(source.asked) == asked


def test_a_draw_for_each_request_is_asked_for_each_time() -> None:
    source = Source()
    source.sticky, source.arms = "request", {"a": "base"}
    assert [source.get("a", label="production") for _ in range(3)] == [1, 2, 3]
    source.away = True
    assert [source.get("a", label="production") for _ in range(3)] == [3, 3, 3]
    assert len(source.asked) == 4


def test_the_session_decides_and_the_span_says_which_arm(registry: Registry) -> None:
    registry.versions.append({"messages": [{"role": "system", "content": "v2 {{word}}"}]})
    registry.rollout = {"sticky": "session", "candidates": "s2"}

    def serve(session: str) -> tuple[int, dict[str, Any]]:
        with trimtab.start_span("answer") as span:
            trimtab.set_session(session)
            prompt = trimtab.load_prompt("support")
            prompt.format(**dict.fromkeys(prompt.variables, "x"))
        return prompt.version, span.attributes

    version, said = serve("s1")
    assert (version, said["gen_ai.prompt.version"], said["trimtab.arm"]) == (1, "1", "base")
    version, said = serve("s2")
    assert (version, said["trimtab.rollout"], said["trimtab.arm"]) == (2, "rol_1", "candidate")
    assert [query.get("key") for query in registry.asked] == ["s1", "s2"]
    assert registry.asked[0]["request"]


def test_what_is_known_is_not_sent_again(registry: Registry, backend: Any) -> None:
    cache = PromptCache(prompts.fetch_prompt, fresh=0.0)
    place = Address(kind="prompts", name="support", label="production")
    first = cache.get(current_settings(), place)
    again = cache.get(current_settings(), place)
    assert first == again
    assert [headers.get("if-none-match") for _, _, headers, _ in backend.requests] == [None, '"d1"']


def test_a_call_names_the_prompt_whose_text_it_carries() -> None:
    def app() -> None:
        short = Prompt(name="short", version=1, messages=({"role": "system", "content": "Be kind."},))
        long = Prompt(name="long", version=2, messages=({"role": "system", "content": "Be kind. Cite {{n}}."},))
        assert prompt_of([{"role": "system", "content": "Be kind."}]) is None
        long.format(n=3)
        short.format()
        assert prompt_of([{"role": "system", "content": "Be kind. Cite 3."}]) == ("long", 2)
        assert prompt_of([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "x"}]) == ("short", 1)
        assert prompt_of([{"role": "user", "content": [{"type": "text", "text": "Be kind. Cite 4."}]}]) == ("short", 1)
        assert prompt_of([{"role": "user", "content": "hello"}, {"role": "user"}]) is None

    contextvars.copy_context().run(app)
    assert prompt_of([{"role": "system", "content": "Be kind."}]) is None

"""promptfoo's assertions as scorers, and its names of models as ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trimtab.core import BadInput

#: Reads another file that a configuration names, by its path. Raises BadInput where there is none.
Read = Callable[[str], str]
#: promptfoo's names of providers whose models we call otherwise.
_PROVIDERS = {"google": "gemini", "vertex": "gemini", "azureopenai": "azure"}
_MIDDLE = ("chat", "messages", "completion", "responses", "chatcompletion")
_PARAMS = ("temperature", "max_tokens", "max_completion_tokens", "top_p", "seed", "stop", "frequency_penalty",
           "presence_penalty", "reasoning_effort", "response_format", "tools", "tool_choice")  # fmt: skip
VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_][\w]*)\s*-?\}\}")
LOGIC = re.compile(r"\{%|\{\{[^}]*[|.\[(][^}]*\}\}")
#: Nunjucks' own way to write a text that is no template.
RAW = re.compile(r"\{%-?\s*raw\s*-?%\}(.*?)\{%-?\s*endraw\s*-?%\}", re.DOTALL)


@dataclass
class Converted:
    """Plans that were made, one for each prompt and provider, and what has no counterpart. ``gateway`` is the address
    of the gateway that the configuration asks, "" for none."""

    plans: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    gateway: str = ""

    def without(self, what: str) -> None:
        """Note what is left out, once."""
        if what not in self.left_out:
            self.left_out.append(what)


def read_provider(item: Any, done: Converted) -> tuple[str, dict[str, Any], str] | None:
    """A provider as our model, its parameters and a label; None (and noted) for what is no model."""
    config: Mapping[str, Any] = {}
    label = ""
    if isinstance(item, Mapping):
        config = item.get("config") or {}
        label = str(item.get("label") or "")
        item = item.get("id") or next(iter(item), "")
    name, _, rest = str(item).partition(":")
    parts = rest.split(":")
    if not rest or name in ("exec", "python", "file", "http", "https", "webhook", "package", "browser", "websocket"):
        done.without(f"provider {item}")
        return None
    model = ":".join(parts[1:] if parts[0] in _MIDDLE and len(parts) > 1 else parts)
    at_gateway = bool(done.gateway) and _base(config.get("apiBaseUrl")) == _base(done.gateway)
    params = {key: config[key] for key in _PARAMS if key in config}
    for key in config:
        if key not in params and key not in ("apiKey", "apiKeyEnvar", "apiBaseUrl", "apiHost"):
            done.without(f"provider option {key}")
    # What promptfoo asks of the gateway is a route or a model as the gateway knows it.
    asked = model if at_gateway else f"{_PROVIDERS.get(name, name)}/{model}"
    return asked, params, label or model.rpartition("/")[2]


def _base(url: object) -> str:
    """The address of a server without its path to the API."""
    return str(url or "").rstrip("/").removesuffix("/v1").rstrip("/")


def written(text: str) -> str:
    """A text as promptfoo must find it to mean just that: it takes braces for templates and ``file://`` for a path."""
    if not text.startswith("file://") and not re.search(r"\{[{%#]", text):
        return text
    # The end of a raw block cannot stand in one: such a text goes into two.
    inside = re.sub(r"\{%(?=-?\s*endraw)", "{%{% endraw %}{% raw %}", text)
    return f"{{% raw %}}{inside}{{% endraw %}}"


def rendered(text: str, variables: Mapping[str, Any]) -> str | None:
    """A template with its variables filled in, raw blocks as they stand; None where it has logic."""
    parts = RAW.split(text)
    for at in range(0, len(parts), 2):
        parts[at] = VARIABLE.sub(lambda m: str(variables.get(m[1], m[0])), parts[at])
        if LOGIC.search(parts[at]):
            return None
    return "".join(parts)


def read_assertion(
    item: Mapping[str, Any], variables: Mapping[str, Any], judge: str, done: Converted
) -> tuple[dict[str, Any], Any] | None:
    """One assertion as a scorer, and the text that it expects; None (and noted) where there is no counterpart."""
    kind = str(item.get("type") or "")
    value = item.get("value")
    if isinstance(value, str):
        if value.startswith("file://"):
            done.without(f"{kind} with {value}")
            return None
        value = rendered(value, variables)
        if value is None:
            done.without(f"{kind} with Nunjucks logic")
            return None
    make = ASSERTS.get(kind)
    made = make(value, item, judge) if make else None
    if made is None:
        done.without(f"assertion {kind}")
        return None
    if item.get("weight") not in (None, 1):
        done.without("weights of assertions")
    if item.get("transform"):
        done.without("transforms of answers")
    if name := item.get("metric"):
        made = {**made, "name": str(name)}
    return made, value


Make = Callable[[Any, Mapping[str, Any], str], dict[str, Any] | None]


def _contains(*, ignore_case: bool, kind: str = "contains") -> Make:
    return lambda value, item, judge: {"kind": kind, "text": value if isinstance(value, list) else str(value),
                                       "ignore_case": ignore_case}  # fmt: skip


def _any(*, ignore_case: bool) -> Make:
    def make(value: Any, item: Mapping[str, Any], judge: str) -> dict[str, Any]:
        texts = "|".join(re.escape(str(text)) for text in listed(value))
        return {"kind": "regex", "pattern": f"{'(?i)' if ignore_case else ''}(?:{texts})"}

    return make


def _json(*, fenced: bool) -> Make:
    def make(value: Any, item: Mapping[str, Any], judge: str) -> dict[str, Any]:
        schema = read_yaml(value, "schema") if isinstance(value, str) and value.strip() else value
        found = {"kind": "json_schema", "schema": schema} if isinstance(schema, Mapping) else {"kind": "json"}
        return {**found, **({"fenced": True} if fenced else {})}

    return make


def _rubric(value: Any, item: Mapping[str, Any], judge: str) -> dict[str, Any]:
    made = read_provider(item["provider"], Converted()) if item.get("provider") else None
    text = value if isinstance(value, str) else json.dumps(value)
    criteria = [{"name": "rubric", "text": text}]
    rubric = "You judge one answer. Be strict and fair."
    return {"kind": "judge", "model": made[0] if made else judge, "rubric": rubric, "criteria": criteria}


def _judged(kind: str) -> Make:
    def make(value: Any, item: Mapping[str, Any], judge: str) -> dict[str, Any]:
        threshold = item.get("threshold")
        return {"kind": kind, "model": judge, **({"threshold": float(threshold)} if threshold is not None else {})}

    return make


def _factual(value: Any, item: Mapping[str, Any], judge: str) -> dict[str, Any]:
    text = f"The answer says nothing that contradicts this: {value}"
    return {**_rubric(text, item, judge), "criteria": [{"name": "factual", "text": text}]}


def _bound(kind: str, field: str) -> Make:
    def make(value: Any, item: Mapping[str, Any], judge: str) -> dict[str, Any] | None:
        try:
            return {"kind": kind, field: float(item.get("threshold", value))}
        except (TypeError, ValueError):
            return None

    return make


ASSERTS: Mapping[str, Make] = {
    "equals": lambda value, item, judge: {"kind": "exact"} if isinstance(value, str | int | float) else None,
    "contains": _contains(ignore_case=False),
    "icontains": _contains(ignore_case=True),
    "contains-all": _contains(ignore_case=False),
    "icontains-all": _contains(ignore_case=True),
    "not-contains": _contains(ignore_case=False, kind="not_contains"),
    "not-icontains": _contains(ignore_case=True, kind="not_contains"),
    "not-contains-any": _contains(ignore_case=False, kind="not_contains"),
    "not-icontains-any": _contains(ignore_case=True, kind="not_contains"),
    "contains-any": _any(ignore_case=False),
    "icontains-any": _any(ignore_case=True),
    "starts-with": lambda value, item, judge: {"kind": "regex", "pattern": f"^{re.escape(str(value))}"},
    "regex": lambda value, item, judge: {"kind": "regex", "pattern": str(value)},
    "is-json": _json(fenced=False),
    "similar": lambda value, item, judge: {"kind": "similarity", "model": "openai/text-embedding-3-large",
                                           "threshold": float(item.get("threshold", 0.75))},
    "llm-rubric": _rubric,
    "model-graded-closedqa": _rubric,
    "g-eval": _rubric,
    "factuality": _factual,
    "model-graded-factuality": _factual,
    "answer-relevance": lambda value, item, judge: {"kind": "relevance", "model": judge},
    "context-faithfulness": _judged("groundedness"),
    "context-recall": _judged("context_recall"),
    "latency": _bound("latency", "max_ms"),
    "cost": _bound("cost", "max_usd"),
    "not-is-refusal": lambda value, item, judge: {"kind": "no_refusal"},
}  # fmt: skip


def read_file(path: str, read: Read) -> str:
    """The text of a file that a configuration names."""
    return read(path.removeprefix("file://"))


def read_yaml(text: str, where: str) -> Any:
    """YAML or JSON as plain values. Raises BadInput."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise BadInput(f"is not YAML: {said}.", field=where, mend="Correct it.") from None


def listed(value: Any) -> list[Any]:
    """A list as it is, nothing as an empty one, anything else as a list of it."""
    return value if isinstance(value, list) else [] if value is None else [value]

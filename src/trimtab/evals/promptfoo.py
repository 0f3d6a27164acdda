"""promptfoo's configuration as runs of ours: providers, prompts, tests and assertions, and the names of what is not.

What is taken over keeps its meaning; where a meaning would change, it is named as left out instead. Nothing of a
configuration is executed: assertions in JavaScript or Python are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from trimtab.core import BadInput

from .promptfoo_asserts import LOGIC, VARIABLE, Converted, Read, listed, read_file, read_provider, read_yaml
from .promptfoo_tests import case_of, tests_of

_TOP = ("description", "providers", "targets", "prompts", "tests", "defaultTest", "scenarios", "evaluateOptions",
        "outputPath", "sharing", "env", "tags", "commandLineOptions", "metadata")  # fmt: skip


def convert_promptfoo(text: str, read: Read, *, judge: str = "", gateway: str = "") -> Converted:
    """The plans of a promptfooconfig.yaml. ``judge`` is the model for rubrics that name none ("" = that of promptfoo's
    defaults, left to be named). Providers whose ``apiBaseUrl`` is the ``gateway``'s address keep their model as it is:
    the gateway's own name for it. Raises BadInput for what is no such configuration."""
    config = read_yaml(text, "file")
    if not isinstance(config, Mapping) or not ({"prompts", "tests", "scenarios"} & config.keys()):
        raise BadInput("is no promptfoo configuration.", field="file", mend="It needs prompts and tests.")
    done = Converted(gateway=gateway)
    for name in config:
        if name not in _TOP:
            done.without(f"{name} (top level)")
    default = config.get("defaultTest") or {}
    if isinstance(default, str):
        default = read_yaml(read_file(default, read), "defaultTest")
    tests = tests_of(config, read, done)
    if not tests:
        raise BadInput("holds no test that can be taken over.", field="tests", mend="Write tests.")
    judge = judge or _grader(default) or "openai/gpt-4o-mini"
    cases = [case_of(test, default, n, judge, done) for n, test in enumerate(tests, 1)]
    prompts = [_prompt(item, read, done) for item in listed(config.get("prompts") or ["{{prompt}}"])]
    providers = [p for item in listed(config.get("providers") or config.get("targets") or ["openai:gpt-4o-mini"])
                 if (p := read_provider(item, done))]  # fmt: skip
    options = config.get("evaluateOptions") or {}
    kept = [case.content for case in cases]
    for model, params, tag in providers:
        for n, messages in enumerate((p for p in prompts if p), 1):
            name = "-".join(part for part in (tag, f"prompt-{n}" if len(prompts) > 1 else "") if part)
            target: dict[str, Any] = {"model": model, "messages": messages}
            names = sorted({v for m in messages for v in VARIABLE.findall(str(m["content"]))})
            if names:
                target["variables"] = {v: {"default": ""} for v in names}
            if params:
                target["params"] = params
            plan = {"name": name or "promptfoo", "target": target, "cases": kept, "scorers": []}
            if note := config.get("description"):
                plan["note"] = str(note)
            for theirs, ours in (("repeat", "repeats"), ("maxConcurrency", "concurrency")):
                if isinstance(options.get(theirs), int):
                    plan[ours] = options[theirs]
            done.plans.append(plan)
    if not done.plans:
        raise BadInput("names no prompt and provider that can be taken over.", field="file",
                       mend=f"Left out: {'; '.join(done.left_out[:10])}.")  # fmt: skip
    return done


def _prompt(item: Any, read: Read, done: Converted) -> list[dict[str, Any]] | None:
    if isinstance(item, Mapping):
        item = item.get("raw") or item.get("id") or ""
    text = str(item)
    if text.startswith("file://") or re.fullmatch(r"[\w./*-]+\.(txt|md|json|yaml|yml|j2)", text):
        path = text.removeprefix("file://")
        if path.endswith((".py", ".js", ".mjs", ".cjs", ".ts")) or ".py:" in path or ".js:" in path or "*" in path:
            done.without(f"prompt {text}")
            return None
        text = read_file(path, read)
    if LOGIC.search(text):
        done.without(f"prompt with Nunjucks logic: {' '.join(text.split())[:60]}")
        return None
    messages = _chat(text)
    if messages is None:
        messages = [{"role": "user", "content": text.strip()}]
    return messages


def _chat(text: str) -> list[dict[str, Any]] | None:
    """A prompt that is a list of messages, in JSON or YAML."""
    stripped = text.lstrip()
    if not stripped.startswith(("[", "- role")):
        return None
    try:
        found = json.loads(stripped) if stripped.startswith("[") else read_yaml(text, "prompt")
    except (ValueError, BadInput):
        return None
    if isinstance(found, list) and all(isinstance(m, Mapping) and {"role", "content"} <= m.keys() for m in found):
        return [{"role": str(m["role"]), "content": m["content"]} for m in found]
    return None


def _grader(default: Any) -> str:
    options = default.get("options") if isinstance(default, Mapping) else None
    provider = options.get("provider") if isinstance(options, Mapping) else None
    made = read_provider(provider, Converted()) if provider else None
    return made[0] if made else ""

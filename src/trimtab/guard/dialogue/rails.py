"""The rails of a NeMo Guardrails configuration as stages of a policy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .colang import Block, Script

#: Presidio's names of what is personal, and ours; names of people and places need the scanner ``names``.
_ENTITIES = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card-number", "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip-address", "URL": "url", "US_SSN": "us-ssn", "US_ITIN": "us-itin", "US_PASSPORT": "passport",
    "US_DRIVER_LICENSE": "driver-licence", "US_BANK_NUMBER": "bank-account", "CRYPTO": "bitcoin-address",
    "UK_NHS": "uk-nhs-number", "ES_NIF": "es-dni", "IT_FISCAL_CODE": "it-fiscal-code", "SG_NRIC_FIN": "sg-nric",
    "AU_TFN": "au-tfn", "AU_MEDICARE": "au-medicare", "IN_PAN": "in-pan", "IN_AADHAAR": "in-aadhaar",
}  # fmt: skip
_NAMES = ("PERSON", "LOCATION", "NRP")
_FACTS = ("self check facts", "self check hallucination", "hallucination warning", "alignscore check facts",
          "gotitai rag truthcheck", "patronus lynx check output hallucination", "cleanlab trustworthiness",
          "autoalign factcheck output")  # fmt: skip
_MODERATION = ("activefence moderation", "activefence moderation detailed", "gcpnlp moderation",
               "autoalign check input", "autoalign check output")  # fmt: skip
_JUDGED = ("self check input", "self check output", "llama guard check input", "llama guard check output",
           "content safety check input", "content safety check output")  # fmt: skip
_RULE_OF_PROMPT = re.compile(r"(?m)^\s*-\s+(.{3,200})$")
_WORD_RAIL = re.compile(r'^if "(?P<word>[^"]{1,200})" in \$(?:user|bot)_message$')
_MOST_CATEGORIES = 40

NoteDown = Callable[[Any, str, str, str], None]


class Rails:
    """The rails of ``config``. ``used`` are the subflows that a rail names, ``said`` the messages that became those of
    a rule, ``more`` further parts of the policy."""

    def __init__(self, config: Mapping[str, Any], script: Script, note: NoteDown) -> None:
        self._config = config
        self._script = script
        self._note = note
        rails = config.get("rails")
        self._rails: Mapping[str, Any] = rails if isinstance(rails, Mapping) else {}
        self.used: set[str] = set()
        self.said: set[str] = set()
        self._told: set[str] = set()
        self.more: dict[str, Any] = {}

    def stages(self) -> dict[str, list[dict[str, Any]]]:
        """The stages, with a note for every rail and every setting of rails."""
        stages: dict[str, list[dict[str, Any]]] = {"input": [], "output": []}
        for where, stage in (("input", "input"), ("output", "output"), ("retrieval", "input")):
            part = self._rails.get(where)
            for flow in (part.get("flows") or ()) if isinstance(part, Mapping) else ():
                self._rail(str(flow), where, stages[stage])
            for key in part if isinstance(part, Mapping) else ():
                if key != "flows":
                    self._note("not converted", "config.yml", f"rails.{where}.{key}", "a policy has nothing like it")
        self._rest()
        return {stage: rules for stage, rules in stages.items() if rules}

    def _rail(self, flow: str, where: str, rules: list[dict[str, Any]]) -> None:
        name, _, argument = flow.partition("$")
        name = name.strip()
        what = f"rail {where}: {name}"
        if name in _JUDGED:
            self._judge(name, argument, what)
        elif name.startswith("jailbreak detection"):
            _add(rules, {"scanner": "injection", "action": "block"})
            _add(rules, {"scanner": "gibberish", "action": "flag"})
            self._note("changed", "config.yml", what, "the scanners injection and gibberish, with no server beside")
        elif name.startswith(("detect sensitive data", "mask sensitive data")):
            self._sensitive(name, where, what, rules)
        elif name in _FACTS:
            action = "flag" if name == "hallucination warning" else "block"
            _add(rules, {"scanner": "groundedness", "action": action})
            how = "the scanner groundedness: by the words and numbers of the passages, with no model"
            self._note("changed", "config.yml", what, how)
        elif name in _MODERATION:
            _add(rules, {"scanner": "toxicity", "action": "block"})
            self._note("changed", "config.yml", what, "the scanner toxicity; the service itself is not asked")
        elif name in self._script.subflows and (rule := self._word_rule(self._script.subflows[name])):
            rules.append(rule)
            self.used.add(name)
            self._note("converted", "config.yml", what, f"a rule with the pattern {rule['patterns'][0]!r}")
        else:
            self.used.add(name)
            self._note("not converted", "config.yml", what, "it runs code or alters texts; write a rule or a scanner")

    def _judge(self, name: str, argument: str, what: str) -> None:
        """A model that judges: one of a policy, over what arrives and what leaves."""
        kind = "llama_guard" if name.startswith("llama guard") else "main"
        if argument:
            kind = argument.partition("=")[2].strip().strip("\"'")
        ref = self._model(kind)
        if not ref:
            self._note("not converted", "config.yml", what, f"the configuration names no model of type {kind!r}")
            return
        judge = self.more.get("judge")
        if judge is not None and judge["model"] != ref:
            why = f"a policy has one judge, and it is {judge['model']}; ask the other by another policy"
            self._note("not converted", "config.yml", what, why)
            return
        task = name.replace(" ", "_")
        listed = _RULE_OF_PROMPT.findall(self._prompted(task)) if name.startswith("self check") else []
        if judge is None:
            judge = self.more["judge"] = {"model": ref, "always": "low", "fail": "closed"}
            judge["format"] = "json" if name.startswith("self check") else "llama-guard"
        if listed:
            known = judge.setdefault("categories", {})
            for rule in listed[: _MOST_CATEGORIES - len(known)]:
                if f"Breaks the rule: {rule}" not in known.values():
                    known[f"P{len(known) + 1}"] = f"Breaks the rule: {rule}"
        self._note("changed", "config.yml", what, f"the judge {ref}, asked about all that arrives and leaves")
        if self._prompted(task):
            how = (
                f"its rules are the judge's {len(listed)} categories"
                if listed
                else "the judge has a question of its own"
            )
            self._note("changed", "prompts.yml", f"prompt {task}", how)

    def _sensitive(self, name: str, where: str, what: str, rules: list[dict[str, Any]]) -> None:
        settings: Any = self._rails.get("config")
        for key in ("sensitive_data_detection", where):
            settings = settings.get(key) if isinstance(settings, Mapping) else None
        wanted = list((settings.get("entities") if isinstance(settings, Mapping) else None) or ())
        kinds = [_ENTITIES[entity] for entity in wanted if entity in _ENTITIES]
        unknown = [entity for entity in wanted if entity not in _ENTITIES]
        rule: dict[str, Any] = {"scanner": "personal", "action": "redact" if name.startswith("mask") else "block"}
        if kinds:
            rule["options"] = {"kinds": kinds}
        if where == "retrieval":
            rule |= {"name": "personal-in-passages", "sources": ["document"]}
        if kinds or not wanted:
            _add(rules, rule)
            self._note(
                "converted", "config.yml", what, f"the scanner personal: {', '.join(kinds) or 'the usual kinds'}"
            )
        for entity in unknown:
            how = "add the scanner names, which needs Presidio" if entity in _NAMES else "the scanner has no such kind"
            self._note("not converted", "config.yml", f"{what}: {entity}", how)

    def _word_rule(self, block: Block) -> dict[str, Any] | None:
        """A subflow that refuses a text with a word in it, as a rule; None for any other."""
        words = [found["word"] for line in block.lines if (found := _WORD_RAIL.match(line.text))]
        said = [line.text.removeprefix("bot ") for line in block.lines if line.text.startswith("bot ")]
        conditions = [line for line in block.lines if line.text.startswith(("if ", "while "))]
        known = [line for line in conditions if "$config." in line.text or _WORD_RAIL.match(line.text)]
        changes = any(line.text.startswith("$") for line in block.lines)
        stops = any(line.text in ("stop", "abort") for line in block.lines)
        if len(words) != 1 or len(said) != 1 or len(known) != len(conditions) or changes or not stops:
            return None
        self.said.add(said[0])
        texts = self._script.bots.get(said[0]) or ["I'm sorry, I can't respond to that."]
        reason = f"It holds the text {words[0]!r}."
        pattern = re.sub(r"([^\w\s])", r"\\\1", words[0])
        return {"name": block.name, "patterns": [pattern], "action": "block", "reason": reason, "message": texts[0]}

    def _model(self, kind: str) -> str:
        """The reference of a model of the configuration."""
        for model in self._config.get("models") or ():
            if isinstance(model, Mapping) and model.get("type") == kind:
                settings = model.get("parameters")
                settings = settings if isinstance(settings, Mapping) else {}
                name = model.get("model") or settings.get("model_name") or ""
                provider = "openai" if kind == "main" and model.get("engine") == "openai" else kind
                url = settings.get("openai_api_base") or settings.get("base_url")
                if kind != "main" and kind not in self._told:
                    self._told.add(kind)
                    how = f"a provider {provider!r} in trimtab.yaml, of the kind openai" + (f" at {url}" if url else "")
                    self._note("not converted", "config.yml", f"models: {kind}", how)
                return f"{provider}/{name}" if name else ""
        return ""

    def _prompted(self, task: str) -> str:
        for prompt in self._config.get("prompts") or ():
            if isinstance(prompt, Mapping) and prompt.get("task") == task:
                return str(prompt.get("content") or "")
        return ""

    def _rest(self) -> None:
        """Settings and prompts that nothing stands for."""
        judged = {name.replace(" ", "_") for name in _JUDGED}
        for prompt in self._config.get("prompts") or ():
            task = prompt.get("task") if isinstance(prompt, Mapping) else prompt
            if task not in judged:
                self._note("not converted", "prompts.yml", f"prompt {task}", "no model is asked with it")
        config = self._rails.get("config")
        for key in config if isinstance(config, Mapping) else ():
            if key != "sensitive_data_detection":
                self._note("not converted", "config.yml", f"rails.config.{key}", "it is a setting of another engine")
        dialog = self._rails.get("dialog")
        for key in dialog if isinstance(dialog, Mapping) else ():
            if key != "user_messages":
                self._note("changed", "config.yml", f"rails.dialog.{key}", "no model takes part in following flows")
        for key in self._rails:
            if key not in ("input", "output", "retrieval", "dialog", "config"):
                self._note("not converted", "config.yml", f"rails.{key}", "a policy has nothing like it")


def _add(rules: list[dict[str, Any]], rule: dict[str, Any]) -> None:
    """A rule, unless the same scanner stands there already."""
    name = rule.get("name", rule["scanner"])
    if all(name != other.get("name", other.get("scanner")) for other in rules):
        rules.append(rule)

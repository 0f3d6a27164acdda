"""Which control covers which item of the two OWASP lists, which suite tests it, and what is not covered.

The lists: OWASP Top 10 for LLM Applications 2025, and OWASP Top 10 for Agentic Applications 2026 (December 2025). The
2026 edition of the first list has the same ten subjects under other numbers; ``also`` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["covered", "partly", "outside"]
LISTS = {
    "LLM": "OWASP Top 10 for LLM Applications 2025",
    "ASI": "OWASP Top 10 for Agentic Applications 2026",
}


@dataclass(frozen=True, slots=True)
class Control:
    """Something that Trimtab does. ``where`` is ``scanner:NAME`` or the dotted name of the code that does it."""

    title: str
    where: str
    docs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of a list. ``controls`` are keys of CONTROLS; ``suites`` test files and benches of the repository;
    ``gaps`` is what stays uncovered, a sentence or two."""

    id: str
    name: str
    also: str = ""
    level: Level
    controls: tuple[str, ...]
    suites: tuple[str, ...]
    gaps: str

    def told(self) -> dict[str, Any]:
        """For JSON, with each control in words."""
        return {
            "id": self.id, "name": self.name, "also": self.also, "level": self.level,
            "controls": [
                {"control": key, "title": CONTROLS[key].title, "where": CONTROLS[key].where, "docs": CONTROLS[key].docs}
                for key in self.controls
            ],
            "suites": list(self.suites), "gaps": self.gaps,
        }  # fmt: skip


CONTROLS: Mapping[str, Control] = {
    "normalise": Control("text put right and undisguised before it is scanned", "trimtab.guard.read", "guard"),
    "injection": Control("injection and jailbreaks found", "scanner:injection", "guard-model"),
    "indirect": Control("orders in documents and tool results cut out", "scanner:indirect-injection", "guard-model"),
    "untrusted": Control(
        "text from outside marked, at ingestion quarantined, at use looked at again", "trimtab.guard.untrusted", "guard"
    ),
    "conversation": Control("split payloads and risk over turns", "scanner:conversation", "guard-model"),
    "judge": Control("a safety model asked on high risk", "trimtab.guard.JudgeSettings", "guard"),
    "actions": Control(
        "every tool call judged by where its arguments come from", "trimtab.guard.actions.screen", "actions"
    ),
    "plan": Control("the agreed plan bounds the calls", "trimtab.gateway.ask.read_wishes", "actions"),
    "approvals": Control("a person decides what is held", "trimtab.guard.approvals.Approvals", "actions"),
    "dual": Control("a planner that sees no text from outside", "trimtab.dual.run", "actions"),
    "pins": Control("a tool that changed or shadows another is held", "trimtab.guard.pins.ToolPins", "actions"),
    "mcp": Control("tool servers behind a screening proxy", "trimtab.guard.mcp.Proxy", "actions"),
    "thoughts": Control(
        "orders from outside that come back in the reasoning", "trimtab.guard.actions.thoughts.quoted_orders", "actions"
    ),
    "secrets": Control("keys and passwords taken out", "scanner:secrets", "guard-scanners"),
    "personal": Control("personal data taken out", "scanner:personal", "guard-scanners"),
    "vault": Control("what was hidden given back to its owner only", "trimtab.guard.Vault", "guard"),
    "masking": Control("telemetry masked before it is stored", "trimtab.traces.masking", "keeping-traces"),
    "prompt-leak": Control("the system prompt leaving, also encoded", "scanner:prompt-leak", "guard-scanners"),
    "links": Control("links and images that carry data away", "scanner:links", "guard-scanners"),
    "unsafe-code": Control("destructive code in answers", "scanner:unsafe-code", "guard-scanners"),
    "json": Control("answers held to a schema", "scanner:json", "guard-scanners"),
    "invisible-text": Control("hidden writing found", "scanner:invisible-text", "guard-scanners"),
    "groundedness": Control("sentences that the passages do not have", "scanner:groundedness", "guard-scanners"),
    "citations": Control("citations that do not say what is cited", "scanner:citations", "guard-scanners"),
    "size": Control("texts over a size", "scanner:size", "guard-scanners"),
    "limits": Control(
        "budgets, rates and parallel requests per key, team and route", "trimtab.gateway.Limits", "limits"
    ),
    "keys": Control("keys with roles and routes, stored as hashes", "trimtab.gateway.Keys", "gateway"),
    "breaker": Control("a failing model left alone", "trimtab.gateway.breaker", "routing"),
    "versions": Control(
        "every prompt, model, corpus and policy a version with a digest", "trimtab.registry.Registry", "registry"
    ),
    "rollback": Control("a change found and taken back", "trimtab.incidents.Desk", "safe-changes"),
    "drift": Control("the vendor's reported model watched", "trimtab.watch.Vendors", "operations"),
    "trace": Control("every step of an agent in the trace", "trimtab.traces.Recorder", "traces"),
}

_ATTACKS = ("tests/guard/test_guard_injection.py", "tests/guard/test_guard_indirect.py", "bench/guard")
_ACTIONS = ("tests/guard/test_guard_actions.py", "tests/gateway/test_gateway_actions.py", "bench/agentdojo")

ITEMS: tuple[Item, ...] = (
    Item(
        id="LLM01", name="Prompt Injection", also="LLM01:2026", level="partly",
        controls=("normalise", "injection", "indirect", "untrusted", "conversation", "judge", "actions", "dual"),
        suites=(*_ATTACKS, "tests/guard/test_guard_text.py", "tests/guard/test_guard_dual.py", "bench/agentdojo"),
        gaps="Text scanners are a first fence: a wording that they do not know passes. What an injection may cause is "
             "bounded by the action stage and, for whole flows, by the dual-LLM controller.",
    ),
    Item(
        id="LLM02", name="Sensitive Information Disclosure", also="LLM02:2026", level="covered",
        controls=("secrets", "personal", "vault", "masking", "prompt-leak", "links"),
        suites=("tests/guard/test_guard_secrets.py", "tests/guard/test_guard_personal.py",
                "tests/guard/test_guard_vault.py", "tests/traces/test_traces_masking.py"),
        gaps="Names of people need the optional Presidio scanner. What a model learned in training is out of reach.",
    ),
    Item(
        id="LLM03", name="Supply Chain", also="LLM04:2026", level="partly",
        controls=("versions", "drift", "pins"),
        suites=("tests/registry/test_registry_versions.py", "tests/guard/test_guard_actions_mcp.py"),
        gaps="Weights and packages are not scanned or signed here: the vendor's or the operator's own supply chain "
             "must do that.",
    ),
    Item(
        id="LLM04", name="Data and Model Poisoning", also="LLM05:2026", level="partly",
        controls=("indirect", "untrusted", "invisible-text", "versions", "rollback"),
        suites=("tests/guard/test_guard_indirect.py", "tests/registry/test_registry_versions.py"),
        gaps="Passages are looked at when they are used and datasets carry their source; training data of a vendor's "
             "model cannot be looked at.",
    ),
    Item(
        id="LLM05", name="Improper Output Handling", also="LLM10:2026", level="covered",
        controls=("json", "links", "unsafe-code", "secrets"),
        suites=("tests/guard/test_guard_scanners.py", "tests/guard/test_guard_stream.py"),
        gaps="The application must still escape what it shows and bind what it puts into SQL.",
    ),
    Item(
        id="LLM06", name="Excessive Agency", also="LLM03:2026", level="covered",
        controls=("actions", "plan", "approvals", "dual", "keys"),
        suites=(*_ACTIONS, "tests/gateway/test_gateway_plan.py", "tests/guard/test_guard_dual.py"),
        gaps="Tools that an agent calls around the gateway and the proxy are not seen.",
    ),
    Item(
        id="LLM07", name="System Prompt Leakage", also="LLM08:2026", level="covered",
        controls=("prompt-leak", "injection"),
        suites=("tests/guard/test_guard_scanners.py", "bench/guard"),
        gaps="A paraphrase of the prompt is not a quotation and passes. Keep secrets out of prompts.",
    ),
    Item(
        id="LLM08", name="Vector and Embedding Weaknesses", also="LLM09:2026", level="partly",
        controls=("indirect", "untrusted", "versions", "keys"),
        suites=("tests/knowledge/test_knowledge_corpora.py", "tests/guard/test_guard_indirect.py"),
        gaps="Readers of single passages inside one corpus are not told apart; separate corpora by tenant. Inversion "
             "of embeddings is not looked at.",
    ),
    Item(
        id="LLM09", name="Misinformation", also="LLM07:2026", level="partly",
        controls=("groundedness", "citations"),
        suites=("tests/guard/test_guard_scanners.py", "tests/evals/test_evals_judge.py"),
        gaps="An answer is held against its passages. Whether the passages are true nobody asks.",
    ),
    Item(
        id="LLM10", name="Unbounded Consumption", also="LLM06:2026", level="covered",
        controls=("limits", "size", "breaker", "keys"),
        suites=("tests/gateway/test_gateway_limits.py", "tests/gateway/test_gateway_budgets.py", "bench/limits.py"),
        gaps="Copying a model by asking it much is only slowed down.",
    ),
    Item(
        id="ASI01", name="Agent Goal Hijack", level="covered",
        controls=("indirect", "actions", "plan", "thoughts", "dual"),
        suites=(*_ACTIONS, "tests/gateway/test_gateway_plan.py", "tests/guard/test_guard_dual.py"),
        gaps="Without a plan or a policy of its own tools, an order that reads like a remark is only flagged.",
    ),
    Item(
        id="ASI02", name="Tool Misuse and Exploitation", level="covered",
        controls=("actions", "plan", "approvals", "mcp"),
        suites=(*_ACTIONS, "tests/guard/test_guard_actions_mcp.py"),
        gaps="A call that the user asked for and whose arguments he named is let through, however unwise it is.",
    ),
    Item(
        id="ASI03", name="Identity and Privilege Abuse", level="partly",
        controls=("keys", "actions", "vault"),
        suites=("tests/gateway/test_gateway_keys.py", "tests/web/test_web_roles.py"),
        gaps="Tools run with the credentials of the application: narrow them there.",
    ),
    Item(
        id="ASI04", name="Agentic Supply Chain Vulnerabilities", level="partly",
        controls=("pins", "mcp", "versions"),
        suites=("tests/guard/test_guard_actions_mcp.py", "tests/gateway/test_gateway_actions.py"),
        gaps="A tool that was hostile from its first day is pinned as it is. Packages are not scanned.",
    ),
    Item(
        id="ASI05", name="Unexpected Code Execution (RCE)", level="partly",
        controls=("unsafe-code", "actions", "approvals"),
        suites=("tests/guard/test_guard_scanners.py", "tests/guard/test_guard_actions.py"),
        gaps="Code is not run here and no sandbox is offered: run it in one.",
    ),
    Item(
        id="ASI06", name="Memory and Context Poisoning", level="partly",
        controls=("indirect", "untrusted", "invisible-text", "conversation", "versions"),
        suites=("tests/guard/test_guard_indirect.py", "tests/guard/test_guard_conversation.py"),
        gaps="A memory that the application keeps outside of Trimtab is looked at only when it is sent to a model.",
    ),
    Item(
        id="ASI07", name="Insecure Inter-Agent Communication", level="partly",
        controls=("mcp", "indirect", "keys"),
        suites=("tests/guard/test_guard_actions_mcp.py", "tests/guard/test_guard_indirect.py"),
        gaps="What agents say to each other without a model or a tool in between is not seen, and not signed.",
    ),
    Item(
        id="ASI08", name="Cascading Failures", level="covered",
        controls=("limits", "breaker", "rollback", "trace"),
        suites=("tests/gateway/test_gateway_breaker.py", "tests/incidents/test_incidents_desk.py"),
        gaps="Failures of systems behind the tools are seen only as errors of the tools.",
    ),
    Item(
        id="ASI09", name="Human-Agent Trust Exploitation", level="partly",
        controls=("approvals", "groundedness", "links"),
        suites=("tests/web/test_web_guard.py", "tests/guard/test_guard_scanners.py"),
        gaps="An approval shows the call and why it waits, not what the agent says of it. Persuasion in an answer is "
             "not judged.",
    ),
    Item(
        id="ASI10", name="Rogue Agents", level="partly",
        controls=("actions", "limits", "keys", "trace", "rollback"),
        suites=("tests/gateway/test_gateway_keys.py", "tests/gateway/test_gateway_actions.py"),
        gaps="A key can be disabled and a policy can stop every call that changes something. An agent that reaches "
             "its tools by another way is not stopped.",
    ),
)  # fmt: skip


def coverage() -> dict[str, Any]:
    """Both lists for JSON."""
    return {"lists": dict(LISTS), "items": [item.told() for item in ITEMS]}


def written(date: str) -> str:
    """The page of the documentation."""
    lines = [f"---\ntitle: OWASP coverage\nupdated: {date}\n---\n", "# OWASP coverage\n", _HEAD]
    for short, title in LISTS.items():
        lines.append(f"## {title}\n")
        for item in (each for each in ITEMS if each.id.startswith(short)):
            also = f", {item.also} in the 2026 edition" if item.also else ""
            controls = "; ".join(f"{CONTROLS[key].title} (`{_short(CONTROLS[key].where)}`)" for key in item.controls)
            suites = ", ".join(f"`{suite}`" for suite in item.suites)
            lines.append(f"### {item.id} {item.name}: {item.level}{also}\n")
            lines.append(f"Controls: {controls}.\n\nTested by {suites}.\n\nNot covered: {item.gaps}\n")
    return "\n".join(lines)


def _short(where: str) -> str:
    return where.removeprefix("scanner:").removeprefix("trimtab.")


_HEAD = """This page says which control covers which item of two lists, which suite tests it, and what is not covered. \
The data is one file, `src/trimtab/guard/coverage.py`, and this page is made of it. `trimtab guard coverage` prints \
the same, and the page Guard, Coverage shows it. "Covered" means that a control enforces the item where its traffic \
passes through Trimtab. "Partly" means that a control helps and does not settle it.

```
trimtab guard coverage
trimtab guard coverage --json
```
"""

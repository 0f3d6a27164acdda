"""What a model was sent and what it answered, what it was given to read, what the guard said, what it cost. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.core import Span, Usage
from trimtab.traces import price

from . import words

OLD_NS = 365 * 86_400 * words.SECOND
#: Longer messages are folded to their beginning.
FOLD_FROM, FOLDED = 700, 320
#: Rows of one table.
MOST_PASSAGES, MOST_FINDINGS = 100, 100
#: Under these names documents carry their text.
TEXT_NAMES = ("text", "content", "page_content", "document", "document.content")
#: The glyph of each verdict of a guard.
ACTION_CSS = {
    "allow": "pass", "safe": "pass", "pass": "pass", "ok": "pass",
    "flag": "unsure", "escalate": "unsure", "redact": "unsure", "block": "fail",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One message: who and what."""

    who: str
    note: str
    text: str

    @property
    def folded(self) -> str:
        """The beginning of a long text, which is shown whole on demand; empty for a short one."""
        return "" if len(self.text) <= FOLD_FROM else self.text[:FOLDED].rsplit(maxsplit=1)[0] + " …"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageRow:
    """A passage that was given to the model."""

    number: str
    title: str
    source: str
    text: str
    score: str
    age: str
    old: bool
    cited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Tokens of one kind, US dollars a million of them, and what they cost."""

    kind: str
    tokens: str
    rate: str
    cents: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRow:
    """What a guard found: at which stage, its verdict as glyph and word, the rule and the reason."""

    stage: str
    word: str
    css: str
    rule: str
    why: str
    where: str
    time: str


def messages(root: Span, spans: Sequence[Span]) -> tuple[MessageRow, ...]:
    """What the answering model was sent, then what was answered; the question alone where no model was reached."""
    calls = [span for span in spans if span.kind == "llm" and span.input]
    found = [_message(m) for m in _chat(calls[-1].input)] if calls else []
    if not found and calls:
        found = [MessageRow(who="input", note="", text=calls[-1].input)]
    if not found:
        found = [MessageRow(who="user", note="", text=root.input)] if root.input else []
    answer = root.output or (calls[-1].output if calls else "")
    note = f"{root.output_tokens} tokens" if root.output_tokens else ""
    finish = str(root.attributes.get("finish") or "")
    if finish:
        note += (", " if note else "") + ("stopped by itself" if finish == "stop" else f"ended by {finish}")
    if answer:
        found.append(MessageRow(who="assistant", note=note, text=answer))
    if root.error:
        found.append(MessageRow(who="error" if root.status == "error" else root.status, note="", text=root.error))
    return tuple(found)


def _chat(text: str) -> list[Mapping[str, Any]]:
    if not text.startswith("["):
        return []
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [m for m in decoded if isinstance(m, Mapping)] if isinstance(decoded, list) else []


def _message(message: Mapping[str, Any]) -> MessageRow:
    content = message.get("content", message.get("parts"))
    if isinstance(content, list):
        texts = [p.get("text", p.get("content", "")) if isinstance(p, Mapping) else p for p in content]
        content = "\n".join(str(t) for t in texts if t)
    if not content and (calls := message.get("tool_calls") or message.get("parts")):
        content = json.dumps(calls, ensure_ascii=False)
    return MessageRow(who=str(message.get("role") or "message"), note="", text=str(content or ""))


def passages(root: Span, spans: Sequence[Span]) -> tuple[PassageRow, ...]:
    """The passages that the model was given, each with its age when it was asked and whether the answer cites it as
    ``[n]``. Where the root does not tell, what the retrievers returned."""
    given = root.attributes.get("passages")
    known = given if isinstance(given, list) else _retrieved(spans)
    cited = {int(n) for n in re.findall(r"\[(\d{1,4})\]", root.output)}
    return tuple(_passage(one, cited, root.start_ns) for one in known[:MOST_PASSAGES] if isinstance(one, Mapping))


def _retrieved(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """What retrievers returned as a JSON list of documents, in the words of the libraries that make such lists."""
    found: list[dict[str, Any]] = []
    for span in spans:
        for document in _chat(span.output) if span.kind in ("retriever", "reranker") else ():
            more = document.get("metadata")
            about: Mapping[str, Any] = more if isinstance(more, Mapping) else {}
            text = next((document[name] for name in TEXT_NAMES if isinstance(document.get(name), str)), "")
            title = document.get("title") or about.get("title") or document.get("id") or document.get("doc_uri") or ""
            source = document.get("source") or about.get("source") or document.get("url") or ""
            score = document.get("score", about.get("score"))
            found.append({"number": len(found) + 1, "title": title, "source": source, "text": text, "score": score})
    return found


def _passage(passage: Mapping[str, Any], cited: set[int], asked_ns: int) -> PassageRow:
    updated, score = passage.get("updated_ns"), passage.get("score")
    age = max(0, asked_ns - updated) if isinstance(updated, int) and updated > 0 else None
    return PassageRow(
        number=str(passage.get("number", "")),
        title=words.snippet(str(passage.get("title", "")), 120) or "untitled",
        source=words.snippet(str(passage.get("source", "")), 120),
        text=words.snippet(str(passage.get("text", "")), 160),
        score=words.fixed(float(score)) if isinstance(score, int | float) else "none",
        age=words.duration(age / words.SECOND) if age is not None else "not known",
        old=age is not None and age > OLD_NS,
        cited=passage.get("number") in cited,
    )


def verdicts(spans: Sequence[Span]) -> tuple[GuardRow, ...]:
    """What the guards of a trace found, one row a finding; a guard that only said its verdict is a row too."""
    found: list[GuardRow] = []
    for span in spans:
        if span.kind != "guardrail":
            continue
        stage = words.snippet(str(span.attributes.get("stage") or span.name or "guard"), 40)
        time = words.duration(span.duration_ns / words.SECOND)
        findings = span.attributes.get("findings")
        rows = [one for one in findings if isinstance(one, Mapping)] if isinstance(findings, list) else []
        found += [_finding(one, stage, time) for one in rows]
        if not rows or span.status == "error":
            word, css = ("failed", "unsure") if span.status == "error" else _verdict(span)
            why = span.error or span.output or str(span.attributes.get("reason") or "")
            found.append(GuardRow(stage=stage, word=word, css=css, rule=span.name, why=words.snippet(why, 300),
                                  where="", time=time))  # fmt: skip
    return tuple(found[:MOST_FINDINGS])


def _verdict(span: Span) -> tuple[str, str]:
    said = span.output.strip().lower()
    if span.status == "refused" or said in ("block", "unsafe", "fail"):
        return "block", "fail"
    return (said, ACTION_CSS[said]) if said in ACTION_CSS else ("said", "none")


def _finding(finding: Mapping[str, Any], stage: str, time: str) -> GuardRow:
    action = str(finding.get("action") or "flag")
    score, kind = finding.get("score"), str(finding.get("kind") or "")
    why = str(finding.get("reason") or kind)
    if isinstance(score, int | float):
        why += f" ({kind + ', ' if kind else ''}score {words.fixed(float(score))})"
    return GuardRow(
        stage=stage,
        word=words.snippet(action, 20),
        css=ACTION_CSS.get(action, "none"),
        rule=words.snippet(str(finding.get("rule") or finding.get("scanner") or ""), 80),
        why=words.snippet(why, 300),
        where=words.snippet(str(finding.get("where") or ""), 80),
        time=time,
    )


def costs(root: Span) -> tuple[CostRow, ...]:
    """Cost by kind of token. A request over several attempts is priced whole, so its parts may not add up to it."""
    if root.input_tokens is None:
        return ()
    cached = min(root.cached_tokens or 0, root.input_tokens)
    fresh, output = root.input_tokens - cached, root.output_tokens or 0
    thought = min(root.reasoning_tokens or 0, output)
    kinds = [("input, fresh", fresh, Usage(input_tokens=fresh))]
    if cached:
        kinds.append(("input, from cache", cached, Usage(input_tokens=cached, cached_tokens=cached)))
    if thought:
        kinds.append(("output, reasoning", thought, Usage(output_tokens=thought)))
    kinds.append(("output, answer" if thought else "output", output - thought, Usage(output_tokens=output - thought)))
    reference = f"{root.provider}/{root.model}" if root.provider else root.model
    rows = [_cost(kind, tokens, price(reference, usage)) for kind, tokens, usage in kinds]
    total = _cost("total", root.input_tokens + output, root.cost_usd)
    return (*rows, replace(total, rate=""))


def _cost(kind: str, tokens: int, usd: float | None) -> CostRow:
    rate = "" if usd is None or not tokens else words.fixed(usd / tokens * 1e6)
    return CostRow(kind=kind, tokens=words.count(tokens), rate=rate, cents=words.cents(usd))

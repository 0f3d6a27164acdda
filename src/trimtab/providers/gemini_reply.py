"""Gemini's answers, plain and streamed, as Chunks in OpenAI's shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.core import Chunk, Usage

from .chat import Pieces, whole_body
from .vendor import mapping, number, text

_FINISH = {
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
}


def reply_of(body: Mapping[str, Any]) -> Chunk:
    """An answer as the one Chunk of a plain reply. A prompt that was blocked is an answer without text."""
    found = body.get("candidates")
    candidates = [mapping(item) for item in found] if isinstance(found, list) else []
    choices = [_choice(candidate, n, text(body.get("responseId"))) for n, candidate in enumerate(candidates)]
    if not choices:
        message = {"role": "assistant", "content": ""}
        finish = "content_filter" if body.get("promptFeedback") else "stop"
        choices = [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}]
    usage = usage_of(mapping(body.get("usageMetadata")))
    model = text(body.get("modelVersion"))
    first = choices[0]
    return Chunk(
        text=first["message"]["content"] or "",
        finish=first["finish_reason"],
        usage=usage,
        model=model,
        tool_calls=tuple(first["message"].get("tool_calls") or ()),
        body=whole_body({"id": text(body.get("responseId")), "model": model}, choices, usage),
    )


def _choice(candidate: Mapping[str, Any], index: int, ident: str) -> dict[str, Any]:
    said, thought, calls = _read(candidate, f"{ident}_{index}" if index else ident, 0)
    message: dict[str, Any] = {"role": "assistant", "content": said if said or not calls else None}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in calls]
    finish = finish_of(candidate.get("finishReason"), bool(calls)) or "stop"
    return {"index": index, "message": message, "finish_reason": finish, "logprobs": logprobs_of(candidate)}


def _read(candidate: Mapping[str, Any], ident: str, calls_before: int) -> tuple[str, str, list[dict[str, Any]]]:
    """Text, thoughts and calls of a candidate's parts."""
    said = thought = ""
    calls: list[dict[str, Any]] = []
    parts = mapping(candidate.get("content")).get("parts")
    for part in map(mapping, parts if isinstance(parts, list) else ()):
        if isinstance(part.get("functionCall"), dict):
            calls.append(_call(part, ident, calls_before + len(calls)))
        elif part.get("thought"):
            thought += text(part.get("text"))
        else:
            said += text(part.get("text"))
    return said, thought, calls


def _call(part: Mapping[str, Any], ident: str, index: int) -> dict[str, Any]:
    function = part["functionCall"]
    arguments = msgspec.json.encode(function.get("args") or {}).decode()
    call: dict[str, Any] = {
        "index": index,
        "id": text(function.get("id")) or f"call_{ident}_{index}",
        "type": "function",
        "function": {"name": text(function.get("name")), "arguments": arguments},
    }
    if signature := part.get("thoughtSignature"):
        # Where Google's own OpenAI-compatible endpoint puts it too; Gemini 3 wants it back.
        call["extra_content"] = {"google": {"thought_signature": signature}}
    return call


class Streamed:
    """The events of one stream as Chunks with ``chat.completion.chunk`` bodies."""

    def __init__(self, show_usage: bool) -> None:
        self._pieces = Pieces(show_usage)
        self._usage: Mapping[str, Any] = {}
        self._begun: set[int] = set()
        self._calls: Counter[int] = Counter()
        self._ended: set[int] = set()

    def take(self, body: Mapping[str, Any]) -> list[Chunk]:
        """The Chunks that an event makes."""
        pieces = self._pieces
        pieces.id = pieces.id or text(body.get("responseId"))
        pieces.model = text(body.get("modelVersion")) or pieces.model
        self._usage = mapping(body.get("usageMetadata")) or self._usage
        made: list[Chunk] = []
        candidates = body.get("candidates")
        for position, candidate in enumerate(map(mapping, candidates if isinstance(candidates, list) else ())):
            index = number(candidate.get("index")) or position
            made += self._candidate(candidate, index)
        if mapping(body.get("promptFeedback")).get("blockReason") and not self._ended:
            self._ended.add(0)
            made.append(pieces.piece({"role": "assistant", "content": ""}, finish="content_filter"))
        return made

    def _candidate(self, candidate: Mapping[str, Any], index: int) -> list[Chunk]:
        made: list[Chunk] = []
        if index not in self._begun:
            self._begun.add(index)
            made.append(self._pieces.piece({"role": "assistant", "content": ""}, index=index))
        ident = f"{self._pieces.id}_{index}" if index else self._pieces.id
        said, thought, calls = _read(candidate, ident, self._calls[index])
        self._calls[index] += len(calls)
        if thought:
            made.append(self._pieces.piece({"reasoning_content": thought}, index=index))
        if said:
            made.append(self._pieces.piece({"content": said}, index=index, logprobs=logprobs_of(candidate)))
        made += [self._pieces.piece({"tool_calls": [call]}, index=index) for call in calls]
        if finish := finish_of(candidate.get("finishReason"), bool(self._calls[index])):
            self._ended.add(index)
            made.append(self._pieces.piece({}, finish=finish, index=index))
        return made

    def close(self) -> list[Chunk]:
        """The stream is over: what it used."""
        return [self._pieces.usage(usage_of(self._usage))] if self._usage else []


def finish_of(reason: object, called: bool) -> str | None:
    """Gemini's finish reason in OpenAI's words; one we do not know ends the answer normally."""
    if not isinstance(reason, str) or reason == "FINISH_REASON_UNSPECIFIED":
        return None
    return _FINISH.get(reason) or ("tool_calls" if called else "stop")


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Tokens; Gemini counts thoughts beside the answer, Trimtab (as OpenTelemetry) as parts of the output."""
    thoughts = number(usage.get("thoughtsTokenCount"))
    return Usage(
        input_tokens=number(usage.get("promptTokenCount")) + number(usage.get("toolUsePromptTokenCount")),
        output_tokens=number(usage.get("candidatesTokenCount")) + thoughts,
        cached_tokens=number(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
    )


def logprobs_of(candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Log-probabilities in OpenAI's shape."""
    result = mapping(candidate.get("logprobsResult"))
    chosen = result.get("chosenCandidates")
    if not isinstance(chosen, list):
        return None
    tops = result.get("topCandidates")
    rows = tops if isinstance(tops, list) and len(tops) == len(chosen) else [{}] * len(chosen)
    content = []
    for item, row in zip(chosen, rows, strict=True):
        found = mapping(row).get("candidates")
        best = [_token(mapping(other)) for other in found] if isinstance(found, list) else []
        content.append({**_token(mapping(item)), "top_logprobs": best})
    return {"content": content, "refusal": None}


def _token(item: Mapping[str, Any]) -> dict[str, Any]:
    token = text(item.get("token"))
    return {"token": token, "logprob": item.get("logProbability"), "bytes": list(token.encode())}

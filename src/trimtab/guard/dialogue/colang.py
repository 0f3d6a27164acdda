"""The basics of Colang 1.0, read: user and bot messages, and flows that only hear and say. Pure.

A flow with anything else in it (conditions, variables, actions, events) is not read in part: leaving a statement out
would change what the flow means. It is kept as an ``Unread`` with its file, line and reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .flows import ANY

#: Lines of one file that are read, and how deep flows may call subflows.
MOST_LINES, _DEPTH = 20_000, 8
_QUOTED = re.compile(r'^"((?:[^"\\]|\\.)*)"$')
_NAMED = re.compile(r"^[\w][\w '’/-]*$")
_VARIABLE = re.compile(r"\$[A-Za-z_]|\{\{|\{%")
_DEFINE = re.compile(r"^define\s+(?P<kind>user|bot|subflow|(?:\w+\s+){0,3}?flow)(?:\s+(?P<name>.*?))?\s*:?$")
#: What a statement begins with that only a program could do.
_PROGRAM = ("if", "else if", "while", "execute", "create", "event", "goto", "label", "set", "return", "meta",
            "priority", "break", "continue", "match", "send", "start", "await", "parallel", "$")  # fmt: skip


class Line(NamedTuple):
    """A line that says something: how far it is indented, its text and its number in the file."""

    indent: int
    text: str
    number: int


class Unread(NamedTuple):
    """Something that was not read: where it stands, what it is, and why."""

    where: str
    what: str
    why: str


class Block(NamedTuple):
    """A flow or subflow as written."""

    name: str
    file: str
    lines: tuple[Line, ...]


@dataclass(kw_only=True)
class Script:
    """Everything that was read from some files. Steps are as a policy writes them, but ``bot`` in place of ``say``."""

    users: dict[str, list[str]] = field(default_factory=dict)
    bots: dict[str, list[str]] = field(default_factory=dict)
    flows: list[tuple[str, str, list[dict[str, Any]]]] = field(default_factory=list)  # name, where, steps
    subflows: dict[str, Block] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)


class _Beyond(Exception):
    """A statement that is more than hearing and saying."""

    def __init__(self, line: Line, why: str) -> None:
        super().__init__(why)
        self.line, self.why = line, why


def read_script(files: Sequence[tuple[str, str]]) -> Script:
    """The messages and flows of some files, each a name and its text."""
    script = Script()
    flows: list[Block] = []
    for name, text in files:
        for head, body in _blocks(_lines(text)):
            _define(script, flows, name, head, body)
    for block in flows:
        first = block.lines[0] if block.lines else Line(0, "", 0)
        try:
            steps = _steps(script, list(block.lines), 0)
        except _Beyond as beyond:
            where = f"{block.file}:{beyond.line.number}"
            script.unread.append(Unread(where, f"flow {block.name}", beyond.why))
            continue
        where = f"{block.file}:{first.number}"
        if not steps or "user" not in steps[0]:
            script.unread.append(Unread(where, f"flow {block.name}", "it does not begin with what the user says"))
            continue
        script.flows.append((block.name, where, steps))
    return script


def _lines(text: str) -> list[Line]:
    """The lines without comments, empty lines and descriptions in triple quotes."""
    found: list[Line] = []
    within = False
    for number, raw in enumerate(text.splitlines()[:MOST_LINES], 1):
        bare = raw.strip()
        quotes = bare.count('"""')
        if within or quotes:
            within ^= quotes % 2 == 1
            continue
        bare = _uncommented(bare)
        if bare:
            found.append(Line(len(raw.expandtabs(4)) - len(raw.expandtabs(4).lstrip()), bare, number))
    return found


def _uncommented(text: str) -> str:
    quoted = False
    for at, letter in enumerate(text):
        if letter == '"' and (not at or text[at - 1] != "\\"):
            quoted = not quoted
        elif letter == "#" and not quoted:
            return text[:at].rstrip()
    return text


def _blocks(lines: Sequence[Line]) -> Iterator[tuple[Line, list[Line]]]:
    """Each line at the margin with the lines that are indented below it."""
    at = 0
    while at < len(lines):
        head, body = lines[at], []
        at += 1
        while at < len(lines) and lines[at].indent > head.indent:
            body.append(lines[at])
            at += 1
        yield head, body


def _define(script: Script, flows: list[Block], file: str, head: Line, body: list[Line]) -> None:
    found = _DEFINE.match(head.text)
    where = f"{file}:{head.number}"
    if found is None:
        script.unread.append(Unread(where, head.text[:80], "it is no definition of Colang 1.0"))
        return
    kind, name = found["kind"], (found["name"] or "").strip()
    if kind in ("user", "bot"):
        _message(script, file, kind, name, body, where)
    elif kind == "subflow":
        script.subflows[name] = Block(name, file, tuple(body))
    elif kind == "flow":
        flows.append(Block(name or f"line {head.number}", file, tuple(body)))
    else:
        what = f"{kind} {name}".strip()
        script.unread.append(Unread(where, what, "flows that run beside others are for the engine of NeMo Guardrails"))


def _message(script: Script, file: str, kind: str, name: str, body: list[Line], where: str) -> None:
    """``define user`` and ``define bot``: the texts below them."""
    if not name:
        script.unread.append(Unread(where, f"define {kind}", "it has no name"))
        return
    texts = (script.users if kind == "user" else script.bots).setdefault(name, [])
    for line in body:
        text = _quoted(line.text)
        place = f"{file}:{line.number}"
        if text is None:
            script.unread.append(Unread(place, line.text[:80], f"only texts can stand in define {kind}"))
        elif _VARIABLE.search(text):
            script.unread.append(Unread(place, text[:80], "it has a variable in it"))
        elif text == ANY:
            texts.append(name)  # everything is like it: the caller says so
            script.unread.append(Unread(place, f"user {name}", "an example that is like every message is none"))
        else:
            texts.append(text)


def _steps(script: Script, lines: list[Line], depth: int) -> list[dict[str, Any]]:
    """The steps of a flow. Raises _Beyond for what is more than hearing and saying."""
    steps: list[dict[str, Any]] = []
    groups = list(_blocks(lines))
    at = 0
    while at < len(groups):
        head, body = groups[at]
        word, _, rest = head.text.partition(" ")
        last = at == len(groups) - 1
        if word in ("user", "bot"):
            steps.append(_said(script, head, word, rest.strip(), body))
        elif word == "when":
            at, step = _branch(script, groups, at, depth)
            steps.append(step)
            continue
        elif word == "do" and rest.strip() in script.subflows and depth < _DEPTH:
            steps += _steps(script, list(script.subflows[rest.strip()].lines), depth + 1)
        elif head.text in ("stop", "abort", "pass") and last:
            break
        else:
            raise _Beyond(head, _why(head.text))
        at += 1
    return steps


def _branch(script: Script, groups: list[tuple[Line, list[Line]]], at: int, depth: int) -> tuple[int, dict[str, Any]]:
    """``when``, ``else when`` and ``else``: the place after them, and the step."""
    cases: dict[str, Any] = {}
    step: dict[str, Any] = {"when": cases}
    while at < len(groups):
        head, body = groups[at]
        text = head.text
        if text == "else":
            step["else"] = _inner(script, head, body, depth)
            return at + 1, step
        if not (text.startswith("else when ") or (text.startswith("when ") and not cases)):
            break
        heard = text.split("when ", 1)[1].strip()
        if not heard.startswith("user "):
            raise _Beyond(head, "it waits for something else than a message of the user")
        intent = _intent(head, heard.removeprefix("user ").strip())
        script.users.setdefault(intent, []) if intent != ANY else None
        cases[intent] = _inner(script, head, body, depth)
        at += 1
    return at, step


def _inner(script: Script, head: Line, body: list[Line], depth: int) -> list[dict[str, Any]]:
    if not body:
        raise _Beyond(head, "nothing follows it")
    return _steps(script, body, depth + 1)


def _said(script: Script, head: Line, who: str, rest: str, body: list[Line]) -> dict[str, Any]:
    """``user INTENT`` and ``bot MESSAGE``, with texts beside or below them."""
    texts = [_quoted(line.text) for line in body]
    if None in texts:
        raise _Beyond(body[texts.index(None)], "only texts can stand below a message")
    if who == "user":
        intent = _intent(head, rest)
        if intent != ANY:
            script.users.setdefault(intent, []).extend(text for text in texts if text)
        return {"user": intent}
    beside = re.search(r'\s*("(?:[^"\\]|\\.)*")$', rest)
    name = rest[: beside.start()].strip() if beside else rest
    if beside:
        texts.insert(0, _quoted(beside[1]))
    if not name:
        name = (texts[0] or "")[:60]
    if name == ANY or _VARIABLE.search(name):
        raise _Beyond(head, "what the bot says there is known only at run time")
    if any(text and _VARIABLE.search(text) for text in texts):
        raise _Beyond(head, "its text has a variable in it")
    if texts:
        script.bots.setdefault(name, []).extend(text for text in texts if text)
    elif not _NAMED.match(name):
        raise _Beyond(head, "it is no name of a message")
    return {"bot": name}


def _intent(head: Line, rest: str) -> str:
    if rest == ANY:
        return ANY
    if not _NAMED.match(rest):
        raise _Beyond(head, "it is no name of an intent")
    return rest


def _why(text: str) -> str:
    word = next((word for word in _PROGRAM if text.startswith(word)), "")
    if text.startswith("do "):
        return f"the subflow {text[3:].strip()!r} is not there, or calls itself"
    if word == "$":
        return "it sets a variable, and flows here have none"
    if word:
        return f"`{word}` is for a program, and flows here only hear and say"
    return f"`{text[:40]}` is not known"


def _quoted(text: str) -> str | None:
    found = _QUOTED.match(text)
    return re.sub(r"\\(.)", r"\1", found[1]).strip() if found else None

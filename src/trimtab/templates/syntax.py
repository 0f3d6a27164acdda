"""What a template may say, and nothing else: values, sections and partials. There is no code in it to run.

``{{name}}`` puts a value in, ``{{#name}} ... {{/name}}`` repeats for every item of a list or shows its text when the
value is there, ``{{^name}} ... {{/name}}`` shows it when it is not, ``{{.}}`` is the item, ``{{> other}}`` puts another
prompt's text in. ``\\{{`` writes two braces. Any other ``{{`` is a mistake, and is found when the template is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from trimtab.core import BadInput

#: Bounds of one prompt, its partials with it: characters and tags; and of one text: sections inside sections.
MAX_CHARACTERS = 1024 * 1024
MAX_TAGS = 5_000
MAX_NESTING = 16
NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_ADDRESS = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:@[A-Za-z0-9][A-Za-z0-9._-]{0,99}|/[1-9][0-9]{0,8})?"
_TAG = re.compile(
    r"\\\{\{"
    rf"|\{{\{{[ \t]{{0,16}}(?:([#^/])[ \t]{{0,16}}({NAME})|>[ \t]{{0,16}}({_ADDRESS})|({NAME}|\.))[ \t]{{0,16}}\}}\}}"
    r"|\{\{"
)
_REST_OF_LINE = re.compile(r"[ \t]{0,200}(?:\r?\n|\Z)")
_MEND = "Write {{name}} with letters, digits and underscores, or \\{{ for two literal braces."


@dataclass(frozen=True, slots=True)
class Put:
    """``{{name}}``; the name ``.`` is the item of the section around it."""

    name: str


@dataclass(frozen=True, slots=True)
class Section:
    """``{{#name}}...{{/name}}``, or with ``inverted`` ``{{^name}}...{{/name}}``."""

    name: str
    inverted: bool
    body: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """``{{> name}}``: ``name``, ``name@label`` or ``name/7``."""

    address: str


Node: TypeAlias = str | Put | Section | Partial


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Where a name is used. ``inside`` are the sections around it, outermost first, inverted ones left out."""

    name: str
    section: bool
    inside: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A text, read. ``uses`` are its names in their order, ``partials`` the addresses it puts in, without repeats,
    ``tags`` how many it has."""

    nodes: tuple[Node, ...]
    uses: tuple[Use, ...]
    partials: tuple[str, ...]
    tags: int


class Allowance:
    """What may still be read of a prompt and its partials, so that reading takes no longer than it may."""

    def __init__(self) -> None:
        self._characters = MAX_CHARACTERS
        self._tags = MAX_TAGS

    def read(self, text: str, field: str) -> Parsed:
        """Read a text. Raises BadInput as ``parse`` does, and when the allowance is used up."""
        self._characters -= len(text)
        if self._characters < 0:
            raise BadInput(f"the prompt has more than {MAX_CHARACTERS} characters", field=field, mend="Shorten it.")
        parsed = parse(text, field)
        self._tags -= parsed.tags
        if self._tags < 0:
            raise BadInput(f"the prompt has more than {MAX_TAGS} tags", field=field, mend="Divide it.")
        return parsed


class _Mistake(Exception):
    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend


def parse(text: str, field: str = "template") -> Parsed:
    """Read a text. Raises BadInput, naming ``field``, for anything that is not in the module's description."""
    try:
        return _parsed(text)
    except _Mistake as mistake:
        raise BadInput(mistake.message, field=field, mend=mistake.mend) from None


@lru_cache(maxsize=2048)
def _parsed(text: str) -> Parsed:
    reader = _Reader(text)
    nodes = reader.read()
    uses = tuple(_uses(nodes, ()))
    return Parsed(nodes=nodes, uses=uses, partials=tuple(dict.fromkeys(_partials(nodes))), tags=reader.tags)


class _Reader:
    """One pass over a text. ``_open`` holds the sections that are open: name, inverted, and the nodes around them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._nodes: list[Node] = []
        self._open: list[tuple[str, bool, list[Node]]] = []
        self._at = 0
        self.tags = 0
        self._line_begins = True  # whether nothing but spaces stands between the line's begin and ``_at``

    def read(self) -> tuple[Node, ...]:
        for tag in _TAG.finditer(self._text):
            self.tags += 1
            if self.tags > MAX_TAGS:
                raise _Mistake(f"has more than {MAX_TAGS} tags", "Divide it.")
            self._take(tag)
        self._literal(len(self._text))
        if self._open:
            name = self._open[-1][0]
            raise _Mistake(f"the section {name!r} is never closed", f"Write {{{{/{name}}}}} where it ends.")
        return tuple(self._nodes)

    def _take(self, tag: re.Match[str]) -> None:
        sign, section, partial, name = tag.groups()
        if sign:
            self._whole_line(tag)
            self._section(sign, section)
            return
        self._literal(tag.start())
        self._at = tag.end()
        self._line_begins = False
        if partial:
            self._nodes.append(Partial(partial))
        elif name:
            if name == "." and not any(not inverted for _, inverted, _ in self._open):
                raise _Mistake("'{{.}}' stands outside of a section", "Put it between {{#name}} and {{/name}}.")
            self._nodes.append(Put(name))
        elif tag.group() == "{{":
            shown = self._text[tag.start() : tag.start() + 24].splitlines()[0]
            raise _Mistake(f"{shown!r} is not a placeholder", _MEND)
        else:
            self._nodes.append("{{")

    def _section(self, sign: str, name: str) -> None:
        if sign != "/":
            if len(self._open) >= MAX_NESTING:
                raise _Mistake(f"has more than {MAX_NESTING} sections inside each other", "Make it flatter.")
            self._open.append((name, sign == "^", self._nodes))
            self._nodes = []
            return
        opened = self._open.pop() if self._open else None
        if opened is None or opened[0] != name:
            expected = f"{{{{/{opened[0]}}}}}" if opened else "no end here"
            raise _Mistake(f"'{{{{/{name}}}}}' closes a section that is not open", f"Write {expected}.")
        body, self._nodes = tuple(self._nodes), opened[2]
        self._nodes.append(Section(name, opened[1], body))

    def _whole_line(self, tag: re.Match[str]) -> None:
        """A section's tag alone on its line takes the line with it, so that lists have no holes."""
        before = self._text[self._at : tag.start()]
        _, newline, tail = before.rpartition("\n")
        rest = _REST_OF_LINE.match(self._text, tag.end())
        alone = not tail.strip(" \t") and (bool(newline) or self._line_begins)
        if alone and rest:
            self._literal(tag.start() - len(tail))
            self._at, self._line_begins = rest.end(), True
        else:
            self._literal(tag.start())
            self._at, self._line_begins = tag.end(), False

    def _literal(self, end: int) -> None:
        if end > self._at:
            self._nodes.append(self._text[self._at : end])


def _uses(nodes: tuple[Node, ...], inside: tuple[str, ...]) -> Iterator[Use]:
    for node in nodes:
        if isinstance(node, Put) and node.name != ".":
            yield Use(name=node.name, section=False, inside=inside)
        elif isinstance(node, Section):
            yield Use(name=node.name, section=True, inside=inside)
            yield from _uses(node.body, inside if node.inverted else (*inside, node.name))


def _partials(nodes: tuple[Node, ...]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Partial):
            yield node.address
        elif isinstance(node, Section):
            yield from _partials(node.body)

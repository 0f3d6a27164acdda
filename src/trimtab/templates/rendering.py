"""Putting values into a template that was read, within bounds: so much text, so many steps, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .syntax import Node, Parsed, Partial, Put, Section
from .variables import written

#: Characters that one prompt may grow to, and tags and texts that may be looked at on the way.
MAX_OUTPUT = 1024 * 1024
MAX_STEPS = 10_000


class Examples(list[Mapping[str, Any]]):
    """A prompt's few-shot examples: a list to iterate, with a layout of its own where it is put in as text."""

    def text(self) -> str:
        """Each example under the other."""
        return "\n\n".join(
            f"Input: {written(e['input'], 'examples')}\nOutput: {written(e['output'], 'examples')}" for e in self
        )


class Rendering:
    """One filling: every text of a prompt is rendered against the same values, and from the same budget.

    ``partials`` holds, by address, what was read of the prompts that may be put in. Values are only ever looked up in
    plain mappings, tested for being there, iterated when they are lists, and written as JSON: nothing of a template
    reaches an attribute, calls anything, or is read as a template again.
    """

    def __init__(
        self, values: Mapping[str, Any], partials: Mapping[str, tuple[Sequence[Parsed], Mapping[str, Any]]]
    ) -> None:
        self._values = values
        self._partials = partials
        self._written: dict[str, str] = {}
        self._steps = 0
        self._size = 0

    def render(self, text: Parsed) -> str:
        """The filled text. Raises BadInput for a value that is not there, and when the budget is used up."""
        pieces: list[str] = []
        self._nodes(text.nodes, (), pieces)
        return "".join(pieces)

    def _nodes(self, nodes: Sequence[Node], scope: tuple[Any, ...], pieces: list[str]) -> None:
        for node in nodes:
            self._step()
            if isinstance(node, str):
                self._add(node, pieces)
            elif isinstance(node, Put):
                self._add(self._text(node.name, scope), pieces)
            elif isinstance(node, Section):
                self._section(node, scope, pieces)
            else:
                self._partial(node, scope, pieces)

    def _section(self, section: Section, scope: tuple[Any, ...], pieces: list[str]) -> None:
        value = _found(section.name, scope, self._values)
        there = bool(value)
        if section.inverted:
            if not there:
                self._nodes(section.body, scope, pieces)
        elif isinstance(value, list | tuple):
            for item in value:
                self._step()
                self._nodes(section.body, (*scope, item), pieces)
        elif there:
            self._nodes(section.body, (*scope, value), pieces)

    def _partial(self, partial: Partial, scope: tuple[Any, ...], pieces: list[str]) -> None:
        texts, own = self._partials[partial.address]
        for position, text in enumerate(texts):
            if position:
                self._add("\n\n", pieces)
            self._nodes(text.nodes, (*scope, own) if own else scope, pieces)

    def _text(self, name: str, scope: tuple[Any, ...]) -> str:
        if scope:
            return _as_text(name, scope[-1] if name == "." else _found(name, scope, self._values))
        known = self._written.get(name)
        if known is None:
            known = self._written[name] = _as_text(name, _found(name, scope, self._values))
        return known

    def _add(self, text: str, pieces: list[str]) -> None:
        self._size += len(text)
        if self._size > MAX_OUTPUT:
            mend = "Give shorter values, or make the template shorter."
            raise BadInput(f"the prompt grows over {MAX_OUTPUT} characters", field="messages", mend=mend)
        pieces.append(text)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            mend = "Give shorter lists, or use fewer sections inside each other."
            raise BadInput(f"the prompt takes more than {MAX_STEPS} steps to fill", field="messages", mend=mend)


def _found(name: str, scope: tuple[Any, ...], values: Mapping[str, Any]) -> Any:
    for item in reversed(scope):
        if isinstance(item, dict) and name in item:
            return item[name]
    if name not in values:
        raise BadInput(f"the prompt needs {name!r}", field=f"variables.{name}", mend="Give it a value.")
    return values[name]


def _as_text(name: str, value: Any) -> str:
    return value.text() if isinstance(value, Examples) else written(value, f"variables.{name}")

"""Filling a prompt: a version's content, the caller's variables and messages in, the messages for the model out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from trimtab.core import BadInput, Message

from .rendering import Examples, Rendering
from .syntax import Allowance, Parsed, parse
from .variables import EXAMPLES, PASSAGES, Variable, all_texts, is_text, own_variables, values_of, written

#: Gives the content of the prompt at an address such as ``tone``, ``tone@production`` or ``tone/3``.
Resolve: TypeAlias = Callable[[str], Mapping[str, Any]]

#: How deep prompts may put each other in, and how many of them one may reach.
MAX_DEPTH = 5
MAX_PARTIALS = 50
_LEADING = ("system", "developer")


class Template:
    """A prompt's content, read once and filled as often as wanted. Immutable.

    ``content`` must have passed ``validate``; a text that cannot be read raises BadInput here.
    """

    def __init__(self, content: Mapping[str, Any], allowance: Allowance | None = None) -> None:
        allowance = allowance or Allowance()
        self.texts = [allowance.read(text, field) for field, text in all_texts(content)]
        self.addresses = tuple(dict.fromkeys(address for text in self.texts for address in text.partials))
        self.variables = own_variables(content)
        self.examples = Examples(content.get("examples") or ())
        self._messages: Sequence[Message] = content.get("messages") or ()
        self._in_place = any(use.name == EXAMPLES for text in self.texts for use in text.uses)

    def fill(
        self, variables: Mapping[str, object], messages: Sequence[Message] = (), resolve: Resolve | None = None
    ) -> list[Message]:
        """See ``fill``."""
        partials = self.partials(resolve) if self.addresses else {}
        declared = self.all_variables(partials.values()) if partials else self.variables
        values = values_of(declared, variables)
        if PASSAGES in variables:
            values[PASSAGES] = str(variables[PASSAGES])
        elif PASSAGES in declared and not declared[PASSAGES].required:
            values[PASSAGES] = str(declared[PASSAGES].default)
        if self.examples:
            values[EXAMPLES] = self.examples
        rendering = Rendering(values, {address: part.as_partial() for address, part in partials.items()})
        filled = [_filled(message, rendering) for message in self._messages]
        if self.examples and not self._in_place:
            start = next((n for n, m in enumerate(filled) if m.get("role") not in _LEADING), len(filled))
            filled[start:start] = [message for example in self.examples for message in _pair(example)]
        return [*filled, *messages]

    def partials(self, resolve: Resolve | None) -> dict[str, Template]:
        """Every prompt that this one puts in, directly or through others, by the address it is named with.

        Raises BadInput for a circle, naming it, for more than MAX_DEPTH in each other, and what ``resolve`` raises.
        """
        gathering = _Gathering(resolve)
        gathering.levels(self, ())
        return gathering.found

    def all_variables(self, partials: Iterable[Template]) -> dict[str, Variable]:
        """Its own variables and those of its partials; what the prompt itself says of a variable counts."""
        found = dict(self.variables)
        for partial in partials:
            for name, variable in partial.variables.items():
                found.setdefault(name, variable)
        return found

    def as_partial(self) -> tuple[Sequence[Parsed], Mapping[str, Any]]:
        """Its texts, and its own examples, which count inside of it only."""
        return self.texts, {EXAMPLES: self.examples} if self.examples else {}


def fill(
    content: Mapping[str, Any],
    variables: Mapping[str, object],
    messages: Sequence[Message],
    resolve: Resolve | None = None,
) -> list[Message]:
    """The template's messages with values put in, then the caller's messages as they came.

    ``content`` must have passed ``validate``. Raises BadInput naming the variable that is missing, unknown or of the
    wrong type, and the partial that cannot be put in. ``passages`` may always be given, whether it is used or not.
    Few-shot examples that no text uses become messages of their own, after the leading system messages.
    """
    return Template(content).fill(variables, messages, resolve)


def variables_of(content: Mapping[str, Any], resolve: Resolve | None = None) -> dict[str, Variable]:
    """The variables by name, declared or read from the placeholders, without those that are filled for the caller.

    With ``resolve`` those of the partials are among them.
    """
    template = Template(content)
    return template.all_variables(template.partials(resolve).values()) if resolve else template.variables


class _Gathering:
    """Each partial is looked at once, however many ways lead to it: ``_below`` remembers the levels under it."""

    def __init__(self, resolve: Resolve | None) -> None:
        self.found: dict[str, Template] = {}
        self._resolve = resolve
        self._allowance = Allowance()
        self._below: dict[str, int] = {}

    def levels(self, template: Template, path: tuple[str, ...]) -> int:
        """How many levels of partials lie under a prompt that ``path`` led to."""
        most = 0
        for address in template.addresses:
            way = " -> ".join((*path, address))
            if address in path:
                mend = "Break the circle."
                raise BadInput(f"prompts put each other in without end: {way}", field="messages", mend=mend)
            if len(path) + 1 + self._below.get(address, 0) > MAX_DEPTH:
                mend = f"Use at most {MAX_DEPTH} levels."
                raise BadInput(f"prompts put each other in too deeply: {way}", field="messages", mend=mend)
            if address not in self._below:
                self.found[address] = found = Template(self._content(address), self._allowance)
                self._below[address] = self.levels(found, (*path, address))
            most = max(most, 1 + self._below[address])
        return most

    def _content(self, address: str) -> Mapping[str, Any]:
        if self._resolve is None:
            mend = "Fill it through Trimtab, or write its text out."
            raise BadInput(f"the prompt puts {address!r} in, which cannot be had here", field="messages", mend=mend)
        if len(self.found) >= MAX_PARTIALS:
            raise BadInput(f"the prompt puts in more than {MAX_PARTIALS} others", field="messages", mend="Join some.")
        return self._resolve(address)


def _pair(example: Mapping[str, Any]) -> list[Message]:
    return [
        {"role": "user", "content": written(example["input"], EXAMPLES)},
        {"role": "assistant", "content": written(example["output"], EXAMPLES)},
    ]


def _filled(message: Message, rendering: Rendering) -> Message:
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": rendering.render(parse(content))}
    parts = [{**p, "text": rendering.render(parse(p["text"]))} if is_text(p) else dict(p) for p in content]
    return {**message, "content": parts}

"""Redaction that can be taken back for the one who may read it: placeholders for what was hidden, and their values.

A vault lives as long as one request and is never stored. The model sees ``[email-1]``; the caller who sent the address
gets it back in the answer. A placeholder within an address of the web stays: an answer that was talked into carrying
data away must not be helped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .verdicts import Finding, placeholder

_PLACEHOLDER = re.compile(r"\[[a-z][a-z0-9-]{0,40}-\d{1,7}\]")
_BEGUN = re.compile(r"\[(?:[a-z][a-z0-9-]{0,48})?\Z")
_BEFORE = 2048


class Vault:
    """Values by placeholder. ``rules`` are the names of those whose findings may be taken back. Placeholders are
    counted from ``after`` on."""

    def __init__(self, rules: frozenset[str], *, after: int = 0) -> None:
        self._rules = rules
        self._after = after
        self._values: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def replace(self, finding: Finding, text: str) -> str:
        """What stands in place of a finding's text: the same value always gets the same placeholder."""
        if finding.rule not in self._rules:
            return placeholder(finding.rule)
        kind = finding.kind or finding.rule
        if (kind, text) not in self._names:
            self._counts[kind] = self._counts.get(kind, self._after) + 1
            name = f"[{kind}-{self._counts[kind]}]"
            self._names[kind, text] = name
            self._values[name] = text
        return self._names[kind, text]

    @property
    def empty(self) -> bool:
        """Whether nothing was hidden."""
        return not self._values

    @property
    def values(self) -> Mapping[str, str]:
        """What was hidden, by placeholder."""
        return self._values


class Restorer:
    """Puts the values back into a text that comes in pieces. A placeholder that is cut in two waits for its rest."""

    def __init__(self, vault: Vault) -> None:
        self._values = vault.values
        self._held = ""
        self._before = ""  # the last characters that went out, without the values

    def feed(self, text: str, *, last: bool = False) -> str:
        """The text with values in place of placeholders; its end may be held back until ``last``."""
        text = self._held + text
        begun = None if last else _BEGUN.search(text)
        self._held = text[begun.start() :] if begun else ""
        if begun:
            text = text[: begun.start()]
        out = []
        done = 0
        for found in _PLACEHOLDER.finditer(text):
            value = self._values.get(found.group())
            if value is None or self._in_address(text[: found.start()]):
                continue
            out += [text[done : found.start()], value]
            done = found.end()
        out.append(text[done:])
        self._before = (self._before + text)[-_BEFORE:]
        return "".join(out)

    def _in_address(self, before: str) -> bool:
        """Whether the word that a placeholder stands in is an address, or the target of a link."""
        word = re.split(r"[\s\"'<>]", (self._before + before)[-_BEFORE:])[-1]
        return "://" in word or "](" in word or word.lower().startswith(("www.", "mailto:", "data:"))

"""The lines of a policy, compiled: pattern rules and scanners, and what each finds in a text."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .checks import Check
from .expressions import Screen
from .provenance import kin, scanned_as
from .scanner import MOST, Scan, Scanner
from .text import Reading, Text
from .verdicts import DEFAULT_MESSAGE, Action, Failure, Finding

_NOTHING = Screen(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pattern rule as written, its patterns compiled."""

    name: str
    action: Action
    reason: str
    message: str
    patterns: tuple[Any, ...]
    check: Check | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerEntry:
    """One scanner as a policy uses it. ``within`` is seconds; ``tier`` the least risk from which it is asked; ``mark``
    how the text in which it found something is marked for the model, or ``screen``."""

    name: str
    scanner: Scanner
    action: Action
    threshold: float
    fail: Literal["open", "closed"]
    within: float
    tier: int
    sources: tuple[str, ...]
    scan: Scan
    reason: str
    message: str
    restore: bool
    reask: bool
    mark: str = ""

    def applies(self, source: str, tier: int) -> bool:
        """Whether it is asked about a text of this source at this risk. Documents only where it says so."""
        if tier < self.tier:
            return False
        if self.sources:
            return any(each in self.sources for each in kin(source))
        return scanned_as(source) != "document"

    def find(self, text: Text) -> tuple[list[Finding], Failure | None]:
        """What it finds, and how it failed if it did: by raising anything, or by taking longer than it may."""
        began = time.perf_counter()
        try:
            found = [
                Finding(
                    rule=self.name, action=self.action, start=match.start, end=match.end, reason=self.reason,
                    scanner=self.scanner.name, kind=match.kind, score=match.score, how=match.how, note=match.note,
                    mark=self.mark,
                )
                for match in self.scan(text)
                if match.score >= self.threshold
            ]  # fmt: skip
        # house: except because a scanner may be anybody's code, and must not break a request
        except Exception as error:
            return [], self.failed(f"it crashed ({type(error).__name__})")
        taken = time.perf_counter() - began
        if taken > self.within:
            return found, self.failed(f"it took {taken * 1000:.0f} ms of {self.within * 1000:.0f} ms")
        return found, None

    def failed(self, why: str) -> Failure:
        """Its failure, with the rule to follow."""
        return Failure(rule=self.name, scanner=self.scanner.name, why=why, fail=self.fail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The rules and scanners of one checkpoint, and the one pass that finds whether any pattern occurs."""

    rules: tuple[Rule, ...] = ()
    entries: tuple[ScannerEntry, ...] = ()
    screen: Screen = _NOTHING
    #: Each pattern of the screen with its rule, in order.
    owners: tuple[tuple[Rule, Any], ...] = ()
    names: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.rules and not self.entries

    def by_rules(self, readings: Sequence[Reading]) -> Iterator[Finding]:
        """The findings of the pattern rules in every reading, at original characters."""
        for reading in readings:
            for number in self.screen.which(reading.text):
                yield from self._by_pattern(number, reading)

    def found_by_rules(self, text: Text) -> list[Finding]:
        """The findings of the pattern rules in a whole text, each once. More than ``MOST`` of one rule become one that
        reaches from the first to the end of the text; no more are kept at any time."""
        found: defaultdict[str, dict[Finding, None]] = defaultdict(dict)
        many: set[str] = set()
        for reading in text.readings:
            for number in self.screen.which(reading.text):
                name = self.owners[number][0].name
                for finding in self._by_pattern(number, reading):
                    found[name][finding] = None
                    if len(found[name]) > MOST:
                        many.add(name)
                        found[name] = {_one(found[name], len(text.original)): None}
                    if name in many and reading is text.plain:  # in its order: none that follows begins earlier
                        break
        return [
            each
            for name, of_one in found.items()
            for each in ([_one(of_one, len(text.original))] if name in many else of_one)
        ]

    def _by_pattern(self, number: int, reading: Reading) -> Iterator[Finding]:
        rule, pattern = self.owners[number]
        for match in pattern.finditer(reading.text):
            finding = finding_of(rule, match.start(), match.group(), reading)
            if finding is not None:
                yield finding

    def order(self, finding: Finding) -> tuple[int, int, int]:
        """Findings in the order of the text; where two begin together, in the order of the policy."""
        rank = self.names.index(finding.rule) if finding.rule in self.names else 0
        return finding.start, rank, finding.end

    def ordered(self, findings: Sequence[Finding]) -> list[Finding]:
        """Findings in that order, each once."""
        return sorted(dict.fromkeys(findings), key=self.order) if findings else []

    def message_of(self, name: str) -> str:
        """What to tell the caller when this rule or scanner blocks."""
        said = {rule.name: rule.message for rule in self.rules} | {entry.name: entry.message for entry in self.entries}
        return said.get(name) or DEFAULT_MESSAGE


def _one(found: Collection[Finding], end: int) -> Finding:
    first = min(found, key=lambda each: each.start)
    return replace(first, end=end, how=(), note=f"more than {MOST} matches")


def finding_of(rule: Rule, start: int, matched: str, reading: Reading | None = None) -> Finding | None:
    """The finding for a match, or None if it is empty or fails the rule's check."""
    if not matched or (rule.check is not None and not rule.check(matched)):
        return None
    end = start + len(matched)
    how: tuple[str, ...] = ()
    if reading is not None and reading.how:
        (start, end), how = reading.spot(start, end), reading.how
    return Finding(rule=rule.name, action=rule.action, start=start, end=end, reason=rule.reason, how=how)

"""A guard policy: rules of patterns for each stage of a request, compiled once, and the verdict on a text.

Content of a version of kind ``guards``::

    {"stages": {"input": [{"name", "patterns": [...], "action": "block|flag|redact", "reason", "message"?, "check"?}],
                "output": [...], "action": [...]},
     "fail": "open|closed"}

Patterns are RE2 expressions, so the time of a scan is linear in the text whatever the pattern. ``check`` names a test
that a match must also pass (``luhn``: the check digit of a card number).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.core import digest_of, swift

from .checks import Check
from .reading import read_policy

Action = Literal["allow", "flag", "redact", "block"]
#: From the mildest to the hardest; the verdict is the hardest action found.
ACTIONS: tuple[Action, ...] = ("allow", "flag", "redact", "block")
STAGES = ("input", "output", "action")
_SEVERITY = {action: position for position, action in enumerate(ACTIONS)}
_CACHE: dict[str, Policy] = {}
_CACHE_SIZE = 64
_DEFAULT_MESSAGE = "The guard stopped this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One match of a rule: characters ``start`` to ``end`` (excluded). It never carries the matched text itself."""

    rule: str
    action: Action
    start: int
    end: int
    reason: str


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a policy says about a text.

    ``text`` is what may be passed on: the text itself, the text with ``[redacted:RULE]`` in place of what was found,
    or nothing when ``action`` is ``block``; ``message`` is then what to tell the caller.
    """

    action: Action = "allow"
    findings: tuple[Finding, ...] = ()
    text: str = ""
    message: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the text may pass, perhaps redacted."""
        return self.action != "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as written, its patterns compiled."""

    name: str
    action: Action
    reason: str
    message: str
    patterns: tuple[Any, ...]
    check: Check | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The rules of one stage and the one pattern that finds whether any of theirs occurs."""

    rules: tuple[Rule, ...] = ()
    screen: Any = None

    def silent(self, text: str) -> bool:
        """Whether no pattern of this stage occurs in the text: one pass, the common case."""
        return self.screen is None or self.screen.search(text) is None

    def order(self, finding: Finding) -> tuple[int, int, int]:
        """Findings in the order of the text; where two begin together, in the order of the rules."""
        rank = next((position for position, rule in enumerate(self.rules) if rule.name == finding.rule), 0)
        return finding.start, rank, finding.end

    def message_of(self, finding: Finding) -> str:
        """What to tell the caller about a finding that blocks."""
        return next((rule.message for rule in self.rules if rule.name == finding.rule), "") or _DEFAULT_MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A compiled policy. ``fail`` says what the gateway does with a request when the guard itself fails."""

    digest: str
    stages: Mapping[str, Stage]
    fail: Literal["open", "closed"] = "closed"

    def scan(self, stage: str, text: str) -> Verdict:
        """The verdict on a whole text. A stage that the policy does not name allows everything."""
        rules = self.stages.get(stage)
        text = encodable(text)
        if rules is None or rules.silent(text):
            return Verdict(text=text)
        found = {
            finding
            for rule in rules.rules
            for pattern in rule.patterns
            for match in pattern.finditer(text)
            if (finding := finding_of(rule, match.start(), match.group())) is not None
        }
        return _verdict(rules, sorted(found, key=rules.order), text)


def compile_policy(content: Mapping[str, Any], digest: str = "") -> Policy:
    """Compile a policy; the same content is compiled once. ``digest`` (the version's) spares the hashing.

    Raises BadInput naming the rule, the pattern and the mend.
    """
    if digest and digest in _CACHE:
        return _CACHE[digest]
    stages, fail = read_policy(content, STAGES, ACTIONS[1:])
    digest = digest or digest_of(content)
    if digest not in _CACHE:
        compiled = {
            name: Stage(rules=tuple(Rule(**fields) for fields in rules), screen=screen)
            for name, (rules, screen) in stages.items()
        }
        while len(_CACHE) >= _CACHE_SIZE:
            _CACHE.pop(next(iter(_CACHE)))
        _CACHE[digest] = Policy(digest=digest, stages=compiled, fail=fail)
    return _CACHE[digest]


def finding_of(rule: Rule, start: int, matched: str) -> Finding | None:
    """The finding for a match, or None if it is empty or fails the rule's check."""
    if not matched or (rule.check is not None and not rule.check(matched)):
        return None
    return Finding(rule=rule.name, action=rule.action, start=start, end=start + len(matched), reason=rule.reason)


def hardest(findings: Sequence[Finding]) -> Action:
    """The hardest action among the findings; ``allow`` if there are none."""
    return max((finding.action for finding in findings), key=_SEVERITY.__getitem__, default="allow")


def placeholder(rule: str) -> str:
    """What stands in place of a redacted text."""
    return f"[redacted:{rule}]"


def encodable(text: str) -> str:
    """The text with lone surrogates replaced, since neither RE2 nor a reply could carry them. Same length."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text


def _verdict(rules: Stage, findings: Sequence[Finding], text: str) -> Verdict:
    action = hardest(findings)
    if action == "block":
        first = next(finding for finding in findings if finding.action == "block")
        return Verdict(action=action, findings=tuple(findings), message=rules.message_of(first))
    return Verdict(action=action, findings=tuple(findings), text="".join(_redacted(text, findings)))


def _redacted(text: str, findings: Sequence[Finding]) -> Iterator[str]:
    """Overlapping redactions become one, named after the first."""
    done = 0
    for finding in findings:
        if finding.action != "redact":
            continue
        if finding.start >= done:
            yield text[done : finding.start]
            yield placeholder(finding.rule)
        done = max(done, finding.end)
    yield text[done:]

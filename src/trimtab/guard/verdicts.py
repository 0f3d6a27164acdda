"""What a policy says about a text: findings, failures of scanners, the verdict, and the text with parts replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from trimtab.core import swift

Action = Literal["allow", "flag", "redact", "escalate", "block"]
#: From the mildest to the hardest; the verdict is the hardest action found.
ACTIONS: tuple[Action, ...] = ("allow", "flag", "redact", "escalate", "block")
SEVERITY = {action: position for position, action in enumerate(ACTIONS)}
DEFAULT_MESSAGE = "The guard stopped this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One hit of a rule or scanner: characters ``start`` to ``end`` (excluded). It never carries the text itself.

    ``rule`` is its name in the policy. ``scanner`` is empty for a pattern rule. ``kind`` is what was found, ``score``
    how sure that is (0 to 1), ``how`` what had to be undone to see it.
    """

    rule: str
    action: Action
    start: int
    end: int
    reason: str
    scanner: str = ""
    kind: str = ""
    score: float = 1.0
    how: tuple[str, ...] = ()
    note: str = ""
    #: How the text around it is to be marked for the model; ``screen`` where the finding is taken out.
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A scanner that crashed or ran over its time, and the rule that was then followed."""

    rule: str
    scanner: str
    why: str
    fail: Literal["open", "closed"]


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a policy says about a text.

    ``text`` is what may be passed on: the text itself, the text with a placeholder for each thing redacted, or nothing
    when ``action`` is ``block``; ``message`` is then what to tell the caller. ``escalate`` means that a judge must say;
    until then the text is what may pass if it agrees.
    """

    action: Action = "allow"
    findings: tuple[Finding, ...] = ()
    text: str = ""
    message: str = ""
    failures: tuple[Failure, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the text may pass, perhaps redacted."""
        return self.action != "block"


#: What stands in place of a finding whose text is redacted: made of the finding and that text.
Replace = Callable[[Finding, str], str]


def hardest(findings: Sequence[Finding]) -> Action:
    """The hardest action among the findings; ``allow`` if there are none."""
    return max((finding.action for finding in findings), key=SEVERITY.__getitem__, default="allow")


def placeholder(rule: str) -> str:
    """What stands in place of a redacted text that nobody may have back."""
    return f"[redacted:{rule}]"


def named(finding: Finding, text: str) -> str:
    """The usual ``Replace``."""
    return placeholder(finding.rule)


#: What stands in place of a sentence that was screened out of a text from outside.
SCREENED = "[instruction removed]"


def redacted(text: str, findings: Sequence[Finding], replace: Replace = named) -> str:
    """The text with what is to be redacted replaced. Overlapping redactions become one, named after the first."""
    return "".join(_pieces(text, findings, replace))


def _pieces(text: str, findings: Sequence[Finding], replace: Replace) -> Iterator[str]:
    done = 0
    for finding in findings:
        if finding.action != "redact":
            continue
        if finding.start >= done:
            yield text[done : finding.start]
            found = text[finding.start : finding.end]
            yield SCREENED if finding.mark == "screen" else replace(finding, found)
        done = max(done, finding.end)
    yield text[done:]

"""Scanning a stream: what may be released now is known only once a match can no longer begin there.

For pattern rules a position is *decided* when ``tail`` more characters and one have arrived after it: every match that
begins there and is at most ``tail`` long is then seen whole, with the character that follows it. A scanner says itself
from where something may still begin or grow (``open``), or how long its longest match is. Text up to the first
undecided position is released, redacted; the rest is held back. So any split of a text gives the same released text and
the same verdict as the whole, for matches of at most that length. A longer match that still grows at the end of what
has arrived is waited for up to ``MAX_HELD`` characters. Only the plain reading is seen. Scanners that need
the whole text take no part: see ``Policy.holds``.
"""

from __future__ import annotations

from .entries import ScannerEntry, Stage, finding_of
from .plaintext import plain
from .policy import Policy
from .scanner import WHOLE
from .text import NO_CONTEXT, Context, Text, encodable
from .verdicts import Failure, Finding, Replace, Verdict, hardest, named

DEFAULT_TAIL = 128
MAX_HELD = 8192
#: Scanners are asked once so many new characters have arrived, not for each piece.
STEP = 32
#: Characters before the undecided text that scanners still see: words that explain what follows.
BACK = 64


class StreamScanner:
    """Feed it a stream's texts and pass on what it returns. After a block it returns nothing more."""

    def __init__(
        self,
        policy: Policy,
        *,
        stage: str = "output",
        tail: int = DEFAULT_TAIL,
        context: Context = NO_CONTEXT,
        tier: str = "low",
        replace: Replace = named,
    ) -> None:
        self._stage = policy.stages.get(stage, Stage())
        self._entries = [entry for entry in policy.asked(stage, context, tier) if entry.scanner.longest != WHOLE]
        self._idle = not self._entries and not self._stage.rules
        self._context = context
        self._replace = replace
        self._tail = tail
        self._buffer = ""
        self._base = 0  # the position of the buffer's first character in the stream
        self._decided = 0  # matches beginning before this position are all found
        self._released = 0  # text before this position is out, or replaced
        self._resume: dict[object, int] = {}  # by (rule, pattern) or entry: where its last match ended
        self._waiting: list[Finding] = []  # found, but beginning after what is released
        self._found: list[Finding] = []
        self._failures: list[Failure] = []
        self._message = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict so far. ``text`` is empty: the released text went out in pieces."""
        action = "block" if self.blocked else hardest(self._found)
        return Verdict(
            action=action, findings=tuple(self._found), message=self._message, failures=tuple(self._failures)
        )

    @property
    def blocked(self) -> bool:
        """Whether the stream was stopped."""
        return bool(self._message)

    def feed(self, text: str) -> str:
        """Take more of the stream; returns the text that may go out now."""
        if self.blocked:
            return ""
        if self._idle:
            return text
        self._buffer += encodable(text)
        end = self._base + len(self._buffer)
        if self._entries and end - self._decided < STEP:
            return ""
        limit = end - self._tail if self._stage.rules else end
        for entry in self._entries:
            limit = min(limit, self._base + self._open(entry))
        return self._advance(max(self._decided, limit), final=False)

    def close(self) -> str:
        """The stream ended; returns the rest that may go out."""
        if self.blocked or self._idle:
            return ""
        return self._advance(self._base + len(self._buffer), final=True)

    def _open(self, entry: ScannerEntry) -> int:
        """From where in the buffer this scanner may still find something new, at most ``MAX_HELD`` from its end."""
        size = len(self._buffer)
        scanner = entry.scanner
        at = size - scanner.longest if scanner.open is None else scanner.open(self._buffer, self._context)
        return max(at, size - MAX_HELD)

    def _advance(self, limit: int, *, final: bool) -> str:
        if self._stage.rules and not self._stage.screen.silent(self._buffer):
            limit = self._search(limit, final=final)
        if self._entries:
            limit = self._ask(limit, final=final)
        if self.blocked:
            return ""
        self._waiting.sort(key=self._stage.order)
        released = self._release(limit)
        self._decided = limit
        # What precedes the undecided text stays: one character for \\b and ^, more for scanners.
        keep = max(self._base, min(self._decided, self._released) - (BACK if self._entries else 1))
        self._buffer = self._buffer[keep - self._base :]
        self._base = keep
        return released

    def _search(self, limit: int, *, final: bool) -> int:
        """Find the matches that begin before ``limit``; returns the limit, earlier if a match still grows."""
        end = self._base + len(self._buffer)
        for number, rule in enumerate(self._stage.rules):
            for position, pattern in enumerate(rule.patterns):
                key = (number, position)
                since = max(self._resume.get(key, 0), self._decided)
                for match in pattern.finditer(self._buffer, since - self._base):
                    start, stop = match.start() + self._base, match.end() + self._base
                    if start >= limit:
                        break
                    if stop == end and not final and end - start <= MAX_HELD:
                        limit = min(limit, start)
                        break
                    self._resume[key] = stop
                    finding = finding_of(rule, start, match.group())
                    if finding is not None and finding not in self._waiting:
                        self._waiting.append(finding)
        return limit

    def _ask(self, limit: int, *, final: bool) -> int:
        """Like ``_search`` for the scanners, which see the plain reading of the buffer."""
        text = Text(original=self._buffer, readings=(plain(self._buffer),), context=self._context)
        end = self._base + len(self._buffer)
        seen: list[tuple[ScannerEntry, Finding]] = []
        for entry in self._entries:
            found, failure = entry.find(text)
            if failure is not None and failure not in self._failures:
                self._failures.append(failure)
                if failure.fail == "closed":
                    self._message = f"The guard could not look at this: {failure.why}."
                    return limit
            for finding in found:
                start, stop = finding.start + self._base, finding.end + self._base
                if start < max(self._decided, self._resume.get(entry.name, 0)):
                    continue
                if stop == end and not final and end - start <= MAX_HELD:
                    limit = min(limit, start)
                seen.append((entry, finding))
        for entry, finding in sorted(seen, key=lambda pair: pair[1].start):
            start, stop = finding.start + self._base, finding.end + self._base
            if start < limit:
                self._resume[entry.name] = max(stop, self._resume.get(entry.name, 0))
                self._waiting.append(_moved(finding, start, stop))
        return limit

    def _release(self, limit: int) -> str:
        out: list[str] = []
        while self._waiting and self._waiting[0].start < limit:
            finding = self._waiting.pop(0)
            self._found.append(finding)
            if finding.action in ("flag", "allow"):
                continue
            if finding.start >= self._released:
                out.append(self._text(finding.start))
                if finding.action == "redact":
                    matched = self._buffer[finding.start - self._base : finding.end - self._base]
                    out.append(self._replace(finding, matched))
            if finding.action in ("block", "escalate"):
                # What is escalated in a stream cannot wait for a judge: it stops, unless the policy holds the answer.
                self._message = self._stage.message_of(finding.rule)
                return "".join(out)
            self._released = max(self._released, finding.end)
        out.append(self._text(limit))
        return "".join(out)

    def _text(self, until: int) -> str:
        """The text from what is released up to ``until``, which then is released too."""
        if until <= self._released:
            return ""
        text = self._buffer[self._released - self._base : until - self._base]
        self._released = until
        return text


def _moved(finding: Finding, start: int, end: int) -> Finding:
    """The same finding at positions of the stream."""
    return Finding(
        rule=finding.rule, action=finding.action, start=start, end=end, reason=finding.reason, scanner=finding.scanner,
        kind=finding.kind, score=finding.score, how=finding.how, note=finding.note,
    )  # fmt: skip

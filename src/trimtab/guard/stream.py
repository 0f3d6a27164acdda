"""Scanning a stream: what may be released now is known only once a match can no longer begin there.

A position is *decided* when ``tail`` more characters and one have arrived after it: every match that begins there and
is at most ``tail`` long is then seen whole, with the character that follows it. Text up to the first undecided position
is released, redacted; the rest is held back. So any split of a text gives the same released text and the same verdict
as the whole, for patterns that match at most ``tail`` characters. A longer match that still grows at the end of what
has arrived is waited for up to ``MAX_HELD`` characters.
"""

from __future__ import annotations

from .policy import Finding, Policy, Stage, Verdict, encodable, finding_of, hardest, placeholder

DEFAULT_TAIL = 128
MAX_HELD = 8192


class StreamScanner:
    """Feed it a stream's texts and pass on what it returns. After a block it returns nothing more."""

    def __init__(self, policy: Policy, *, stage: str = "output", tail: int = DEFAULT_TAIL) -> None:
        self._stage = policy.stages.get(stage, Stage())
        self._tail = tail
        self._buffer = ""
        self._base = 0  # the position of the buffer's first character in the stream
        self._decided = 0  # matches beginning before this position are all found
        self._released = 0  # text before this position is out, or replaced
        self._resume: dict[tuple[int, int], int] = {}  # by (rule, pattern): where its last match ended
        self._waiting: list[Finding] = []  # found, but beginning after what is released
        self._found: list[Finding] = []
        self._message = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict so far. ``text`` is empty: the released text went out in pieces."""
        return Verdict(action=hardest(self._found), findings=tuple(self._found), message=self._message)

    @property
    def blocked(self) -> bool:
        """Whether the stream was stopped."""
        return bool(self._message)

    def feed(self, text: str) -> str:
        """Take more of the stream; returns the text that may go out now."""
        if self.blocked:
            return ""
        if self._stage.screen is None:
            return text
        self._buffer += encodable(text)
        end = self._base + len(self._buffer)
        return self._advance(max(self._decided, end - self._tail), final=False)

    def close(self) -> str:
        """The stream ended; returns the rest that may go out."""
        if self.blocked or self._stage.screen is None:
            return ""
        return self._advance(self._base + len(self._buffer), final=True)

    def _advance(self, limit: int, *, final: bool) -> str:
        if not self._stage.silent(self._buffer):
            limit = self._search(limit, final=final)
        released = self._release(limit)
        self._decided = limit
        # One character before the undecided text stays, so that \b and ^ see what precedes it.
        keep = max(self._base, min(self._decided, self._released) - 1)
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
        self._waiting.sort(key=self._stage.order)
        return limit

    def _release(self, limit: int) -> str:
        out: list[str] = []
        while self._waiting and self._waiting[0].start < limit:
            finding = self._waiting.pop(0)
            self._found.append(finding)
            if finding.action == "flag":
                continue
            if finding.start >= self._released:
                out.append(self._text(finding.start))
                if finding.action == "redact":
                    out.append(placeholder(finding.rule))
            if finding.action == "block":
                self._message = self._stage.message_of(finding)
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

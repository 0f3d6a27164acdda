"""``{{name}}`` and nothing else: templates hold no code, so there is nothing to sandbox."""

from __future__ import annotations

import re
from collections.abc import Callable

from trimtab.core import BadInput

#: ``\\{{`` writes two braces; ``{{ name }}`` is a placeholder; any other ``{{`` is a mistake.
_TOKEN = re.compile(r"\\\{\{|\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*\}\}|\{\{")


def names_in(text: str, field: str) -> list[str]:
    """The placeholders of a template in their order, without repeats. Raises BadInput on any other ``{{``."""
    found: dict[str, None] = {}
    for match in _TOKEN.finditer(text):
        if match.group(1):
            found[match.group(1)] = None
        elif match.group() == "{{":
            shown = text[match.start() : match.start() + 24].splitlines()[0]
            raise BadInput(
                f"{shown!r} is not a placeholder",
                field=field,
                mend="Write {{name}} with letters, digits and underscores, or \\{{ for two literal braces.",
            )
    return list(found)


def substitute(text: str, value_of: Callable[[str], str]) -> str:
    """Put values in, in one pass: braces inside a value are never read as a placeholder."""

    def put(match: re.Match[str]) -> str:
        return value_of(match.group(1)) if match.group(1) else "{{"

    return _TOKEN.sub(put, text)

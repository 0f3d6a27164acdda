"""What can be told of a text at once: its scripts, that it lets out personal data or a secret, that it openly attacks.

The last two are cheap floors beside the guard and do not depend on its policy, so they see when that policy is lax.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from trimtab.guard.default import DEFAULT_POLICY
from trimtab.guard.expressions import compiled
from trimtab.guard.personal import find_personal
from trimtab.guard.secrets import find_secrets

#: Data of a person that carry their own proof: a check sum, or an address. Numbers alone would be guesses.
_PERSONAL = frozenset({"email", "card-number", "iban", "us-ssn"})
_SURE = 0.7
_ATTACK = compiled(
    "|".join(f"(?:{pattern})" for rule in DEFAULT_POLICY["stages"]["input"] for pattern in rule.get("patterns", ())),
    capture=False,
)


def lets_out(answer: str, public: str) -> bool:
    """Whether an answer holds personal data or a secret that ``public``, in lower case, does not."""
    for match in (*find_personal(answer, _PERSONAL), *find_secrets(answer)):
        if match.score >= _SURE and answer[match.start : match.end].lower() not in public:
            return True
    return False


@lru_cache(maxsize=64)
def attacks(question: str) -> bool:
    """Whether a question tells the assistant to drop its instructions or to show them, in words that leave no doubt."""
    return _ATTACK.search(question) is not None


def scripts(text: str) -> dict[str, int]:
    """Letters by script: the first word of the character's name. Plain ASCII, the common case, is all Latin."""
    if text.isascii():
        return {"LATIN": len(text)} if text else {}
    found: dict[str, int] = {}
    for letter in text:
        if letter.isalpha():
            script = "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").partition(" ")[0]
            found[script] = found.get(script, 0) + 1
    return found

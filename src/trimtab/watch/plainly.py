"""What can be told of a text at once: its scripts, that it lets out personal data or a secret, that it openly attacks.

The last two are cheap floors beside the guard and do not depend on its policy, so they see when that policy is lax.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
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


def foreign(answer: str, *others: str) -> float | None:
    """The share of an answer's letters whose script, Latin aside, no other text uses; None where it has no letters."""
    letters_of_others = {letter for text in others if not text.isascii() for letter in set(text) if letter.isalpha()}
    known = {"LATIN"} | {_script(letter) for letter in letters_of_others}
    used = [(_script(letter), n) for letter, n in Counter(answer).items() if letter.isalpha()]
    letters = sum(n for _, n in used)
    return sum(n for script, n in used if script not in known) / letters if letters else None


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """The first word of the character's name."""
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").partition(" ")[0]

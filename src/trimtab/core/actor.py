"""Who acts: one rule for every route and page.

The door in front of the server finds out who calls and writes it into the ASGI scope. ``trimtab.actor`` is the name,
``trimtab.role`` what it may do, ``trimtab.person`` the person who signed in or whose key it is, empty where nobody
knows, and ``trimtab.claims`` whether the caller may say a name of their own: on loopback, and with an admin key that
belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def actor_of(scope: Mapping[str, Any], said: str = "") -> str:
    """The name for the ledger. What callers say of themselves counts only where the door lets them claim a name."""
    known = str(scope.get("trimtab.actor", ""))
    claimed = said.strip() if scope.get("trimtab.claims", True) else ""
    return claimed or known or "api"


def person_of(scope: Mapping[str, Any]) -> str:
    """The person who signed in, or whose key this is; empty where the door knows none."""
    return str(scope.get("trimtab.person", ""))

"""``trimtab up`` without what reads the store afterwards: no scores, no watch, no incidents, no rollouts' controller.

What is left is a gateway with keys, limits, stamps, the recorder with its store, and cost: so its own price can be told
from that of the watching, which is measured beside it.
"""

from __future__ import annotations

from typing import Any

from trimtab.cli import main
from trimtab.incidents import Loop
from trimtab.rollouts import Controller


async def rest(self: Any) -> None:
    """Start nothing."""


Loop.start = rest  # type: ignore[method-assign]
Controller.start = rest  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

"""Whether a share fell: verdicts of a noisy judge by an e-detector, verdicts of a rule by comparing what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.stats import EDetector, lower_bound

#: The chance that the frozen bound lies above the true share.
ALPHA = 1e-3
#: Verdicts that are kept for a restart and for the figure on the page.
KEPT, SHOWN = 256, 50
#: The latest verdicts are as good as the reference when they are at most so much below it.
RECOVERED = 0.02


class Fall:
    """A share of passes, frozen over the first ``reference`` verdicts, then bet against its lower bound.

    ``threshold`` is the number of verdicts to a false alarm, on average, at least. ``state`` is JSON-able.
    """

    def __init__(self, state: Mapping[str, Any], *, reference: int, threshold: float) -> None:
        self._reference = reference
        self.n, self.passed = int(state.get("n", 0)), float(state.get("passed", 0.0))
        self._threshold = threshold
        self._detector: EDetector | None = None
        self._low = 0.0
        self._seen: list[float] = []
        self._freeze()
        for value in state.get("seen", ()):
            self.take(float(value))

    @property
    def state(self) -> dict[str, Any]:
        """What survives a restart."""
        return {"n": self.n, "passed": self.passed, "seen": self._seen[-KEPT:]}

    @property
    def learning(self) -> bool:
        """Whether the reference is still gathered."""
        return self._detector is None

    @property
    def usual(self) -> float | None:
        """The share in the reference."""
        return self.passed / self.n if self.n else None

    @property
    def now(self) -> float | None:
        """The share among the latest verdicts, of the reference while there are no others."""
        latest = self._seen[-SHOWN:]
        return sum(latest) / len(latest) if latest else self.usual

    @property
    def fell(self) -> bool:
        """Whether chance is ruled out."""
        return self._detector is not None and self._detector.fired

    @property
    def evidence(self) -> float:
        """The e-value for a fall."""
        return self._detector.value if self._detector else 0.0

    def take(self, value: float) -> None:
        """One verdict, 0 to 1."""
        if self._detector is None:
            self.n += 1
            self.passed += value
            self._freeze()
            return
        self._seen.append(value)
        self._detector.update(value, self._low)

    def forgive(self) -> bool:
        """Forget a fall whose latest verdicts are as good as the reference; whether there was one."""
        now, usual = self.now, self.usual
        if not self.fell or now is None or usual is None or len(self._seen) < SHOWN or now < usual - RECOVERED:
            return False
        self._seen.clear()
        self._freeze()
        return True

    def _freeze(self) -> None:
        if self.n >= self._reference:
            self._low = lower_bound(self.passed, self.n, ALPHA, binary=True)
            self._detector = EDetector(self._threshold, max(0.05, self._low))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """What changed between the reference and now, by the names of the items."""

    n: int
    passed: int
    usual: float
    lost: tuple[str, ...]
    won: tuple[str, ...]

    @property
    def share(self) -> float:
        """The share that passes now."""
        return self.passed / self.n if self.n else 1.0

    def fell(self, tolerance: float) -> bool:
        """Whether more than this part of all items passed in the reference and fails now. A rule has no chance in it:
        what changed did change, and the tolerance says how much of it is news."""
        return len(self.lost) > tolerance * self.n


def flips(reference: Mapping[str, bool], now: Mapping[str, bool]) -> Flips:
    """Compare the items that are in both; an item that is new has nothing to fall from."""
    common = [name for name in now if name in reference]
    lost = tuple(name for name in common if reference[name] and not now[name])
    won = tuple(name for name in common if now[name] and not reference[name])
    usual = sum(reference.values()) / len(reference) if reference else 1.0
    return Flips(n=len(now), passed=sum(now.values()), usual=usual, lost=lost, won=won)


def named(items: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more."""
    shown = ", ".join(items[:most])
    return shown + (f" and {len(items) - most} more" if len(items) > most else "")

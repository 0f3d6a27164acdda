"""Who gets which version of a running rollout: pure, the same answer for the same key everywhere and for ever."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, NamedTuple

from trimtab.core import Rollout

Arm = Literal["base", "candidate", ""]


def bucket(rollout_id: str, key: str) -> float:
    """Where a sticky key falls in [0, 1) for one rollout.

    The first 53 bits of BLAKE2b over rollout id and key: uniform over keys, and independent between rollouts because
    the id is part of what is hashed. A key is in the candidate's part iff its bucket is below the share, so a growing
    share never flips anybody back.
    """
    # The separator cannot occur in a rollout id, so (id, key) pairs never run together.
    digest = blake2b(f"{rollout_id}\n{key}".encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


class Choice(NamedTuple):
    """The number that one key gets, and the arm of the rollout that this is."""

    number: int
    arm: Arm


def choose(rollout: Rollout, key: str) -> Choice:
    """Draw one key's arm of a running rollout."""
    if bucket(rollout.id, key) < rollout.share:
        return Choice(rollout.candidate, "candidate")
    return Choice(rollout.base, "base")

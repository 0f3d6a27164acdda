"""What the values of a batch say of their slices, counted until the detectors take it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .bets import Bets
from .observation import Observation
from .parts import Part
from .sessions import LONGEST

#: Where a one of a session waits that had so many values before (see ``WAITS``).
_PLACES = tuple(n.bit_length() for n in range(LONGEST))


def count(bets: Bets, seen: Sequence[Observation], parts: Sequence[Part]) -> None:
    """Count values, each with the part of its slice.

    Of most of them there is nothing to say but that they were 1 and of a session of which nothing was lost yet, so this
    is most of what watching costs a busy server.
    """
    sessions, touched = bets.sessions, bets.touched
    known, older, half = sessions.known, sessions.older, sessions.half
    others = squares = 0
    if not touched:
        bets.since_ns = seen[0].time_ns
    for one, part in zip(seen, parts, strict=True):
        new = part.new = part.new + 1
        if new == 1:
            touched.append(part)
            if part.losses.hot:
                bets.wait(part, part.taken)
        if one.value == 1.0:
            served = one.served
            session = served.session or served.user
            if not session:
                others += 1
                continue
            before = known.get(session)
            if before is None:
                if session not in older and len(known) < half:
                    known[session] = 1
                    continue
            elif isinstance(before, int) and before < LONGEST:
                known[session] = before + 1
                squares += before
                part.later[_PLACES[before]] += 1
                continue
        others += 1
        note(bets, part, one)
        known, older = sessions.known, sessions.older
    bets.waiting += len(seen)
    spoken = len(seen) - others
    sessions.count(spoken, spoken + 2 * squares)


def note(bets: Bets, part: Part, one: Observation) -> None:
    """Take a value that is new in its part of the batch, and that may say more than that it was 1."""
    value, served, reference = one.value, one.served, part.reference
    n, lost, rate = 0, 0.0, 0.0
    if session := served.session or served.user:
        n, lost = bets.sessions.take(session, 1.0 - value, 1.0 - reference.mean if reference.n else None)
        if value == 1.0 and not lost:
            if n:  # it was long silent, and is remembered all the same
                part.later[n.bit_length()] += 1
            return
    elif value == 1.0:
        return
    else:
        position = part.taken + part.new
        if part.losses.hot:
            part.losses.fresh += bets.cool(part, position - 1)
        rate = bets.lose(part, position, value)
    part.noted += 1
    kind = value, n, lost, rate
    part.kinds[kind] = part.kinds.get(kind, 0) + 1
    if value != 1.0:
        reference.lost(value, reference.left - part.new)

"""The evidence in pairs: the same request answered twice."""

from __future__ import annotations

import math

from trimtab.core import BadInput

_BETS = (0.2, 0.5, 0.8)
_LOG_CAP = math.log(1e280)


def paired_e_value(wins: int, losses: int) -> float:
    """E-value that wins are likelier than losses among discordant pairs; 1 says nothing, 500 is strong.

    Null: each discordant pair is a win with probability at most 1/2. The mean over the bets b in .2, .5, .8 of
    (1+b)^wins * (1-b)^losses: a test martingale (Ville 1939; Shafer and Vovk 2019), so it may be looked at after each
    pair. Capped at 1e280. Raises BadInput for negative counts.
    """
    if wins < 0 or losses < 0:
        raise BadInput(f"{wins} wins and {losses} losses", field="wins", mend="Give counts of 0 or more.")
    logs = [wins * math.log1p(bet) + losses * math.log1p(-bet) for bet in _BETS]
    return sum(math.exp(min(log, _LOG_CAP)) for log in logs) / len(logs)

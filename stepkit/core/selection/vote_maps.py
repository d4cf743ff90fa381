"""How scores that are no probabilities vote: three maps, each with its formula.

* ``sigmoid``: the score x of each step becomes 1 / (1 + exp(-x)), a probability if x are log-odds,
  and is aggregated as one. It is the only map of steps, so that sigmoids can also be multiplied.
* ``softmax:t=T``: an attempt weighs exp(s / T), s being the aggregate of its scores, over the sum
  of that over all attempts that vote.
* ``rank:p=P``: attempts are ranked by their aggregates, and the one on rank r of N weighs
  (N - r + 1)^P: Borda votes with a power (Kang et al., "Scalable best-of-N selection for large
  language models via self-certainty", arXiv:2502.18581). P = 0 is the majority, a large P the best
  attempt. As in the authors' code an attempt without an answer takes a rank, too. Equal ones share
  the votes of their ranks, which is what they have there on average over the orders of the
  attempts. An attempt without a score has no rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import exp, fsum, inf, isfinite
from operator import itemgetter
from typing import NamedTuple


class MapDefinition(NamedTuple):
    """A map.

    Attributes:
        parameter: its name, "" without one.
        default: of the parameter.
        least: the parameter must be above it, or at least it where ``reached``.
    """

    parameter: str = ""
    default: float = 1.0
    least: float = 0.0
    reached: bool = False


MAPS: Mapping[str, MapDefinition] = {
    "sigmoid": MapDefinition(),
    "softmax": MapDefinition("t"),
    "rank": MapDefinition("p", reached=True),
}


class VoteMap(NamedTuple):
    """A map as it was asked for; ``parameter`` is that of its definition."""

    name: str
    parameter: float = 1.0

    def __str__(self) -> str:
        key = MAPS[self.name].parameter
        return f"{self.name}:{key}={self.parameter:g}" if key else self.name

    @property
    def of_steps(self) -> bool:
        """Does it map the score of each step? Else it maps the aggregates of a group."""
        return self.name == "sigmoid"


def parse_map(text: str) -> VoteMap:
    """Read ``NAME`` or ``NAME:PARAMETER=VALUE``. Raises ValueError saying what is wrong with it."""
    name, colon, rest = text.partition(":")
    if name not in MAPS:
        raise ValueError(f"expected one of {', '.join(MAPS)}")
    known = MAPS[name]
    if not colon:
        return VoteMap(name, known.default)
    key, _, value = rest.partition("=")
    if not known.parameter or key != known.parameter:
        takes = f"{known.parameter}=NUMBER" if known.parameter else "no parameter"
        raise ValueError(f'{name} takes {takes}, not "{rest}"')
    try:
        number = float(value)
    except ValueError:
        number = inf
    if (
        not isfinite(number)
        or number < known.least
        or (number == known.least and not known.reached)
    ):
        wanted = "from 0 up" if known.reached else "above 0"
        raise ValueError(f"{key}: expected a number {wanted}")
    return VoteMap(name, number)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), of any finite number."""
    if x >= 0:
        return 1 / (1 + exp(-x))
    small = exp(x)
    return small / (1 + small)


def rank_votes(standing: Sequence[float], power: float) -> list[float]:
    """((N - r + 1) / N)^power of each attempt on rank r of N; equal ones share theirs.

    Divided by N, which is the same for all, no power is too large for a float.

    Args:
        standing: [n] what attempts are ranked by; -inf is without a rank, and weighs 0.
    """
    ranked = sorted((one, i) for i, one in enumerate(standing) if one > -inf)
    votes = [0.0] * len(standing)
    below = 0
    for _, tied in groupby(ranked, key=itemgetter(0)):
        members = [i for _, i in tied]
        ranks = range(below + 1, below + len(members) + 1)
        share = fsum((rank / len(ranked)) ** power for rank in ranks) / len(members)
        for i in members:
            votes[i] = share
        below += len(members)
    return votes

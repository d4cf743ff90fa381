"""The order of siblings that were drawn unequally often: by what their counts say for sure.

A sibling that was drawn once has a share of 0 or 1. Ordered by shares, 1 of 1 is better than 4 of
6, and the best and the worst of a set are mostly the siblings that were drawn least, by luck. So a
rule orders siblings by

* ``lower``, the default: what is chosen by the lower end of Wilson's 95 % interval, what is
  rejected by its upper end. One sibling is above another when both its ends are: 1 of 1 (0.21 to
  1) is not above 4 of 6 (0.30 to 0.90), nor below it;
* ``mean``: the mean of the posterior under a uniform prior, (k + 1) / (n + 2);
* ``share``: k / n, the order of the papers, which draw all siblings equally often. Equal numbers
  of draws have one order by all three.

The default is argued by tests/bench/results/ranking.txt: sets of siblings whose true values are
known, and of 100 sets the 25 pairs that rank farthest apart. Of these so many are the wrong way
round, in per cent by share, mean and lower: 14.6, 6.1 and 5.1 where the trace's own step has 8
draws and the others 1 to 8; 5.0, 1.3 and 0.4 with 1 to 16 draws each; 2.4, 1.7 and 1.3 in search
trees; with equal numbers of draws they are alike. One lower bound for both sides would not do: a
sibling that was drawn little is then what is rejected, and 9.7 per cent are wrong. Of 100 sets
lower makes 71 to 88 pairs, share 84 to 89: what it leaves out are those that it cannot tell apart.

A score has no counts, and the verdict on a step that ended the attempt no doubt: both rank by
themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stepkit.core import stats


class Rank(NamedTuple):
    """Where a sibling stands: ``low`` is what it is chosen by, ``high`` what it is rejected by."""

    low: float
    high: float

    def above(self, other: Rank) -> bool:
        """True when this one is better whichever of the two is asked."""
        return self.low > other.low and self.high > other.high


Ranking = Callable[[float, int], Rank]
"""The rank of a value that is the share of right ones among ``n`` > 0 draws."""


def _by_bounds(value: float, n: int) -> Rank:
    return Rank(*stats.wilson(min(max(value, 0.0), 1.0) * n, n))


def _by_mean(value: float, n: int) -> Rank:
    mean = (value * n + 1) / (n + 2)
    return Rank(mean, mean)


def _by_share(value: float, n: int) -> Rank:
    return Rank(value, value)


RANKINGS: dict[str, Ranking] = {"lower": _by_bounds, "mean": _by_mean, "share": _by_share}
"""By name; the first is the default."""
DEFAULT = next(iter(RANKINGS))


def rank(name: str, value: float, n: int) -> Rank:
    """The rank of a sibling by the ranking ``name``; that of a value that was not drawn (n = 0) is
    itself."""
    return RANKINGS[name](value, n) if n else Rank(value, value)

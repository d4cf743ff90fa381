"""What the rules make and the formats write: one plain type for each kind of training row.

A rule decides what is better than what and why; it lays out no prompt and knows no trainer. Texts
are exactly those of the record; ``prefix`` is the text of the steps before them.
"""

from __future__ import annotations

from typing import NamedTuple


class RowOrigin(NamedTuple):
    """Where a row comes from, so that it can be traced to the draws that made it."""

    rule: str
    version: int  # of the rule: raised when it would choose otherwise
    step: int  # index of its first step, from 0
    sources: tuple[str, ...]  # ids of the traces
    draws: tuple[str, ...]  # of the draws and nodes that are counted in it


class PairSide(NamedTuple):
    """A text and the evidence for it: k right of n decided draws, each once, and the value: their
    share, that of the simulations of a search, or a score.

    ``steps`` and ``rewards`` are those of an attempt whose steps are rewarded one by one; a step
    without a reward has None.
    """

    text: str
    k: int
    n: int
    value: float
    ended: bool  # it came to its own end, so that an end-of-text token after it is truthful
    steps: tuple[str, ...] = ()
    rewards: tuple[float | None, ...] = ()


class PairRow(NamedTuple):
    """Two siblings: the better and the worse."""

    prefix: str
    chosen: PairSide
    rejected: PairSide
    probability: float  # that chosen is really better, by the counts
    weight: float
    origin: RowOrigin
    lead: float = 0.0  # from the rank of chosen to that of rejected (pairs/sibling_ranks.py)

    @property
    def gap(self) -> float:
        return self.chosen.value - self.rejected.value


class RankedRow(NamedTuple):
    """Siblings from the best to the worst."""

    prefix: str
    sides: tuple[PairSide, ...]
    origin: RowOrigin


class UnpairedRow(NamedTuple):
    """One text, to be made likelier (desirable) or less likely."""

    prefix: str
    side: PairSide
    desirable: bool
    origin: RowOrigin


class StepwiseRow(NamedTuple):
    """An attempt and a label for each step: right or wrong, a soft value, or None: masked."""

    steps: tuple[str, ...]
    labels: tuple[bool | float | None, ...]
    origin: RowOrigin


class WeightedRow(NamedTuple):
    """An attempt and a weight for each step, 0 or more; 0 is a mask."""

    steps: tuple[str, ...]
    weights: tuple[float, ...]
    ended: bool
    origin: RowOrigin


class TextRow(NamedTuple):
    """One text to be imitated as it is, after the problem and ``prefix``."""

    prefix: str
    side: PairSide
    origin: RowOrigin


class AdvantageRow(NamedTuple):
    """What each step of an attempt changed, None: masked, with the values it was computed from."""

    steps: tuple[str, ...]
    values: tuple[float, ...]
    advantages: tuple[float | None, ...]
    k: tuple[int, ...]
    n: tuple[int, ...]
    origin: RowOrigin

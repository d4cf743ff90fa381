"""Several verdicts on each step: counted, with what was undecided counted apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

VOTES = ("mean", "majority", "intersection")
"""CAPO's three ways of voting over critiques (Xie et al., arXiv:2508.02298)."""


@dataclass(frozen=True)
class StepVotes:
    """Per step: ``k`` of ``n`` decided verdicts call it right; ``undecided`` give no verdict."""

    k: list[int]
    n: list[int]
    undecided: list[int]

    def x(self, vote: str) -> list[float | None]:
        """One number per step: by "mean" the share of "right"; by "majority" the verdict of more
        than half, 1 or 0; by "intersection" 0 where all are "wrong", else 1. None without a
        verdict, or a majority."""
        counts = zip(self.k, self.n, strict=True)
        if vote == "mean":
            return [k / n if n else None for k, n in counts]
        if vote == "majority":
            return [None if 2 * k == n else float(2 * k > n) for k, n in counts]
        return [float(k > 0) if n else None for k, n in counts]


def tally(verdicts: Sequence[Sequence[bool | None]], steps: int) -> StepVotes:
    """Count verdicts [critiques][steps]."""
    columns = [[one[step] for one in verdicts] for step in range(steps)]
    return StepVotes(
        [column.count(True) for column in columns],
        [len(column) - column.count(None) for column in columns],
        [column.count(None) for column in columns],
    )


def spread(values: Iterable[T], places: Sequence[int], size: int, empty: T) -> list[T]:
    """``values`` at their places in a list of ``size``, the others being ``empty``."""
    spread_out = [empty] * size
    for place, value in zip(places, values, strict=True):
        spread_out[place] = value
    return spread_out

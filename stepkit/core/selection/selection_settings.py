"""How to choose: the methods, and what the user asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from stepkit.core.selection.vote_maps import VoteMap


class SelectionMethod(NamedTuple):
    """What a method looks at: ``scores`` of steps, ``verdicts`` on pairs, ``endings`` of
    subthoughts, or no more than the ``answers``; and whether it is a vote."""

    reads: str
    votes: bool


METHODS: Mapping[str, SelectionMethod] = {
    "best": SelectionMethod("scores", False),
    "majority": SelectionMethod("answers", True),
    "weighted": SelectionMethod("scores", True),
    "log-weighted": SelectionMethod("scores", True),
    "complexity": SelectionMethod("answers", True),
    "subthought": SelectionMethod("endings", True),
    "knockout": SelectionMethod("verdicts", False),
    "elimination": SelectionMethod("verdicts", False),
}


@dataclass(frozen=True)
class EarlyErrorFilter:
    """Attempts to be dropped: those whose first error comes before a step.

    Attributes:
        before: a number of steps, or of the share of an attempt's steps.
        share: which of the two it is.
        label: name of the column with the first error; None is the only label that has one, or
            else the only score.
    """

    before: float
    share: bool = False
    label: str | None = None


@dataclass(frozen=True)
class SelectionSettings:
    """How to choose.

    Attributes:
        by: one of METHODS.
        aggregate: as in aggregates.py.
        score: name of the column, or of the verdicts; None is the only score there.
        longest: how many of the longest attempts vote, by ``complexity``.
        early: whom to drop beforehand.
        map: how scores that are no probabilities vote; None: they do not.
    """

    by: str = "best"
    aggregate: str = "min"
    score: str | None = None
    longest: int = 0
    early: EarlyErrorFilter | None = None
    map: VoteMap | None = None

"""What is asked for, what a measure is of, and the problems that it is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from stepkit.core.evaluation.attempts import MeasuredAttempt, steps_map
from stepkit.core.evaluation.intervals import DIFFERENCE, Estimate, difference, mean
from stepkit.core.evaluation.protocols import REDUNDANCY
from stepkit.core.selection import VoteMap
from stepkit.schema import Json

Array = np.ndarray[Any, Any]

SINGLE, MAJORITY = "single", "majority"


@dataclass(frozen=True)
class ReportOptions:
    """What to report; see man step-eval.

    Attributes:
        curves: of selection_curves.CURVES; none are those of DEFAULT there that the records allow.
        ks: numbers of attempts, rising; none are powers of two up to the fewest at any problem.
        aggregates: how the scores of steps become one number, as in selection/aggregates.py.
        maps: how scores that are no probabilities vote; none: they do not.
        against: what is subtracted: SINGLE, MAJORITY, an aggregate, a map, a score or a file.
        undecided: of selection_curves.UNDECIDED.
        protocol, threshold: of a benchmark, and below which score a step is wrong.
        redundancy: above which redundancy PRMBench's redundant steps are marked.
        bins: of the calibration error.
        intervals: say how sure each number is.
        seed: of random subsets.
        by_file: each file by itself.
    """

    curves: tuple[str, ...] = ()
    ks: tuple[int, ...] = ()
    aggregates: tuple[str, ...] = ("min",)
    maps: tuple[VoteMap, ...] = ()
    against: tuple[str, ...] = ()
    undecided: str = "wrong"
    protocol: str | None = None
    threshold: float | None = None
    redundancy: float = REDUNDANCY
    bins: int = 10
    intervals: bool = True
    seed: int = 1
    by_file: bool = False

    def votes(self) -> dict[str, VoteMap | None]:
        """The maps by name, or that of no map."""
        return {str(one): one for one in self.maps} or {"": None}

    def choices(self) -> dict[str, VoteMap | None]:
        """The same of maps of steps, which also decide what the best attempt is."""
        found = [steps_map(one) for one in self.votes().values()]
        return {"" if one is None else str(one): one for one in found}


class MeasureKey(NamedTuple):
    """What a measure is of; empty (k: 0) where it does not apply."""

    measure: str
    file: str = ""
    part: str = ""
    score: str = ""
    aggregate: str = ""
    map: str = ""
    k: int = 0


@dataclass
class Measure:
    """A number and what its row has.

    Attributes:
        estimate: the number, about all problems.
        problems: how many it was measured on.
        more: what else its row has.
        shown: it is asked for, not only needed to compare with.
        members, values: [p] the problems and the value of each, for a mean of values.
    """

    estimate: Estimate
    problems: int
    more: Json = field(default_factory=dict)
    shown: bool = True
    members: Array | None = None
    values: Array | None = None

    def against(self, base: Measure) -> Measure:
        """The difference to another one: of means, over the problems that both have."""
        if self.members is None or self.values is None:
            return Measure(difference(self.estimate, base.estimate), self.problems)
        if base.members is None or base.values is None:
            raise ValueError("a mean compared with another kind of number")
        shared, mine, other = np.intersect1d(self.members, base.members, return_indices=True)
        gaps = self.values[mine] - base.values[other]
        gap = mean(gaps)._replace(bounds=DIFFERENCE)
        count = len(self.estimate.influence)
        return Measure(gap.among(shared, count), int((~np.isnan(gaps)).sum()))


class AttemptSlice(NamedTuple):
    """The attempts of one file and part (empty: of all), by problem.

    Attributes:
        problems: [P] number of each problem among all.
        groups: [P] its attempts.
        among: how many problems there are in all files and parts.
    """

    file: str
    part: str
    problems: Array
    groups: list[list[MeasuredAttempt]]
    among: int

"""What is asked for, what a measure is of, and the problems that it is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from stepkit.core.evaluation.bootstrap import Statistic
from stepkit.core.evaluation.reading import Attempt

Json = dict[str, Any]
Array = np.ndarray[Any, Any]

SINGLE, MAJORITY = "single", "majority"


@dataclass(frozen=True)
class Options:
    """What to report; see man step-eval.

    Attributes:
        curves: of choosing.CURVES; none are all that the records allow.
        ks: numbers of attempts, rising; none are powers of two up to the fewest at any problem.
        aggregates: how the scores of steps become one number.
        against: what is subtracted: SINGLE, MAJORITY, an aggregate, a score or a file.
        undecided: of choosing.UNDECIDED.
        protocol, threshold: of a benchmark, and below which score a step is wrong.
        bins: of the calibration error.
        resamples, seed: of the bootstrap.
        by_file: each file by itself.
    """

    curves: tuple[str, ...] = ()
    ks: tuple[int, ...] = ()
    aggregates: tuple[str, ...] = ("min",)
    against: tuple[str, ...] = ()
    undecided: str = "wrong"
    protocol: str | None = None
    threshold: float | None = None
    bins: int = 10
    resamples: int = 10_000
    seed: int = 1
    by_file: bool = False


class Key(NamedTuple):
    """What a measure is of; empty (k: 0) where it does not apply."""

    measure: str
    file: str = ""
    part: str = ""
    score: str = ""
    aggregate: str = ""
    k: int = 0


@dataclass
class Measure:
    """A statistic, the number of problems behind it, and what else its row says."""

    statistic: Statistic
    problems: int
    more: Json = field(default_factory=dict)
    shown: bool = True


class Slice(NamedTuple):
    """The attempts of one file and part (empty: of all), by problem.

    Attributes:
        problems: [P] number of each problem among all.
        groups: [P] its attempts.
    """

    file: str
    part: str
    problems: Array
    groups: list[list[Attempt]]

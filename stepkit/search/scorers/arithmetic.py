"""The sums in a step, checked exactly (text/arithmetic.py). Needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit.core.trace import assistant_steps
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.text.arithmetic import of_steps


class ArithmeticScorer:
    """A Scorer (see __init__.py): 0 for a step with a wrong sum, 1 where all that could be checked
    are right, None where none could. It sends no requests.

    ``first`` is the first step with a wrong sum, -1 where none is wrong, None where no step has a
    sum; other errors are not found.
    """

    of = "validity"

    def __init__(self) -> None:
        self.meta: Mapping[str, Any] = {"check": "arithmetic"}

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        yield from ()
        own = assistant_steps(record, len(steps))
        x: list[float | None] = []
        why: list[str | None] = []
        for mine, found in zip(own, of_steps(steps), strict=True):
            decided = [one.holds for one in found if mine and one.holds is not None]
            alarms = [one.why for one in found if mine and one.holds is False]
            x.append(float(all(decided)) if decided else None)
            why.append("; ".join(alarms) or None)
        wrong = x.index(0.0) if 0.0 in x else None if x.count(None) == len(x) else -1
        return TraceScores(x, more={"first": wrong, "why": why})

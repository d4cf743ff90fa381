"""Scorers: what gives every step of a trace a number.

A scorer is asked for a trace by a generator, like a strategy (scheduler.py), so that step-score,
which scores what is there, and a search, which scores what it has just drawn, ask the same one.
What evidence costs is kept down by the engine: traces with a common beginning, scored one after
another or in one ask, have it evaluated once.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from stepkit.schema import Json
from stepkit.search.scheduler import StrategyRequest

T = TypeVar("T")
Asking = Generator[Sequence[StrategyRequest], Sequence[Any], T]


@dataclass(frozen=True)
class TraceScores:
    """What a scorer says of a trace.

    Attributes:
        x: [steps] one number or None per step.
        total: one number for the whole attempt, or None.
        more: further keys of the entry in ``scores``, as ``why`` or ``n``.
    """

    x: list[float | None]
    total: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


class Scorer(Protocol):
    """Scores the steps of one trace.

    Attributes:
        of: what its numbers mean, one of schema.LABEL_KINDS.
        meta: what it is, for the record: model, profile, settings.
    """

    of: str
    meta: Mapping[str, Any]

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[TraceScores]:
        """Score ``steps``, an attempt at the problem of ``data`` or the beginning of one.

        Args:
            first: steps before this one need no number; theirs is None or as it comes.

        Raises DataError for what it cannot score.
        """
        ...


def run_together(scorings: Sequence[Asking[T]]) -> Asking[list[T]]:
    """Run several generators side by side: what they ask at a time is asked at once."""
    results: list[Any] = [None] * len(scorings)
    running: dict[int, Sequence[StrategyRequest]] = {}

    def advance(index: int, answers: Sequence[Any] | None) -> None:
        try:
            running[index] = scorings[index].send(answers)  # type: ignore[arg-type]
        except StopIteration as end:
            running.pop(index, None)
            results[index] = end.value

    for index in range(len(scorings)):
        advance(index, None)
    while running:
        asked = list(running.items())
        answers = yield [ask for _, asks in asked for ask in asks]
        given = iter(answers)
        for index, asks in asked:
            advance(index, [next(given) for _ in asks])
    return results

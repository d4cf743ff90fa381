"""Scorers: what gives every step of a trace a number.

A scorer scores a trace by a strategy (scheduler.py), so that step-score, which scores what is
there, and a search, which scores what it has just drawn, use the same one. The engine keeps the
cost down: a prefix that several traces share, scored one after another or in one list of requests,
is evaluated once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from stepkit.schema import Json
from stepkit.search.scheduler import Strategy, StrategyRequest

T = TypeVar("T")


@dataclass(frozen=True)
class TraceScores:
    """What a scorer gives for a trace.

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

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        """Score ``steps``, an attempt at the problem of ``record`` or a prefix of one.

        Args:
            first: steps before this one need no number; a scorer may give them one or None.

        Raises DataError for what it cannot score.
        """
        ...


def run_together(strategies: Sequence[Strategy[T]]) -> Strategy[list[T]]:
    """Run several strategies side by side: their requests go out together."""
    returned: list[Any] = [None] * len(strategies)
    running: dict[int, Sequence[StrategyRequest]] = {}

    def advance(index: int, results: Sequence[Any] | None) -> None:
        try:
            running[index] = strategies[index].send(results)  # type: ignore[arg-type]
        except StopIteration as end:
            running.pop(index, None)
            returned[index] = end.value

    for index in range(len(strategies)):
        advance(index, None)
    while running:
        submitted = list(running.items())
        results = iter((yield [request for _, requests in submitted for request in requests]))
        for index, requests in submitted:
            advance(index, [next(results) for _ in requests])
    return returned

"""The expected cost of a method, by running it on simulated results: for ``--dry-run``.

How much an adaptive method draws depends on the outcomes. So it is run on a simulation instead of
a model: a continuation is right at a rate drawn uniformly from 0 to 1; in a wrong trace one step,
each with the same probability, is the first error, after which nothing is right; every draw is as
long as what follows in the trace, and is cut where the trace is; a step that is drawn by itself is
one of three different ones; a scorer gives all steps the same score. The mean of a few such runs is
the prediction.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from stepkit import schema
from stepkit.model.engine import FinishedDraw, Read, Readout
from stepkit.model.prefixes import Ids
from stepkit.schema import Json
from stepkit.search.scheduler import (
    AttemptRequest,
    FinishedAttempt,
    JudgedAnswer,
    JudgeRequest,
    Strategy,
    StrategyRequest,
    StrategyResult,
)
from stepkit.text.answer_equality import quick
from stepkit.text.answers import extract

RUNS = 4
DIGITS = "0123456789"


@dataclass
class ExpectedCost:
    """Draws, the prefixes that they start from, and their tokens (None where not known)."""

    draws: float = 0
    prefixes: set[Ids] = field(default_factory=set)
    tokens: float | None = 0


class SimulatedRecord:
    """A simulated model and grader for one record.

    Args:
        whole: the tokens of the prompt and a whole attempt, or None when not known.
    """

    def __init__(self, record: Json, whole: int | None, run: int) -> None:
        text = record.get("response") or record.get("solution")
        self._text = text if isinstance(text, str) else ""
        self._answer = schema.answer_of(record)
        self._whole = whole
        self._random = random.Random(f"{run} {self._text} {record.get('problem')}")
        self._rate = self._random.random()
        self._lost_from = float("inf")
        steps = schema.steps(record)
        if steps and record.get("correct") is not True:
            error = self._random.randrange(len(steps))
            self._lost_from = len("".join(steps[: error + 1]))
        self.cost = ExpectedCost()

    def run(self, strategy: Strategy) -> ExpectedCost:
        """The cost of ``strategy``. Raises DataError as it does."""
        results: list[StrategyResult] | None = None
        while True:
            try:
                requests = strategy.send(results)  # type: ignore[arg-type]
            except StopIteration:
                return self.cost
            results = [self._result(request) for request in requests]

    def _result(self, request: StrategyRequest) -> StrategyResult:
        if isinstance(request, AttemptRequest):
            return self._attempt(request)
        if isinstance(request, JudgeRequest):
            final = extract(request.text)
            same = None if final is None else quick(request.answer, final)
            return JudgedAnswer(final, None if final is None else float(bool(same)))
        assert isinstance(request, Read)
        width = len(request.candidates) or (request.head.outputs if request.head else 1)
        rows = len(request.positions) + sum(len(branch.read_at) for branch in request.branches)
        return Readout(((0.0,) * width,) * rows)

    def _attempt(self, attempt: AttemptRequest) -> FinishedAttempt:
        request, cost = attempt.request, self.cost
        cost.draws += 1
        cost.prefixes.add(request.prefix)
        start = len(attempt.prefix_text)
        text = self._text[start:]
        right = start < self._lost_from and self._random.random() < self._rate
        tokens = 1
        if self._whole is None:
            cost.tokens = None
        else:
            tokens = max(1, min(self._whole - len(request.prefix), request.sampling.max_tokens))
        ends = [end for end in (request.until, request.complete) if end is not None and end(text)]
        if ends:
            size = min(_shortest_prefix(text, end) for end in ends)
            tokens, text = -(-tokens * size // len(text)), self._varied(text[:size])
        if cost.tokens is not None:
            cost.tokens += tokens
        draw = FinishedDraw(text, "stop", tokens, None, -float(tokens))
        return FinishedAttempt(draw, self._answer if right else None, float(right))

    def _varied(self, step: str) -> str:
        """A step as it may be drawn: its first digit is one of three."""
        at = next((index for index, sign in enumerate(step) if sign in DIGITS), None)
        if at is None:
            return step
        other = DIGITS[(DIGITS.index(step[at]) + self._random.randrange(3)) % 10]
        return step[:at] + other + step[at + 1 :]


def _shortest_prefix(text: str, until: Callable[[str], bool]) -> int:
    """The length of the shortest prefix of ``text`` for which ``until`` is true."""
    return bisect_left(range(len(text)), True, key=lambda size: until(text[:size]))


def expected_cost(
    strategy: Callable[[], Strategy], record: Json, whole: int | None
) -> tuple[float, set[Ids], float | None]:
    """Mean draws and tokens, and the prefixes of any of the runs. Raises DataError."""
    costs = [SimulatedRecord(record, whole, run).run(strategy()) for run in range(RUNS)]
    tokens = [cost.tokens for cost in costs if cost.tokens is not None]
    mean = sum(tokens) / RUNS if len(tokens) == RUNS else None
    return sum(cost.draws for cost in costs) / RUNS, set().union(*(c.prefixes for c in costs)), mean

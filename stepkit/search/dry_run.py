"""What a method would ask for, found by answering it as if: for ``--dry-run``.

How much a method draws that looks at its draws depends on what it sees. So it is run on
suppositions instead of a model: a problem is right at a rate drawn uniformly from 0 to 1; in a
wrong trace one step, each as likely, is the first error, from which nothing is right; every draw is
as long as the rest of the trace, and is cut where the trace is; a step that is drawn by itself is
one of three that differ; a scorer finds all steps equally good. The mean of a few such runs is the
prediction.
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
    """Draws, the prefixes that they start from, and their tokens (None where nothing tells)."""

    draws: float = 0
    prefixes: set[Ids] = field(default_factory=set)
    tokens: float | None = 0


class SimulatedRecord:
    """One supposition about a record.

    Args:
        whole: the tokens of the prompt and a whole attempt, or None when nothing tells.
    """

    def __init__(self, data: Json, whole: int | None, run: int) -> None:
        text = data.get("response") or data.get("solution")
        self._text = text if isinstance(text, str) else ""
        self._answer = schema.answer_of(data)
        self._whole = whole
        self._chance = random.Random(f"{run} {self._text} {data.get('problem')}")
        self._rate = self._chance.random()
        self._lost_from = float("inf")
        steps = schema.steps(data)
        if steps and data.get("correct") is not True:
            error = self._chance.randrange(len(steps))
            self._lost_from = len("".join(steps[: error + 1]))
        self.cost = ExpectedCost()

    def run(self, strategy: Strategy) -> ExpectedCost:
        """What ``strategy`` asks for. Raises DataError as it does."""
        answers: list[StrategyResult] | None = None
        while True:
            try:
                asks = strategy.send(answers)  # type: ignore[arg-type]
            except StopIteration:
                return self.cost
            answers = [self._answer_to(ask) for ask in asks]

    def _answer_to(self, ask: StrategyRequest) -> StrategyResult:
        if isinstance(ask, AttemptRequest):
            return self._attempted(ask)
        if isinstance(ask, JudgeRequest):
            final = extract(ask.text)
            same = None if final is None else quick(ask.answer, final)
            return JudgedAnswer(final, None if final is None else float(bool(same)))
        assert isinstance(ask, Read)
        width = len(ask.candidates) or (ask.head.outputs if ask.head else 1)
        places = len(ask.positions) + sum(len(branch.read_at) for branch in ask.branches)
        return Readout(((0.0,) * width,) * places)

    def _attempted(self, ask: AttemptRequest) -> FinishedAttempt:
        request, cost = ask.request, self.cost
        cost.draws += 1
        cost.prefixes.add(request.prefix)
        rest = self._text[len(ask.given) :]
        right = len(ask.given) < self._lost_from and self._chance.random() < self._rate
        tokens = 1
        if self._whole is None:
            cost.tokens = None
        else:
            tokens = max(1, min(self._whole - len(request.prefix), request.sampling.max_tokens))
        if request.until is not None and request.until(rest):
            size = _shortest_prefix(rest, request.until)
            tokens, rest = -(-tokens * size // len(rest)), self._said(rest[:size])
        if cost.tokens is not None:
            cost.tokens += tokens
        drawn = FinishedDraw(rest, "stop", tokens, None, -float(tokens))
        return FinishedAttempt(drawn, self._answer if right else None, float(right))

    def _said(self, step: str) -> str:
        """A step as it may be drawn: its first digit is one of three."""
        at = next((place for place, sign in enumerate(step) if sign in DIGITS), None)
        if at is None:
            return step
        other = DIGITS[(DIGITS.index(step[at]) + self._chance.randrange(3)) % 10]
        return step[:at] + other + step[at + 1 :]


def _shortest_prefix(text: str, until: Callable[[str], bool]) -> int:
    """How much of ``text`` there must be for ``until`` to be true."""
    return bisect_left(range(len(text)), True, key=lambda size: until(text[:size]))


def expected_cost(
    strategy: Callable[[], Strategy], data: Json, whole: int | None
) -> tuple[float, set[Ids], float | None]:
    """Mean draws and tokens, and the prefixes of any of the runs. Raises DataError."""
    costs = [SimulatedRecord(data, whole, run).run(strategy()) for run in range(RUNS)]
    tokens = [cost.tokens for cost in costs if cost.tokens is not None]
    mean = sum(tokens) / RUNS if len(tokens) == RUNS else None
    return sum(cost.draws for cost in costs) / RUNS, set().union(*(c.prefixes for c in costs)), mean

"""The one loop that runs the strategies of many problems at once and keeps the model's batch full.

A strategy is a generator. It yields a list of requests and is sent their results *in the order of
the requests*, once all are there: never in order of arrival, because short successes arrive first
and a rule that looked at them would be biased. What it returns is its problem's result; a DataError
that it raises is its problem's alone. Strategies are made of others by ``yield from``: a method
calls the strategies that draw and those that score.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from stepkit.errors import DataError, StepkitError
from stepkit.model.engine import Draw, Engine, FinishedDraw, Read, Readout
from stepkit.text.answers import AnswerReader, find


@dataclass(frozen=True)
class AttemptRequest:
    """Draw a continuation of an attempt and grade its answer.

    Attributes:
        prefix_text: the text of the attempt before the draw; the answer is looked for in both
            together.
        answer: the reference answer, or None when there is none to compare with.
    """

    request: Draw
    prefix_text: str
    answer: str | None


@dataclass(frozen=True)
class JudgeRequest:
    """Grade the answer of a text that is already there."""

    text: str
    answer: str


@dataclass(frozen=True)
class JudgedAnswer:
    """``final`` is the answer found, or None; ``outcome`` as in FinishedAttempt."""

    final: str | None
    outcome: float | None


@dataclass(frozen=True)
class FinishedAttempt:
    """A finished attempt. ``outcome`` is 1 (right), 0 (wrong) or None (undecided: cut off, no
    answer found, nothing to compare with, or the grader gave up)."""

    draw: FinishedDraw
    final: str | None
    outcome: float | None


@dataclass(frozen=True)
class BudgetRequest:
    """Wait until all problems of the run wait for this, then get how many draws to make at each
    place; None when the budget allows no more (budget_allocation.py).

    Attributes:
        problem: its number, in the order of the input.
        counts: (right, decided) at each place.
        totals: draws at each place, undecided ones among them.
        room: how many more there may be at each place.
        spent: draws and tokens of this problem so far.
    """

    problem: int
    counts: Sequence[tuple[int, int]]
    totals: Sequence[int]
    room: Sequence[int]
    spent: tuple[int, int]


StrategyRequest = AttemptRequest | Draw | JudgeRequest | Read | BudgetRequest
StrategyResult = FinishedAttempt | FinishedDraw | JudgedAnswer | Readout | list[int] | None
Allot = Callable[[Sequence[BudgetRequest]], list[list[int] | None]]
"""Divides the budget of the run: for each request the draws to make, None when there are none."""

T = TypeVar("T")
Strategy = Generator[Sequence[StrategyRequest], Sequence[Any], T]
"""Yields requests, is sent their results in the order of the requests, and returns a T."""

Ticket = TypeVar("Ticket")
Ticket_co = TypeVar("Ticket_co", covariant=True)


class GraderProtocol(Protocol):
    """What is needed of a grader: it never blocks unless it is asked to wait."""

    @property
    def pending(self) -> int: ...

    def submit(self, key: Any, reference: str, final: str | None, problem: str = "") -> None: ...

    def collect(self, wait: bool) -> list[tuple[Any, float | None]]: ...


class StrategySource(Protocol[Ticket_co]):
    """Where strategies come from."""

    @property
    def ended(self) -> bool:
        """True once there is nothing more to take."""
        ...

    def take(self, wait: bool) -> tuple[Ticket_co, Strategy[Any]] | None:
        """The next problem, or None when there is none now (with ``wait``: none for a while)."""
        ...


@dataclass
class _Task(Generic[Ticket]):
    ticket: Ticket
    strategy: Strategy[Any]
    results: list[StrategyResult | None]
    missing: int = 0
    submitting: bool = False  # a result that is there at once must not advance its task meanwhile


@dataclass(frozen=True)
class _ResultSlot:
    """Where a result belongs: the task, and the index in its list of requests."""

    task: _Task[Any]
    index: int


class Scheduler(Generic[Ticket]):
    """Runs strategies on an engine and a grader.

    Args:
        allot: divides the budget of the run, where strategies send BudgetRequests.
        read: finds the answer of an attempt.
        problem_of: the text of a ticket's problem, for the grader.
        note_answer: is called for every attempt that ended, with whether it has an answer.

    Attributes:
        requested, finished: counts of draws so far, for progress.
        counters: the engine's.
    """

    def __init__(
        self,
        engine: Engine,
        grader: GraderProtocol,
        allot: Allot | None = None,
        read: AnswerReader = find,
        problem_of: Callable[[Ticket], str] = lambda _: "",
        note_answer: Callable[[Ticket, bool], None] = lambda _, __: None,
    ) -> None:
        self._engine = engine
        self._grader = grader
        self._allot = allot
        self._read, self._problem_of, self._note_answer = read, problem_of, note_answer
        self._waiting_for_budget: list[tuple[BudgetRequest, _ResultSlot]] = []
        self._slots: dict[int, tuple[_ResultSlot, StrategyRequest]] = {}
        self._grading: dict[int, tuple[_ResultSlot, FinishedDraw | None, str]] = {}
        self._numbers = 0
        self._running = 0
        self._done: list[tuple[Ticket, Any]] = []
        self.requested = 0
        self.finished = 0
        self.counters = engine.counters

    def run(self, source: StrategySource[Ticket]) -> Iterator[tuple[Ticket, Any | StepkitError]]:
        """Yield (ticket, result or the error that is this problem's alone) as they finish."""
        while True:
            self._feed(source)
            yield from self._take_done()
            if not self._running:
                if source.ended:
                    return
                continue
            for done in self._engine.step():
                slot, request = self._slots.pop(id(done.request))
                self.finished += isinstance(done.request, Draw)
                if isinstance(done.result, StepkitError):
                    self._fail(slot.task, done.result)
                else:
                    self._receive(slot, request, done.result)
            waiting = len(self._waiting_for_budget)
            if waiting and source.ended and waiting == self._running:
                self._divide_budget()
            waits = not self._engine.pending and self._grader.pending > 0
            for key, outcome in self._grader.collect(waits):
                slot, draw, final = self._grading.pop(key)
                self._settle(slot, _graded(draw, final, outcome))

    def _divide_budget(self) -> None:
        """Answer the budget requests of all problems, in the order of the problems."""
        waiting = sorted(self._waiting_for_budget, key=lambda item: item[0].problem)
        self._waiting_for_budget = []
        assert self._allot is not None
        shares = self._allot([request for request, _ in waiting])
        for (_, slot), share in zip(waiting, shares, strict=True):
            self._settle(slot, share)

    def _take_done(self) -> Iterator[tuple[Ticket, Any]]:
        done, self._done = self._done, []
        yield from done

    def _feed(self, source: StrategySource[Ticket]) -> None:
        while not source.ended:
            idle = len(self._waiting_for_budget) == self._running and not self._done
            item = source.take(wait=idle)
            if item is None:
                return
            self._running += 1
            self._advance(_Task(*item, results=[]))

    def _advance(self, task: _Task[Ticket]) -> None:
        """Send a task its results; submit its next requests, or note what it returned."""
        while not task.missing:
            try:
                requests = task.strategy.send(task.results or None)  # type: ignore[arg-type]
            except StopIteration as end:
                self._end(task, end.value)
                return
            except DataError as error:
                self._end(task, error)
                return
            task.results = [None] * len(requests)
            task.missing = len(requests)
            task.submitting = True
            for index, request in enumerate(requests):
                self._submit(_ResultSlot(task, index), request)
            task.submitting = False

    def _submit(self, slot: _ResultSlot, request: StrategyRequest) -> None:
        if isinstance(request, JudgeRequest):
            self._grade(slot, None, request.text, request.answer)
        elif isinstance(request, BudgetRequest):
            self._waiting_for_budget.append((request, slot))
        else:
            to_engine = request.request if isinstance(request, AttemptRequest) else request
            self._slots[id(to_engine)] = (slot, request)
            self.requested += isinstance(to_engine, Draw)
            self._engine.submit(to_engine)

    def _receive(
        self, slot: _ResultSlot, request: StrategyRequest, result: FinishedDraw | Readout
    ) -> None:
        if isinstance(request, AttemptRequest) and isinstance(result, FinishedDraw):
            self._grade(slot, result, request.prefix_text + result.text, request.answer)
        else:
            self._settle(slot, result)

    def _grade(
        self, slot: _ResultSlot, draw: FinishedDraw | None, text: str, answer: str | None
    ) -> None:
        """Settle at once what cannot be decided, and hand the rest to the grader."""
        final, ticket = self._read(text).answer, slot.task.ticket
        not_at_its_end = draw is not None and draw.finish != "stop"
        if answer is not None and not not_at_its_end:
            self._note_answer(ticket, final is not None)
        if final is None or answer is None or not_at_its_end:
            self._settle(slot, _graded(draw, final, None))
            return
        self._numbers += 1
        self._grading[self._numbers] = (slot, draw, final)
        self._grader.submit(self._numbers, answer, final, self._problem_of(ticket))

    def _settle(self, slot: _ResultSlot, result: StrategyResult) -> None:
        task = slot.task
        task.results[slot.index] = result
        task.missing -= 1
        if not task.missing and not task.submitting:
            self._advance(task)

    def _fail(self, task: _Task[Ticket], error: StepkitError) -> None:
        """End a task for one request's error; its other requests' results go nowhere."""
        if not isinstance(error, DataError):
            raise error
        if task.missing >= 0:
            task.strategy.close()
            self._end(task, error)

    def _end(self, task: _Task[Ticket], result: Any) -> None:
        task.missing = -1  # an ended task takes no further results
        self._running -= 1
        self._done.append((task.ticket, result))


def _graded(
    draw: FinishedDraw | None, final: str | None, outcome: float | None
) -> FinishedAttempt | JudgedAnswer:
    return JudgedAnswer(final, outcome) if draw is None else FinishedAttempt(draw, final, outcome)

"""The one loop that runs the strategies of many problems at once and keeps the model's batch full.

A strategy is a generator. It yields a list of things to ask and is sent their results *in the order
asked*, once all are there: never in order of arrival, because short successes arrive first and a
rule that looked at them would be biased. What it returns is its problem's result; a DataError
that it raises is its problem's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from stepkit.errors import DataError, StepkitError
from stepkit.model.engine import Draw, Engine, FinishedDraw, Read, Readout
from stepkit.text.answers import extract


@dataclass(frozen=True)
class AttemptRequest:
    """Draw the rest of an attempt and judge its answer.

    Attributes:
        given: the text of the attempt before the draw; the answer is looked for in both together.
        answer: the reference answer, or None when there is none to compare with.
    """

    request: Draw
    given: str
    answer: str | None


@dataclass(frozen=True)
class JudgeRequest:
    """Judge the answer of a text that is already there."""

    text: str
    answer: str


@dataclass(frozen=True)
class JudgedAnswer:
    """``final`` is the answer found, or None; ``outcome`` as in Attempted."""

    final: str | None
    outcome: float | None


@dataclass(frozen=True)
class FinishedAttempt:
    """A finished attempt. ``outcome`` is 1 (right), 0 (wrong) or None (undecided: cut off, no
    answer found, nothing to compare with, or the grader gave up)."""

    drawn: FinishedDraw
    final: str | None
    outcome: float | None


@dataclass(frozen=True)
class BudgetRequest:
    """Wait until all problems of the run wait, and be told how many draws to make at each place;
    None when there are no more to be had (budget_allocation.py).

    Attributes:
        who: number of the problem.
        counts: (right, decided) at each place.
        totals: draws there, undecided ones among them. room: how many more there may be.
        spent: draws and tokens of this problem so far.
    """

    who: int
    counts: Sequence[tuple[int, int]]
    totals: Sequence[int]
    room: Sequence[int]
    spent: tuple[int, int]


StrategyRequest = AttemptRequest | Draw | JudgeRequest | Read | BudgetRequest
StrategyResult = FinishedAttempt | FinishedDraw | JudgedAnswer | Readout | list[int] | None
Allot = Callable[[Sequence[BudgetRequest]], list[list[int] | None]]
Strategy = Generator[Sequence[StrategyRequest], Sequence[Any], Any]

Ticket = TypeVar("Ticket")
Ticket_co = TypeVar("Ticket_co", covariant=True)


class GraderProtocol(Protocol):
    """What is needed of a grader: it never blocks unless told to wait."""

    @property
    def pending(self) -> int: ...

    def submit(self, key: Any, reference: str, final: str | None) -> None: ...

    def collect(self, wait: bool) -> list[tuple[Any, float | None]]: ...


class StrategySource(Protocol[Ticket_co]):
    """Where strategies come from."""

    @property
    def ended(self) -> bool:
        """True once there is nothing more to take."""
        ...

    def take(self, wait: bool) -> tuple[Ticket_co, Strategy] | None:
        """The next problem, or None when there is none now (with ``wait``: none for a while)."""
        ...


@dataclass
class _Task(Generic[Ticket]):
    ticket: Ticket
    strategy: Strategy
    answers: list[StrategyResult | None]
    missing: int = 0
    asking: bool = False  # an ask that is settled at once must not advance its task within it


@dataclass(frozen=True)
class _ResultSlot:
    """Where an answer belongs: the task and the index in what it asked."""

    task: _Task[Any]
    index: int


class Scheduler(Generic[Ticket]):
    """Runs strategies on an engine and a grader.

    Args:
        allot: answers turns, where strategies take them.

    Attributes:
        asked, answered: counts of asks so far, for progress.
        counters: the engine's.
    """

    def __init__(self, engine: Engine, grader: GraderProtocol, allot: Allot | None = None) -> None:
        self._engine = engine
        self._grader = grader
        self._allot = allot
        self._turns: list[tuple[BudgetRequest, _ResultSlot]] = []
        self._places: dict[int, tuple[_ResultSlot, StrategyRequest]] = {}
        self._judging: dict[int, tuple[_ResultSlot, FinishedDraw | None, str]] = {}
        self._numbers = 0
        self._running = 0
        self._done: list[tuple[Ticket, Any]] = []
        self.asked = 0
        self.answered = 0
        self.counters = engine.counters

    def run(self, supply: StrategySource[Ticket]) -> Iterator[tuple[Ticket, Any | StepkitError]]:
        """Yield (ticket, result or the error that is this problem's alone) as they finish."""
        while True:
            self._feed(supply)
            yield from self._finished()
            if not self._running:
                if supply.ended:
                    return
                continue
            for done in self._engine.step():
                place, ask = self._places.pop(id(done.request))
                if isinstance(done.result, StepkitError):
                    self._fail(place.task, done.result)
                else:
                    self._result(place, ask, done.result)
            if self._turns and supply.ended and len(self._turns) == self._running:
                self._take_turns()
            waits = not self._engine.pending and self._grader.pending > 0
            for key, outcome in self._grader.collect(waits):
                place, drawn, final = self._judging.pop(key)
                self._settle(place, _answer(drawn, final, outcome))

    def _take_turns(self) -> None:
        """Answer the turns of all problems, in the order of the problems."""
        turns = sorted(self._turns, key=lambda turn: turn[0].who)
        self._turns = []
        assert self._allot is not None
        answers = self._allot([turn for turn, _ in turns])
        for (_, place), answer in zip(turns, answers, strict=True):
            self._settle(place, answer)

    def _finished(self) -> Iterator[tuple[Ticket, Any]]:
        done, self._done = self._done, []
        yield from done

    def _feed(self, supply: StrategySource[Ticket]) -> None:
        while not supply.ended:
            item = supply.take(wait=len(self._turns) == self._running and not self._done)
            if item is None:
                return
            self._running += 1
            self._advance(_Task(*item, answers=[]))

    def _advance(self, task: _Task[Ticket]) -> None:
        """Send a task its answers; ask what it asks next, or note what it returned."""
        while not task.missing:
            try:
                asks = task.strategy.send(task.answers or None)  # type: ignore[arg-type]
            except StopIteration as end:
                self._end(task, end.value)
                return
            except DataError as error:
                self._end(task, error)
                return
            task.answers = [None] * len(asks)
            task.missing = len(asks)
            self.asked += len(asks)
            task.asking = True
            for index, ask in enumerate(asks):
                self._ask(_ResultSlot(task, index), ask)
            task.asking = False

    def _ask(self, place: _ResultSlot, ask: StrategyRequest) -> None:
        if isinstance(ask, JudgeRequest):
            self._judge(place, None, ask.text, ask.answer)
            return
        if isinstance(ask, BudgetRequest):
            self._turns.append((ask, place))
            return
        request = ask.request if isinstance(ask, AttemptRequest) else ask
        self._places[id(request)] = (place, ask)
        self._engine.submit(request)

    def _result(
        self, place: _ResultSlot, ask: StrategyRequest, result: FinishedDraw | Readout
    ) -> None:
        if isinstance(ask, AttemptRequest) and isinstance(result, FinishedDraw):
            self._judge(place, result, ask.given + result.text, ask.answer)
        else:
            self._settle(place, result)

    def _judge(
        self, place: _ResultSlot, drawn: FinishedDraw | None, text: str, answer: str | None
    ) -> None:
        """Settle at once what cannot be decided, else ask the grader."""
        final = extract(text)
        goes_on = drawn is not None and drawn.finish != "stop"
        if final is None or answer is None or goes_on:
            self._settle(place, _answer(drawn, final, None))
            return
        self._numbers += 1
        self._judging[self._numbers] = (place, drawn, final)
        self._grader.submit(self._numbers, answer, final)

    def _settle(self, place: _ResultSlot, answer: StrategyResult) -> None:
        task = place.task
        task.answers[place.index] = answer
        task.missing -= 1
        self.answered += 1
        if not task.missing and not task.asking:
            self._advance(task)

    def _fail(self, task: _Task[Ticket], error: StepkitError) -> None:
        """End a task for one request's error; its other requests' results go nowhere."""
        if not isinstance(error, DataError):
            raise error
        if task.missing >= 0:
            task.strategy.close()
            self._end(task, error)

    def _end(self, task: _Task[Ticket], result: Any) -> None:
        task.missing = -1  # an ended task takes no further answers
        self._running -= 1
        self._done.append((task.ticket, result))


def _answer(
    drawn: FinishedDraw | None, final: str | None, outcome: float | None
) -> FinishedAttempt | JudgedAnswer:
    return JudgedAnswer(final, outcome) if drawn is None else FinishedAttempt(drawn, final, outcome)

"""A session of a model command: a strategy for each record in, records out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import click

from stepkit import schema
from stepkit.cli.options.answer_reading import UnansweredCount
from stepkit.errors import DataError
from stepkit.grade import Grader
from stepkit.io.jsonl import Record, encode
from stepkit.model.engine import Engine
from stepkit.model.recorded_engine import JournalProtocol, RecordedEngine
from stepkit.runner import run
from stepkit.runner.input_survey import InputSurvey, expected_of
from stepkit.runner.record_queue import RecordQueue
from stepkit.runner.run_status import WorkFigures, WorkStatus
from stepkit.search.dry_run import expected_cost
from stepkit.search.scheduler import Allot, Scheduler, Strategy
from stepkit.text.answers import AnswerReader, find


@dataclass(frozen=True)
class SessionWork:
    """A model command: the engine, a strategy for each record, and the writer of its result.

    ``allot`` shares out the budget of the whole run; all records are read before it does.
    ``read`` finds the answer of an attempt. ``most_tokens`` is the limit of a draw; ``expected``
    gives the draws of a record, or None where they are not known before.
    """

    streams: run.StreamOptions
    open: Callable[[], Engine]
    strategy: Callable[[Record], Strategy]
    write: Callable[[Record, Any], list[Record]]
    jobs: int = 1
    allot: Allot | None = None
    read: AnswerReader = find
    most_tokens: int = 0
    expected: Callable[[Record], int | None] | None = None


class RecordSource(Protocol):
    """Where the records come from (runner/record_queue.py)."""

    @property
    def ended(self) -> bool:
        """True once there is nothing more to take."""
        ...

    def take(self, wait: bool) -> Record | None:
        """The next record, or None when there is none now."""
        ...

    def watch(self, status: Callable[[], Sequence[str]]) -> None:
        """Have the progress line say what ``status`` gives."""
        ...


def run_strategies(work: SessionWork, deciding: dict[str, Any]) -> None:
    """Run all strategies, through the journal.

    Args:
        deciding: values that decide the output, which a resume must agree on, by name.
    """

    def session(
        source: RecordQueue, journal: JournalProtocol
    ) -> Generator[tuple[Record, run.Result], None, None]:
        for record, result in results(work, source, journal):
            yield record, written(work, record, result)

    streams = work.streams
    if work.allot is not None:
        streams.warn("the budget is for all records together: they are read before the first draw")
        streams = replace(streams, window=sys.maxsize)
    run.session(streams, session, deciding)


def results(
    work: SessionWork, source: RecordSource, journal: JournalProtocol
) -> Generator[tuple[Record, Any], None, None]:
    """Run the strategies of the records in ``source``.

    Yields each record with the result of its strategy, or with the DataError that it raised.
    """
    engine = RecordedEngine(work.open(), journal)
    try:
        with Grader(work.jobs) as grader:
            unanswered = UnansweredCount("draws")
            scheduler: Scheduler[Record] = Scheduler(
                engine,
                grader,
                work.allot,
                work.read,
                lambda record: schema.problem_or_nothing(record.data),
                lambda record, found: unanswered.add(schema.id_of(record.data), found),
            )
            strategies = _StrategySource(source, work, scheduler)
            for answer in scheduler.run(strategies):
                strategies.ended_records += 1
                yield answer
            if unanswered.missing:
                work.streams.warn(unanswered.note())
            if note := grader.note():
                work.streams.warn(note)
    finally:
        engine.close()


def written(work: SessionWork, record: Record, result: Any) -> run.Result:
    """The records that a strategy's result writes, or the error that rejects the record."""
    if isinstance(result, DataError):
        return result
    try:
        return work.write(record, result)
    except DataError as error:
        return error


class _StrategySource:
    """The source of strategies, one per record, that the scheduler reads; it knows how far it is.

    Attributes:
        ended_records: records whose strategies have ended.
    """

    def __init__(
        self, source: RecordSource, work: SessionWork, scheduler: Scheduler[Record]
    ) -> None:
        self._source, self._work, self._scheduler = source, work, scheduler
        self._survey = InputSurvey(work.streams, work.expected)
        self._taken = 0
        self._expected: int | None = None if work.expected is None else 0
        self.ended_records = 0
        source.watch(WorkStatus(self._figures).parts)

    @property
    def ended(self) -> bool:
        return self._source.ended

    def take(self, wait: bool) -> tuple[Record, Strategy] | None:
        record = self._source.take(wait)
        if record is None:
            return None
        self._taken += 1
        if self._work.expected is not None and self._expected is not None:
            more = expected_of(self._work.expected, record)
            self._expected = None if more is None else self._expected + more
        return record, self._work.strategy(record)

    def _figures(self) -> WorkFigures:
        survey, scheduler, counters = self._survey, self._scheduler, self._scheduler.counters
        # a method that says nothing of its draws is not known to have requested all of them
        to_come: int | None = None
        if self._expected is not None and self.ended:
            to_come = 0
        elif self._expected is not None and survey.draws is not None:
            to_come = survey.draws - self._expected
        return WorkFigures(
            records=self.ended_records,
            of_records=self._taken if self.ended else survey.records,
            draws=scheduler.finished if scheduler.requested or to_come else None,
            of_draws=None if to_come is None else scheduler.requested + max(0, to_come),
            in_flight=counters.in_flight,
            tokens=counters.drawn_tokens,
            read=counters.read_tokens,
            ended=counters.ended,
            most_tokens=self._work.most_tokens,
        )


def print_estimate(
    work: SessionWork,
    max_tokens: int,
    whole: Callable[[dict[str, Any]], int | None],
    unit: str = "tokens",
) -> None:
    """Print the size of a run, as one JSON object, without a draw (search/dry_run.py).

    Args:
        whole: tokens of a record's prompt and a whole attempt, or None when it is not known.
        unit: unit of the length of a prefix, "tokens" or "bytes".
    """
    length = f"prefix_{unit}"
    totals: dict[str, float | None] = {"records": 0, "draws": 0, "prefixes": 0, length: 0}
    totals |= {"new_tokens": 0, "new_tokens_at_most": 0}

    def add(name: str, count: float | None) -> None:
        so_far = totals[name]
        totals[name] = None if so_far is None or count is None else so_far + count

    def count(record: Record) -> list[Record]:
        strategy = partial(work.strategy, record)
        draws, prefixes, tokens = expected_cost(strategy, record.data, whole(record.data))
        add("records", 1)
        add("draws", draws)
        add("prefixes", len(prefixes))
        # the prefixes of a trace extend each other: only the longest is evaluated in full
        add(length, max(map(len, prefixes), default=0))
        add("new_tokens", tokens)
        add("new_tokens_at_most", draws * max_tokens)
        return []

    run.blocks(work.streams, run.each(count))
    rounded = {name: None if x is None else round(x) for name, x in totals.items()}
    click.echo(encode(rounded).decode())

"""A session whose unit is a group: one strategy for the adjacent records of each.

A session hands out records one by one, and does not know which is a group's last. So they are held
here until one of another group comes, or the end; the strategy then sees them all at once, as its
siblings see each other, and every record is answered with what it wrote into it. Nothing else of a
session changes: order, window, journal and errors are its own. A group is whole in memory, so it
must fit into the window.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from stepkit import schema
from stepkit.errors import DataError, UsageError
from stepkit.grade import Grader
from stepkit.io.jsonl import Record
from stepkit.model.engine import Engine
from stepkit.model.recorded_engine import JournalProtocol, RecordedEngine
from stepkit.runner import run
from stepkit.runner.input_survey import InputSurvey
from stepkit.runner.record_queue import RecordQueue
from stepkit.runner.run_status import WorkFigures, WorkStatus
from stepkit.search.scheduler import Scheduler, Strategy


@dataclass(frozen=True)
class GroupWork:
    """As session.SessionWork, but a strategy is for a group, and ``write`` changes its records."""

    streams: run.StreamOptions
    open: Callable[[], Engine]
    strategy: Callable[[list[Record]], Strategy]
    write: Callable[[list[Record], Any], None]


def run_groups(work: GroupWork, deciding: dict[str, Any]) -> None:
    """Run the strategies of all groups; an error of one rejects all its records."""

    def session(
        source: RecordQueue, journal: JournalProtocol
    ) -> Generator[tuple[Record, run.Result], None, None]:
        engine = RecordedEngine(work.open(), journal)
        try:
            with Grader() as grader:
                scheduler: Scheduler[list[Record]] = Scheduler(engine, grader)
                supply = _Groups(source, work)
                source.watch(WorkStatus(partial(supply.figures, engine)).parts)
                for records, result in scheduler.run(supply):
                    supply.done += len(records)
                    yield from _written(work, records, result)
        finally:
            engine.close()

    run.session(work.streams, session, deciding)


def _written(
    work: GroupWork, records: list[Record], result: Any
) -> Generator[tuple[Record, run.Result], None, None]:
    try:
        if isinstance(result, DataError):
            raise result
        work.write(records, result)
    except DataError as error:
        for record in records:
            yield record, error
    else:
        for record in records:
            yield record, [record]


class _Groups:
    """The strategies of the groups, one each, for the scheduler (scheduler.StrategySource).

    Attributes:
        done: records whose groups are.
    """

    def __init__(self, source: RecordQueue, work: GroupWork) -> None:
        self._source, self._work = source, work
        self._survey = InputSurvey(work.streams, None)
        self._held: list[Record] = []
        self._taken = self.done = 0
        self._name = ""
        self._seen: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        return self._source.ended and not self._held

    def figures(self, engine: Engine) -> WorkFigures:
        """How far the work is."""
        total = self._taken if self._source.ended else self._survey.records
        return WorkFigures(self.done, total, None, None, 0, 0, engine.counters.read_tokens, 0, 0)

    def take(self, wait: bool) -> tuple[list[Record], Strategy] | None:
        while True:
            record = self._source.take(wait)
            self._taken += record is not None
            if record is None:
                if self._source.ended:
                    return self._whole([], "") if self._held else None
                if wait and self._held:
                    raise UsageError(
                        f'group "{self._name}" has more than {len(self._held)} records: '
                        "raise --window"
                    )
                return None
            try:
                name = schema.group_of(record.data)
                self._check(name)
            except DataError as error:
                return [record], _failing(error)
            if self._held and name != self._name:
                return self._whole([record], name)
            self._held.append(record)
            self._name = name
            self._seen.setdefault(name, record.place)

    def _check(self, name: str) -> None:
        if name in self._seen and not (self._held and name == self._name):
            raise DataError(
                f'group "{name}" was already at {self._seen[name]}: the records of a group must '
                "be adjacent"
            )

    def _whole(self, following: list[Record], name: str) -> tuple[list[Record], Strategy]:
        """The group that is held, and its strategy; the next group starts with ``following``."""
        records, self._held, self._name = self._held, following, name
        for record in following:
            self._seen[name] = record.place
        return records, self._work.strategy(records)


def _failing(error: DataError) -> Strategy:
    """The strategy of a record that belongs to no group."""
    yield []
    raise error

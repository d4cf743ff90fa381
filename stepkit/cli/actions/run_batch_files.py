"""Draws by batch files: the requests that the journal lacks are written, or their results read."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import click

from stepkit.cli.actions.session import SessionWork, results, written
from stepkit.cli.options.batch_files import BatchOptions
from stepkit.errors import EXIT_OK, EXIT_REJECTED, DataError, FailedError
from stepkit.io.journal import path_for
from stepkit.io.jsonl import Record
from stepkit.io.sink import Sink
from stepkit.model.recorded_engine import JournalProtocol
from stepkit.model.servers.batch_files import BatchRequests, BatchResults, MissingAnswerError
from stepkit.runner import run
from stepkit.runner.record_queue import RecordQueue

Settled = Generator[tuple[Record, run.Result], None, None]


def batch_action(
    batch: BatchOptions, served: str | None
) -> WriteBatchRequests | TakeBatchResults | None:
    """What takes the place of a model, where the options name a batch file."""
    if batch.requests is not None:
        return WriteBatchRequests(batch.requests, served or "")
    return None if batch.results is None else TakeBatchResults(batch.results)


class WriteBatchRequests:
    """Writes requests to ``path``, for a server that calls its model ``model``."""

    def __init__(self, path: str, model: str) -> None:
        self._path = path
        self._sink: Sink | None = None
        self.engine = BatchRequests(self._write, model)

    def run(self, work: SessionWork, deciding: dict[str, Any]) -> None:
        """Write a request for every draw that the journal lacks; writes no records."""
        streams = work.streams
        self._sink = sink = Sink(self._path, streams.files)

        def session(source: RecordQueue, journal: JournalProtocol) -> Settled:
            for record, result in results(work, source, journal):
                refused = isinstance(result, DataError) and not isinstance(
                    result, MissingAnswerError
                )
                yield record, result if refused else []
            sink.commit()
            streams.warn(f"{self.engine.count} draws to make are in {sink.name}")
            # an ending of its own, because the journal has to stay
            raise click.exceptions.Exit(EXIT_REJECTED if streams.tally.rejected else EXIT_OK)

        # -o only says where the journal is: the output is written when the draws are there
        kept = path_for(streams.output, streams.journal)
        try:
            run.session(replace(streams, output=run.STANDARD, journal=kept), session, deciding)
        finally:
            sink.abandon()

    def _write(self, line: bytes) -> None:
        assert self._sink is not None
        self._sink.write(line)


class TakeBatchResults:
    """Takes draws from the results in ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.engine = BatchResults(path)

    def run(self, work: SessionWork, deciding: dict[str, Any]) -> None:
        """Write the records; raises FailedError while draws are missing."""

        def session(source: RecordQueue, journal: JournalProtocol) -> Settled:
            for record, result in results(work, source, journal):
                waits = isinstance(result, MissingAnswerError)
                yield record, [] if waits else written(work, record, result)
            if unknown := self.engine.unknown(lambda key: journal.get(key) is not None):
                work.streams.warn(
                    f"{self._path}: {len(unknown)} results are of no draw of this run, the first: "
                    f"{unknown[0]}"
                )
            if self.engine.missing:
                raise FailedError(self._missing())

        run.session(work.streams, session, deciding)

    def _missing(self) -> str:
        missing, failed = len(self.engine.missing), self.engine.failed
        why = ""
        if failed:
            first = " ".join(next(iter(failed.values())).split())
            why = f" ({len(failed)} of them failed, the first: {first})"
        return f"{missing} draws are still missing{why}; ask for them with --to-batch and --resume"

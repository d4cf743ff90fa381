"""The open files of one run: input, output, rejects and journal, from start to end.

Whatever the ending, earlier records are delivered, FILE changes only on success, and the journal
outlives a failure. Nothing here knows the shape of a command (run.py does).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from signal import SIGPIPE
from typing import Any

from stepkit.errors import DataError, UsageError, reason
from stepkit.interrupts import Interrupted, deferred
from stepkit.io import journal, lines
from stepkit.io.jsonl import Record
from stepkit.io.records import Item, items
from stepkit.io.sink import STDOUT, Sink, refuse_inputs, write_all
from stepkit.runner.console import line_cleared
from stepkit.runner.first_record import located
from stepkit.runner.run_status import bytes_read
from stepkit.runner.settings import Result, StreamOptions


@contextmanager
def opened(streams: StreamOptions, deciding: dict[str, Any] | None = None) -> Iterator[OpenRun]:
    """Open what ``streams`` names; on leaving, commit all of it or give up as the error demands."""
    run = OpenRun(streams, deciding)
    try:
        yield run
        run.flush()
        with deferred():  # a journal must not outlive the output that is complete
            run.sink.commit()
            run.journal.finish()
    except BaseException as error:
        run.abandon(error)
        raise
    run.finish()


class OpenRun:
    """The open files of one run, and what has been done with them."""

    def __init__(self, streams: StreamOptions, deciding: dict[str, Any] | None) -> None:
        lines.check(streams.files)
        self.streams = streams
        self.tally = streams.tally
        self.rejects = _Rejects(streams) if streams.rejects else None
        self.journal = _journal(streams, deciding)
        try:
            self.sink = Sink(streams.output, streams.files)
            if self.rejects:
                self.rejects.open()
        except BaseException:
            self.journal.close()
            if hasattr(self, "sink"):
                self.sink.abandon()
            raise
        self.pending: list[bytes] = []
        self.head = b""  # written before the first record
        self.reader = lines.LineReader(streams.files, head=streams.head)
        # records and the progress line on one terminal: the line makes way
        self._shares_terminal = streams.output == STDOUT and sys.stdout.isatty()
        if deciding is None:
            streams.progress.filters = True
            streams.progress.status = partial(bytes_read, self.reader)

    def items(self, limit: int | None) -> Iterator[list[Item]]:
        """The parsed lines of one read at a time."""
        streams = self.streams
        return items(self.reader, limit, streams.shard, streams.tolerant)

    def settle(self, item: Item, result: Result | bytes) -> None:
        """Write the result of an item, or reject it; raises the DataError that ends the run."""
        self.tally.read += 1
        if isinstance(result, DataError):
            self._reject(item, result)
            return
        lines = [result] if isinstance(result, bytes) else [record.line() for record in result]
        if lines and self.head and not self.tally.written:
            self.pending.append(self.head)
        self.tally.written += len(lines)
        self.pending += lines

    def _reject(self, item: Item, error: DataError) -> None:
        in_place = located(item, error)
        if not self.streams.tolerant:
            raise in_place
        self.tally.rejected += 1
        self.streams.note(f"{in_place} ({'rejected' if self.rejects else 'skipped'})")
        if self.rejects:
            self.rejects.write(item, error)

    def flush(self) -> None:
        """Deliver what is settled."""
        if self.pending:
            data = b"".join(self.pending)
            # Cleared first: interrupted within the write, the lines must not be written again.
            self.pending.clear()
            with line_cleared() if self._shares_terminal else nullcontext():
                self.sink.write(data)

    def abandon(self, error: BaseException) -> None:
        """Deliver what is settled although the run failed, and keep the journal for a resume."""
        try:
            if not (isinstance(error, Interrupted) and error.signum == SIGPIPE):
                self.flush()
        finally:
            try:
                self.sink.abandon()
            finally:
                self.journal.close()
            if isinstance(error, Interrupted) and error.signum != SIGPIPE:
                self._report_what_is_kept()

    def _report_what_is_kept(self) -> None:
        parts = []
        if self.sink.part and self.tally.written:
            parts.append(f"{self.tally.written} records are in {self.sink.part}")
        if self.journal.path and self.journal.count:
            parts.append(
                f"{self.journal.count} results are in {self.journal.path}: go on with --resume"
            )
        if parts:
            self.streams.warn(f"interrupted; {'; '.join(parts)}")

    def finish(self) -> None:
        """The output has its name: report what was unusual."""
        tally = self.tally
        if tally.rejected:
            outcome = f"rejected (see {self.streams.rejects})" if self.rejects else "skipped"
            self.streams.warn(f"{tally.rejected} of {tally.read} records {outcome}")


class _Rejects:
    """FILE of rejected lines: each with its error, file and line number, and the line itself."""

    def __init__(self, streams: StreamOptions) -> None:
        self.path = streams.rejects or ""
        if os.path.exists(self.path):
            refuse_inputs(self.path, os.stat(self.path), streams.files)
        if os.path.realpath(self.path) == os.path.realpath(streams.output):
            raise UsageError(f"{self.path}: is also the output")

    def open(self) -> None:
        """Start with an empty file."""
        try:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as error:
            raise UsageError(f"{self.path}: {reason(error)}") from None

    def write(self, item: Item, error: DataError) -> None:
        """Append a line. ``raw`` is the text of the line; ``raw_base64`` when it is not UTF-8."""
        row: dict[str, Any] = {
            "error": str(DataError(error.what, error.field)),
            "file": item.source.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "line": item.number,
        }
        try:
            row["raw"] = item.raw.decode()
        except UnicodeDecodeError:
            from base64 import b64encode

            row["raw_base64"] = b64encode(item.raw).decode()
        write_all(self._descriptor, Record.new(row).line(), self.path)


def _journal(streams: StreamOptions, deciding: dict[str, Any] | None) -> Any:
    path = journal.path_for(streams.output, streams.journal)
    if deciding is None or path is None:
        return journal.NullJournal()
    opened = journal.Journal(path, deciding, streams.resume, streams.warn)
    if opened.count:
        streams.warn(f"resuming with {opened.count} results of {path}")
    elif streams.resume:
        streams.note(f"{path}: nothing to resume, starting with the first record")
    return opened

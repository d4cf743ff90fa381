"""The journal: an engine that remembers what it finished, so that an interrupted run can go on.

A line per finished draw or score, written at once. A resumed run starts again from the first record
and is answered from here. The header holds what decides bytes; a resume that differs in it is
refused by name. Every line has a checksum (journal_format.py): a damaged one is never used, but
named, and its result is made again. Nothing here knows what a key or a value means.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any

from stepkit.errors import FailedError, UsageError, reason
from stepkit.interrupts import deferred
from stepkit.io.checked_lines import DamageReport
from stepkit.io.journal_format import (
    COPIES,
    HEADER_LINES,
    JournalContents,
    LinePlace,
    damage,
    header,
    row,
    scan,
    value_of,
)
from stepkit.io.jsonl import decode, encode
from stepkit.io.lines import READ
from stepkit.io.sink import STDOUT, is_special, open_locked, target_of
from stepkit.schema import Json

SUFFIX = ".journal"
SYNC_EVERY = 1.0
"""Seconds between two fsync."""


class NullJournal:
    """Remembers nothing: a run without -o and --journal.

    Attributes:
        path: the file, or empty.
    """

    path = ""

    @property
    def count(self) -> int:
        """Results remembered."""
        return 0

    def get(self, key: str) -> Any | None:
        """None."""
        return None

    def put(self, key: str, value: Any) -> None:
        """Do nothing."""

    def refuse(self, key: str) -> None:
        """Do nothing."""

    def report(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class Journal(NullJournal):
    """An open journal, locked against a second writer.

    Args:
        path: the file.
        deciding: JSON values that decide bytes, by the name a user knows them by.
        resume: go on from what the file holds.
        warn: takes a line about damage.

    Raises UsageError when the file holds work and ``resume`` is false, when it was made with other
    deciding values, is not a journal, has no whole header, or is in use.
    """

    # Values stay in the file; memory holds a place for each, so that a journal may be large.

    def __init__(
        self,
        path: str,
        deciding: Json,
        resume: bool,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.path = path
        self._places: dict[str, LinePlace] = {}
        self._end = self._lines = 0
        self._damage = DamageReport(warn)
        self._synced = time.monotonic()
        self._descriptor = open_locked(path)
        try:
            with os.fdopen(os.dup(self._descriptor), "rb", READ) as file:
                found = scan(file, path)
            if found.deciding is None or found.empty:
                self._start(deciding)
            elif not resume:
                raise UsageError(_unfinished(path, found))
            else:
                _compare(found.deciding, deciding, path)
                if found.damaged:
                    warn(f"{path}: {damage(found.damaged)}; what is lost is made again")
                self._places, self._owner = found.places, found.owner
                self._end, self._lines = found.end, found.lines
                os.ftruncate(self._descriptor, self._end)
        except BaseException as error:
            os.close(self._descriptor)
            if isinstance(error, OSError):
                raise FailedError(f"{path}: {reason(error)}") from None
            raise

    @property
    def count(self) -> int:
        """Results remembered, of this run and the one before."""
        return len(self._places)

    def get(self, key: str) -> Any | None:
        """The value put under ``key``, in this run or the one before, or None."""
        place = self._places.get(key)
        if place is None:
            return None
        try:
            line = os.pread(self._descriptor, place.size, place.start)
        except OSError as error:
            raise FailedError(f"{self.path}: {reason(error)}") from None
        value = value_of(line, key, self._owner)
        if value is None:  # it was good when the run began
            self.refuse(key)
        return value

    def put(self, key: str, value: Any) -> None:
        """Remember ``value``, not None. Raises FailedError when the disk is full."""
        self._append(row(key, value, self._owner), key)
        if time.monotonic() - self._synced >= SYNC_EVERY:
            self._sync()

    def refuse(self, key: str) -> None:
        """Forget what is under ``key``: it is none that was put there. Its line is named."""
        self._damage.add(f"{self.path}:{self._places.pop(key).number}")

    def report(self) -> None:
        """Say how many results were refused, if not all were named."""
        self._damage.finish()

    def close(self) -> None:
        """Stop, and keep the file for a resume; a file without a finished draw is removed."""
        self._leave(keep=self._lines > COPIES)

    def finish(self) -> None:
        """All is done: remove the file."""
        self._leave(keep=False)
        self._places.clear()

    def _leave(self, keep: bool) -> None:
        if self._descriptor < 0:
            return
        with deferred():
            try:
                if keep:
                    self._sync()
                else:
                    os.unlink(self.path)
            except OSError as error:
                raise FailedError(f"{self.path}: {reason(error)}") from None
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def _start(self, deciding: Json) -> None:
        os.ftruncate(self._descriptor, 0)
        self._end = self._lines = 0
        lines, self._owner = header(deciding)
        self._append(lines)

    def _append(self, line: bytes, key: str | None = None) -> None:
        with deferred():
            try:
                written = 0
                while written < len(line):
                    written += os.pwrite(self._descriptor, line[written:], self._end + written)
            except BaseException as error:  # a line is written whole, or cut off again
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self._end)
                if isinstance(error, OSError):
                    raise FailedError(f"{self.path}: {reason(error)}") from None
                raise
            self._lines += line.count(b"\n")
            if key is not None:
                self._places[key] = LinePlace(self._end, len(line), self._lines)
            self._end += len(line)

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise FailedError(f"{self.path}: {reason(error)}") from None
        self._synced = time.monotonic()


def path_for(output: str, journal: str | None) -> str | None:
    """Where the journal of a run lies, or None when it has none."""
    if journal is not None:
        return journal
    if output == STDOUT or is_special(output):
        return None
    return target_of(output) + SUFFIX


def check(output: str, journal: str | None, resume: bool) -> None:
    """Raise UsageError for what is known to be wrong before a model is loaded."""
    path = path_for(output, journal)
    if path is None:
        if resume:
            raise UsageError("--resume needs the journal of -o FILE or --journal FILE")
        return
    if os.path.realpath(path) == os.path.realpath(output):
        raise UsageError(f"--journal {path}: is also the output")
    if os.path.exists(path):
        os.close(open_locked(path))  # a run that is alive is no interrupted one
    found = _contents(path, HEADER_LINES if resume else None)
    if not resume and not found.empty:
        raise UsageError(_unfinished(path, found))


def _contents(path: str, lines: int | None) -> JournalContents:
    """What the first lines hold, or all; nothing where there is no file. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            return scan(islice(file, lines), path)
    except OSError:
        return JournalContents()


def _unfinished(path: str, found: JournalContents) -> str:
    return (
        f"{path}: holds {len(found.places)} finished results of an interrupted run; "
        "go on with --resume, or remove it"
    )


def _compare(then: Json, deciding: Json, path: str) -> None:
    now = decode(encode(deciding))
    for name in (*now, *then):
        if then.get(name) != now.get(name):
            raise UsageError(
                f"--resume: {name}: {_short(then.get(name))} in {path}, {_short(now.get(name))} now"
            )


def _short(value: object) -> str:
    text = encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."

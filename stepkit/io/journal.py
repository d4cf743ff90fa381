"""The journal: an engine that remembers what it finished, so that an interrupted run can go on.

A line per finished draw or score, written at once. A resumed run starts again from the first record
and is answered from here. The first line holds what decides bytes; a resume that differs in it is
refused by name. Nothing here knows what a key or a value means.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from stepkit.errors import DataError, FailedError, UsageError, reason
from stepkit.interrupts import deferred
from stepkit.io.jsonl import decode, encode
from stepkit.io.lines import READ
from stepkit.io.sink import STDOUT, is_special, open_locked, target_of
from stepkit.schema import Json

SUFFIX = ".journal"
MARK = "stepkit-journal"
VERSION = 1
SYNC_EVERY = 1.0
"""Seconds between two fsync."""

_HEAD = b'{"%b":' % MARK.encode()  # a crash may leave any prefix of a header


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

    Raises UsageError when the file holds work and ``resume`` is false, when it was made with other
    deciding values, is not a journal, or is in use.
    """

    # Values stay in the file; memory holds a place for each, so that a journal may be large.

    def __init__(self, path: str, deciding: Json, resume: bool) -> None:
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._synced = time.monotonic()
        self._descriptor = open_locked(path)
        try:
            header = self._read()
            if self._places and not resume:
                raise UsageError(_unfinished(path, len(self._places)))
            if self._places:
                _compare(header, deciding, path)
                os.ftruncate(self._descriptor, self._end)
            else:
                self._start(deciding)
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
        start, size = place
        return decode(os.pread(self._descriptor, size, start))["v"]

    def put(self, key: str, value: Any) -> None:
        """Remember ``value``. Raises FailedError when the disk is full."""
        self._append(encode({"k": key, "v": value}) + b"\n", key)
        if time.monotonic() - self._synced >= SYNC_EVERY:
            self._sync()

    def close(self) -> None:
        """Stop, and keep the file for a resume; a file without a finished draw is removed."""
        self._leave(keep=bool(self._places))

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

    def _read(self) -> Json:
        """Index the file, drop a torn last line, and return its header ({} when there is none)."""
        header: Json = {}
        with os.fdopen(os.dup(self._descriptor), "rb", READ) as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                row = _row(line)
                if not self._end:
                    if MARK not in row:
                        raise UsageError(_foreign(self.path))
                    header = row
                elif "k" in row and "v" in row:  # else a damaged line: its draw is made again
                    self._places[row["k"]] = (self._end, len(line))
                self._end += len(line)
        if not self._end and not _HEAD.startswith(os.pread(self._descriptor, len(_HEAD), 0)):
            raise UsageError(_foreign(self.path))
        return header

    def _start(self, deciding: Json) -> None:
        os.ftruncate(self._descriptor, 0)
        self._end = 0
        self._append(_header(deciding))

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
            if key is not None:
                self._places[key] = (self._end, len(line))
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
    if not resume and (found := _entries(path)):
        raise UsageError(_unfinished(path, found))


def _entries(path: str) -> int:
    """Whole lines after the header. Raises UsageError for a file that is no journal."""
    try:
        with open(path, "rb") as file:
            head = file.readline()
            rows = sum(line.endswith(b"\n") for line in file)
    except OSError:
        return 0
    if head.endswith(b"\n") and MARK not in _row(head):
        raise UsageError(_foreign(path))
    return rows


def _foreign(path: str) -> str:
    return f"{path}: is not a stepkit journal; left as it is"


def _unfinished(path: str, count: int) -> str:
    return (
        f"{path}: holds {count} finished results of an interrupted run; "
        "go on with --resume, or remove it"
    )


def _header(deciding: Json) -> bytes:
    return encode({MARK: VERSION, "deciding": deciding}) + b"\n"


def _row(line: bytes) -> Json:
    try:
        return decode(line)
    except DataError:
        return {}


def _compare(header: Json, deciding: Json, path: str) -> None:
    if header[MARK] != VERSION:
        raise UsageError(f"{path}: was written by another version of stepkit; remove it")
    then = header.get("deciding", {})
    now = decode(encode(deciding))
    for name in (*now, *then):
        if then.get(name) != now.get(name):
            raise UsageError(
                f"--resume: {name}: {_short(then.get(name))} in {path}, {_short(now.get(name))} now"
            )


def _short(value: object) -> str:
    text = encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."

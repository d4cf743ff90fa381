"""A look at the first record before a model is loaded, so that a cheap mistake is not found late.

A file is opened once more. Of a pipe, what has come within a moment is read and kept for the run
(``StreamOptions.head``); a slow one is not waited for.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

from stepkit.errors import DataError
from stepkit.io.jsonl import Record
from stepkit.io.lines import SMALL_READ, LineReader, head_lines
from stepkit.io.records import Item, items
from stepkit.runner.settings import STANDARD, StreamOptions

MOMENT = 0.2
"""Seconds that are waited for the first bytes of a pipe."""


def check_first(streams: StreamOptions, check: Callable[[Record], None]) -> None:
    """Raise the DataError of the first record, where it is bad or ``check`` raises one, with its
    place; not where bad records are tolerated."""
    if streams.tolerant:
        return
    item = _first(streams)
    if item is None:
        return
    if not isinstance(item, Record):
        raise item.error
    try:
        check(item)
    except DataError as error:
        raise located(item, error) from None


def located(item: Item, error: DataError) -> DataError:
    """The error of an item with its place."""
    return DataError(error.what, error.field, error.place or f"{item.source}:{item.number}")


def _first(streams: StreamOptions) -> Item | None:
    """The first record or bad line; None where that is not known yet."""
    name = streams.files[0]
    if name != STANDARD:
        if not stat.S_ISREG(os.stat(name).st_mode):
            return None  # a named pipe is read only once
        reads = LineReader([name], SMALL_READ)
        return next((block[0] for block in items(reads, 1, streams.shard, False)), None)
    head = _head_of_standard_input(streams)
    block = head_lines(head)
    found = [] if block is None else items([block], 1, streams.shard, False)
    return next((block[0] for block in found), None)


def _head_of_standard_input(streams: StreamOptions) -> bytes:
    try:
        if stat.S_ISREG(os.fstat(0).st_mode):
            return os.pread(0, SMALL_READ, os.lseek(0, 0, os.SEEK_CUR))
        if not select.select([0], [], [], MOMENT)[0]:
            return b""
        head = os.read(0, SMALL_READ)
    except OSError:
        return b""  # the run will say so
    if head:
        streams.head.append(head)
    return head

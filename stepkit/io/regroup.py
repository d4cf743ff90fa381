"""A stable sort on disk that makes the records of a group adjacent, in order of first appearance.

Memory holds some 64 MB of lines and one entry per group; the rest lies in an unnamed temporary file
(TMPDIR), which the system removes however the run ends.
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Iterable, Iterator
from typing import IO

from stepkit import schema
from stepkit.errors import DataError, FailedError, reason
from stepkit.io.lines import READ
from stepkit.io.records import BadLine, Item, parse

MEMORY = 64 << 20
"""Bytes of lines sorted in memory at a time."""

PIECE = 1 << 16
"""Bytes read at a time from each sorted run."""

_HEAD = struct.Struct("<QQQII")  # ordinal of the group, index, number, source, length of the line

Row = tuple[int, int, int, int, bytes]


def regrouped(items: Iterable[list[Item]], memory: int = MEMORY) -> Iterator[list[Item]]:
    """Yield the records with those of a group adjacent; bad lines and those without a group come
    as they are met, before all others. Raises FailedError when the temporary disk is full."""
    ordinals: dict[int, int] = {}
    sources: list[str] = []
    rows: list[Row] = []
    runs: list[tuple[int, int]] = []
    file: IO[bytes] | None = None
    held = 0
    for block in items:
        bad: list[Item] = []
        for item in block:
            try:
                if isinstance(item, BadLine):
                    raise item.error
                # subtle: two groups of one hash would mix, and be reported as not adjacent.
                ordinal = ordinals.setdefault(hash(schema.group_of(item.data)), len(ordinals))
            except DataError as error:
                bad.append(BadLine(item.raw, item.source, item.number, item.index, error))
                continue
            if not sources or sources[-1] != item.source:
                sources.append(item.source)
            rows.append((ordinal, item.index, item.number, len(sources) - 1, item.raw))
            held += len(item.raw) + 200
        if bad:
            yield bad
        if held > memory:
            file = file or _temporary()
            runs.append(_spill(file, rows))
            rows, held = [], 0
    rows.sort()
    parts: list[Iterator[Row]] = [iter(rows)]
    if file is not None:
        parts += [_run(file.fileno(), start, end) for start, end in runs]
    yield from _blocks(heapq.merge(*parts), sources)
    if file is not None:
        file.close()


def _blocks(rows: Iterable[Row], sources: list[str]) -> Iterator[list[Item]]:
    block: list[Item] = []
    held = 0
    for _, index, number, source, raw in rows:
        block.append(parse(raw, sources[source], number, index))
        held += len(raw)
        if held >= READ:
            yield block
            block, held = [], 0
    if block:
        yield block


def _temporary() -> IO[bytes]:
    import tempfile

    try:
        return tempfile.TemporaryFile(prefix="stepkit-")
    except OSError as error:
        raise FailedError(f"--regroup: temporary file: {reason(error)} (see TMPDIR)") from None


def _spill(file: IO[bytes], rows: list[Row]) -> tuple[int, int]:
    """Write the rows sorted; return the offsets of their start and end."""
    rows.sort()
    start = file.tell()
    try:
        for *head, raw in rows:
            file.write(_HEAD.pack(*head, len(raw)) + raw)
        file.flush()
    except OSError as error:
        raise FailedError(f"--regroup: temporary file: {reason(error)} (see TMPDIR)") from None
    return start, file.tell()


def _run(descriptor: int, at: int, end: int) -> Iterator[Row]:
    """The rows between two places of the file, a piece at a time."""
    rest = b""
    while at < end or rest:
        if len(rest) < _HEAD.size or len(rest) < _HEAD.size + _HEAD.unpack_from(rest)[4]:
            piece = os.pread(descriptor, min(max(PIECE, len(rest)), end - at), at)
            at += len(piece)
            rest += piece
            continue
        *head, size = _HEAD.unpack_from(rest)
        cut = _HEAD.size + size
        yield head[0], head[1], head[2], head[3], rest[_HEAD.size : cut]
        rest = rest[cut:]

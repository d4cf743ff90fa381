"""Lines in, records out: each line parsed, numbered and placed, bad ones kept apart in their order.

Nothing here opens a file or decides what becomes of a bad line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stepkit import schema
from stepkit.errors import DataError
from stepkit.io.jsonl import Record, decode, quick_decoder
from stepkit.io.lines import LineBlock
from stepkit.schema import VERSION, VERSION_KEY
from stepkit.seeds import digest


@dataclass(frozen=True)
class BadLine:
    """A line that is not a record, and why. The other fields are as in Record."""

    raw: bytes
    source: str
    number: int
    index: int
    error: DataError


Item = Record | BadLine


def items(
    reads: Iterable[LineBlock],
    limit: int | None = None,
    shard: tuple[int, int] | None = None,
    tolerant: bool = True,
) -> Iterator[list[Item]]:
    """Yield the items of one read at a time, never none.

    Args:
        limit: end after this many items.
        shard: (i, n): only the i-th of n parts, from 1; see ``in_shard``.
        tolerant: go on after a bad line; else it is the last item.
    """
    left = -1 if limit is None else limit
    index = 0
    quick = quick_decoder()
    for read in reads:
        found: list[Item] = []
        source = read.source
        item: Item
        for number, raw in enumerate(read.lines, read.number):
            try:
                data = quick(raw)
            except ValueError:
                data = None
            if type(data) is dict and data.get(VERSION_KEY, VERSION) == VERSION:
                item = Record(raw, data, source, number, index)
            elif not raw or raw.isspace():
                continue
            else:
                item = parse(raw, source, number, index)
            index += 1
            if shard and not in_shard(item, shard):
                continue
            found.append(item)
            left -= 1
            if type(item) is BadLine and not tolerant:
                left = 0
            if not left:
                break
        if found:
            yield found
        if not left:
            return


def parse(raw: bytes, source: str, number: int, index: int) -> Item:
    """One line as a record, or as bad with an error that has its place."""
    try:
        data = decode(raw)
        schema.check_version(data)
    except DataError as error:
        error.place = f"{source}:{number}{error.place}"
        return BadLine(raw, source, number, index, error)
    return Record(raw, data, source, number, index)


def in_shard(item: Item, shard: tuple[int, int]) -> bool:
    """True when the item falls into part i of n: by its group, else by its bytes."""
    part, parts = shard
    return int(digest("shard", _shard_key(item)), 16) % parts == part - 1


def _shard_key(item: Item) -> str | bytes:
    try:
        return item.raw if isinstance(item, BadLine) else schema.group_of(item.data)
    except DataError:
        return item.raw

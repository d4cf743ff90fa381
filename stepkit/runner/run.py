"""The runner: the work of every command between its options and its one function.

A command is a map of one of three shapes. ``blocks`` hands it the records of one read, ``groups``
the adjacent records of one group, ``session`` a source to take records from while a model works.
The runner owns input, output, rejects, order and the counts; it does not know what a command means.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from stepkit.errors import DataError
from stepkit.runner.settings import STANDARD, Result, RunCounts, StreamOptions

# Everything else is imported where it is used: --help must start like a small tool.
if TYPE_CHECKING:
    from stepkit.io.journal import NullJournal
    from stepkit.io.jsonl import Record
    from stepkit.io.records import Item
    from stepkit.runner.open_files import OpenRun
    from stepkit.runner.record_queue import RecordQueue

__all__ = [
    "STANDARD",
    "Result",
    "RunCounts",
    "StreamOptions",
    "blocks",
    "each",
    "groups",
    "session",
]

BlockFunction: TypeAlias = "Callable[[list[Record]], Sequence[Result | bytes]]"
GroupFunction: TypeAlias = "Callable[[list[Record]], list[Record]]"
SessionFunction: TypeAlias = (
    "Callable[[RecordQueue, NullJournal], Generator[tuple[Record, Result], None, None]]"
)


def each(function: Callable[[Record], list[Record]]) -> BlockFunction:
    """A block function of one that takes a record, returns records and may raise DataError."""

    def block(records: list[Record]) -> list[Result]:
        results: list[Result] = []
        for record in records:
            try:
                results.append(function(record))
            except DataError as error:
                results.append(error)
        return results

    return block


def blocks(
    streams: StreamOptions,
    function: BlockFunction,
    head: bytes = b"",
    tail: Callable[[], bytes] | None = None,
) -> RunCounts:
    """Map the whole lines of one read at a time.

    Args:
        function: is given the records of a block (at least one) and returns, in their order, for
            each the records to write in its place (or the bytes, for a document that is no
            records), or the DataError that rejects it.
        head: how the output begins, also without any record; not when the run fails before one.
        tail: returns how it ends; called after the last record.
    """
    from stepkit.io.records import BadLine
    from stepkit.runner.open_files import opened

    with opened(streams) as run:
        run.head = head
        for block in run.items(streams.limit):
            records = [item for item in block if not isinstance(item, BadLine)]
            results = function(records) if records else ()
            if len(results) != len(records):
                raise RuntimeError(f"{len(results)} results for {len(records)} records")
            following = iter(results)
            for item in block:
                run.settle(item, item.error if type(item) is BadLine else next(following))
            run.flush()
        if head and not run.tally.written:
            run.pending.append(head)
        if tail is not None:
            run.pending.append(tail())
    return streams.tally


def groups(streams: StreamOptions, function: GroupFunction) -> RunCounts:
    """Map the adjacent records of one group at a time.

    Args:
        function: is given the records of a group and returns the records to write. A DataError
            that it raises rejects the whole group.

    A record whose group was complete already is rejected, with the places of both.
    """
    from stepkit.io.lines import SMALL_READ
    from stepkit.runner.open_files import opened

    with opened(streams) as run:
        run.reader.size = SMALL_READ
        # A limit counts groups here: a group cut short would be another group.
        blocks: Iterator[list[Item]] = run.items(None)
        if streams.regroup:
            from stepkit.io.regroup import regrouped

            blocks = regrouped(blocks)
        for count, group in enumerate(_adjacent(run, blocks), 1):
            try:
                result = function(group)
            except DataError as error:
                for record in group:
                    run.settle(record, error)
            else:
                run.settle(group[0], result)
                run.tally.read += len(group) - 1
            if count == streams.limit:
                break
    return streams.tally


def session(
    streams: StreamOptions, work: SessionFunction, deciding: dict[str, Any] | None = None
) -> RunCounts:
    """Let ``work`` take records and answer them in any order; write in input order.

    Args:
        work: a generator function of (source, journal) that yields, for every record that it
            took from the source, (record, its results or the DataError that rejects it).
        deciding: JSON values that decide bytes, by the name that a user knows them by; a resume
            in which one differs is refused.
    """
    from contextlib import closing

    from stepkit.runner.open_files import opened
    from stepkit.runner.record_queue import RecordQueue

    with opened(streams, {} if deciding is None else deciding) as run:

        def settle_ready() -> None:
            for item, result in source.ready():
                run.settle(item, result)
            run.flush()

        source = RecordQueue(
            run.items(streams.limit),
            streams.window,
            streams.tolerant,
            streams.progress,
            settle_ready,
        )
        try:
            with closing(work(source, run.journal)) as answers:
                for record, result in answers:
                    source.answer(record, result)
                    settle_ready()
            settle_ready()
            source.finish()
        finally:
            source.stop()
    return streams.tally


def _adjacent(run: OpenRun, blocks: Iterator[list[Item]]) -> Iterator[list[Record]]:
    """Yield the records of one group after another; settles what belongs to none."""
    from stepkit import schema
    from stepkit.io.records import BadLine

    seen: dict[int, str] = {}
    group: list[Record] = []
    name = ""
    for block in blocks:
        for item in block:
            if isinstance(item, BadLine):
                run.settle(item, item.error)
                continue
            if group and item.data.get("group") == name:
                group.append(item)
                continue
            try:
                found = schema.group_of(item.data)
                if group and found == name:
                    group.append(item)
                    continue
                if place := seen.get(hash(found)):
                    raise DataError(
                        f'group "{found}" was already at {place}: the records of a group must be '
                        "adjacent; use --regroup"
                    )
            except DataError as error:
                run.settle(item, error)
                continue
            if group:
                yield group
            name, group = found, [item]
            seen[hash(found)] = item.place
        run.flush()
    if group:
        yield group

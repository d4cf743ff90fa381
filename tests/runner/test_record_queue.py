"""The queue of a session's records: how many are in work."""

from __future__ import annotations

import time

from stepkit.io.jsonl import Record
from stepkit.io.records import Item
from stepkit.runner.console import Progress
from stepkit.runner.record_queue import AHEAD, RecordQueue


def queue_of(count: int, window: int) -> RecordQueue:
    rows: list[list[Item]] = [[Record(b"{}", {}, index=n)] for n in range(count)]
    return RecordQueue(iter(rows), window, False, Progress("test"), lambda: None)


def taken(queue: RecordQueue) -> list[Record]:
    """The records that can be taken now."""
    found: list[Record] = []
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        record = queue.take()
        if record is None:
            time.sleep(0.01)
        else:
            found.append(record)
    return found


def test_a_long_record_does_not_leave_the_work_with_few() -> None:
    """Of 16 searches the first to begin took longest: behind it the others were done and waited."""
    queue = queue_of(100, window=16)
    work = taken(queue)
    assert len(work) == 16
    for record in work[1:]:
        queue.answer(record, [record])
    assert list(queue.ready()) == []
    more = taken(queue)
    assert [record.index for record in more] == list(range(16, 31))  # 16 are in work again
    queue.stop()


def test_what_waits_for_an_earlier_record_is_bounded() -> None:
    queue = queue_of(100, window=4)
    (first, *others) = taken(queue)
    while others:
        for record in others:
            queue.answer(record, [record])
        others = taken(queue)
    held = list(queue.ready())
    assert held == []
    queue.answer(first, [first])
    assert len(list(queue.ready())) == 4 * AHEAD
    queue.stop()

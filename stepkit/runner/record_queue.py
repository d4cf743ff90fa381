"""Records for a session: read ahead in a thread, but never further than the window.

A slow producer never blocks the work, a fast one is not swallowed. The work takes records and
answers them in any order; what is answered becomes ready in input order. Records that are answered
and wait for an earlier one are not in work: one that takes long, as a search may, must not leave
the work with a few.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from stepkit.activity import INPUT, activity
from stepkit.errors import DataError
from stepkit.interrupts import SIGNALS
from stepkit.io.jsonl import Record
from stepkit.io.records import BadLine, Item
from stepkit.runner.console import Progress
from stepkit.runner.settings import Result

AHEAD = 4
"""Records that wait for an earlier one are as many as that many windows hold, less one."""


class RecordQueue:
    """The records of a session, in input order.

    Args:
        items: the input; it is read in a thread.
        window: at most this many items are queued, or taken and not yet answered; and AHEAD times
            as many with those that are answered and not yet ready.
        tolerant: a bad line is rejected; else it ends the input.
        bad: called when bad lines became ready, to settle them.
    """

    def __init__(
        self,
        items: Iterator[list[Item]],
        window: int,
        tolerant: bool,
        progress: Progress,
        bad: Callable[[], None],
    ) -> None:
        self._items = items
        self._window = window
        self._tolerant = tolerant
        self._progress = progress
        self._bad = bad
        self._queue: deque[Item] = deque()
        self._order: deque[Item] = deque()
        self._answers: dict[int, Result] = {}
        self._held = 0
        self._exhausted = False
        self._stopped = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._read, name="reader", daemon=True).start()

    @property
    def ended(self) -> bool:
        """True once every record has been taken."""
        with self._changed:
            return self._stopped or (self._exhausted and not self._queue)

    def take(self, wait: bool = False) -> Record | None:
        """The next record, or None: at the end, with the window full, or (``wait`` false) when
        none is there yet."""
        while True:
            with self._changed:
                while not self._queue:
                    full = self._is_full(len(self._order))
                    if self._stopped or self._exhausted or full or not wait:
                        return None
                    with activity(INPUT):
                        self._changed.wait()
                if self._stopped:
                    return None
                item = self._queue.popleft()
                self._order.append(item)
                if isinstance(item, Record):
                    return item
                self._stopped = not self._tolerant
            if self._tolerant:
                self._bad()

    def watch(self, status: Callable[[], Sequence[str]]) -> None:
        """Have the progress line say what ``status`` gives (see console.Progress.status)."""
        self._progress.status = status

    def answer(self, record: Record, result: Result) -> None:
        """Note the result of a record that was taken. An error may end the input."""
        with self._changed:
            self._answers[record.index] = result
            self._changed.notify_all()
        if isinstance(result, DataError) and not self._tolerant:
            self.stop()

    def ready(self) -> Iterator[tuple[Item, Result]]:
        """The items that are answered and have no unanswered one before them, each once."""
        while self._order:
            item = self._order[0]
            if isinstance(item, BadLine):
                result: Result = item.error
            elif item.index in self._answers:
                result = self._answers.pop(item.index)
            else:
                return
            self._order.popleft()
            with self._changed:
                self._held -= 1
                self._changed.notify_all()
            yield item, result

    def stop(self) -> None:
        """Hand out no further record."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Call when the work is done. Raises what ended the reading; RuntimeError when a record
        was not answered or not taken."""
        if self._failure is not None and not self._queue:
            raise self._failure
        if self._order or not self.ended:
            raise RuntimeError("the work ended before its input")

    def _is_full(self, held: int) -> bool:
        """Whether no further item may be held, beside ``held`` that are not ready."""
        return held - len(self._answers) >= self._window or held >= AHEAD * self._window

    def _read(self) -> None:
        # Signals wake the main thread, where Python handles them, and never this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            for block in self._items:
                for item in block:
                    with self._changed:
                        while self._is_full(self._held) and not self._stopped:
                            self._changed.wait()
                        if self._stopped:
                            return
                        self._held += 1
                        self._queue.append(item)
                        self._changed.notify_all()
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._exhausted = True
                self._changed.notify_all()

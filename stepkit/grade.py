"""Is an answer right: in process where that is plain, else by math-verify in worker processes.

``quick`` (stepkit.text.equal) decides numbers and words. The rest goes to workers, one question at
a time each, under a limit of processor seconds, not of the clock: so a busy machine does not change
a verdict. A worker that passes it is ended by the kernel and the verdict is None, undecided, like
that on a reference that cannot be parsed and on a missing answer; nobody is called wrong for the
grader's sake. Workers end with the process that started them and ignore Ctrl-C, which is for it.

This module knows neither models nor records.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Hashable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from stepkit.errors import FailedError
from stepkit.text import answers
from stepkit.text.answer_equality import canonical, quick

__all__ = ["Grader", "quick", "same_answer"]

TIMEOUT = 5.0  # processor seconds for one question
PATIENCE = 60.0  # clock seconds beyond which a worker is held to hang
REMEMBERED = 65536  # verdicts
MEMORY = 4 << 30  # bytes of address space of a worker
RIGHT, WRONG, UNPARSEABLE, GAVE_UP = "right", "wrong", "unparseable", "gave up"
VERDICTS = {RIGHT: 1.0, WRONG: 0.0}

_reference_in = lru_cache(4096)(answers.reference)  # attempts at one problem share it

Pair = tuple[str, str]


class Grader:
    """Verdicts on answers, without ever waiting unless asked to.

    Args:
        processes: the largest number of workers; each starts when there is work for it.
        timeout: processor seconds for one question.

    Attributes:
        pending: the number of questions submitted and not collected.
        unparseable: how many verdicts are None because the reference could not be parsed.
        gave_up: how many verdicts are None because the worker passed its limits.

    One thread waits for each worker; all methods are for one calling thread. Equal questions are
    asked once.
    """

    def __init__(self, processes: int = 1, timeout: float = TIMEOUT) -> None:
        self.pending = self.unparseable = self.gave_up = 0
        self._processes, self._timeout = processes, timeout
        self._ready: list[tuple[Hashable, float | None]] = []
        self._waiting: dict[Pair, list[Hashable]] = {}
        self._known: dict[Pair, str] = {}
        self._questions: queue.SimpleQueue[Pair | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Pair, str | Exception]] = queue.SimpleQueue()
        self._clerks: list[_WorkerThread] = []

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, key: Hashable, reference: str, final: str | None) -> None:
        """Ask whether ``final`` is right; ``collect`` returns the verdict with ``key``.

        ``reference`` may be a whole worked solution: its final answer is taken. None as ``final``
        (no answer was found) is undecided.
        """
        self._submit(key, _reference_in(reference), final)

    def collect(self, wait: bool = False) -> list[tuple[Hashable, float | None]]:
        """The verdicts that have come, in no order: 1.0 right, 0.0 wrong, None undecided.

        With ``wait``, at least one of those pending. Raises FailedError when math-verify does not
        start.
        """
        while self._waiting and not (wait and self._ready):
            try:
                pair, found = self._answers.get(block=wait)
            except queue.Empty:
                break
            verdict = GAVE_UP if isinstance(found, Exception) else found
            for key in self._waiting.pop(pair):
                self._decide(key, verdict)
            if isinstance(found, Exception):
                raise found
            self._remember(pair, found)
        found_all, self._ready = self._ready, []
        self.pending -= len(found_all)
        return found_all

    def grade(self, questions: Iterable[tuple[str, str | None]]) -> list[float | None]:
        """The verdicts on (reference, final) pairs, in their order. Nothing else may be pending."""
        verdicts: dict[Hashable, float | None] = {}
        for number, (reference, final) in enumerate(questions):
            self.submit(number, reference, final)
        while self.pending:
            verdicts.update(self.collect(wait=True))
        return [verdicts[number] for number in range(len(verdicts))]

    def note(self) -> str:
        """One line on the verdicts that the grader could not give; "" when there are none."""
        parts = []
        if self.unparseable:
            parts.append(f"{self.unparseable} undecided: the reference answer cannot be parsed")
        if self.gave_up:
            parts.append(f"{self.gave_up} undecided: the grader gave up after {self._timeout:g} s")
        return "; ".join(parts)

    def close(self) -> None:
        """End the workers at once, whatever they are doing. May be called twice."""
        for clerk in self._clerks:
            clerk.close()
        for _ in self._clerks:
            self._questions.put(None)
        for clerk in self._clerks:
            clerk.join()
        self._clerks = []

    def _submit(self, key: Hashable, reference: str, final: str | None) -> None:
        self.pending += 1
        if final is None or not final.strip():
            self._ready.append((key, None))
            return
        same = quick(reference, final)
        if same is not None:
            self._ready.append((key, float(same)))
            return
        pair = (reference, final)
        known = UNPARSEABLE if not reference.strip() else self._known.get(pair)
        if known:
            self._decide(key, known)
        elif pair in self._waiting:
            self._waiting[pair].append(key)
        else:
            self._waiting[pair] = [key]
            self._questions.put(pair)
            self._hire()

    def _hire(self) -> None:
        """Start one more worker while there is work for it."""
        if len(self._clerks) < min(self._processes, len(self._waiting)):
            clerk = _WorkerThread(self._questions, self._answers, self._timeout)
            self._clerks.append(clerk)
            clerk.start()

    def _decide(self, key: Hashable, found: str) -> None:
        self.unparseable += found == UNPARSEABLE
        self.gave_up += found == GAVE_UP
        self._ready.append((key, VERDICTS.get(found)))

    def _remember(self, pair: Pair, found: str) -> None:
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[pair] = found


def same_answer(a: str, b: str) -> bool:
    """Whether two answers are the same, as a vote counts them: math-verify says so both ways.

    Undecided is not the same. The relation is symmetric but not transitive. Raises FailedError
    when math-verify does not start.
    """
    same = quick(a, b)
    return _verified(*sorted((a, b))) if same is None else same


@lru_cache(REMEMBERED)
def _verified(a: str, b: str) -> bool:
    grader = _voter()
    ways: list[Hashable] = [object(), object()]
    grader._submit(ways[0], a, b)
    grader._submit(ways[1], b, a)
    verdicts: dict[Hashable, float | None] = {}
    while grader.pending:
        verdicts.update(grader.collect(wait=True))
    return all(verdicts[way] == 1.0 for way in ways)


@lru_cache(1)
def _voter() -> Grader:
    import atexit

    grader = Grader()
    atexit.register(grader.close)
    return grader


class _WorkerThread(threading.Thread):
    """Takes questions to one worker process, and starts another when it has ended."""

    def __init__(
        self,
        questions: queue.SimpleQueue[Pair | None],
        answers: queue.SimpleQueue[tuple[Pair, str | Exception]],
        timeout: float,
    ) -> None:
        super().__init__(name="stepkit-grader", daemon=True)
        self._questions, self._answers, self._timeout = questions, answers, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self) -> None:
        while (pair := self._questions.get()) is not None and not self._closed:
            try:
                self._answers.put((pair, self._ask(pair)))
            except Exception as error:  # the calling thread raises it
                self._answers.put((pair, error))
        self._end()

    def close(self) -> None:
        """End the worker now; a question in its hands is never answered."""
        with self._lock:
            self._closed = True
            if self._process:
                self._process.kill()

    def _ask(self, pair: Pair) -> str:
        process = self._process or self._begin()
        try:
            _write(process, json.dumps(pair).encode() + b"\n")
            found = _read(process, self._timeout + PATIENCE)
        except OSError:
            found = b""
        if not found:
            self._end()
        return found.decode() or GAVE_UP

    def _begin(self) -> subprocess.Popen[bytes]:
        process = _start(self._timeout)
        with self._lock:
            self._process = process
            if self._closed:
                process.kill()
        greeting = _read(process, PATIENCE).decode()
        if greeting != "ready" and not self._closed:
            self._end()
            raise FailedError(f"math-verify does not start: {greeting or 'no word from it'}")
        return process

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.kill()
            process.communicate()


def _start(timeout: float) -> subprocess.Popen[bytes]:
    """A worker process.

    Not ``python -m``: that would look for modules in the current directory first, and a file
    named random.py there would break it.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = (
        "import sys; sys.path[:] = [sys.argv[1], *filter(None, sys.path)]; "
        "from stepkit.grade import work; work(float(sys.argv[2]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, package, str(timeout)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )


def _write(process: subprocess.Popen[bytes], line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(process.stdin.fileno(), view) :]  # type: ignore[union-attr]


def _read(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """One line from the worker without its newline; b"" when it ended or took too long."""
    import select

    descriptor = process.stdout.fileno()  # type: ignore[union-attr]
    poll, line, end = select.poll(), b"", time.monotonic() + seconds
    poll.register(descriptor, select.POLLIN)
    while not line.endswith(b"\n"):
        left = end - time.monotonic()
        more = os.read(descriptor, 4096) if left > 0 and poll.poll(left * 1000) else b""
        if not more:
            return b""
        line += more
    return line[:-1]


# What follows runs in the worker.


def work(timeout: float) -> None:
    """Answer questions from standard input, a line each, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, even inside one long product
    answers = os.fdopen(os.dup(1), "wb", 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    _limit_memory()
    try:
        import math_verify
    except Exception as error:
        answers.write(f"{type(error).__name__}: {error}".replace("\n", " ").encode() + b"\n")
        return
    answers.write(b"ready\n")
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, timeout)
        found = _verdict(math_verify, *json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(found.encode() + b"\n")


def _verdict(math_verify: Any, reference: str, final: str) -> str:
    """math-verify's verdict, which is one-way: the reference first."""
    gold = _parse(math_verify, reference)
    target = _parse(math_verify, final)
    try:
        same = math_verify.verify(gold, target, timeout_seconds=None, raise_on_error=True)
    except MemoryError:
        return GAVE_UP
    except Exception:  # of one of several readings of the answer: look at the others, too
        same = math_verify.verify(gold, target, timeout_seconds=None)
    if same:
        return RIGHT
    understood = any(not isinstance(reading, str) for reading in gold)
    return WRONG if understood else UNPARSEABLE


def _parse(math_verify: Any, answer: str) -> list[Any]:
    """Readings of an answer; boxed, so that it is read as a formula and as a whole."""
    return math_verify.parse(f"\\boxed{{{canonical(answer)}}}", parsing_timeout=None)


def _limit_memory() -> None:
    """A tower of powers must not take the machine's memory before its time is up."""
    import resource

    for limit, size in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        soft, hard = resource.getrlimit(limit)
        if soft == resource.RLIM_INFINITY or soft > size:
            with suppress(ValueError, OSError):  # the system has no such limit
                resource.setrlimit(limit, (size, hard))

"""Is an answer right: in process where that needs no algebra, else in worker processes.

``compare`` (stepkit.text.answer_equality) decides what it is sure of. Where it needs algebra, the
question goes to workers, which compare again with stepkit.algebra: one at a time each, under a
limit of processor seconds, not of the clock: so a busy machine does not change a verdict. A worker
that passes it is ended by the kernel and the verdict is None, undecided, like all that is not sure;
nobody is called wrong for the grader's sake. Workers end with the process that started them and
ignore Ctrl-C, which is for it.

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
from collections import Counter
from collections.abc import Hashable, Iterable
from contextlib import suppress
from functools import lru_cache

from stepkit.errors import FailedError
from stepkit.text import answers
from stepkit.text.answer_equality import compare
from stepkit.text.verdicts import NEEDS_ALGEBRA, Verdict, open_question

__all__ = ["Grader", "same_answer"]

TIMEOUT = 5.0  # processor seconds for one question
PATIENCE = 60.0  # clock seconds beyond which a worker is held to hang
REMEMBERED = 65536  # verdicts
MEMORY = 4 << 30  # bytes of address space of a worker
NO_ANSWER = open_question("no answer")
MOST_REASONS = 3  # that a note names

_reference_in = lru_cache(4096)(answers.reference)  # attempts at one problem share it

Asked = tuple[str, str | None] | tuple[str, str | None, str]
Question = tuple[str, str, str]
"""Reference, final answer, problem."""


class Grader:
    """Verdicts on answers, without ever waiting unless asked to.

    Args:
        processes: the largest number of workers; each starts when there is work for it.
        timeout: processor seconds for one question.

    Attributes:
        pending: the number of questions submitted and not collected.
        undecided: reason -> how many verdicts are None for it; answers that are missing are not
            among them.

    One thread waits for each worker; all methods are for one calling thread. Equal questions are
    asked once.
    """

    def __init__(self, processes: int = 1, timeout: float = TIMEOUT) -> None:
        self.pending = 0
        self.undecided: Counter[str] = Counter()
        self._processes, self._timeout = processes, timeout
        self._gave_up = open_question(f"the grader gave up after {timeout:g} s")
        self._ready: list[tuple[Hashable, Verdict]] = []
        self._waiting: dict[Question, list[Hashable]] = {}
        self._known: dict[Question, Verdict] = {}
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Question, Verdict | Exception | None]] = (
            queue.SimpleQueue()
        )
        self._clerks: list[_WorkerThread] = []

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, key: Hashable, reference: str, final: str | None, problem: str = "") -> None:
        """Ask whether ``final`` is right; ``collect`` returns the verdict with ``key``.

        ``reference`` may be a whole worked solution: its final answer is taken. None as ``final``
        (no answer was found) is undecided. ``problem`` may say what is asked for: a percentage, an
        order, which option a letter stands for.
        """
        self._submit(key, _reference_in(reference), final, problem)

    def collect(self, wait: bool = False) -> list[tuple[Hashable, float | None]]:
        """The verdicts that have come, in no order: 1.0 right, 0.0 wrong, None undecided.

        With ``wait``, at least one of those pending. Raises FailedError when math-verify does not
        start.
        """
        return [(key, outcome(verdict)) for key, verdict in self.collect_verdicts(wait)]

    def collect_verdicts(self, wait: bool = False) -> list[tuple[Hashable, Verdict]]:
        """As ``collect``, with reasons."""
        while self._waiting and not (wait and self._ready):
            try:
                question, found = self._answers.get(block=wait)
            except queue.Empty:
                break
            verdict = found if isinstance(found, Verdict) else self._gave_up
            for key in self._waiting.pop(question):
                self._decide(key, verdict)
            if isinstance(found, Exception):
                raise found
            self._remember(question, verdict)
        found_all, self._ready = self._ready, []
        self.pending -= len(found_all)
        return found_all

    def grade(self, questions: Iterable[Asked]) -> list[float | None]:
        """The verdicts on (reference, final) or (reference, final, problem), in their order.
        Nothing else may be pending."""
        return [outcome(verdict) for verdict in self.judge(questions)]

    def judge(self, questions: Iterable[Asked]) -> list[Verdict]:
        """As ``grade``, with reasons."""
        verdicts: dict[Hashable, Verdict] = {}
        for number, question in enumerate(questions):
            self.submit(number, *question)
        while self.pending:
            verdicts.update(self.collect_verdicts(wait=True))
        return [verdicts[number] for number in range(len(verdicts))]

    def note(self) -> str:
        """One line on the answers that could not be judged, and why; "" when there are none."""
        if not self.undecided:
            return ""
        reasons = [
            f"{reason} ({count})" for reason, count in self.undecided.most_common(MOST_REASONS)
        ]
        more = ", ..." if len(self.undecided) > MOST_REASONS else ""
        total = sum(self.undecided.values())
        return f"{total} answer{'s' * (total > 1)} undecided: {', '.join(reasons)}{more}"

    def close(self) -> None:
        """End the workers at once, whatever they are doing. May be called twice."""
        for clerk in self._clerks:
            clerk.close()
        for _ in self._clerks:
            self._questions.put(None)
        for clerk in self._clerks:
            clerk.join()
        self._clerks = []

    def _submit(self, key: Hashable, reference: str, final: str | None, problem: str) -> None:
        self.pending += 1
        verdict = compare(reference, final, problem)
        if final is None or not final.strip():
            self._ready.append((key, NO_ANSWER))
        elif verdict != NEEDS_ALGEBRA:
            self._decide(key, verdict)
        else:
            self._ask((reference, final, problem), key)

    def _ask(self, question: Question, key: Hashable) -> None:
        known = self._known.get(question)
        if known is not None:
            self._decide(key, known)
        elif question in self._waiting:
            self._waiting[question].append(key)
        else:
            self._waiting[question] = [key]
            self._questions.put(question)
            self._hire()

    def _hire(self) -> None:
        """Start one more worker while there is work for it."""
        if len(self._clerks) < min(self._processes, len(self._waiting)):
            clerk = _WorkerThread(self._questions, self._answers, self._timeout)
            self._clerks.append(clerk)
            clerk.start()

    def _decide(self, key: Hashable, verdict: Verdict) -> None:
        if verdict.same is None:
            self.undecided[verdict.reason] += 1
        self._ready.append((key, verdict))

    def _remember(self, question: Question, verdict: Verdict) -> None:
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[question] = verdict


def outcome(verdict: Verdict) -> float | None:
    """1.0 right, 0.0 wrong, None undecided."""
    return None if verdict.same is None else float(verdict.same)


def same_answer(a: str, b: str) -> bool:
    """Whether two answers are the same, as a vote counts them.

    Undecided is not the same. The relation is symmetric but not transitive. Raises FailedError
    when math-verify does not start.
    """
    verdict = compare(a, b)
    return _verified(*sorted((a, b))) if verdict == NEEDS_ALGEBRA else bool(verdict.same)


@lru_cache(REMEMBERED)
def _verified(a: str, b: str) -> bool:
    grader = _voter()
    grader._submit(None, a, b, "")
    ((_, found),) = grader.collect(wait=True)
    return found == 1.0


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
        questions: queue.SimpleQueue[Question | None],
        answers: queue.SimpleQueue[tuple[Question, Verdict | Exception | None]],
        timeout: float,
    ) -> None:
        super().__init__(name="stepkit-grader", daemon=True)
        self._questions, self._answers, self._timeout = questions, answers, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self) -> None:
        while (question := self._questions.get()) is not None and not self._closed:
            try:
                self._answers.put((question, self._ask(question)))
            except Exception as error:  # the calling thread raises it
                self._answers.put((question, error))
        self._end()

    def close(self) -> None:
        """End the worker now; a question in its hands is never answered."""
        with self._lock:
            self._closed = True
            if self._process:
                self._process.kill()

    def _ask(self, question: Question) -> Verdict | None:
        """The worker's verdict; None when it passed its limits."""
        process = self._process or self._begin()
        try:
            _write(process, json.dumps(question).encode() + b"\n")
            found = _read(process, self._timeout + PATIENCE)
        except OSError:
            found = b""
        if not found:
            self._end()
            return None
        return Verdict(*json.loads(found))

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
    assert math_verify  # in place before the clock runs
    from stepkit.algebra import prove

    answers.write(b"ready\n")
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, timeout)
        reference, final, problem = json.loads(line)
        try:
            verdict = compare(reference, final, problem, prove)
        except MemoryError:
            os._exit(1)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps(verdict).encode() + b"\n")


def _limit_memory() -> None:
    """A tower of powers must not take the machine's memory before its time is up."""
    import resource

    for limit, size in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        soft, hard = resource.getrlimit(limit)
        if soft == resource.RLIM_INFINITY or soft > size:
            with suppress(ValueError, OSError):  # the system has no such limit
                resource.setrlimit(limit, (size, hard))

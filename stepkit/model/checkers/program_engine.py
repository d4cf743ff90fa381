"""An engine over external programs: a checker takes requests like a model, so that verdicts are
journalled, run in parallel and arrive in any order, as draws do.

The prefix of a Draw is the input of the program: bytes of JSON with ``step`` and ``prefix`` in it.
The text of its result is the verdict as JSON (see ``verdict``). Each of ``jobs`` supervisors
(supervisor.py) runs one program at a time.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from stepkit.model.engine import Counters, Draw, FinishedDraw, FinishedRequest, Request
from stepkit.schema import Json

TURN = 0.1
"""Seconds that a step waits, so that records that arrive meanwhile are read."""
MOST_BYTES = 1 << 20
"""Of a program's output, and of its errors."""
LONGEST_REASON = 300  # characters
STATUS, JSON = "status", "json"
VERDICTS = (STATUS, JSON)
STOPPING = 5.0
"""Seconds that a supervisor may take to kill its programs."""


@dataclass(frozen=True)
class CheckerCommand:
    """A checker, and how it is run.

    Attributes:
        argv: the program and its arguments; {step}, {prefix} and {json} are names of files.
        seconds: how long it may take for a step.
        verdict: by its exit STATUS, or by the JSON that it prints.
    """

    argv: tuple[str, ...]
    seconds: float
    verdict: str = STATUS


class ProgramEngine:
    """An Engine (see model/engine.py) whose draws are verdicts; see ``verdict`` for their text."""

    def __init__(self, command: CheckerCommand, jobs: int) -> None:
        self._command, self._jobs = command, jobs
        self._waiting: deque[Draw] = deque()
        self._supervisors: dict[int, _SupervisorClient] = {}
        self.counters = Counters()

    @property
    def pending(self) -> int:
        return len(self._waiting) + sum(one.busy is not None for one in self._supervisors.values())

    def submit(self, request: Request) -> None:
        assert isinstance(request, Draw)
        self._waiting.append(request)

    def step(self) -> list[FinishedRequest]:
        """Start waiting checks, and wait for one to end, at most TURN seconds."""
        self._start_waiting()
        poll = select.poll()
        for descriptor, supervisor in self._supervisors.items():
            if supervisor.busy is not None:
                poll.register(descriptor, select.POLLIN)
        finished = []
        for descriptor, _ in poll.poll(TURN * 1000) if self.pending else ():
            supervisor = self._supervisors[descriptor]
            answer = supervisor.receive()
            if answer is None:
                continue
            if supervisor.lost:
                del self._supervisors[descriptor]
                supervisor.close()
            request, supervisor.busy = supervisor.busy, None
            assert request is not None
            text = json.dumps(verdict(self._command.verdict, answer))
            finished.append(FinishedRequest(request, FinishedDraw(text, "stop", 0, None, None)))
        return finished

    def close(self) -> None:
        """Kill all running programs, and those that they started."""
        for supervisor in self._supervisors.values():
            supervisor.stop()
        for supervisor in self._supervisors.values():
            supervisor.close()
        self._supervisors = {}

    def _start_waiting(self) -> None:
        idle = [one for one in self._supervisors.values() if one.busy is None]
        while self._waiting and (idle or len(self._supervisors) < self._jobs):
            if not idle:
                supervisor = _SupervisorClient()
                self._supervisors[supervisor.descriptor] = supervisor
                idle = [supervisor]
            idle.pop().send(self._waiting.popleft(), self._command)


class _SupervisorClient:
    """A supervisor process, from the side of its caller.

    Attributes:
        busy: the request that it works on.
        lost: it has ended without a request to stop.
    """

    def __init__(self) -> None:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "supervisor.py")
        # -I: a file named json.py in the current directory must not be imported
        self._process = subprocess.Popen(
            [sys.executable, "-I", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.descriptor = self._process.stdout.fileno()  # type: ignore[union-attr]
        self.busy: Draw | None = None
        self.lost = False
        self._received = b""

    def send(self, request: Draw, command: CheckerCommand) -> None:
        self.busy = request
        job = {
            "argv": command.argv,
            "input": bytes(request.prefix).decode(),
            "seconds": command.seconds,
            "bytes": MOST_BYTES,
        }
        line = memoryview(json.dumps(job).encode() + b"\n")
        with suppress(BrokenPipeError):  # then receive() finds it lost
            while line:
                line = line[os.write(self._process.stdin.fileno(), line) :]  # type: ignore[union-attr]

    def receive(self) -> Json | None:
        """Its answer, or None while that is not complete."""
        chunk = os.read(self.descriptor, 1 << 16)
        self._received += chunk
        if not chunk:
            self.lost = True
            return {"error": "was lost: its supervisor has ended"}
        if not self._received.endswith(b"\n"):
            return None
        answer, self._received = json.loads(self._received), b""
        return answer

    def stop(self) -> None:
        """Ask it to end, after which it kills its programs."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def close(self) -> None:
        self.stop()
        try:
            self._process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]


def verdict(way: str, answer: Json) -> Json:
    """``x`` (1 right, 0 wrong, between them how right, or None) and ``why``, a text or None.

    By STATUS, exit status 0 is right, 1 wrong, and ``why`` is the last line of output of a program
    that ended with 1. By JSON, the program prints one object with ``x`` and optionally ``why``, and
    ends with status 0. Anything else, a signal, a time-out, is None: never wrong.
    """
    if "error" in answer:
        return {"x": None, "why": f"the checker {answer['error']}"}
    status = answer["status"]
    if status < 0:
        return {"x": None, "why": f"the checker was ended by signal {-status}"}
    last = _last_line(answer["out"]) or _last_line(answer["err"])
    if status > (way == STATUS):
        line = f": {_last_line(answer['err']) or last}" if last else ""
        return {"x": None, "why": _short(f"the checker ended with status {status}{line}")}
    if way == STATUS:
        return {"x": float(status == 0), "why": (_short(last) or None) if status else None}
    return _printed(answer["out"])


def _printed(out: str) -> Json:
    try:
        printed = json.loads(out)
        x, why = printed["x"], printed.get("why")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"x": None, "why": 'the checker did not print a JSON object with "x" in it'}
    if isinstance(x, bool):
        x = float(x)
    number = isinstance(x, (int, float)) and 0 <= x <= 1
    if not number and x is not None:
        return {
            "x": None,
            "why": _short(f"expected x from 0 to 1, or null, of the checker, got {x!r}"),
        }
    # JSON can hold half of a surrogate pair, which UTF-8 output cannot
    text = _short(why.encode("utf-8", "replace").decode()) if isinstance(why, str) else None
    return {"x": None if x is None else float(x), "why": text or None}


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 3] + "..."

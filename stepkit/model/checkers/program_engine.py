"""An engine over programs: a checker is asked like a model, so that verdicts are journalled, run
side by side and come in any order, as draws do.

The prefix of a Draw is what the program reads: bytes of JSON with ``step`` and ``prefix`` in it.
Its text is the verdict, as ``verdict`` makes it of how the program ended. Each of ``jobs`` keepers
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
"""Seconds that a step waits, so that records that arrive meanwhile are taken up."""
MOST_BYTES = 1 << 20
"""Of a program's output, and of its errors."""
LONGEST_REASON = 300  # characters
STATUS, JSON = "status", "json"
VERDICTS = (STATUS, JSON)
LEAVING = 5.0
"""Seconds that a keeper may take to kill what it runs."""


@dataclass(frozen=True)
class CheckerCommand:
    """A checker and how it is run.

    Attributes:
        argv: the program and its arguments; {step}, {prefix} and {json} are names of files.
        seconds: how long it may take for a step.
        verdict: what counts: its exit STATUS, or the JSON that it prints.
    """

    argv: tuple[str, ...]
    seconds: float
    verdict: str = STATUS


class ProgramEngine:
    """An Engine (see model/engine.py) whose draws are verdicts; see ``verdict`` for their text."""

    def __init__(self, command: CheckerCommand, jobs: int) -> None:
        self._command, self._jobs = command, jobs
        self._waiting: deque[Draw] = deque()
        self._keepers: dict[int, _SupervisorClient] = {}
        self.counters = Counters()

    @property
    def pending(self) -> int:
        return len(self._waiting) + sum(one.busy is not None for one in self._keepers.values())

    def submit(self, request: Request) -> None:
        assert isinstance(request, Draw)
        self._waiting.append(request)

    def step(self) -> list[FinishedRequest]:
        """Hand out work and wait for some to be done, at most TURN seconds."""
        self._hand_out()
        poll = select.poll()
        for descriptor, keeper in self._keepers.items():
            if keeper.busy is not None:
                poll.register(descriptor, select.POLLIN)
        done = []
        for descriptor, _ in poll.poll(TURN * 1000) if self.pending else ():
            keeper = self._keepers[descriptor]
            answer = keeper.hear()
            if answer is None:
                continue
            if keeper.lost:
                del self._keepers[descriptor]
                keeper.close()
            request, keeper.busy = keeper.busy, None
            assert request is not None
            text = json.dumps(verdict(self._command.verdict, answer))
            done.append(FinishedRequest(request, FinishedDraw(text, "stop", 0, None, None)))
        return done

    def close(self) -> None:
        """End all programs that run, and what they started."""
        for keeper in self._keepers.values():
            keeper.leave()
        for keeper in self._keepers.values():
            keeper.close()
        self._keepers = {}

    def _hand_out(self) -> None:
        idle = [one for one in self._keepers.values() if one.busy is None]
        while self._waiting and (idle or len(self._keepers) < self._jobs):
            if not idle:
                keeper = _SupervisorClient()
                self._keepers[keeper.descriptor] = keeper
                idle = [keeper]
            idle.pop().take(self._waiting.popleft(), self._command)


class _SupervisorClient:
    """A keeper process, from its caller's side.

    Attributes:
        busy: what it is at work on.
        lost: it has ended without being asked to.
    """

    def __init__(self) -> None:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "supervisor.py")
        # -I: a file named json.py in the current directory must not be in the way
        self._process = subprocess.Popen(
            [sys.executable, "-I", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.descriptor = self._process.stdout.fileno()  # type: ignore[union-attr]
        self.busy: Draw | None = None
        self.lost = False
        self._heard = b""

    def take(self, request: Draw, command: CheckerCommand) -> None:
        self.busy = request
        job = {
            "argv": command.argv,
            "input": bytes(request.prefix).decode(),
            "seconds": command.seconds,
            "bytes": MOST_BYTES,
        }
        line = memoryview(json.dumps(job).encode() + b"\n")
        with suppress(BrokenPipeError):  # then hear() finds it lost
            while line:
                line = line[os.write(self._process.stdin.fileno(), line) :]  # type: ignore[union-attr]

    def hear(self) -> Json | None:
        """What it answers, or None while that is not whole."""
        more = os.read(self.descriptor, 1 << 16)
        self._heard += more
        if not more:
            self.lost = True
            return {"error": "was lost: its keeper has ended"}
        if not self._heard.endswith(b"\n"):
            return None
        answer, self._heard = json.loads(self._heard), b""
        return answer

    def leave(self) -> None:
        """Ask it to go: it kills what it runs."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def close(self) -> None:
        self.leave()
        try:
            self._process.wait(LEAVING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]


def verdict(way: str, answer: Json) -> Json:
    """``x`` (1 right, 0 wrong, between them how right, or None) and ``why``, a text or None.

    By STATUS, exit status 0 is right, 1 wrong, and why is the last line that a program wrote that
    found something wrong. By JSON, the program prints one object with ``x`` and perhaps ``why``,
    and ends with status 0. Anything else, a signal, a time-out, is None: never wrong.
    """
    if "error" in answer:
        return {"x": None, "why": f"the checker {answer['error']}"}
    status = answer["status"]
    if status < 0:
        return {"x": None, "why": f"the checker was ended by signal {-status}"}
    last = _last_line(answer["out"]) or _last_line(answer["err"])
    if status > (way == STATUS):
        said = f": {_last_line(answer['err']) or last}" if last else ""
        return {"x": None, "why": _short(f"the checker ended with status {status}{said}")}
    if way == STATUS:
        return {"x": float(status == 0), "why": (_short(last) or None) if status else None}
    return _printed(answer["out"])


def _printed(out: str) -> Json:
    try:
        data = json.loads(out)
        x, why = data["x"], data.get("why")
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
    # JSON can name halves of a character, which no output can hold
    said = _short(why.encode("utf-8", "replace").decode()) if isinstance(why, str) else None
    return {"x": None if x is None else float(x), "why": said or None}


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 3] + "..."

"""A process that runs checkers one after another and leaves no process of theirs running.

It runs between a command and the programs of its user: it reads a job a line from standard input
and answers with a line. Each program runs in a session of its own, without a shell, and everything
in its process group is killed when it ends, when it takes too long or prints too much, and when
standard input is closed, which happens however the command ends. On Linux it also inherits and
kills processes that a program started in other sessions, and the program dies with it.

man step-score, CHECKERS, describes what a program gets of the job. The module is run by path and
imports nothing of stepkit.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any

from stepkit.schema import Json

PDEATHSIG, SUBREAPER = 1, 36  # prctl
SECRETS = ("STEPKIT_API_KEY", "OPENAI_API_KEY")
PLACES = re.compile(r"\{(step|prefix|json)\}(\.\w+)?")
CHUNK = 1 << 16
DRAINED = 1.0
"""Seconds in which the output of a killed program must arrive."""


_woken, _wake = os.pipe()


def work() -> None:
    """Answer jobs from standard input, a line each, until it is closed."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    os.set_blocking(_wake, False)
    signal.set_wakeup_fd(_wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    if _prctl is not None:
        _prctl(SUBREAPER, 1, 0, 0, 0)
    while line := _line():
        answer = json.dumps(_answer(json.loads(line))).encode() + b"\n"
        while answer:
            answer = answer[os.write(1, answer) :]


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, CHUNK)
        if not more:
            return b""
        line += more
    return line


def _answer(job: Json) -> Json:
    """How a program ended: its exit status (negative: the signal) and output, or why it was
    stopped."""
    folder = tempfile.mkdtemp(prefix="stepkit-")
    try:
        files = _files(folder, job["input"])
        argv = [_placed(argument, folder, files) for argument in job["argv"]]
        with open(files["json"], "rb") as stdin:
            return _run(argv, stdin, job["seconds"], job["bytes"])
    except OSError as error:
        return {"error": f"does not start: {error.strerror}"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _files(folder: str, question: str) -> dict[str, str]:
    """Files with the question as JSON, its step, and its prefix up to and with that step."""
    given = json.loads(question)
    texts = {"json": question, "step": given["step"], "prefix": given["prefix"] + given["step"]}
    for name, text in texts.items():
        _write(os.path.join(folder, name), text)
    return {name: os.path.join(folder, name) for name in texts}


def _write(path: str, text: str) -> None:
    with open(path, "wb") as file:
        file.write(text.encode("utf-8", "surrogatepass"))


def _placed(argument: str, folder: str, files: dict[str, str]) -> str:
    """The argument with paths of files in place of {step}, {prefix} and {json}; a suffix after
    it, as in {step}.lean, becomes the suffix of the file."""

    def path(match: re.Match[str]) -> str:
        name, suffix = match[1], match[2] or ""
        if suffix:
            shutil.copyfile(files[name], files[name] + suffix)
        return files[name] + suffix

    return PLACES.sub(path, argument)


def _run(argv: list[str], stdin: Any, seconds: float, size: int) -> Json:
    process = subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_prepare,
        env={name: value for name, value in os.environ.items() if name not in SECRETS},
    )
    output: Json = {"out": b"", "err": b""}
    try:
        error = _read_output(process, output, time.monotonic() + seconds, size)
    finally:
        _kill(process)
    if error == "ended":
        raise SystemExit(0)
    _drain(process, output, size)
    for stream in (process.stdout, process.stderr):
        stream.close()  # type: ignore[union-attr]
    if not error and max(map(len, output.values())) > size:
        error = f"wrote more than {size} bytes"
    if error:
        return {"error": error}
    texts = {name: text.decode("utf-8", "replace") for name, text in output.items()}
    return {"status": process.returncode, **texts}


def _prepare() -> None:
    """Run in the new process before the program: it dies with its supervisor, and handles signals
    as usual."""
    if _prctl is not None:
        _prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)


def _read_output(process: Any, output: Json, end: float, size: int) -> str:
    """Read the output of the program until it ends: ""; else why it must be stopped."""
    streams = {process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
    poll = select.poll()
    for descriptor in (0, _woken, *streams):
        poll.register(descriptor, select.POLLIN)
    while process.poll() is None:
        left = end - time.monotonic()
        if left <= 0:
            return "took too long"
        for descriptor, _ in poll.poll(left * 1000):
            if descriptor == 0:
                return "ended"
            more = os.read(descriptor, CHUNK)
            if descriptor in streams:
                output[streams[descriptor]] += more
                if not more:
                    poll.unregister(descriptor)
        if max(map(len, output.values())) > size:
            return f"wrote more than {size} bytes"
    return ""


def _drain(process: Any, output: Json, size: int) -> None:
    """Read what is still in the pipes."""
    streams = {process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
    end = time.monotonic() + DRAINED
    while streams and time.monotonic() < end and max(map(len, output.values())) <= size:
        ready, _, _ = select.select(list(streams), [], [], DRAINED)
        for descriptor in ready:
            more = os.read(descriptor, CHUNK)
            output[streams[descriptor]] += more
            if not more:
                del streams[descriptor]


def _kill(process: Any) -> None:
    """Kill the program and all processes that it started, and wait for them."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while children := _children():
        for child in children:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)


def _children() -> list[int]:
    """Processes that this one has inherited; none where the system does not list them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _find_prctl() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "prctl", None)


_prctl = _find_prctl()

if __name__ == "__main__":
    work()

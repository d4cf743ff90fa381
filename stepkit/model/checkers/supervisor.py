"""A process that runs checkers one after another and sees to it that nothing of them stays behind.

It stands between a command and the programs of its user: it takes a job a line from standard input
and answers with a line. Each program runs in a session of its own, without a shell, and everything
in its process group is killed when it ends, when it takes too long or prints too much, and when
standard input is closed, which is what happens however the command ends. On Linux it also inherits
and kills what a program started in other sessions, and the program dies with it.

What a program sees of the job is said in man step-score, CHECKERS. The module is run by path and
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
"""Seconds in which what a killed program wrote has to arrive."""


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
    """How a program ended: its exit status (negative: the signal), what it wrote, or why it was
    stopped."""
    folder = tempfile.mkdtemp(prefix="stepkit-")
    try:
        files = _files(folder, job["input"])
        argv = [_placed(argument, folder, files) for argument in job["argv"]]
        with open(files["json"], "rb") as given:
            return _run(argv, given, job["seconds"], job["bytes"])
    except OSError as error:
        return {"error": f"does not start: {error.strerror}"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _files(folder: str, given: str) -> dict[str, str]:
    data = json.loads(given)
    texts = {"json": given, "step": data["step"], "prefix": data["prefix"] + data["step"]}
    for name, text in texts.items():
        _write(os.path.join(folder, name), text)
    return {name: os.path.join(folder, name) for name in texts}


def _write(path: str, text: str) -> None:
    with open(path, "wb") as file:
        file.write(text.encode("utf-8", "surrogatepass"))


def _placed(argument: str, folder: str, files: dict[str, str]) -> str:
    """The argument with paths of files in the place of {step}, {prefix} and {json}; a suffix
    behind it, as in {step}.lean, is the file's."""

    def path(match: re.Match[str]) -> str:
        name, suffix = match[1], match[2] or ""
        if suffix:
            shutil.copyfile(files[name], files[name] + suffix)
        return files[name] + suffix

    return PLACES.sub(path, argument)


def _run(argv: list[str], given: Any, seconds: float, size: int) -> Json:
    process = subprocess.Popen(
        argv,
        stdin=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_born,
        env={name: value for name, value in os.environ.items() if name not in SECRETS},
    )
    said: Json = {"out": b"", "err": b""}
    try:
        error = _listen(process, said, time.monotonic() + seconds, size)
    finally:
        _kill(process)
    if error == "ended":
        raise SystemExit(0)
    _drain(process, said, size)
    for stream in (process.stdout, process.stderr):
        stream.close()  # type: ignore[union-attr]
    if not error and max(map(len, said.values())) > size:
        error = f"wrote more than {size} bytes"
    if error:
        return {"error": error}
    texts = {name: text.decode("utf-8", "replace") for name, text in said.items()}
    return {"status": process.returncode, **texts}


def _born() -> None:
    """In the program, before it is one: it dies with its keeper, and signals are as usual."""
    if _prctl is not None:
        _prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)


def _listen(process: Any, said: Json, end: float, size: int) -> str:
    """Take in what the program writes until it ends: ""; else why it has to be stopped."""
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
                said[streams[descriptor]] += more
                if not more:
                    poll.unregister(descriptor)
        if max(map(len, said.values())) > size:
            return f"wrote more than {size} bytes"
    return ""


def _drain(process: Any, said: Json, size: int) -> None:
    """Take in what is still in the pipes."""
    streams = {process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
    end = time.monotonic() + DRAINED
    while streams and time.monotonic() < end and max(map(len, said.values())) <= size:
        ready, _, _ = select.select(list(streams), [], [], DRAINED)
        for descriptor in ready:
            more = os.read(descriptor, CHUNK)
            said[streams[descriptor]] += more
            if not more:
                del streams[descriptor]


def _kill(process: Any) -> None:
    """Kill the program and all that it started, and wait for them."""
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
    """What this process has inherited; nothing where the system does not tell."""
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

"""A command that runs a model says what it does, from the first second and all the time."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rollouts import BASE, POLICY, problems
from servers import Fake
from terminals import Shown, on_terminal
from work import Workdir, clean_environment

from stepkit.model.local.cpu_lock import CpuLock

PROBLEMS = "".join(f'{{"id":"p{n}","problem":"What is {n} + 2?","answer":"3"}}\n' for n in range(6))
ASKED = ("--prompt", "{problem} ", "--method", "sample", "-k", "4", "-o", "out.jsonl")


@pytest.fixture
def slow() -> Iterator[Fake]:
    """A server that takes a second for a draw."""
    with Fake(delay=1.0) as server:
        yield server


def at_best(run: Callable[[], Shown], good: Callable[[Shown], bool]) -> Shown:
    """A run that is good, of at most three: a busy machine may stop any of them for a second."""
    for _ in range(3):
        shown = run()
        if good(shown):
            return shown
    return shown


def started(work: Workdir) -> float:
    """Seconds that a command takes before it does anything."""
    begin = time.monotonic()
    work.run("step-rollout", "--version")
    return time.monotonic() - begin


def test_it_speaks_within_a_second_and_each_second(work: Workdir, slow: Fake) -> None:
    work.write("in.jsonl", PROBLEMS)
    args = ("in.jsonl", "--server", slow.url, "--concurrency", "8", *ASKED)

    def run() -> Shown:
        (work.path / "out.jsonl").unlink(missing_ok=True)
        return on_terminal(work, "step-rollout", *args)

    def prompt(shown: Shown) -> bool:
        first = shown.pieces[0][0] - started(work)
        return first < 1.0 and shown.longest_silence() < 1.0

    shown = at_best(run, prompt)
    assert (shown.status, prompt(shown)) == (0, True)
    counts = [int(n) for n in re.findall(r"(\d+) of 24 draws", shown.text)]
    assert counts == sorted(counts) and counts[0] == 0 and len(set(counts)) >= 3
    assert "(8 in flight)" in shown.text
    assert "left" in shown.text and "tokens/s" in shown.text


def test_inside_the_first_long_record(work: Workdir) -> None:
    work.write("in.jsonl", problems(1))
    args = ("in.jsonl", "-m", POLICY, "-t", 1, "-k", 32, "--max-tokens", 2000, "--method", "sample")
    more = ("--temperature", 3, "-o", "out.jsonl")

    def run() -> Shown:
        (work.path / "out.jsonl").unlink(missing_ok=True)
        (work.path / "out.jsonl.journal").unlink(missing_ok=True)
        return on_terminal(work, "step-rollout", *args, *more, columns=120)

    shown = at_best(run, lambda shown: shown.longest_silence() < 1.0)
    assert (shown.status, shown.longest_silence() < 1.0) == (0, True)
    speaks = r"(\d+) of 32 draws \(\d+ in flight\), \d+ tokens/s, [^\r]* left, 0 of 1 record"
    assert len(set(re.findall(speaks, shown.text))) >= 2
    assert "in flight" not in "".join(shown.screen())


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_line_is_never_longer_than_the_terminal(
    work: Workdir, slow: Fake, columns: int
) -> None:
    work.write("in.jsonl", PROBLEMS)
    args = ("in.jsonl", "--server", slow.url, *ASKED)
    shown = on_terminal(work, "step-rollout", *args, columns=columns)
    assert max(map(len, shown.lines)) < columns
    assert ("6 records" in shown.text) == (columns > 40)
    assert shown.screen() == [""]


def test_ctrl_c_leaves_nothing_of_it(work: Workdir, slow: Fake) -> None:
    work.write("in.jsonl", PROBLEMS)

    sent: list[None] = []

    def interrupt(process: Any, text: str) -> None:
        if "4 of 24" in text and not sent:
            sent.append(process.send_signal(signal.SIGINT))

    args = ("in.jsonl", "--server", slow.url, "--concurrency", 4, *ASKED)
    shown = on_terminal(work, "step-rollout", *args, meanwhile=interrupt)
    assert shown.status == -signal.SIGINT
    (kept, nothing) = shown.screen()
    assert kept.startswith("step-rollout: interrupted; ") and nothing == ""


def test_records_on_the_same_terminal_are_whole(work: Workdir, slow: Fake) -> None:
    work.write("in.jsonl", PROBLEMS)
    args = ("in.jsonl", "--server", slow.url, "--concurrency", 2, *ASKED[:-2])
    shown = on_terminal(work, "step-rollout", *args, "--limit", 2)
    assert "draws" in shown.text
    records = [line for line in shown.screen() if line]
    assert [line[:9] for line in records] == ['{"id":"p0'] * 4 + ['{"id":"p1'] * 4


def test_a_stream_says_so(work: Workdir, slow: Fake) -> None:
    reading, writing = os.pipe()
    os.write(writing, PROBLEMS.encode())

    def close(process: Any, text: str) -> None:
        nonlocal writing
        if writing >= 0 and "waiting for input" in text:
            os.close(writing)
            writing = -1

    args = ("--server", slow.url, *ASKED)
    shown = on_terminal(work, "step-rollout", *args, stdin=reading, meanwhile=close, columns=120)
    os.close(reading)
    assert shown.status == 0
    assert "records of a stream" in shown.text
    assert "waiting for input" in shown.text


def test_who_has_the_processor_is_named(work: Workdir) -> None:
    work.write("in.jsonl", problems(1))
    folder = work.path / "locks"
    folder.mkdir()
    lock = CpuLock(str(folder))
    held = lock.hold()
    held.__enter__()
    freed: list[str] = []

    def free(process: Any, text: str) -> None:
        if "waiting for" in text and not freed:
            held.__exit__(None, None, None)
            freed.append(text)

    environment = {"TERM": "xterm", "XDG_RUNTIME_DIR": str(folder)}
    shown = on_terminal(
        work,
        "step-rollout",
        *BASE,
        "in.jsonl",
        "-o",
        "out",
        environment=environment,
        meanwhile=free,
    )
    assert shown.status == 0 and freed
    assert re.search(rf"waiting for \S+ \(process {os.getpid()}\), \d s", shown.text)


def traces(count: int) -> str:
    """Traces that differ, because equal questions are asked once."""
    steps = [[f"{n} + 30 = {n + 30}.\n", f"Answer: {n + 30}"] for n in range(13, 13 + count)]
    records = [
        {"problem": "A sum.", "response": "".join(own), "steps": own, "id": own[1]} for own in steps
    ]
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("last", ["step-split", "waiting"])
def test_of_a_pipe_the_command_that_works_with_a_model_is_shown(
    work: Workdir, slow: Fake, last: str
) -> None:
    work.write("in.jsonl", PROBLEMS)
    if last == "waiting":
        last = f"step-score --server {slow.url} --prompt '{{problem}}'"
    draws = ["step-rollout", "--server", slow.url, "--concurrency", "6", *ASKED[:-2]]
    line = f"step-split in.jsonl | {shlex.join(draws)} | step-split | {last} > out.jsonl"
    shown = on_terminal(work, "step-pipe", line)
    assert re.search(r"step-rollout: \d+ of 24 draws \(6 in flight\)", shown.text), shown.text


@pytest.mark.parametrize("judge", [(), ("--judge", "critique", "-k", "2")])
def test_step_score_and_judges_too(work: Workdir, judge: tuple[str, ...]) -> None:
    work.write("in.jsonl", traces(3))
    with Fake(delay=1.2) as server:
        args = ("in.jsonl", "-o", "out", "--server", server.url, "--prompt", "{problem}", *judge)
        shown = on_terminal(work, "step-score", *args)
    assert shown.status == 0
    assert f"asking {server.url}" in shown.text
    assert "0 of 3 records" in shown.text
    assert ("0 draws (6 in flight)" in shown.text) == bool(judge)


def test_a_log_gets_a_line_each_half_minute_with_v(work: Workdir) -> None:
    work.write("in.jsonl", PROBLEMS)
    logging = """
import sys
from stepkit.runner import console
console.LOG_EVERY = 0.6
from stepkit.cli.rollout import main
main(sys.argv[1:])
"""
    with Fake(delay=1.0) as server:
        args = ["in.jsonl", "--server", server.url, "--concurrency", "8", *ASKED]
        for more, heard in (([], False), (["-v"], True)):
            done = subprocess.run(
                [sys.executable, "-c", logging, *args, *more],
                cwd=work.path,
                env=clean_environment(work.path),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0
            lines = [line for line in done.stderr.splitlines() if " of 24 draws (" in line]
            assert (len(lines) >= 2) == heard, done.stderr
            (work.path / "out.jsonl").unlink()

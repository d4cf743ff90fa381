"""Every system call of a run fails once, at each place in turn; nothing may be lost or torn.

Like SQLite's and curl's torture tests: the n-th call raises, for every n until a run gets through.
After each failure the target is as it was, what was delivered is whole lines in input order, and a
session that is resumed ends with the very bytes of an undisturbed run.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from stepkit.errors import FailedError, StepkitError
from stepkit.interrupts import Interrupted
from stepkit.io import jsonl
from stepkit.io.jsonl import Record
from stepkit.runner.run import StreamOptions, blocks, each, groups, session

pytestmark = pytest.mark.torture

CALLS = ("read", "write", "pwrite", "fsync", "replace", "ftruncate", "unlink")
COUNT = 40
LINES = [b'{"group":"g%d","problem":"%d"}\n' % (n // 2, n) for n in range(COUNT)]

Run = Callable[..., object]


def numbered(record: Record) -> list[Record]:
    record.set("n", record.index)
    return [record]


def run_blocks(path: Path, **more: Any) -> None:
    blocks(streams(path, **more), each(numbered))


def run_groups(path: Path, **more: Any) -> None:
    groups(streams(path, regroup=True, **more), lambda group: numbered(group[0]))


def run_session(path: Path, **more: Any) -> None:
    def work(source: Any, journal: Any) -> Generator[Any, None, None]:
        while not source.ended:
            # Two at a time, the second one first: the runner has to wait for the first.
            pair = [source.take(wait=True), source.take(wait=True)]
            for record in filter(None, reversed(pair)):
                key = record.data["problem"]
                if journal.get(key) is None:
                    journal.put(key, {"n": record.index})
                record.set("n", journal.get(key)["n"])
                yield record, [record]

    session(streams(path, window=3, **more), work, {"seed": 1})


def streams(path: Path, **more: Any) -> StreamOptions:
    return StreamOptions("torture", (str(path / "in"),), str(path / "out"), quiet=True, **more)


class FailAt:
    """Makes the n-th call of the watched functions raise, once."""

    def __init__(self, number: int, error: BaseException) -> None:
        self.left = number
        self.error = error
        self.hit = ""

    def install(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name)))

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self.left -= 1
            if not self.left:
                self.hit = name
                if name in ("write", "pwrite"):  # a short write first, as a full disk gives
                    real(args[0], bytes(args[1])[:7], *args[2:])
                raise self.error
            return real(*args, **more)

        return call


@pytest.fixture
def small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of a few lines, so that a run has many of them."""
    monkeypatch.setattr("stepkit.io.lines.READ", 200)
    monkeypatch.setattr("stepkit.io.regroup.MEMORY", 1000)


@pytest.mark.parametrize("run", [run_blocks, run_groups, run_session])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        Interrupted(signal.SIGINT),
    ],
    ids=["full", "broken", "interrupted"],
)
@pytest.mark.usefixtures("small_reads")
def test_no_failure_loses_or_tears_anything(tmp_path: Path, run: Run, error: BaseException) -> None:
    (tmp_path / "in").write_bytes(b"".join(LINES))
    run(tmp_path)
    whole = (tmp_path / "out").read_bytes()
    hits = set()
    for number in range(1, 1000):
        (tmp_path / "out").write_bytes(b"OLD\n")
        fault = FailAt(number, error)
        with pytest.MonkeyPatch.context() as patch:
            fault.install(patch, tmp_path)
            try:
                run(tmp_path)
            except (StepkitError, Interrupted, OSError) as raised:
                assert isinstance(raised, FailedError | Interrupted), (number, fault.hit, raised)
        if not fault.hit:
            break
        hits.add(fault.hit)
        check(tmp_path, whole, fault.hit)
        if run is run_session:
            run(tmp_path, resume=True)
            assert (tmp_path / "out").read_bytes() == whole, number
            assert not (tmp_path / "out.journal").exists()
    assert {"read", "write", "replace"} <= hits
    assert (tmp_path / "out").read_bytes() == whole


def check(path: Path, whole: bytes, hit: str) -> None:
    """After a failure: FILE is old or all new, FILE.part is a prefix of the new one."""
    assert (path / "out").read_bytes() in (b"OLD\n", whole), hit
    if (path / "out.part").exists():
        part = (path / "out.part").read_bytes()
        # A write that failed half-way may leave its last line torn; no other byte may differ.
        assert whole.startswith(part), hit
        if hit != "write":
            assert part.endswith(b"\n"), hit
        (path / "out.part").unlink()
    if (path / "out.journal").exists():
        for line in (path / "out.journal").read_bytes().splitlines():
            jsonl.decode(line)

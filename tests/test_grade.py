"""The grader: algebra in workers that can be killed, and never a wait that nobody asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepkit.errors import FailedError
from stepkit.grade import Grader, same_answer

TOWER = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(processes=1, timeout=3) as one:
        yield one


def test_verdicts_come_in_the_order_of_the_questions(grader: Grader) -> None:
    questions: list[tuple[str, str | None]] = [
        ("1/2", "0.5"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("x+1", "x-1"),
        ("5", None),
        ("5", " "),
        ("2 + 3 = 5\n#### 5", "5"),
        (r"\{1,2\}", "2, 1"),
        ("5", r"\frac{1}{"),
    ]
    assert grader.grade(questions) == [1.0, 1.0, 0.0, None, None, 1.0, 1.0, None]


def test_a_reference_that_cannot_be_parsed_makes_nobody_wrong(grader: Grader) -> None:
    before = grader.undecided.total()
    assert grader.grade([(r"\foo", "3"), ("", "3"), (r"\foo", r"\foo")]) == [None, None, 1.0]
    assert grader.undecided.total() == before + 2
    assert "a formula that cannot be read (" in grader.note()


def test_a_tower_of_powers_is_given_up_and_the_next_question_is_answered() -> None:
    with Grader(processes=1, timeout=0.5) as grader:
        grader.submit("tower", "2", TOWER)
        grader.submit("again", "2", TOWER)
        grader.submit("next", "x+1", "1+x")
        begin = time.monotonic()
        assert grader.collect() == []
        assert time.monotonic() - begin < 0.2
        found: dict[object, float | None] = {}
        while grader.pending:
            found.update(grader.collect(wait=True))
        assert found == {"tower": None, "again": None, "next": 1.0}
        assert grader.undecided["the grader gave up after 0.5 s"] == 2
        assert "gave up after 0.5 s" in grader.note()


def test_close_does_not_wait_for_a_busy_worker() -> None:
    grader = Grader(processes=1, timeout=30)
    grader.submit(0, "2", TOWER)
    time.sleep(1.5)
    begin = time.monotonic()
    grader.close()
    grader.close()
    assert time.monotonic() - begin < 1


def test_nothing_is_started_where_nothing_needs_it() -> None:
    grader = Grader()
    assert grader.grade([("1", "2"), ("1", "1.0")]) == [0.0, 1.0]
    assert grader.collect(wait=True) == []
    assert not grader._clerks


def test_a_worker_that_cannot_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/cat")
    with Grader() as grader, pytest.raises(FailedError, match="math-verify does not start"):
        grader.grade([("x+1", "1+x")])


def test_modules_of_the_current_directory_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    with Grader() as grader:
        assert grader.grade([("x+1", "1+x")]) == [1.0]


def test_same_answer_is_symmetric_and_undecided_is_not_the_same() -> None:
    for a, b, same in [
        ("2x", "x+x", True),
        ("1<x<2", "[1,2]", False),
        ("1<x<2", "(1,2)", True),
        ("3", "3.0", True),
    ]:
        assert same_answer(a, b) is same
        assert same_answer(b, a) is same


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.parametrize("final", ["3x", TOWER])
def test_workers_end_with_a_killed_parent_and_ignore_ctrl_c(final: str) -> None:
    code = f"""
import time
from stepkit.grade import Grader
grader = Grader(timeout=2)
print(grader.grade([("x+1", "1+x")]), flush=True)
grader.submit(0, "2", {final!r})
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"[1.0]\n"
    children = _children(parent.pid)
    assert len(children) == 1
    os.kill(children[0], signal.SIGINT)
    time.sleep(0.3)
    assert _alive(children[0])
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 20
    while _alive(children[0]) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _alive(children[0])


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

"""The journal: interrupted and resumed is the same as uninterrupted, at whatever moment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from work import Workdir, argv, clean_environment

from stepkit.errors import UsageError
from stepkit.io.journal import Journal
from stepkit.io.journal_format import COPIES

COUNT = 12


def problems(count: int = COUNT) -> str:
    return "".join(f'{{"id":"p{n}","problem":"x{n}"}}\n' for n in range(count))


def interrupted(work: Workdir, *args: str, signum: int = signal.SIGKILL, after: int = 5) -> None:
    """Start a session and stop it when its journal holds ``after`` draws."""
    process = work.start("session", "in.jsonl", "-o", "a", "--pause", "0.01", *args)
    journal = work.path / "a.journal"
    deadline = time.monotonic() + 10
    while not journal.exists() or journal.read_bytes().count(b"\n") < after + COPIES:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    process.send_signal(signum)
    process.communicate()
    assert process.returncode == -signum


@pytest.fixture
def whole(work: Workdir) -> bytes:
    """What an uninterrupted run writes."""
    work.write("in.jsonl", problems())
    assert work.run("session", "in.jsonl", "-o", "whole").status == 0
    return work.read("whole")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after", [1, 7, 20])
def test_resumed_equals_uninterrupted(work: Workdir, whole: bytes, signum: int, after: int) -> None:
    interrupted(work, signum=signum, after=after)
    done = work.run("session", "in.jsonl", "-o", "a", "--resume", "-v", "--slots", "9")
    assert (done.status, work.read("a")) == (0, whole)
    assert "resuming with" in done.err
    made = int(done.err.split(" draws made")[0].split()[-1])
    assert made <= 3 * COUNT - after
    assert work.names() == ["a", "in.jsonl", "whole"]


def test_a_second_run_beside_a_living_one_is_told_so(work: Workdir) -> None:
    work.write("in.jsonl", problems())
    process = work.start("session", "in.jsonl", "-o", "a", "--pause", "0.05")
    journal = work.path / "a.journal"
    deadline = time.monotonic() + 10
    while not journal.exists() or journal.read_bytes().count(b"\n") <= 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    for more in ((), ("--resume",)):
        done = work.run("session", "in.jsonl", "-o", "a", *more)
        assert done.status == 2 and "another run is writing it" in done.err
    process.communicate()
    assert process.returncode == 0 and work.names() == ["a", "in.jsonl"]


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_drawn_again(work: Workdir, whole: bytes, cut: int) -> None:
    interrupted(work)
    journal = work.path / "a.journal"
    os.truncate(journal, journal.stat().st_size - cut)
    done = work.run("session", "in.jsonl", "-o", "a", "--resume")
    assert (done.status, work.read("a")) == (0, whole)


def test_any_beginning_of_a_journal_resumes(work: Workdir, whole: bytes) -> None:
    interrupted(work, after=2)
    journal = work.read("a.journal")
    for size in range(0, len(journal), 7):
        work.write("a.journal", journal[:size])
        done = work.run("session", "in.jsonl", "-o", "a", "--resume")
        assert (done.status, work.read("a")) == (0, whole), size


def test_resumed_twice(work: Workdir, whole: bytes) -> None:
    interrupted(work, after=4)
    interrupted(work, "--resume", after=9)
    assert work.run("session", "in.jsonl", "-o", "a", "--resume").status == 0
    assert work.read("a") == whole


def test_hours_are_never_overwritten(work: Workdir, whole: bytes) -> None:
    interrupted(work)
    before = work.read("a.journal")
    done = work.run("session", "in.jsonl", "-o", "a")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "a.journal" in done.err and "--resume" in done.err
    done = work.run("session", "in.jsonl", "-o", "a", "--resume", "--seed", "2")
    assert (done.status, done.err) == (
        2,
        "tool-session: --resume: seed: 1 in a.journal, 2 now\n",
    )
    assert work.read("a.journal") == before
    # What decides no bytes may differ.
    done = work.run("session", "in.jsonl", "-o", "a", "--resume", "-q", "--window", "2")
    assert (done.status, done.err, work.read("a")) == (0, "", whole)


def test_a_journal_without_a_finished_draw_loses_nothing(work: Workdir, whole: bytes) -> None:
    work.write("a.journal", '{"stepkit-journal":1,"deciding":{"seed":7}}\n')
    assert work.run("session", "in.jsonl", "-o", "a").status == 0
    assert work.read("a") == whole


def test_resume_without_a_journal_starts_fresh(work: Workdir, whole: bytes) -> None:
    done = work.run("session", "in.jsonl", "-o", "a", "--resume")
    assert (done.status, done.err, work.read("a")) == (0, "", whole)


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["--resume"], "--resume needs the journal of -o FILE or --journal FILE"),
        (["--resume", "-o", "-"], "--resume needs the journal"),
        (["-o", "a", "--journal", "a"], "--journal a: is also the output"),
        (["-o", "a", "--journal", "in.jsonl"], "in.jsonl: "),
    ],
)
def test_usage(work: Workdir, args: list[str], what: str) -> None:
    work.write("in.jsonl", problems())
    done = work.run("session", "in.jsonl", *args)
    assert (done.status, done.out, done.err.count("\n")) == (2, b"", 1)
    assert done.err.startswith(f"tool-session: {what}")
    assert work.read("in.jsonl").decode() == problems()
    assert work.names() == ["in.jsonl"]


def test_what_is_no_journal_is_left_alone(work: Workdir) -> None:
    work.write("in.jsonl", problems(1))
    for content in (b"hello", b"{}\n", b"\x00" * 50, b'{"k":"a","v":1}'):
        work.write("precious", content)
        done = work.run("session", "in.jsonl", "--journal", "precious", "--resume")
        assert (done.status, work.read("precious")) == (2, content)
        assert "is not a stepkit journal" in done.err


def test_a_file_of_the_users_is_never_called_an_old_journal(work: Workdir) -> None:
    """Else the advice would be to remove it."""
    work.write("in.jsonl", problems(3))
    done = work.run("session", "in.jsonl", "-o", "a", "--journal", "in.jsonl")
    message = "tool-session: in.jsonl: is not a stepkit journal; left as it is\n"
    assert (done.status, done.err) == (2, message)
    assert work.read("in.jsonl").decode() == problems(3)


def test_a_journal_for_a_pipe(work: Workdir, whole: bytes) -> None:
    args = ["in.jsonl", "--journal", "j", "--pause", "0.01"]
    process = work.start("session", *args)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    done = work.run("session", *args, "--resume")
    assert (done.status, done.out) == (0, whole)
    assert work.names() == ["in.jsonl", "whole"]


def test_a_journal_through_a_link(work: Workdir, whole: bytes) -> None:
    (work.path / "sub").mkdir()
    os.symlink("sub/real", work.path / "link")
    process = work.start("session", "in.jsonl", "-o", "link", "--pause", "30")
    wait = time.monotonic() + 10
    while not (work.path / "sub" / "real.journal").exists() and time.monotonic() < wait:
        time.sleep(0.01)
    process.terminate()
    process.communicate()
    assert work.run("session", "in.jsonl", "-o", "link").status == 0
    assert (work.path / "sub" / "real").read_bytes() == whole


def test_a_second_writer_is_refused(work: Workdir) -> None:
    work.write("in.jsonl", problems())
    first = work.start("session", "-o", "a", "in.jsonl", "--pause", "0.05")
    wait = time.monotonic() + 10
    while not (work.path / "a.journal").exists() and time.monotonic() < wait:
        time.sleep(0.01)
    for args in (["--resume"], []):
        second = work.run("session", "-o", "a", "in.jsonl", *args)
        assert second.status == 2
    first.communicate()
    assert first.returncode == 0
    assert len(work.read("a").splitlines()) == COUNT


def test_a_failed_record_keeps_the_journal(work: Workdir, whole: bytes) -> None:
    lines = problems().splitlines()
    work.write("in.jsonl", "\n".join([*lines[:9], '{"poison":true}', *lines[10:]]) + "\n")
    assert work.run("session", "in.jsonl", "-o", "a").status == 3
    work.write("in.jsonl", problems())
    done = work.run("session", "in.jsonl", "-o", "a", "--resume")
    assert (done.status, work.read("a")) == (0, whole)


def test_a_pipe_that_closes_keeps_the_journal(work: Workdir) -> None:
    work.write("in.jsonl", problems())
    process = work.start("session", "in.jsonl", "--journal", "j", "--pause", "0.01")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.wait(10)
    assert process.returncode == -signal.SIGPIPE
    assert len(work.read("j").splitlines()) > 3


def test_values_come_back_as_they_were_put(tmp_path: Path) -> None:
    path = str(tmp_path / "j")
    values = {"a": {"text": "é\u2028\n", "n": [1, None, 0.1]}, "b": 2**62, "c": ["x" * 100_000]}
    first = Journal(path, {"seed": 1, "model": {"name": "m"}}, resume=False)
    for key, value in values.items():
        first.put(key, value)
        assert first.get(key) == value
    assert first.get("d") is None
    first.close()
    first.close()
    with pytest.raises(UsageError, match=r"model: .*\"name\":\"m\""):
        Journal(path, {"seed": 1, "model": {"name": "n"}}, resume=True)
    second = Journal(path, {"model": {"name": "m"}, "seed": 1}, resume=True)
    assert second.count == 3
    assert {key: second.get(key) for key in values} == values
    second.put("a", "newer")
    assert second.get("a") == "newer"
    second.finish()
    assert not Path(path).exists()


def test_a_damaged_line_in_the_middle_is_named_and_forgotten(tmp_path: Path) -> None:
    path, said = tmp_path / "j", list[str]()
    first = Journal(str(path), {}, resume=False)
    for key in "abc":
        first.put(key, key)
    first.close()
    path.write_bytes(path.read_bytes().replace(b'{"k":"b"', b'{"k"\x00"b"'))
    second = Journal(str(path), {}, resume=True, warn=said.append)
    assert [second.get(key) for key in "abc"] == ["a", None, "c"]
    assert said == [f"{path}: line 4 is damaged or cut off; what is lost is made again"]
    second.put("b", "b")
    second.close()
    third = Journal(str(path), {}, resume=True)
    assert [third.get(key) for key in "abc"] == ["a", "b", "c"]


def test_a_line_that_is_damaged_during_the_run_is_named_and_forgotten(tmp_path: Path) -> None:
    path, said = tmp_path / "j", list[str]()
    journal = Journal(str(path), {}, resume=False, warn=said.append)
    for key in range(30):
        journal.put(str(key), {"n": key})
    path.write_bytes(path.read_bytes().replace(b'"n":7}', b'"n":8}'))
    assert [key for key in range(30) if journal.get(str(key)) != {"n": key}] == [7]
    assert said == [f"{path}:10: is damaged, or of an older stepkit; made again"]
    path.write_bytes(path.read_bytes().replace(b'"n":2', b'"n":3'))
    lost = [key for key in range(30) if key != 7 and journal.get(str(key)) is None]
    assert lost == [2, *range(20, 30)]
    journal.report()
    assert len(said) == 11 and said[-2:] == [
        f"{path}:{20 + 10}: is damaged, or of an older stepkit; made again",
        "12 stored results were damaged and made again",
    ]


def test_a_full_disk_does_not_tear_the_journal(work: Workdir) -> None:
    work.write("in.jsonl", problems())
    args = ["in.jsonl", "-k", "30"]
    whole = work.run("session", *args).out
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "-", *argv("session")]
    done = subprocess.run(
        [*limited, *args, "-o", "a"],
        cwd=work.path,
        env=clean_environment(work.path),
        capture_output=True,
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1), done.stderr
    assert b"a.journal: file too large" in done.stderr
    assert work.read("a.journal").endswith(b"\n")
    resumed = work.run("session", *args, "-o", "a", "--resume")
    assert (resumed.status, work.read("a")) == (0, whole)

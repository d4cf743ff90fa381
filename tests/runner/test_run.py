"""The runner, through three tiny commands of its three shapes (tests/fixtures/tool.py)."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from work import Workdir, argv, clean_environment, read_available

SHAPES = ["blocks", "groups", "session"]
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def problems(count: int, first: int = 1) -> str:
    """Records, each a group of its own, with a number that no parser keeps."""
    return "".join(
        f'{{"id":"p{n}","problem":"x{n}", "big":18446744073709551617,"p":1.10}}\n'
        for n in range(first, first + count)
    )


def ids(out: bytes) -> list[str]:
    return [json.loads(line)["id"] for line in out.splitlines()]


@pytest.mark.parametrize("shape", SHAPES)
def test_other_fields_and_the_order_stay(work: Workdir, shape: str) -> None:
    done = work.run(shape, input=problems(30))
    assert (done.status, done.err) == (0, "")
    assert ids(done.out) == [f"p{n}" for n in range(1, 31)]
    assert done.out.count(b' "big":18446744073709551617,"p":1.10,') == 30


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_but_legal_lines_are_read(work: Workdir, shape: str) -> None:
    odd = b'\xef\xbb\xbf{"id":"a","problem":"1"}\r\n\n \t\r\n{"id":"b","problem":"\xe2\x80\xa8"}'
    done = work.run(shape, input=odd)
    assert (done.status, done.err, len(done.lines)) == (0, "", 2)
    assert b"\xe2\x80\xa8" in done.lines[1]
    assert b"\r" not in done.out
    empty = work.run(shape, input=b"")
    assert (empty.status, empty.out, empty.err) == (0, b"", "")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bad_line_is_named_and_earlier_records_are_delivered(work: Workdir, shape: str) -> None:
    work.write("b.jsonl", problems(2) + '\n{"id":"p3","problem":"x"}\n{bad\n' + problems(1, 9))
    done = work.run(shape, "b.jsonl")
    assert done.status == 3
    assert done.err == f"tool-{shape}: b.jsonl:5:2: not JSON: " + (
        "unexpected character, expected a string key\n"
    )
    # Whether the last group is complete, nobody knows.
    assert ids(done.out) == ["p1", "p2", "p3"][: 2 if shape == "groups" else 3]


def test_a_bad_field_is_named(work: Workdir) -> None:
    done = work.run("blocks", input='{"problem":1}\n')
    assert (done.status, done.err) == (
        3,
        'tool-blocks: <stdin>:1: field "problem": expected a string\n',
    )


def test_bytes_that_are_not_utf8_have_the_right_column(work: Workdir) -> None:
    done = work.run("blocks", input=b'{"a":"x\xff"}\n')
    assert done.err == "tool-blocks: <stdin>:1:8: not UTF-8: byte 0xff\n"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_newer_schema_is_refused_by_name(work: Workdir, shape: str) -> None:
    done = work.run(shape, input='{"problem":"x","stepkit":2}\n')
    assert done.status == 3
    assert 'field "stepkit": schema version 2 is newer' in done.err


@pytest.mark.parametrize("shape", SHAPES)
def test_rejects(work: Workdir, shape: str) -> None:
    bad = b'{"a":"\xff"}\n{bad\n[1]\n'
    text = problems(2).encode() + bad + problems(2, 3).encode()
    work.write("in.jsonl", text)
    done = work.run(shape, "in.jsonl", "--rejects", "r.jsonl")
    assert (done.status, ids(done.out)) == (1, ["p1", "p2", "p3", "p4"])
    assert done.err == f"tool-{shape}: 3 of 7 records rejected (see r.jsonl)\n"
    rows = [json.loads(line) for line in work.read("r.jsonl").splitlines()]
    assert [row["line"] for row in rows] == [3, 4, 5]
    assert [row.get("raw") for row in rows] == [None, "{bad", "[1]"]
    assert rows[0]["raw_base64"] == "eyJhIjoi/yJ9"
    assert rows[1]["file"] == "in.jsonl"
    skipped = work.run(shape, "--on-error", "skip", "-v", "in.jsonl")
    assert (skipped.status, skipped.out) == (1, done.out)
    assert "in.jsonl:4:2: not JSON" in skipped.err and "3 of 7 records skipped" in skipped.err
    quiet = work.run(shape, "--on-error", "skip", "-q", "in.jsonl")
    assert (quiet.status, quiet.err) == (1, "")


def test_many_bad_lines_do_not_fill_a_sessions_window(work: Workdir) -> None:
    text = "{bad\n" * 200 + problems(3) + "{bad\n" * 200
    done = work.run("session", "--on-error", "skip", "--window", "2", input=text)
    assert (done.status, ids(done.out)) == (1, ["p1", "p2", "p3"])


def test_rejects_of_a_file_whose_name_is_not_utf8(work: Workdir) -> None:
    name = "bad\udcff.jsonl"
    (work.path / name).write_bytes(b"x\n")
    done = work.run("blocks", name, "--rejects", "r.jsonl")
    assert done.status == 1 and json.loads(work.read("r.jsonl"))["file"] == "bad\ufffd.jsonl"


@pytest.mark.parametrize("shape", ["groups", "session"])
def test_a_record_that_the_command_rejects(work: Workdir, shape: str) -> None:
    lines = problems(9).splitlines()
    lines[4] = '{"id":"p5","problem":"x5","poison":true}'
    text = "\n".join(lines) + "\n"
    done = work.run(shape, input=text)
    assert (done.status, ids(done.out)) == (3, ["p1", "p2", "p3", "p4"])
    assert done.err == f'tool-{shape}: <stdin>:5: field "poison": is poisoned\n'
    done = work.run(shape, "--rejects", "r", input=text)
    assert (done.status, ids(done.out)) == (1, [f"p{n}" for n in (1, 2, 3, 4, 6, 7, 8, 9)])
    assert json.loads(work.read("r"))["raw"] == lines[4]


def test_nan_is_an_error_of_the_record(work: Workdir) -> None:
    done = work.run("blocks", "--nan", input=problems(1))
    assert (done.status, done.out) == (3, b"")
    assert 'field "length": nan is not a JSON number' in done.err


@pytest.mark.parametrize("shape", SHAPES)
def test_o_writes_all_or_nothing(work: Workdir, shape: str) -> None:
    work.write("o", "OLD\n")
    os.chmod(work.path / "o", 0o640)
    work.write("bad.jsonl", problems(3) + "{bad\n")
    done = work.run(shape, "bad.jsonl", "-o", "o")
    assert (done.status, work.read("o")) == (3, b"OLD\n")
    assert ids(work.read("o.part")) == ["p1", "p2", "p3"][: 2 if shape == "groups" else 3]
    # A session's journal outlives the failure: hours are never lost.
    assert work.names() == ["bad.jsonl", "o"] + (["o.journal"] if shape == "session" else []) + [
        "o.part"
    ]
    done = work.run(
        shape, "-o", "o", *(["--resume", "-q"] if shape == "session" else []), input=problems(3)
    )
    assert (done.status, done.out, ids(work.read("o"))) == (0, b"", ["p1", "p2", "p3"])
    assert work.names() == ["bad.jsonl", "o"]
    assert stat.S_IMODE((work.path / "o").stat().st_mode) == 0o640


def test_o_through_a_link_keeps_the_link(work: Workdir) -> None:
    work.write("real", "OLD\n")
    os.symlink("real", work.path / "link")
    assert work.run("blocks", "-o", "link", input=problems(1)).status == 0
    assert (work.path / "link").is_symlink()
    assert ids(work.read("real")) == ["p1"]


def test_o_to_a_device_is_not_renamed_over(work: Workdir) -> None:
    assert work.run("blocks", "-o", "/dev/null", input=problems(1)).status == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert ids(work.run("blocks", "-o", "/dev/stdout", input=problems(1)).out) == ["p1"]
    os.mkfifo(work.path / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], cwd=work.path, stdout=subprocess.PIPE)
    assert work.run("blocks", "-o", "pipe", input=problems(1)).status == 0
    assert ids(reader.communicate(timeout=10)[0]) == ["p1"]


def test_an_interrupted_run_before_its_first_record_leaves_nothing(work: Workdir) -> None:
    assert work.run("blocks", "-o", "o", input="{bad\n").status == 3
    assert work.names() == []


def test_output_that_is_an_input_is_refused(work: Workdir) -> None:
    work.write("s.jsonl", problems(2))
    os.symlink("s.jsonl", work.path / "link")
    os.link(work.path / "s.jsonl", work.path / "hard")
    for target in ("s.jsonl", "link", "hard", "./s.jsonl"):
        done = work.run("blocks", "s.jsonl", "-o", target)
        assert (done.status, done.out) == (2, b"")
        assert "is also an input" in done.err
    for name in ("link", "hard"):
        done = work.run("blocks", "s.jsonl", "--rejects", name)
        assert done.status == 2
    with (work.path / "s.jsonl").open("ab") as both:
        done = work.run("blocks", "s.jsonl", stdout=both)
    assert done.status == 2
    with (work.path / "s.jsonl").open("rb") as stdin:
        done = work.run("blocks", "-o", "s.jsonl", input=None, stdin=stdin)
    assert done.status == 2
    work.write("t.part", problems(1))
    assert work.run("blocks", "t.part", "-o", "t").status == 2
    assert work.read("s.jsonl").decode() == problems(2)
    assert work.read("t.part").decode() == problems(1)


def test_two_writers_of_one_file(work: Workdir) -> None:
    first = work.start("blocks", "-o", "o", stdin=subprocess.PIPE)
    assert first.stdin is not None
    first.stdin.write(problems(1).encode())
    first.stdin.flush()
    wait_for(lambda: (work.path / "o.part").exists())
    second = work.run("blocks", "-o", "o", input=problems(2))
    assert second.status == 2
    assert "another run is writing it" in second.err
    first.communicate()
    assert ids(work.read("o")) == ["p1"]


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["missing.jsonl"], "missing.jsonl: no such file or directory"),
        (["in.jsonl", "missing.jsonl"], "missing.jsonl: no such file or directory"),
        (["."], ".: is a directory"),
        (["-", "-"], "standard input (-) can be read only once"),
        (["in.jsonl", "-o", "no/o"], "no/o.part: no such file or directory"),
        (["in.jsonl", "-o", "."], ".: is a directory"),
        (["in.jsonl", "-o", "o.zst"], "o.zst: cannot write zstd; write .gz, or pipe into zstd"),
        (["--nope"], "no such option '--nope' (see tool-blocks --help)"),
        (["--limit", "x"], "invalid value for '--limit': 'x' is not a valid integer range"),
        (["--limit", "0"], "invalid value for '--limit': 0 is not in the range x>=1"),
        (["--shard", "0/3"], "invalid value for '--shard': expected I/N with I from 1 to N"),
        (["--on-error", "reject"], "--on-error reject needs --rejects FILE"),
        (["--on-error", "skip", "--rejects", "r"], "--rejects has no effect with --on-error skip"),
        (["--rejects", "-"], "--rejects -: standard output is for records; name a file"),
        (["-o", "r", "--rejects", "r"], "r: is also the output"),
        (["-q", "-v"], "--quiet and --verbose exclude each other"),
    ],
)
def test_usage_errors_touch_nothing(work: Workdir, args: list[str], what: str) -> None:
    work.write("in.jsonl", problems(1))
    done = work.run("blocks", *args, input=problems(1))
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"tool-blocks: {what}") and done.err.count("\n") == 1
    assert work.names() == ["in.jsonl"]


def test_files_are_one_stream_and_dash_is_standard_input(work: Workdir) -> None:
    work.write("a", problems(1))
    work.write("b", problems(1, 2).rstrip("\n"))
    done = work.run("blocks", "b", "-", "a", "-o", "-", input=problems(1, 3))
    assert ids(done.out) == ["p2", "p3", "p1"]
    assert ids(work.run("blocks", "--limit", "2", "b", "a", "b").out) == ["p2", "p1"]


def test_standard_input_is_left_alone_when_files_are_given(work: Workdir) -> None:
    work.write("a", problems(1))
    command = " ".join(argv("blocks"))
    done = subprocess.run(
        f"echo keep | ({command} a >/dev/null; cat)",
        shell=True,
        cwd=work.path,
        capture_output=True,
        env=clean_environment(work.path),
    )
    assert done.stdout == b"keep\n"


def test_closed_standard_descriptors(work: Workdir) -> None:
    command = " ".join(argv("blocks"))

    def shell(text: str) -> subprocess.CompletedProcess[bytes]:
        environment = clean_environment(work.path)
        return subprocess.run(text, shell=True, cwd=work.path, capture_output=True, env=environment)

    work.write("a", problems(2))
    done = shell(f"{command} <&-")
    assert (done.returncode, done.stderr) == (
        4,
        b"tool-blocks: <stdin>: standard input is closed\n",
    )
    done = shell(f"{command} a >&-")
    assert (done.returncode, done.stderr) == (4, b"tool-blocks: standard output is closed\n")
    assert shell(f"{command} a -o o <&- >&-").returncode == 0
    assert ids(work.read("o")) == ["p1", "p2"]
    assert shell(f"{command} missing 2>&-").returncode == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_a_terminal_and_no_file_is_a_usage_error(work: Workdir, shape: str) -> None:
    ours, theirs = pty.openpty()
    done = work.run(shape, input=None, stdin=theirs, timeout=10)
    os.close(ours)
    os.close(theirs)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"Usage: tool-{shape} [OPTIONS] [FILE]...")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 20000])
def test_a_reader_that_closes_early_is_sigpipe(work: Workdir, shape: str, count: int) -> None:
    if shape == "session":
        count = min(count, 2000)
    work.write("in.jsonl", problems(count))
    ours, theirs = os.pipe()
    process = work.start(shape, "in.jsonl", stdout=theirs)
    os.close(theirs)
    if count > 1:
        os.read(ours, 10)
    os.close(ours)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-signal.SIGPIPE, b"")


@FULL
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2000])
def test_a_full_disk_is_one_line(work: Workdir, shape: str, count: int) -> None:
    with open("/dev/full", "wb") as full:
        done = work.run(shape, input=problems(count), stdout=full)
    assert (done.status, done.err) == (
        4,
        f"tool-{shape}: standard output: no space left on device\n",
    )
    with open("/dev/full", "wb") as full:
        done = work.run(shape, "--help", stdout=full)
    assert (done.status, done.err.count("\n")) == (4, 1)
    done = work.run(shape, "-o", "/dev/full", input=problems(count))
    assert (done.status, done.err.count("\n")) == (4, 1)
    done = work.run(shape, "--rejects", "/dev/full", input="{bad\n" * count)
    assert (done.status, done.err.count("\n")) == (4, 1)


def test_a_bug_is_one_line_and_its_own_status(work: Workdir) -> None:
    done = work.run("blocks", "--crash", input=problems(1))
    assert (done.status, done.out) == (70, b"")
    assert done.err == (
        "tool-blocks: internal error: KeyError: 'a bug' (STEPKIT_TRACEBACK=1 shows where)\n"
    )
    done = work.run("blocks", "--crash", input="{}\n", environment={"STEPKIT_TRACEBACK": "1"})
    assert "Traceback" in done.err


def test_control_characters_of_the_data_do_not_reach_the_terminal(work: Workdir) -> None:
    name = "a\x1b[31m\n.jsonl"
    work.write(name, "{bad\n")
    done = work.run("blocks", name)
    assert done.err.startswith("tool-blocks: a\\x1b[31m\\n.jsonl:1:2: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_run_as_themselves(work: Workdir, shape: str, signum: int) -> None:
    process = work.start(shape, "-o", "o", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(problems(5).encode())
    process.stdin.flush()
    count = 4 if shape == "groups" else 5
    wait_for(lambda: (work.path / "o.part").exists() and lines_of(work, "o.part") == count)
    process.send_signal(signum)
    err = process.communicate(timeout=5)[1].decode()
    assert process.returncode == -signum
    assert err.startswith(f"tool-{shape}: interrupted; {count} records are in ")
    assert ("go on with --resume" in err) == (shape == "session")
    assert err.count("\n") == 1
    assert not (work.path / "o").exists()
    assert len(ids(work.read("o.part"))) == count


def test_two_signals_at_once_are_one(work: Workdir) -> None:
    process = work.start("session", "-o", "o", "--pause", "0.02", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(problems(5).encode())
    process.stdin.flush()
    wait_for(lambda: lines_of(work, "o.part") > 1)
    process.send_signal(signal.SIGINT)  # as timeout(1) does: the child, then its group
    process.send_signal(signal.SIGINT)
    assert b"interrupted" in process.communicate(timeout=5)[1]
    assert process.returncode == -signal.SIGINT


def test_an_ignored_signal_stays_ignored(work: Workdir) -> None:
    process = subprocess.Popen(
        argv("blocks"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(work.path),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(problems(1).encode())
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    assert ids(process.communicate(problems(1, 2).encode(), timeout=5)[0]) == ["p2"]
    assert process.returncode == 0


def test_ctrl_c_stops_a_shell_loop(work: Workdir) -> None:
    loop = f"for i in 1 2 3; do echo $i >&2; {' '.join(argv('blocks'))}; done"
    process = subprocess.Popen(
        ["bash", "-c", loop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(work.path),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(problems(1).encode())
    process.stdin.flush()
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=10)[1] == b"1\n"
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_is_answered_while_the_producer_waits(work: Workdir, shape: str) -> None:
    process = work.start(shape, stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    count = 2 if shape == "groups" else 1  # a group is complete when the next begins
    process.stdin.write(problems(count).encode())
    process.stdin.flush()
    assert ids(read_available(process.stdout, 10)) == ["p1"]
    process.stdin.close()
    process.wait(10)


@pytest.mark.parametrize("window", [1, 3])
def test_a_session_reads_no_further_than_its_window(work: Workdir, window: int) -> None:
    process = work.start("session", "--window", str(window), "--pause", "30", stdin=subprocess.PIPE)
    assert process.stdin is not None
    taken = 0
    line = b'{"id":"a","problem":"' + b"x" * 200_000 + b'"}\n'
    os.set_blocking(process.stdin.fileno(), False)
    deadline = time.monotonic() + 3
    rest = line
    while time.monotonic() < deadline:
        try:
            rest = rest[os.write(process.stdin.fileno(), rest) :]
        except BlockingIOError:
            time.sleep(0.02)
        if not rest:
            taken, rest = taken + 1, line
    process.kill()
    process.communicate()
    assert window <= taken <= window + 2


@pytest.mark.parametrize("slots", ["1", "7"])
@pytest.mark.parametrize("window", ["1", "4", "64"])
def test_a_sessions_bytes_depend_on_neither_slots_nor_window(
    work: Workdir, slots: str, window: str
) -> None:
    plain = work.run("session", input=problems(25))
    done = work.run("session", "--slots", slots, "--window", window, input=problems(25))
    assert (done.status, done.out) == (0, plain.out)


def grouped_problems() -> str:
    return "".join(f'{{"id":"{i}","group":"g{i % 3}","problem":"x"}}\n' for i in range(9))


def test_a_group_that_comes_back_names_both_lines(work: Workdir) -> None:
    done = work.run("groups", input=grouped_problems())
    assert (done.status, ids(done.out)) == (3, ["0", "1"])
    assert done.err == (
        'tool-groups: <stdin>:4: group "g0" was already at <stdin>:1: the records of a group '
        "must be adjacent; use --regroup\n"
    )
    done = work.run("groups", "--on-error", "skip", input=grouped_problems())
    assert (done.status, ids(done.out)) == (1, ["0", "1", "2"])


def test_regroup_sorts_stably_by_first_appearance(work: Workdir) -> None:
    done = work.run("groups", "--regroup", input=grouped_problems())
    assert (done.status, done.err) == (0, "")
    assert [json.loads(line) for line in done.lines] == [
        {"id": str(i), "group": f"g{i}", "problem": "x", "size": 3} for i in range(3)
    ]
    mixed = grouped_problems() + "{bad\n" + '{"id":"9","group":"g0","problem":"x"}\n'
    done = work.run("groups", "--regroup", "--rejects", "r", input=mixed)
    assert (done.status, [json.loads(line)["size"] for line in done.lines]) == (1, [4, 3, 3])
    assert json.loads(work.read("r"))["line"] == 10


def test_a_limit_counts_whole_groups(work: Workdir) -> None:
    done = work.run("groups", "--regroup", "--limit", "2", input=grouped_problems())
    assert [json.loads(line)["size"] for line in done.lines] == [3, 3]


@pytest.mark.parametrize("shape", SHAPES)
def test_shards_part_the_groups(work: Workdir, shape: str) -> None:
    text = problems(40)
    parts = [work.run(shape, "--shard", f"{i}/3", input=text) for i in (1, 2, 3)]
    assert all(part.status == 0 and 3 < len(part.lines) < 30 for part in parts)
    together = sorted(line for part in parts for line in part.lines)
    assert together == sorted(work.run(shape, input=text).lines)


def test_gzip_is_known_by_its_first_bytes(work: Workdir) -> None:
    packed = gzip.compress(problems(3).encode()) + gzip.compress(problems(2, 4).encode())
    work.write("odd-name", packed + b"\0" * 512)
    assert len(work.run("blocks", "odd-name").lines) == 5
    assert len(work.run("blocks", input=packed).lines) == 5
    done = work.run("blocks", input=packed[:-9])
    assert (done.status, done.err.count("\n")) == (4, 1)
    assert "gzip data ends too early" in done.err
    assert ids(done.out)[:3] == ["p1", "p2", "p3"]
    damaged = bytearray(packed)
    damaged[40] ^= 255
    done = work.run("blocks", input=bytes(damaged))
    assert (done.status, "damaged gzip data" in done.err) == (4, True)
    assert work.run("blocks", input=b"\x1f").status == 3


def test_zstd_is_known_and_truncation_seen(work: Workdir) -> None:
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.compress(problems(3).encode()) + zstandard.compress(problems(2, 4).encode())
    assert len(work.run("blocks", input=packed).lines) == 5
    done = work.run("blocks", input=packed[:-9])
    assert (done.status, "zstd data ends too early" in done.err) == (4, True)


def test_o_gz_compresses_with_the_same_bytes_each_time(work: Workdir) -> None:
    for name in ("a.gz", "b.gz"):
        assert work.run("blocks", "-o", name, input=problems(50)).status == 0
        time.sleep(1.1 if name == "a.gz" else 0)
    assert ids(gzip.decompress(work.read("a.gz")))[-1] == "p50"
    assert work.read("a.gz") == work.read("b.gz")
    assert work.run("blocks", "-o", "c.gz", input=problems(5) + "{bad\n").status == 3
    assert len(ids(gzip.decompress(work.read("c.gz.part")))) == 5


@pytest.mark.parametrize("shape", SHAPES)
def test_progress_only_on_a_terminal(work: Workdir, shape: str) -> None:
    work.write("in.jsonl", problems(3000))
    args = ["in.jsonl", *(["--limit", "120", "--pause", "0.004"] if shape == "session" else [])]

    def on_terminal(*more: str, environment: dict[str, str]) -> bytes:
        ours, theirs = pty.openpty()
        with open(os.devnull, "wb") as null:
            process = work.start(
                shape, *args, *more, stdout=null, stderr=theirs, environment=environment
            )
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
        os.close(ours)
        assert process.wait(20) == 0
        return shown

    if shape == "session":  # the others are done before a line would help
        assert b"9 draws/s" in on_terminal(environment={"TERM": "xterm"})
    assert on_terminal("-q", environment={"TERM": "xterm"}) == b""
    assert on_terminal(environment={"TERM": "dumb"}) == b""
    assert b"\x1b" not in on_terminal(environment={"NO_COLOR": "1", "TERM": "xterm"})


def test_memory_does_not_grow_with_the_input(work: Workdir) -> None:
    line = '{"id":"a","problem":"' + "x" * 1000 + '"}\n'
    work.write("in.jsonl", line * 200_000)
    script = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *argv("blocks"), "in.jsonl"],
        cwd=work.path,
        env=clean_environment(work.path),
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) < 80_000  # kB; the input is 200 MB


def lines_of(work: Workdir, name: str) -> int:
    path = work.path / name
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)

"""What every command does alike: one table of behaviours, run through each installed command.

The numbers are those of the checklist that the behaviours were taken from: never lose or change
data, be a good member of a pipeline, complain in a way that people can act on.
"""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import evidence
import pytest
from work import ROOT, Done, Workdir, argv, clean_environment, commands

MODELS = ROOT / "samples" / "models"
ARGS: dict[str, list[str]] = {
    "step-rollout": ["-m", str(MODELS / "policy.gguf"), "-t", "1", "-k", "2", "--max-tokens", "4"],
    "step-score": ["--prm", str(MODELS / "prm.gguf"), "-t", "1", "--name", "again"],
}
"""What a command cannot do without."""

MODES = {"step-eval": ["--apply", str(ROOT / "tests" / "fixtures" / "map.json")]}
"""Of a command that otherwise writes what all records come to (see its own tests): what makes it
write records."""

WRONG_FIELD: dict[str, tuple[dict[str, Any], str]] = {
    "step-split": ({"response": None, "completion": 5}, "completion"),
    "step-rollout": ({"steps": [*evidence.STEPS[:2], None]}, "steps[2]"),
    "step-label": ({"tree": {"parent": []}}, "tree.text"),
    "step-score": ({"steps": [*evidence.STEPS[:2], None]}, "steps[2]"),
    "step-pairs": ({"tree": {"parent": []}}, "tree.text"),
    "step-rerank": ({"scores": 5}, "scores"),
    "step-eval": ({"scores": 5}, "scores"),
    "step-view": ({"tree": {"parent": []}}, "tree.text"),
}
"""Keys that make a good record wrong, and the field that the error must name."""

ROWS = ("step-pairs",)
"""Commands whose output is other records than their input."""

DOCUMENTS = {"step-view": b'<script type="application/json" class="trace">\n'}
"""Commands whose output is one text: what stands there before the line of a record."""

GROUPS = ("step-rerank",)
ONE_FILE = ("step-head",)
"""Commands that make one file of another, and see no records."""

FILTERS = [name for name in commands() if name not in ONE_FILE]
LIGHT = [name for name in FILTERS if name not in ARGS]
HEAVY = ("numpy", "numba", "llama_cpp", "orjson", "math_verify", "jinja2")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="counts on Linux' pseudo-terminals")

every = pytest.mark.parametrize("command", FILTERS)
light = pytest.mark.parametrize("command", LIGHT)


def good(command: str, count: int = 1, first: int = 1) -> bytes:
    """Records that the command can use, each alone in its group."""
    lines = evidence.lines(count, first)
    return evidence.bare(lines) if command == "step-split" else lines


def run(work: Workdir, command: str, *args: str, **settings: Any) -> Done:
    return work.run(command, *ARGS.get(command, []), *MODES.get(command, []), *args, **settings)


def start(work: Workdir, command: str, *args: str, **settings: Any) -> subprocess.Popen[bytes]:
    return work.start(command, *ARGS.get(command, []), *MODES.get(command, []), *args, **settings)


def delivered(command: str, count: int) -> int:
    """How many of ``count`` good records before a bad one come out: a group may be incomplete."""
    return count - 1 if command in GROUPS else count


def written(command: str, done: Done) -> list[bytes]:
    """The line of each record in the output."""
    if command in DOCUMENTS:
        return [text.split(b"\n", 1)[0] for text in done.out.split(DOCUMENTS[command])[1:]]
    return done.lines


def inputs_of(command: str, done: Done) -> list[str]:
    """The ids of the input records whose results were written, in order, each once."""
    return ids_of(command, written(command, done))


def ids_of(command: str, lines: list[bytes]) -> list[str]:
    key = "source" if command in ROWS else "id"
    return list(dict.fromkeys(json.loads(line)[key] for line in lines))


@every
def test_01_and_14_fields_of_others_stay_and_errors_are_silent(work: Workdir, command: str) -> None:
    done = run(work, command, input=good(command, 3))
    assert (done.status, done.err) == (0, "")
    assert inputs_of(command, done) == ["t1", "t2", "t3"]
    if command not in ROWS and command not in DOCUMENTS:
        mine = b', "mine" : {"big":18446744073709551617,"p":1.10}'
        assert all(line.count(mine) == 1 for line in done.lines)
        assert all(json.loads(line)["stepkit"] == 1 for line in done.lines)


@every
def test_02_16_23_28_a_bad_line(work: Workdir, command: str) -> None:
    work.write("o", "OLD\n")
    work.write("b.jsonl", good(command, 2) + b"\n{bad\n" + good(command, 1, 9))
    done = run(work, command, "b.jsonl", "-o", "o")
    assert (done.status, done.out, work.read("o")) == (3, b"", b"OLD\n")
    assert done.err.startswith(f"{command}: b.jsonl:4:2: not JSON: ") and done.err.count("\n") == 1
    part = Done(0, work.read("o.part"), "")
    assert len(inputs_of(command, part)) == delivered(command, 2)


@FULL
@every
def test_03_a_full_disk(work: Workdir, command: str) -> None:
    for count in (1,) if command in ARGS else (1, 300):
        with open("/dev/full", "wb") as full:
            done = run(work, command, input=good(command, count), stdout=full)
        assert (done.status, done.err.count("\n")) == (4, 1)
        assert "no space left on device" in done.err


RESUMABLE = {
    "step-rollout": ["--max-tokens", "40", "-k", "3"],
    "step-score": [],
}
"""Commands that remember, and what makes their work long enough to be interrupted."""


@pytest.mark.parametrize("command", list(RESUMABLE))
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_04_05_06_interrupted_and_resumed(work: Workdir, command: str, signum: int) -> None:
    work.write("in.jsonl", good(command, 30))
    args = ["in.jsonl", *RESUMABLE[command]]
    assert run(work, command, *args, "-o", "whole").status == 0
    journal = work.path / "a.journal"
    process = start(work, command, *args, "-o", "a")
    while process.poll() is None and (
        not journal.exists() or journal.read_bytes().count(b"\n") < 5
    ):
        time.sleep(0.001)
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signum, err
    assert (b"go on with --resume" in err) == (signum == signal.SIGINT)
    if signum == signal.SIGKILL:
        os.truncate(journal, journal.stat().st_size - 5)
    kept = journal.read_bytes()
    for more, what in (([], "--resume"), (["--resume", *OTHERWISE[command]], " now")):
        refused = run(work, command, *args, "-o", "a", *more)
        assert (refused.status, what in refused.err, refused.err.count("\n")) == (2, True, 1)
    assert journal.read_bytes() == kept
    resumed = run(work, command, *args, "-o", "a", "--resume", "--window", "2")
    assert (resumed.status, work.read("a")) == (0, work.read("whole"))
    assert work.names() == ["a", "in.jsonl", "whole"]


OTHERWISE = {"step-rollout": ["--seed", "99"], "step-score": ["--positive", "5"]}
"""Options that decide bytes."""


@every
def test_07_truncated_gzip(work: Workdir, command: str) -> None:
    packed = gzip.compress(good(command, 2))
    assert inputs_of(command, run(work, command, input=packed)) == ["t1", "t2"]
    done = run(work, command, input=packed[:-9])
    assert (done.status, done.err.count("\n")) == (4, 1)
    assert "<stdin>: gzip data ends too early" in done.err


@every
def test_09_an_output_that_is_an_input(work: Workdir, command: str) -> None:
    text = good(command)
    work.write("s.jsonl", text)
    os.symlink("s.jsonl", work.path / "link")
    for target in ("s.jsonl", "link"):
        done = run(work, command, "s.jsonl", "-o", target)
        assert (done.status, done.err.count("\n")) == (2, 1)
    assert work.read("s.jsonl") == text
    assert work.names() == ["link", "s.jsonl"]


@every
def test_10_a_missing_file_creates_nothing(work: Workdir, command: str) -> None:
    done = run(work, command, "missing.jsonl", "-o", "o")
    assert (done.status, done.err) == (
        2,
        f"{command}: missing.jsonl: no such file or directory\n",
    )
    assert work.names() == []


@every
def test_11_a_reader_that_closes_early(work: Workdir, command: str) -> None:
    for count in (1,) if command in ARGS else (1, 300):
        work.write("in.jsonl", good(command, count))
        ours, theirs = os.pipe()
        process = start(work, command, "in.jsonl", stdout=theirs)
        os.close(theirs)
        os.close(ours)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (-signal.SIGPIPE, b"")


@every
def test_12_ctrl_c_is_a_death_by_sigint(work: Workdir, command: str) -> None:
    process = start(work, command, "-", stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    # A group's result comes when the next begins; then the command waits for more.
    process.stdin.write(good(command, 2))
    process.stdin.flush()
    assert process.stdout.readline().startswith(b"<" if command in DOCUMENTS else b"{")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[1] == b""
    assert process.returncode == -signal.SIGINT


@every
def test_16_options_that_are_not_there(work: Workdir, command: str) -> None:
    for args in (["--nope"], ["--limit", "x"], ["--shard", "3/2"]):
        done = run(work, command, *args)
        assert (done.status, done.err.count("\n"), done.out) == (2, 1, b"")
        assert f"(see {command} --help)" in done.err


@every
def test_20_dash_is_standard_input_and_output(work: Workdir, command: str) -> None:
    work.write("a", good(command, 1, 1))
    work.write("b", good(command, 1, 3).rstrip(b"\n"))
    done = run(work, command, "a", "-", "b", "-o", "-", input=good(command, 1, 2))
    assert (done.status, inputs_of(command, done)) == (0, ["t1", "t2", "t3"])
    limited = run(work, command, "--limit", "2", "b", "a", "-", input=b"")
    assert inputs_of(command, limited) == ["t3", "t1"]


@every
def test_21_standard_input_is_left_alone(work: Workdir, command: str) -> None:
    work.write("a", good(command))
    call = " ".join([*argv(command), *ARGS.get(command, []), *MODES.get(command, [])])
    done = subprocess.run(
        f"echo keep | ({call} a >out; cat)",
        shell=True,
        cwd=work.path,
        env=clean_environment(work.path),
        capture_output=True,
    )
    assert done.stdout == b"keep\n"


@LINUX
@every
def test_22_a_terminal_and_no_file(work: Workdir, command: str) -> None:
    ours, theirs = pty.openpty()
    done = run(work, command, input=None, stdin=theirs, timeout=10)
    os.close(ours)
    os.close(theirs)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"Usage: {command} [OPTIONS] [FILE]...")


@every
def test_24_the_field_is_named(work: Workdir, command: str) -> None:
    wrong, field = WRONG_FIELD[command]
    data = json.loads(good(command)) | wrong
    data.pop("labels", None)
    done = run(work, command, input=json.dumps(data).encode())
    assert done.status == 3, done.err
    assert done.err.startswith(f'{command}: <stdin>:1: field "{field}') and (
        done.err.count("\n") == 1
    )


@every
def test_25_bytes_that_are_no_text(work: Workdir, command: str) -> None:
    done = run(work, command, input=b'{"a":"x\xff"}\n')
    assert (done.status, done.err) == (3, f"{command}: <stdin>:1:8: not UTF-8: byte 0xff\n")


@every
def test_26_nothing_but_a_complaint_about_each_bad_record(work: Workdir, command: str) -> None:
    mutilated = evidence.broken(good(command).strip())
    work.write("in.jsonl", mutilated + good(command, 1, 77))
    done = run(work, command, "in.jsonl", "--rejects", "r", timeout=300)
    assert (done.status, done.err.count("\n")) == (1, 1), done.err
    assert ids_of(command, written(command, done)[-1:]) == ["t77"]
    rejects = [json.loads(line) for line in work.read("r").splitlines()]
    assert len(rejects) >= len(good(command)) // 41
    assert all(row["error"] and "Error" not in row["error"] for row in rejects)


@every
def test_27_rejects(work: Workdir, command: str) -> None:
    work.write("m.jsonl", good(command, 1) + b"{bad\n[]\n" + good(command, 1, 2))
    done = run(work, command, "m.jsonl", "--on-error", "reject", "--rejects", "r")
    assert (done.status, inputs_of(command, done)) == (1, ["t1", "t2"])
    assert done.err == f"{command}: 2 of 4 records rejected (see r)\n"
    rows = [json.loads(line) for line in work.read("r").splitlines()]
    assert [row["raw"] for row in rows] == ["{bad", "[]"]


@every
def test_29_pretty_printed_json(work: Workdir, command: str) -> None:
    text = json.dumps(json.loads(good(command)), indent=2).encode()
    for whole in (text, b"[" + text + b"]"):
        done = run(work, command, input=whole)
        assert (done.status, "jq -c" in done.err) == (3, True)


@pytest.mark.parametrize("command", list(ARGS))
def test_30_not_a_model(work: Workdir, command: str) -> None:
    work.write("README.md", "version https://git-lfs.github.com/spec/v1\n")
    done = work.run(command, ARGS[command][0], "README.md", input=None, stdin=subprocess.DEVNULL)
    assert done.status == 2
    assert "README.md: not a GGUF file (a Git LFS pointer" in done.err


@every
def test_31_options_without_effect_are_refused(work: Workdir, command: str) -> None:
    useless = [["--on-error", "reject"], ["--on-error", "skip", "--rejects", "r"], ["-q", "-v"]]
    if command in ARGS:
        useless.append(["--resume"])
    for args in useless:
        done = run(work, command, *args)
        assert (done.status, done.err.count("\n")) == (2, 1)
    assert work.names() == []


@every
def test_32_typos(work: Workdir, command: str) -> None:
    done = run(work, command, "--limt", "3")
    assert (done.status, "--limit" in done.err.replace("--limt", "")) == (2, True)


@every
def test_33_help_and_version_start_like_a_small_tool(work: Workdir, command: str) -> None:
    module = f"stepkit.cli.{command.removeprefix('step-')}"
    script = (
        f"import sys; from {module} import main\n"
        "try: main(sys.argv[1:])\n"
        f"finally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    for option in ("--help", "-h", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", script, option, "missing.jsonl"],
            capture_output=True,
            cwd=work.path,
            env=clean_environment(work.path),
        )
        assert (done.returncode, done.stderr) == (0, b"[]\n")
        first = done.stdout.splitlines()[0]
        expected = f"{command} " if option == "--version" else f"Usage: {command} [OPTIONS] "
        assert first.startswith(expected.encode())


def test_33_help_takes_at_most_one_and_a_half_imports_of_click(work: Workdir) -> None:
    def seconds(*call: str) -> float:
        begin = time.perf_counter()
        subprocess.run(call, stdout=subprocess.DEVNULL, env=clean_environment(work.path))
        return time.perf_counter() - begin

    ratio = 9.0
    for _ in range(4):  # a busy machine must not decide
        pairs = [
            (seconds(*argv("step-split"), "--help"), seconds(sys.executable, "-c", "import click"))
            for _ in range(9)
        ]
        ratio = min(ratio, min(a for a, _ in pairs) / min(b for _, b in pairs))
        if ratio <= 1.5:
            break
    assert ratio <= 1.5


@LINUX
@every
def test_37_and_38_no_escape_on_a_terminal_and_no_progress_in_a_log(
    work: Workdir, command: str
) -> None:
    work.write("b.jsonl", good(command, 2) + b"{bad\n")
    for environment in ({"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}):
        ours, theirs = pty.openpty()
        with open(os.devnull, "wb") as null:
            process = start(
                work, command, "b.jsonl", stdout=null, stderr=theirs, environment=environment
            )
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
        os.close(ours)
        assert (process.wait(60), b"\x1b" in shown) == (3, False)
        assert f"{command}: b.jsonl:3:2: not JSON".encode() in shown
    log = run(work, command, input=good(command, 2))
    assert (log.status, log.err) == (0, "")


@every
def test_40_odd_but_legal_input(work: Workdir, command: str) -> None:
    line = good(command).strip().replace(b"Problem 1", "Problem\u2028 1".encode())
    odd = b"\xef\xbb\xbf" + line + b"\r\n\n \t\n" + good(command, 1, 2).strip()
    done = run(work, command, input=odd)
    assert (done.status, done.err, inputs_of(command, done)) == (0, "", ["t1", "t2"])
    empty = run(work, command, input=b"")
    # a document without records is one, too
    assert (empty.status, written(command, empty)) == (0, [])
    assert command in DOCUMENTS or not empty.out


@light
def test_34_nowhere_to_write(work: Workdir, command: str) -> None:
    text = good(command, 3)
    folders = ("HOME", "NUMBA_CACHE_DIR", "TMPDIR", "XDG_RUNTIME_DIR")
    nowhere = dict.fromkeys(folders, "/nonexistent")
    done = run(work, command, input=text, environment=nowhere)
    assert (done.status, done.out) == (0, run(work, command, input=text).out)


@light
def test_18_constant_memory(work: Workdir, command: str) -> None:
    few, many = good(command, 500), b"".join(good(command, 500, n) for n in range(1, 10001, 500))

    def peak(text: bytes) -> int:
        work.write("in.jsonl", text)
        script = (
            "import resource, subprocess, sys;"
            "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *argv(command), "in.jsonl"],
            cwd=work.path,
            env=clean_environment(work.path),
            capture_output=True,
            check=True,
        )
        return int(done.stdout)

    assert peak(many) < peak(few) + 60_000  # kB; the input grows by 20 MB, parsed by 200


@every
def test_shards_part_the_input(work: Workdir, command: str) -> None:
    work.write("in.jsonl", good(command, 6))
    parts = [run(work, command, "--shard", f"{part}/2", "in.jsonl") for part in (1, 2)]
    found = [inputs_of(command, part) for part in parts]
    assert sorted(found[0] + found[1]) == [f"t{n}" for n in range(1, 7)]


def options_of(command: str) -> list[click.Option]:
    module = import_module(f"stepkit.cli.{command.removeprefix('step-')}")
    return [one for one in module.main.params if isinstance(one, click.Option)]


def test_a_letter_means_the_same_everywhere() -> None:
    letters: dict[str, set[str]] = {}
    for command in commands():
        for option in options_of(command):
            long = [name for name in option.opts if name.startswith("--")]
            assert long, f"{command} {option.opts}: every option has a long name"
            for name in option.opts:
                if not name.startswith("--"):
                    letters.setdefault(name, set()).add(long[0])
    assert all(len(meanings) == 1 for meanings in letters.values()), letters


def test_every_option_says_what_it_does() -> None:
    for command in commands():
        for option in options_of(command):
            assert option.help and option.help.endswith((".", ")")), (command, option.opts)

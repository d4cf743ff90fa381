"""Checkers: real programs run on every step, and nothing of them stays running."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import ROOT, Done, Workdir

from stepkit.model.checkers.program_engine import JSON, STATUS, verdict

STEPS = ["12 + 30 = 42.\n", "So 42 nuts.\n", "Answer: 42"]
TRACE: dict[str, Any] = {
    "id": "a",
    "problem": "Ann has 12 nuts and buys 30.",
    "answer": "42",
    "tests": ["assert nuts == 42"],
    "response": "".join(STEPS),
    "steps": STEPS,
}
LINUX = sys.platform.startswith("linux")


def program(work: Workdir, text: str, name: str = "checker.py") -> str:
    """A command that runs ``text`` in Python."""
    return f"{sys.executable} {work.write(name, text)}"


def check(work: Workdir, command: str, *args: str, record: Any = TRACE, **more: Any) -> Done:
    records = record if isinstance(record, list) else [record]
    text = "".join(json.dumps(one) + "\n" for one in records)
    more.setdefault("timeout", 600)
    done = work.run("step-score", "--command", command, *args, input=text, **more)
    assert "Traceback" not in done.err
    return done


def entry(done: Done) -> dict[str, Any]:
    assert done.status == 0, done.err
    return json.loads(done.lines[0])["scores"]["checker"]


def gone(pid: int, seconds: float = 300) -> bool:
    """Whether a process ends, or is a zombie, within a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").exists():
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state in "ZX":
                    return True
            else:
                os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def wait_for(path: Path, seconds: float = 300) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path.name} was not written")


# ---- what a program is given and what it returns ------------------------------------------------


def test_exit_status_is_the_verdict(work: Workdir) -> None:
    found = entry(check(work, "grep -q 42. {step}"))
    assert found["x"] == [1.0, 1.0, 0.0] and found["first"] == 2
    assert (found["of"], found["by"]) == ("validity", "checker")
    assert found["meta"] == {"command": "grep -q 42. {step}", "verdict": "status", "seconds": 60.0}


def test_printed_json_is_the_verdict(work: Workdir) -> None:
    command = program(
        work,
        "import json, sys\nd = json.load(sys.stdin)\n"
        "print(json.dumps({'x': [True, 0.25, None][d['index']], 'why': d['step'].strip()}))\n",
    )
    found = entry(check(work, command, "--verdict", "json"))
    assert found["x"] == [1.0, 0.25, None] and found["first"] == 1
    assert found["why"] == [step.strip() for step in STEPS]


def test_a_program_sees_the_problem_and_no_later_step(work: Workdir) -> None:
    command = program(work, "import sys\nopen('seen', 'a').write(sys.stdin.read() + '\\n')\n")
    record = TRACE | {"scores": {"prm": {"x": [1, 1, 0]}}, "final": "42", "labels": {}}
    entry(check(work, command, record=record))
    seen = [json.loads(line) for line in (work.path / "seen").read_text().splitlines()]
    assert seen == [
        {
            **{key: TRACE[key] for key in ("problem", "answer", "tests")},
            "index": index,
            "prefix": "".join(STEPS[:index]),
            "step": step,
        }
        for index, step in enumerate(STEPS)
    ]


def test_files_stand_in_for_places(work: Workdir) -> None:
    command = program(
        work,
        "import json, sys\n"
        "step, prefix, data = (open(name, newline='').read() for name in sys.argv[1:4])\n"
        "data = json.loads(data)\n"
        "assert sys.argv[1].endswith('step.lean') and sys.argv[4].startswith('--in=/')\n"
        "print(json.dumps({'x': step == data['step'] and prefix == data['prefix'] + step}))\n",
    )
    steps = ["\u00e4 'quoted' \"$HOME\"\r\n", "\x00 ; rm -rf x\n", "\U0001f600"]
    record = TRACE | {"response": "".join(steps), "steps": steps}
    asked = f"{command} {{step}}.lean {{prefix}} {{json}} --in={{step}}"
    assert entry(check(work, asked, "--verdict", "json", record=record))["x"] == [1.0] * 3


def test_there_is_no_shell(work: Workdir) -> None:
    command = program(work, "import json, sys\nprint(json.dumps({'x': 1, 'why': sys.argv[1]}))\n")
    hostile = "$(touch owned); touch owned | `touch owned` > owned *"
    found = entry(check(work, f"{command} '{hostile}'", "--verdict", "json"))
    assert found["why"] == [hostile] * 3
    assert "owned" not in work.names()


def test_keys_are_kept_from_the_program_and_the_rest_is_not(work: Workdir) -> None:
    command = program(
        work,
        "import os, sys\n"
        "sys.exit('STEPKIT_API_KEY' in os.environ or 'OPENAI_API_KEY' in os.environ\n"
        "         or os.environ.get('LEAN_PATH') != 'lib')\n",
    )
    keys = {"STEPKIT_API_KEY": "k", "OPENAI_API_KEY": "k", "LEAN_PATH": "lib"}
    assert entry(check(work, command, environment=keys))["x"] == [1.0] * 3


def test_steps_that_are_not_the_models_are_not_checked(work: Workdir) -> None:
    record = TRACE | {"role": ["assistant", "tool", "assistant"]}
    found = entry(check(work, "false", record=record))
    assert found["x"] == [0.0, None, 0.0] and found["first"] == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import os; os.kill(os.getpid(), 11)", "the checker was ended by signal 11"),
        ("import sys; sys.exit(2)", "the checker ended with status 2"),
        ("import sys; sys.exit('no\\nproof')", None),
        ("import sys; print('x', file=sys.stderr); sys.exit(77)",
         "the checker ended with status 77: x"),
    ],
)  # fmt: skip
def test_only_status_1_says_wrong(work: Workdir, body: str, why: str | None) -> None:
    found = entry(check(work, program(work, body)))
    assert found["x"] == ([0.0] * 3 if why is None else [None] * 3)
    assert found["why"] == [why or "proof"] * 3
    assert found["first"] == (0 if why is None else None)


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        ("", "did not print"),
        ("{", "did not print"),
        ("[1]", "did not print"),
        ("null", "did not print"),
        ('{"y": 1}', "did not print"),
        ('{"x": "1"}', "expected x from 0 to 1"),
        ('{"x": 2}', "expected x from 0 to 1"),
        ('{"x": NaN}', "expected x from 0 to 1"),
        ('{"x": -Infinity}', "expected x from 0 to 1"),
        ('{"x": 1' + "0" * 400 + "}", "expected x from 0 to 1"),
        ('{"x": 1} {"x": 1}', "did not print"),
        ("[" * 100000, "did not print"),
    ],
)
def test_what_is_no_verdict_is_null(printed: str, why: str) -> None:
    found = verdict(JSON, {"status": 0, "out": printed, "err": ""})
    assert found["x"] is None and why in found["why"]


def test_half_a_character_in_a_reason_can_be_written(work: Workdir) -> None:
    command = program(work, """print('{"x": 0, "why": "a\\\\ud800b"}')""")
    assert entry(check(work, command, "--verdict", "json"))["why"] == ["a?b"] * 3


@given(st.integers(-64, 255), st.text(max_size=500), st.text(max_size=500))
def test_no_failure_is_ever_wrong(status: int, out: str, err: str) -> None:
    answer = {"status": status, "out": out, "err": err}
    found = verdict(STATUS, answer)
    assert found["x"] == {0: 1.0, 1: 0.0}.get(status)
    assert found["why"] is None or (len(found["why"]) <= 300 and "\n" not in found["why"])
    assert verdict(JSON, {**answer, "status": status or 1})["x"] is None


# ---- limits, and what is left behind -------------------------------------------------------------


def test_a_program_that_ignores_signals_is_stopped(work: Workdir) -> None:
    started = time.monotonic()
    found = entry(check(work, "sh -c 'trap \"\" TERM INT HUP; while :; do sleep 1; done'",
                        "--time-limit", "0.5", "-j", "3"))  # fmt: skip
    assert found["x"] == [None] * 3 and found["why"] == ["the checker took too long"] * 3
    assert time.monotonic() - started < 300


def test_a_program_that_prints_without_end_is_stopped(work: Workdir) -> None:
    for command in ("yes", "sh -c 'yes 1>&2'"):
        found = entry(check(work, command, "--time-limit", "600"))
        assert found["why"] == ["the checker wrote more than 1048576 bytes"] * 3
        assert found["x"] == [None] * 3


def test_output_up_to_the_limit_is_read(work: Workdir) -> None:
    command = program(work, "print('{\"x\": 1, \"pad\": \"' + 'a' * 1000000 + '\"}')")
    assert entry(check(work, command, "--verdict", "json"))["x"] == [1.0] * 3


def test_children_of_a_program_that_ended_are_killed(work: Workdir) -> None:
    found = entry(check(work, "sh -c 'sleep 600 & echo $! >> children; exit 0'"))
    assert found["x"] == [1.0] * 3
    for pid in map(int, (work.path / "children").read_text().split()):
        assert gone(pid)


@pytest.mark.skipif(not LINUX, reason="only Linux lets a process inherit orphans")
def test_children_in_other_sessions_are_killed(work: Workdir) -> None:
    body = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open('daemons', 'a').write(f'{os.getpid()}\\n')\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "time.sleep(0.5)\n"
    )
    assert entry(check(work, program(work, body)))["x"] == [1.0] * 3
    pids = [int(pid) for pid in (work.path / "daemons").read_text().split()]
    assert len(pids) == 3 and all(map(gone, pids))


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_programs_end_with_the_command(work: Workdir, signum: int) -> None:
    work.write("in.jsonl", json.dumps(TRACE) + "\n")
    command = "sh -c 'sleep 600 & echo $$ $! > pids; wait'"
    process = work.start("step-score", "--command", command, "in.jsonl")
    pids = [int(pid) for pid in wait_for(work.path / "pids").split()]
    process.send_signal(signum)
    process.communicate(timeout=600)
    assert process.returncode == -signum
    assert all(map(gone, pids))


@pytest.mark.skipif(not LINUX, reason="only Linux ends a process with its parent")
def test_a_program_ends_with_its_keeper(work: Workdir) -> None:
    work.write("in.jsonl", json.dumps(TRACE) + "\n")
    command = program(
        work,
        "import os, time\n"
        "first = not os.path.exists('pids')\n"
        "open('pids', 'a').write(f'{os.getppid()} {os.getpid()}\\n')\n"
        "time.sleep(600 if first else 0)\n",
    )
    process = work.start("step-score", "--command", command, "in.jsonl")
    supervisor, pid = map(int, wait_for(work.path / "pids").split())
    os.kill(supervisor, signal.SIGKILL)
    out, _ = process.communicate(timeout=600)
    assert gone(pid)
    found = json.loads(out)["scores"]["checker"]
    assert found["x"] == [None, 1.0, 1.0] and "supervisor" in found["why"][0]


def test_files_of_a_job_are_removed(work: Workdir) -> None:
    (work.path / "tmp").mkdir()
    check(work, "cat {prefix} {step}.txt", environment={"TMPDIR": str(work.path / "tmp")})
    assert not list((work.path / "tmp").glob("stepkit-*/*"))


# ---- order, side by side, resume -----------------------------------------------------------------


def test_programs_run_side_by_side_and_change_no_bytes(work: Workdir) -> None:
    meet = program(
        work,
        "import os, sys, time\nopen(f'here-{os.getpid()}', 'w').close()\n"
        "end = time.monotonic() + 300\n"
        "while time.monotonic() < end:\n"
        "    if len([n for n in os.listdir('.') if n.startswith('here-')]) >= 3: sys.exit(0)\n"
        "    time.sleep(0.05)\nsys.exit(1)\n",
    )
    assert entry(check(work, meet, "-j", "3", "--time-limit", "400"))["x"] == [1.0] * 3
    slow = program(
        work,
        "import json, sys, time\nd = json.load(sys.stdin)\ntime.sleep(0.1 * (2 - d['index']))\n"
        "sys.exit(d['index'] % 2)\n",
        "slow.py",
    )
    records = [TRACE | {"id": str(n), "problem": f"p{n}"} for n in range(4)]
    one, many = (check(work, slow, "-j", jobs, record=records) for jobs in ("1", "5"))
    assert one.out == many.out and len(one.lines) == 4


def test_resume_runs_only_what_is_missing(work: Workdir) -> None:
    command = program(
        work,
        "import json, sys, time\nd = json.load(sys.stdin)\n"
        "open('runs', 'a').write(d['step'].strip() + '\\n')\n"
        "if d['index'] == 2 and len(open('runs').readlines()) == 3:\n"
        "    open('stuck', 'w').write('yes\\n')\n    time.sleep(600)\n"
        "sys.exit(d['index'] == 1)\n",
    )
    work.write("in.jsonl", json.dumps(TRACE) + "\n")
    args = ("--command", command, "-o", "out.jsonl", "in.jsonl")
    process = work.start("step-score", *args)
    wait_for(work.path / "stuck")
    process.kill()
    process.communicate()
    assert work.run("step-score", *args, "--time-limit", "9", "--resume").status == 2
    done = work.run("step-score", *args, "--resume")
    assert done.status == 0, done.err
    found = json.loads(work.read("out.jsonl"))["scores"]["checker"]
    assert found["x"] == [1.0, 0.0, 1.0]
    runs = (work.path / "runs").read_text().splitlines()
    assert runs == [step.strip() for step in [*STEPS, STEPS[2]]]
    assert "out.jsonl.journal" not in work.names()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--command", ""), "expected a program"),
        (("--command", "no-such-program-here"), "no program no-such-program-here"),
        (("--command", "'unclosed"), "no closing quotation"),
        (("--command", "true", "--check", "arithmetic"), "exclude each other"),
        (("--check", "arithmetic", "-j", "2"), "--jobs goes with --command"),
        (("--verdict", "json"), "--verdict goes with --command"),
        (("--time-limit", "3"), "--time-limit goes with --command"),
        (("--command", "true", "--threads", "2"), "--threads has no effect with --command"),
        (("--command", "true", "--marker", "x"), "--marker has no effect with --command"),
        (("--check", "arithmetic", "--resume"), "--resume"),
        (("--check", "arithmetic", "--window", "3"), "--window has no effect with --check"),
        (("--check", "arithmetic", "--by", "entropy"), "--by has no effect with --check"),
    ],
)
def test_usage(work: Workdir, args: tuple[str, ...], named: str) -> None:
    done = work.run("step-score", *args, input=json.dumps(TRACE) + "\n")
    assert (done.status, done.out) == (2, b"") and named in done.err, done.err
    assert done.err.count("\n") == 1


def test_a_trace_without_steps_is_a_bad_record(work: Workdir) -> None:
    done = check(work, "true", record={"problem": "p"})
    assert done.status == 3 and "no steps" in done.err


# ---- arithmetic as a scorer ----------------------------------------------------------------------


def test_arithmetic_says_which_sum_is_wrong(work: Workdir) -> None:
    steps = ["We add 12 + 30 = 42.\n", "Then x + 2 = 44.\n", "42 * 2 = 86.\n", "Answer: 86"]
    record = TRACE | {"response": "".join(steps), "steps": steps}
    done = work.run("step-score", "--check", "arithmetic", input=json.dumps(record) + "\n")
    found = json.loads(done.out)["scores"]["arithmetic"]
    assert found == {
        "of": "validity",
        "by": "checker",
        "x": [1.0, None, 0.0, None],
        "first": 2,
        "why": [None, None, "42 * 2 = 86: 42 * 2 is 84", None],
        "meta": {"check": "arithmetic"},
    }


def test_without_a_sum_nothing_is_said(work: Workdir) -> None:
    record = TRACE | {"response": "Let x = 5.", "steps": ["Let x = 5."]}
    done = work.run("step-score", "--check", "arithmetic", input=json.dumps(record) + "\n")
    found = json.loads(done.out)["scores"]["arithmetic"]
    assert (found["x"], found["first"], found["why"]) == ([None], None, [None])


def test_a_consensus_of_draws_and_arithmetic(work: Workdir) -> None:
    """The pipeline of the man page, on a trace whose first sum is wrong and one that is right."""
    lines = (ROOT / "samples" / "traces.jsonl").read_text().splitlines()[:2]
    text = "".join(line + "\n" for line in lines)
    cut = work.run("step-split", input=text)
    checked = work.run("step-score", "--check", "arithmetic", input=cut.out)
    model = ROOT / "samples" / "models" / "policy.gguf"
    args = ("-m", model, "-k", "8", "-t", "1")
    drawn = work.run("step-rollout", *args, input=checked.out, timeout=600)
    assert drawn.status == 0, drawn.err
    done = work.run("step-label", "--label", "hard", "--label", "consensus:of=hard+arithmetic",
                    input=drawn.out)  # fmt: skip
    assert done.status == 0, done.err
    right, wrong = (json.loads(line)["labels"]["consensus"] for line in done.lines)
    assert (right["meta"]["sources"]["arithmetic"], right["first"]) == (-1, -1)
    assert wrong["meta"]["sources"]["arithmetic"] == 0
    assert wrong["first"] == (0 if wrong["meta"]["sources"]["hard"] == 0 else None)

"""A cheap mistake is found before the model is loaded: here one that cannot be loaded."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from rollouts import POLICY
from work import Done, Workdir

GOOD = {"problem": "3 + 4?", "answer": "7", "response": "3 + 4 = 7.\nSo 7.", "steps": ["", ""]}
GOOD["steps"] = ["3 + 4 = 7.\n", "So 7."]


@pytest.fixture
def unloadable(work: Workdir) -> Path:
    """A file that starts like a model, and ends soon after."""
    return work.write("cut.gguf", POLICY.read_bytes()[:4000])


def line(**changes: object) -> str:
    record = {**GOOD, **changes}
    return json.dumps({key: value for key, value in record.items() if value is not ...}) + "\n"


MISTAKES = [
    (("--method", "chain"), line(answer=...), "answer"),
    (("--method", "chain"), line(steps=["3 + 4"]), "steps"),
    (("--method", "chain"), line(steps=[3, "x"]), "steps[0]"),
    (("--method", "sample"), line(problem=...), "problem"),
    (("--method", "sample"), line(problem=7), "problem"),
    (("--method", "sample", "--at", "gold"), line(), "gold"),
    (("--method", "subthought"), line(), "split"),
    (("--method", "sample", "--answer-field", "truth"), line(), "truth"),
    (("--method", "beam", "--prm", "cut.gguf"), line(steps=[3, "x"]), "steps[0]"),
    (("--method", "chain"), "{bad\n", "not JSON"),
]


def found(done: Done, what: str) -> None:
    assert (done.status, done.err.count("\n")) == (3, 1), done.err
    assert ":1:" in done.err and what in done.err and "cannot load" not in done.err


@pytest.mark.parametrize("where", ["file", "pipe", "standard input"])
@pytest.mark.parametrize(("options", "text", "what"), MISTAKES)
def test_draws(
    work: Workdir, unloadable: Path, where: str, options: tuple[str, ...], text: str, what: str
) -> None:
    path = work.write("in.jsonl", text + line())
    args = ["-m", str(unloadable), *options]
    if where == "file":
        done = work.run("step-rollout", *args, "in.jsonl")
    elif where == "pipe":
        done = work.run("step-rollout", *args, input=text + line())
    else:
        with open(path) as file:
            done = work.run("step-rollout", *args, input=None, stdin=file)
    found(done, what)


@pytest.mark.parametrize(
    ("options", "text", "what"),
    [
        (("--prm",), line(steps=..., response=...), "no steps to score"),
        (("--prm",), line(steps=["x"]), "steps"),
        (("-m",), line(response=5), "response"),
        (("--judge", "choice", "-m"), line(steps=["x"]), "steps"),
        (("--judge", "answer", "-m"), line(correct="yes"), "correct"),
    ],
)
def test_scores(
    work: Workdir, unloadable: Path, options: tuple[str, ...], text: str, what: str
) -> None:
    found(work.run("step-score", *options, str(unloadable), input=text), what)


@pytest.mark.parametrize("how", [("--on-error", "skip"), ("--rejects", "bad.jsonl")])
def test_a_bad_record_that_is_tolerated_is_no_mistake(
    work: Workdir, unloadable: Path, how: tuple[str, ...]
) -> None:
    done = work.run("step-rollout", "-m", unloadable, *how, input="{bad\n")
    assert done.status == 4 and "cannot load" in done.err


def test_good_records_go_on_to_the_model(work: Workdir, unloadable: Path) -> None:
    done = work.run("step-rollout", "-m", unloadable, input=line())
    assert done.status == 4 and "cannot load" in done.err


@pytest.mark.parametrize("size", [1, 40, 10_000])
def test_nothing_of_a_pipe_is_lost(work: Workdir, size: int) -> None:
    """Not what was read to look at the first record, be it in the middle of a line."""
    text = "".join(line(id=f"p{number}", problem=f"{number} + 1?") for number in range(30)).encode()
    reading, writing = os.pipe()
    args = ("-m", POLICY, "-t", "1", "-k", "1", "--max-tokens", "4", "--method", "sample")
    process = work.start("step-rollout", *args, stdin=reading)
    os.close(reading)
    os.write(writing, text[:size])
    time.sleep(0.5)
    os.write(writing, text[size:])
    os.close(writing)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert [json.loads(row)["id"] for row in out.splitlines()] == [f"p{n}/0" for n in range(30)]

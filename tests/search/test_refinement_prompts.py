"""Refinement: what the model is shown, whose draws they are, and the two loops in samples/."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from work import ROOT, Done, Workdir, clean_environment

from stepkit.errors import DataError, UsageError
from stepkit.schema import Json
from stepkit.search.refinement_prompts import (
    GLOBAL,
    LOCAL,
    Refinement,
    critique_of,
    refinement_of,
    with_refinement_prompt,
)

POLICY = str(ROOT / "samples" / "models" / "policy.gguf")
PRM = str(ROOT / "samples" / "models" / "prm.gguf")

TRACE: Json = {
    **{"id": "a", "group": "g", "problem": "1 + 2 + 3?", "answer": "6"},
    **{"response": "1 + 2 = 4\n4 + 3 = 7\nAnswer: 7", "correct": False},
    "steps": ["1 + 2 = 4\n", "4 + 3 = 7\n", "Answer: 7"],
    "labels": {"first": {"of": "validity", "by": "scorer", "first": 1}},
    "scores": {
        "judge": {"of": "validity", "x": [1, 0, 0], "why": [None, "4 is no sum.", "So not."]}
    },
}


# ---- what the model is shown -----------------------------------------------------------------


def test_every_place_of_a_format_is_filled_once() -> None:
    form = "{problem}|{attempt}|{kept}|{step}|{number}|{critique}|{other}"
    trace = TRACE | {"problem": "is {step} text?"}
    shown, critique = with_refinement_prompt(trace, Refinement(False, form, "scores.judge"), 1)
    assert critique == "4 is no sum."
    assert shown["problem"] == (
        "is {step} text?|1 + 2 = 4\n4 + 3 = 7\nAnswer: 7|1 + 2 = 4\n|4 + 3 = 7|2|4 is no sum.|"
        "{other}"
    )
    assert shown["response"] == trace["response"] and trace["problem"] == "is {step} text?"


def test_of_a_chat_the_last_user_message_is_laid_out_anew() -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "1 + 2 + 3?"}]
    trace = {key: value for key, value in TRACE.items() if key != "problem"} | {"prompt": chat}
    shown, _ = with_refinement_prompt(trace, Refinement(True, "again: {problem}"), None)
    assert shown["prompt"] == [chat[0], {"role": "user", "content": "again: 1 + 2 + 3?"}]
    assert chat[1]["content"] == "1 + 2 + 3?"


def test_what_is_no_message_before_the_last_users_stays_as_it_is() -> None:
    chat = ["no message", {"role": "user", "content": "1 + 2 + 3?"}]
    trace = {key: value for key, value in TRACE.items() if key != "problem"} | {"prompt": chat}
    shown, _ = with_refinement_prompt(trace, Refinement(True, "again: {problem}"), None)
    assert shown["prompt"] == ["no message", {"role": "user", "content": "again: 1 + 2 + 3?"}]


def test_where_a_critique_is_found() -> None:
    trace = TRACE | {"note": " Add again. ", "notes": ["x", "y", "z"]}
    assert critique_of(trace, "scores.judge", 1) == "4 is no sum."
    assert critique_of(trace, "scores.judge.why", 2) == "So not."
    assert critique_of(trace, "scores.judge", None) == "4 is no sum.\nSo not."
    assert critique_of(trace, "note", 0) == "Add again."
    assert critique_of(trace, "notes", 2) == "z"


@pytest.mark.parametrize(
    ("path", "step", "field"),
    [
        ("scores.other", 1, "scores.other"),
        ("scores.judge", 0, r"scores.judge.why\[0\]"),
        ("scores.judge.why", 9, r"scores.judge.why\[9\]"),
        ("scores.judge.of.why", 1, "scores.judge.of.why"),
        ("labels.first", 1, "labels.first.why"),
        ("empty", 1, "empty"),
    ],
)
def test_a_critique_that_is_not_there_is_named(path: str, step: int, field: str) -> None:
    with pytest.raises(DataError, match=f'field "{field}"'):
        critique_of(TRACE | {"empty": " "}, path, step)


def test_formats_that_are_used_when_none_is_given() -> None:
    assert refinement_of({"at": None}) is None
    assert refinement_of({"at": "first"}) == Refinement()
    assert refinement_of({"at": "first", "critique": "c"}) == Refinement(False, LOCAL, "c")
    assert refinement_of({"global": True, "critique": "c"}) == Refinement(True, GLOBAL, "c")
    plain = refinement_of({"global": True})
    assert plain is not None and plain.form is not None and "critique" not in plain.form


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"critique": "c"}, "--critique goes with --at or --global"),
        ({"refine": "{problem}"}, "--refine goes with --at or --global"),
        ({"at": "first", "refine": "again"}, "needs {problem}"),
        ({"at": "first", "refine": "{problem}", "critique": "c"}, "--critique has no effect"),
        ({"at": "first", "refine": "{problem}{critique}"}, "needs --critique"),
        ({"global": True, "refine": "{problem}{step}"}, "{step} needs --at"),
    ],
)
def test_options_that_do_not_go_together(options: Json, complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        refinement_of(options)
    assert complaint in str(error.value)


# ---- through the command --------------------------------------------------------------------


def rollout(work: Workdir, trace: Json, *options: str) -> Done:
    draw = ["-m", POLICY, "-t", "1", "--max-tokens", "48", "-q"]
    return work.run("step-rollout", *draw, *options, input=json.dumps(trace) + "\n", timeout=300)


def prompts(work: Workdir, *options: str) -> list[str]:
    """The prompts that a server would be sent."""
    base = ["--prompt", "<{problem}>", "--to-batch", "batch", "--served", "m", "-k", "1"]
    done = work.run("step-rollout", *base, *options, input=json.dumps(TRACE) + "\n")
    assert done.status == 0, done.err
    lines = work.read("batch").splitlines()
    (work.path / "batch").unlink()
    return [json.loads(line)["body"]["prompt"] for line in lines]


def test_the_prompt_holds_critique_and_what_is_kept(work: Workdir) -> None:
    assert prompts(work, "--at", "first") == ["<1 + 2 + 3?>1 + 2 = 4\n"]
    (shown,) = prompts(work, "--at", "first", "--critique", "scores.judge")
    assert shown.startswith("<1 + 2 + 3?\n") and shown.endswith(">1 + 2 = 4\n")
    assert "4 + 3 = 7" in shown and "4 is no sum." in shown
    (shown,) = prompts(work, "--global", "--refine", r"{problem} not: {attempt}")
    assert shown == "<1 + 2 + 3? not: 1 + 2 = 4\n4 + 3 = 7\nAnswer: 7>"


def test_draws_after_a_critique_are_another_samplers(work: Workdir) -> None:
    """Their identity differs, and rollouts from their prefixes know only the plain sampler's."""
    (plain,) = map(json.loads, rollout(work, TRACE, "--at", "first", "-k", "1").lines)
    done = rollout(work, TRACE, "--at", "first", "-k", "2", "--critique", "scores.judge")
    shown = list(map(json.loads, done.lines))
    assert plain["origin"] == {"id": "a", "step": 1}
    for number, trace in enumerate(shown):
        assert trace["id"] == f"a@1/{number}" and trace["response"].startswith(TRACE["steps"][0])
        assert trace["origin"] == {"id": "a", "step": 1, "critique": "4 is no sum."}
        assert trace["sample"]["sampler"]["refine"] == LOCAL
        assert trace["sample"]["sampler"]["id"] != plain["sample"]["sampler"]["id"]
        assert "scores" not in trace and "labels" not in trace
    split = work.run("step-split", "-q", input=done.out)
    (line, *_) = split.lines
    (grown,) = map(json.loads, rollout(work, json.loads(line), "-k", "1").lines)
    (sampler,) = grown["tree"]["samplers"]
    assert sampler["id"] == plain["sample"]["sampler"]["id"]
    drawn = [node for node, by in enumerate(grown["tree"]["by"]) if by == 0]
    assert len(drawn) == len(grown["steps"])  # one from each prefix, none of them the critic's


def test_a_global_refinement_begins_again(work: Workdir) -> None:
    found = list(map(json.loads, rollout(work, TRACE, "--global", "-k", "2").lines))
    assert [trace["id"] for trace in found] == ["a@global/0", "a@global/1"]
    assert found[0]["origin"] == {"id": "a", "step": 0, "global": True}
    again = rollout(work, TRACE, "--global", "--at", "first", "--refine", "{problem}", "-k", "1")
    (fresh,) = map(json.loads, again.lines)
    plain = json.loads(rollout(work, TRACE, "--method", "sample", "-k", "1").lines[0])
    assert fresh["sample"]["seed"] != plain["sample"]["seed"]
    good = TRACE | {"labels": {"first": {"first": -1}}}
    done = rollout(work, good, "--global", "--at", "first")
    assert json.loads(done.out) == good  # nothing was flagged: as it came


def test_bare_problems_have_nothing_to_refine(work: Workdir) -> None:
    done = rollout(work, {"problem": "1 + 1?", "answer": "2"}, "--global")
    assert done.status == 3 and 'no field "response"' in done.err


@pytest.mark.parametrize("method", ["chain", "truncate", "mcts"])
def test_refining_belongs_to_sample(work: Workdir, method: str) -> None:
    done = work.run("step-rollout", "-m", POLICY, "--method", method, "--global")
    assert done.status == 2
    assert (
        f"--global has no effect with --method {method}: it goes with --method sample" in done.err
    )


# ---- the loops ------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("loop", ["stepco", "glore"])
def test_loops_of_the_samples(work: Workdir, loop: str) -> None:
    """On a few problems: one attempt a problem comes out, and says what it was made from."""
    with open(ROOT / "samples" / "problems.jsonl") as file:
        problems = "".join(line for line, _ in zip(file, range(8), strict=False))
    sample = ["-m", POLICY, "-t", "1", "--max-tokens", "96", "--method", "sample", "-k", "1", "-q"]
    drafts = work.run("step-rollout", *sample, input=problems, timeout=600)
    assert drafts.status == 0, drafts.err
    done = subprocess.run(
        [str(ROOT / "samples" / f"{loop}.sh"), POLICY, PRM, "2"],
        input=drafts.out,
        env=clean_environment(work.path),
        cwd=work.path,
        capture_output=True,
        timeout=1200,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    before = {one["group"]: one for one in map(json.loads, drafts.out.splitlines())}
    after = {one["group"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert len(done.stdout.splitlines()) == len(after) and set(after) == set(before)
    refined = 0
    for group, trace in after.items():
        first = trace["labels"]["first"]["first"]
        assert all(x >= 0.5 for x in trace["scores"]["prm"]["x"]) == (first == -1)
        if trace["response"] != before[group]["response"]:
            refined += 1
            assert trace["origin"]["id"].split("@")[0] == before[group]["id"]
    assert refined


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("loop", ["stepco", "glore"])
def test_a_loop_ends_when_a_command_in_its_pipe_fails(work: Workdir, loop: str) -> None:
    """Else a misspelt name would leave an empty file that looks like a result."""
    draft = {"problem": "1 + 1?", "answer": "2", "response": "1 + 1 = 2.\nAnswer: 2"}
    done = subprocess.run(
        [str(ROOT / "samples" / f"{loop}.sh"), POLICY, "misspelt.gguf"],
        input=json.dumps(draft).encode() + b"\n",
        env=clean_environment(work.path),
        cwd=work.path,
        capture_output=True,
        timeout=120,
    )
    message = b"step-score: --prm misspelt.gguf: no such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", message)

"""Guided searches as people run them: the shipped policy and its verifier in one process."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import ggufs
import pytest
from rollouts import BASE, POLICY, PRM, SMALL, every_method, problems, records, rollout
from servers import Fake
from work import Workdir
from worlds import problems as sample_problems

from stepkit.model.local.llama import Model

GUIDED = ("--prm", str(PRM), "--max-tokens", "96")


def guided(work: Workdir, method: str, *more: str, count: int = 1, text: str = "") -> Any:
    args = ("--method", method, *SMALL[method], *GUIDED, *more)
    done = rollout(work, text or problems(count), *args, timeout=600)
    assert done.status == 0, done.err
    return done


@every_method
def test_every_step_is_scored_as_step_score_scores_it(work: Workdir, method: str) -> None:
    """And of the attempts, step-rerank takes the one that the search takes."""
    (record,) = records(guided(work, method))
    tree = record["tree"]
    x, chosen = tree["scores"]["prm"]["x"], tree["search"]["chosen"]
    assert tree["search"]["by"] == method and len(x) == len(tree["parent"])
    assert all(
        score is not None for score, text in zip(x[1:], tree["text"][1:], strict=True) if text
    )
    traces = guided(work, method, "--emit", "traces").out
    again = work.run("step-score", "--prm", str(PRM), "-t", "1", "--name", "own", input=traces)
    assert again.status == 0, again.err
    for trace in [json.loads(line) for line in again.lines]:
        assert trace["scores"]["prm"]["x"] == pytest.approx(trace["scores"]["own"]["x"], abs=1e-5)
        assert trace["scores"]["prm"]["meta"] == trace["scores"]["own"]["meta"]
    ended = [line for line in traces.splitlines() if json.loads(line)["sample"]["finish"] == "stop"]
    taken = work.run("step-rerank", "--aggregate", "last", input=b"\n".join([*ended, b""]))
    assert taken.status == 0, taken.err
    (best,) = [json.loads(line) for line in taken.lines]
    assert best["origin"]["node"] == chosen


@every_method
def test_the_same_bytes_whatever_runs_beside(work: Workdir, method: str) -> None:
    whole = guided(work, method, count=3).out
    assert guided(work, method, "--window", "1", "--slots", "8", count=3).out == whole


@pytest.mark.parametrize("method", ["beam", "particle", "speculate"])
def test_killed_at_any_byte_it_goes_on_to_the_same_file(work: Workdir, method: str) -> None:
    work.write("in.jsonl", problems(2))
    args = ("in.jsonl", "--method", method, *SMALL[method], *GUIDED, "-o", "a.jsonl")
    whole = rollout(work, None, *args, stdin=None, timeout=600)
    assert whole.status == 0, whole.err
    expected = work.read("a.jsonl")
    held = work.killed("a.jsonl.journal", 1500, "step-rollout", *BASE, *args)
    for size in {len(held) - 7, len(held) // 2}:
        work.write("a.jsonl.journal", held[:size])
        done = rollout(work, None, *args, "--resume", stdin=None, timeout=600)
        assert done.status == 0, done.err
        assert work.read("a.jsonl") == expected


def test_another_verifier_is_no_resume(work: Workdir) -> None:
    work.write("in.jsonl", problems(6))
    args = ("in.jsonl", "--method", "beam", *SMALL["beam"], "--max-tokens", "96", "-o", "a.jsonl")
    work.killed("a.jsonl.journal", 2000, "step-rollout", *BASE, *args, "--prm", PRM)
    done = rollout(
        work, None, *args, "--resume", "--prm", str(PRM), "--aggregate", "min", stdin=None
    )
    assert done.status == 2 and "aggregate" in done.err


def test_a_policy_that_is_its_own_verifier_is_one_engine(work: Workdir) -> None:
    """The verifier can draw, too: under both options its file is opened once, and its steps have
    the scores that step-score gives them."""
    args = ("-m", str(PRM), "--prm", str(PRM), "-t", "1", "--max-tokens", "20", "-v")
    beam = ("--method", "beam", *SMALL["beam"], "--searches", "2")
    done = work.run("step-rollout", *args, *beam, input=problems(1), timeout=600)
    assert done.status == 0, done.err
    assert done.err.count("layout:") == 1 < guided(work, "beam", "-v").err.count("layout:")
    (record,) = records(done)
    tree = record["tree"]
    x = tree["scores"]["prm"]["x"]
    first = [node for node in range(1, len(x)) if not tree["parent"][node] and tree["text"][node]]
    traces = [
        {
            "problem": record["problem"],
            "response": tree["text"][node],
            "steps": [tree["text"][node]],
        }
        for node in first
    ]
    lines = "".join(json.dumps(trace) + "\n" for trace in traces)
    again = work.run("step-score", "--prm", str(PRM), "-t", "1", input=lines)
    assert again.status == 0, again.err
    for node, line in zip(first, again.lines, strict=True):
        assert [x[node]] == pytest.approx(json.loads(line)["scores"]["prm"]["x"], abs=1e-5)


@every_method
def test_a_dry_run_tells_what_a_guided_search_takes_within_a_factor_of_two(
    work: Workdir, method: str
) -> None:
    solved = [{"problem": p.problem, "answer": p.answer, "solution": p.solution}
              for p in islice(sample_problems("test", 5), 6)]  # fmt: skip
    lines = "".join(json.dumps(record) + "\n" for record in solved)
    (estimate,) = records(guided(work, method, "--dry-run", text=lines))
    trees = [record["tree"] for record in records(guided(work, method, text=lines))]
    draws = sum(by >= 0 for tree in trees for by in tree["by"])
    tokens = sum(sum(tree["tokens"]) for tree in trees)
    assert draws / 2 <= estimate["draws"] <= draws * 2
    assert tokens / 2 <= estimate["new_tokens"] <= tokens * 2


def test_a_problem_without_an_answer_is_searched(work: Workdir) -> None:
    bare = json.loads(problems(1))
    answer = bare.pop("answer")
    bare.pop("solution", None)
    line = json.dumps(bare) + "\n"
    done = rollout(work, line, "--method", "beam", *SMALL["beam"], *GUIDED, timeout=600)
    (record,) = records(done)
    (known,) = records(guided(work, "beam"))
    assert record["tree"]["search"] == known["tree"]["search"]
    assert record["tree"]["final"] == known["tree"]["final"] and answer
    assert set(record["tree"]["outcome"]) == {None}
    refused = rollout(work, line, "--method", "mcts", *GUIDED, "--score-weight", "0.5")
    assert refused.status == 3 and 'field "answer"' in refused.err


def test_a_policy_on_a_server_is_guided_by_a_verifier_here(work: Workdir) -> None:
    with Fake() as fake:
        args = (
            "--server",
            fake.url,
            "--prompt",
            "{problem}\\n",
            "--method",
            "beam",
            "--by",
            "lines",
            "--max-steps",
            "2",
        )
        done = work.run(
            *("step-rollout", *args, *SMALL["beam"], "--prm", str(PRM), "-t", "1"),
            input=problems(1),
            timeout=600,
            environment={"NO_PROXY": "*"},
        )
    (record,) = records(done)
    tree = record["tree"]
    assert len(fake.bodies) == sum(by >= 0 for by in tree["by"])
    assert tree["text"][1] == "So it is\n" and tree["search"]["stopped"] == "ended"
    assert all(0 < score < 1 for score in tree["scores"]["prm"]["x"][1:])


def test_a_search_is_over_with_its_seconds(work: Workdir) -> None:
    (record,) = records(guided(work, "beam", "--most-seconds", "1e-9"))
    about = record["tree"]["search"]
    assert (about["stopped"], len(about["kept"])) == ("budget", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--method beam", "--method beam needs --prm"),
        ("--method speculate --prm p.gguf", "--method speculate needs --draft"),
        ("--method chain --prm p.gguf", "--prm has no effect with --method chain"),
        ("--method beam --prm p.gguf -k 3", "--draws has no effect with --method beam"),
        ("--method dvts --prm p.gguf --ahead 2", "goes with --method lookahead"),
        ("--method mcts --aggregate min", "--aggregate has no effect without --prm"),
        ("--method mcts --score-weight 0.5", "--score-weight has no effect without --prm"),
        ("--method mcts --prior score", "--prior has no effect without --prm"),
        ("--method mcts --prm p.gguf --prior score", "no effect without --select puct"),
        ("--method mcts --prm p.gguf --self-weight 0.5", "--self-weight and --prm exclude"),
        (
            "--method mcts --prm p.gguf --score-weight 0",
            "--prm has no effect with --score-weight 0",
        ),
        ("--method speculate --accept 1 --advantage 1", "--accept and --advantage exclude"),
        ("--method beam --prm missing.gguf", "missing.gguf"),
    ],
)
def test_what_has_no_effect_is_refused(work: Workdir, options: str, message: str) -> None:
    done = rollout(work, problems(1), *options.split())
    assert (done.status in (2, 4), done.out) == (True, b"") and message in done.err


def test_batch_files_cannot_be_judged_draw_by_draw(work: Workdir) -> None:
    args = ("--method", "beam", "--prm", str(PRM), "--to-batch", "x", "--served", "y")
    done = work.run("step-rollout", *args, input=problems(1))
    assert done.status == 2 and "--prm judges draw by draw" in done.err


def test_a_draft_may_have_another_vocabulary(work: Workdir) -> None:
    """Bytes drafted at random: each model goes on from the text in tokens of its own."""
    draft = ggufs.write_llama(work.path / "draft.gguf")
    grammar = work.write("lines.gbnf", 'root ::= [a-z] [a-z] [a-z]* "\\n" root\n')
    args = ("--method", "speculate", "--prm", str(PRM), "--draft", str(draft), "-k", "6")
    limits = ("--by", "lines", "--accept", "0.3", "--searches", "4")
    more = (*limits, "--grammar", str(grammar), "--keep-tokens")
    (record,) = records(rollout(work, problems(1), *args, *more, timeout=600))
    tree, about = record["tree"], record["tree"]["search"]
    assert 0 < about["accepted"] < about["proposed"]
    assert tree["samplers"][0]["vocabulary"] != tree["samplers"][1]["vocabulary"]
    vocabularies = {by: _pieces(path) for by, path in enumerate((POLICY, draft))}
    at = 0
    for node, count in enumerate(tree["tokens"]):
        ids, at = tree["ids"][at : at + count], at + count
        if node and -1 not in ids:
            joined = b"".join(vocabularies[tree["by"][node]][token] for token in ids)
            assert joined == tree["text"][node].encode()
    for tip in about["attempts"]:
        while tip:
            assert re.fullmatch("[a-z]{2,}\n?", tree["text"][tip])
            tip = tree["parent"][tip]


def _pieces(path: Path) -> list[bytes]:
    return Model(str(path)).pieces


def test_a_draft_must_be_another_model(work: Workdir) -> None:
    args = ("--method", "speculate", "--prm", str(PRM), "--draft", str(POLICY))
    done = rollout(work, problems(1), *args)
    assert done.status == 2 and "--draft is the policy itself" in done.err

"""The searches as people run them, on the shipped policy: few draws, whole pipelines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rollouts import POLICY, problems, records, rollout
from work import Workdir

CHEAP = {
    "mcts": ("--searches", "8", "--width", "2"),
    "best-first": ("-k", "2", "--width", "2", "--searches", "2"),
    "branch": ("-k", "2", "--points", "1"),
}


def searched(work: Workdir, method: str, *more: str) -> dict[str, Any]:
    done = rollout(work, problems(1), "--method", method, *CHEAP[method], *more, timeout=300)
    (record,) = records(done)
    return record


@pytest.mark.parametrize("method", CHEAP)
def test_a_search_leaves_its_tree_and_its_rule(work: Workdir, method: str) -> None:
    record = searched(work, method)
    tree = record["tree"]
    assert record["split"] == {"by": "block"} and "response" not in record
    size = len(tree["parent"])
    assert size > 4 and len(tree["ids"]) == sum(tree["tokens"])
    for node in range(1, size):
        text = tree["text"][node]
        step = not tree["whole"][node] and tree["cut"][node] == -1
        assert not step or "\n" not in text[:-1] or tree["finish"][node] == "length"
        assert (tree["outcome"][node] is None) or tree["finish"][node] == "stop"
    assert ("visits" in tree) == (method == "mcts")
    assert method != "mcts" or len(tree["visits"]) == 8


def test_a_search_is_topped_up(work: Workdir) -> None:
    """Eight searches, then sixteen on what they left: the draws of sixteen at once."""
    short = searched(work, "mcts")
    again = rollout(
        work, json.dumps(short) + "\n", "--method", "mcts", "--searches", "16", "--width", "2"
    )
    (longer,) = records(again)
    once = rollout(work, problems(1), "--method", "mcts", "--searches", "16", "--width", "2")
    (whole,) = records(once)

    def texts(record: dict[str, Any]) -> list[str]:
        return sorted(record["tree"]["text"])

    assert texts(longer) == texts(whole)
    assert longer["tree"]["visits"][:8] == short["tree"]["visits"]


def test_a_model_is_asked_for_its_own_opinion(work: Workdir) -> None:
    tree = searched(work, "mcts", "--self-weight", "0.5")["tree"]
    opinions = tree["scores"]["self"]["x"]
    steps = [node for node in range(1, len(opinions)) if not tree["whole"][node]]
    assert len(opinions) == len(tree["parent"])
    asked = [node for node in steps if opinions[node] is not None]
    assert asked and all(0 < opinions[node] < 1 for node in asked)


def test_searched_trees_become_attempts(work: Workdir) -> None:
    """Graded from their text again, the traces of a tree have the verdicts that they had in it."""
    tree = searched(work, "branch")
    traces = records(rollout(work, problems(1), "--method", "branch", *CHEAP["branch"],
                             "--emit", "traces"))  # fmt: skip
    work.write("tree.jsonl", json.dumps(tree) + "\n")
    leaves = work.run("step-split", "--leaves", "tree.jsonl")
    assert [json.loads(line) for line in leaves.lines] == traces
    assert len(traces) == sum(1 for n, x in enumerate(tree["tree"]["finish"])
                              if x and tree["tree"]["cut"][n] == -1)  # fmt: skip
    assert all("".join(trace["steps"]) == trace["response"] for trace in traces)
    again = work.run("step-split", "--grade", input=leaves.out)
    graded = [json.loads(line) for line in again.lines]
    assert [one["correct"] for one in graded] == [one["correct"] for one in traces]
    assert len({trace["id"] for trace in traces}) == len(traces)


def test_labels_see_what_the_search_saw(work: Workdir) -> None:
    """The visits of the root, counted by step-label, are the simulations; its draws their ends."""
    record = searched(work, "mcts")
    done = work.run(
        *("step-label", "--nodes", "--label", "soft:backup=visits"), input=json.dumps(record) + "\n"
    )
    assert done.status == 0, done.err
    (labelled,) = [json.loads(line) for line in done.lines]
    tree = record["tree"]
    outcomes = [tree["outcome"][leaf] for leaf in tree["visits"]]
    decided = [outcome for outcome in outcomes if outcome is not None]
    label = labelled["tree"]["labels"]["soft"]
    assert label["visits"][0] == len(outcomes)
    assert label["n"][0] == sum(tree["outcome"][leaf] is not None for leaf in set(tree["visits"]))
    assert label["x"][0] == pytest.approx(sum(decided) / max(1, len(decided)))


def test_the_opinions_of_a_model_are_in_q(work: Workdir) -> None:
    """Q of the root, with half of the policy's own opinion, from the simulations one by one."""
    record = searched(work, "mcts", "--self-weight", "0.5")
    done = work.run(
        *("step-label", "--nodes", "--label", "soft:backup=q"), input=json.dumps(record) + "\n"
    )
    assert done.status == 0, done.err
    (labelled,) = [json.loads(line) for line in done.lines]
    tree = record["tree"]
    ends = tree["visits"]
    steps = [tree["parent"][leaf] if tree["whole"][leaf] else leaf for leaf in ends]
    opinions = [
        0.0 if tree["finish"][step] == "length" else tree["scores"]["self"]["x"][step]
        for step in steps
    ]
    decided = [tree["outcome"][leaf] for leaf in ends if tree["outcome"][leaf] is not None]
    share = sum(decided) / len(decided) if decided else 0.0
    expected = 0.5 * share + 0.5 * sum(opinions) / len(opinions)
    assert labelled["tree"]["labels"]["soft"]["x"][0] == pytest.approx(expected)
    rows = work.run(
        *("step-pairs", "--value", "q", "--rule", "mcts-dpo", "--to", "plain", "--scope", "step"),
        input=json.dumps(record) + "\n",
    )
    assert rows.status == 0, rows.err
    assert rows.lines
    for line in rows.lines:
        row = json.loads(line)
        assert row["score_chosen"] > row["score_rejected"] and row["n_chosen"] == 0


def test_next_steps_and_endings_of_traces(work: Workdir) -> None:
    attempt = rollout(work, problems(1), "--method", "sample", "-k", "1").out
    cut = work.run("step-split", input=attempt).out
    (record,) = records(rollout(work, cut, "--method", "truncate", "-k", "2"))
    tree, count = record["tree"], len(record["steps"])
    drawn = [node for node in range(1, len(tree["parent"])) if tree["by"][node] == 0]
    assert len(drawn) == 2 * count and not any(tree["whole"][node] for node in drawn)
    refused = rollout(work, cut, "--method", "subthought")
    assert refused.status == 3 and "cut with step-split --by cue" in refused.err
    answer = "So the answer is 3.\nWait, I must check.\nSo it is 4.\nAnswer: 4"
    line = json.dumps({**json.loads(problems(1)), "response": answer})
    cues = work.run("step-split", "--by", "cue", input=line + "\n").out
    (thought,) = records(rollout(work, cues, "--method", "subthought"))
    assert len(thought["steps"]) == 3 and sum(thought["tree"]["whole"]) == 2
    assert thought["labels"]["subthought"]["meta"]["answers"]["4"] >= 1


def test_cuts_by_the_confidence_of_the_model_that_drew(work: Workdir) -> None:
    drawn = rollout(work, problems(2), "--method", "sample", "-k", "2", "--keep-tokens")
    work.write("drawn.jsonl", drawn.out)
    done = work.run("step-split", "--by", "confidence", "--quantile", "0.1", "drawn.jsonl")
    assert done.status == 0, done.err
    tokens, cuts = 0, 0
    for line in done.lines:
        trace = json.loads(line)
        assert "".join(trace["steps"]) == trace["response"]
        tokens += len(trace["sample"]["token_bytes"])
        cuts += len(trace["steps"]) - 1
    assert 0 < cuts <= 0.1 * tokens


def test_cuts_by_the_confidence_of_a_model_that_reads(work: Workdir) -> None:
    """The tokens that step-score keeps are those of the drawing, where the same model drew them;
    so both cut alike."""
    drawn = rollout(work, problems(1), "--method", "sample", "-k", "2", "--keep-tokens")
    cut = work.run("step-split", "--by", "confidence", "--top", "3", input=drawn.out)
    scored = work.run(
        *("step-score", "-m", str(POLICY), "-t", "1", "--keep-tokens", "--name", "own"),
        input=cut.out,
    )
    assert scored.status == 0, scored.err
    again = work.run(
        *("step-split", "--by", "confidence", "--top", "3", "--score", "own"), input=scored.out
    )
    assert again.status == 0, again.err
    for one, other in zip(cut.lines, again.lines, strict=True):
        drawing, reading = json.loads(one)["sample"], json.loads(other)["scores"]["own"]
        assert json.loads(one)["steps"] == json.loads(other)["steps"]
        assert reading["token_bytes"] == drawing["token_bytes"]
        assert reading["token_logprob"] == pytest.approx(drawing["token_logprob"], abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--method mcts -k 4", "no effect with --method mcts"),
        ("--method best-first --select puct", "no effect with --method best-first"),
        ("--method mcts --width 2,x", "--width 2,x: expected numbers from 1 up"),
        ("--method mcts --by regex", "--by regex: pattern: expected a regular expression"),
        ("--method sample --emit traces", "--emit has no effect with --method sample"),
    ],
)
def test_options_without_effect_are_refused(work: Workdir, options: str, message: str) -> None:
    done = rollout(work, problems(1), *options.split())
    assert (done.status, done.out) == (2, b"") and message in done.err

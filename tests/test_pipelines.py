"""The pipelines that the tool is for, run as they are written, on the shipped models."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from work import ROOT, Workdir, clean_environment

from stepkit.schema import group_of

SAMPLES = ROOT / "samples"

UNANSWERED = re.compile(r"step-\w+: \d+ of \d+ (draws|responses) have no answer: .*\n")


@pytest.fixture
def shell(work: Workdir) -> Any:
    """A function that runs a line of shell among small copies of the samples."""
    lines = (SAMPLES / "problems.jsonl").read_text().splitlines(keepends=True)
    work.write("problems.jsonl", "".join(lines[:5]))
    traces = (SAMPLES / "traces.jsonl").read_text().splitlines(keepends=True)
    work.write("traces.jsonl", "".join(traces[:12]))
    for name in ("policy.gguf", "prm.gguf"):
        (work.path / name).symlink_to(SAMPLES / "models" / name)

    def run(line: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            cwd=work.path,
            env=clean_environment(work.path),
            capture_output=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr.decode()
        # a draw that ran into --max-tokens has no answer, which is said
        assert not UNANSWERED.sub("", done.stderr.decode())
        return [json.loads(row) for row in done.stdout.splitlines()]

    return run


def test_sample_score_and_choose(shell: Any) -> None:
    chosen = shell(
        "cat problems.jsonl | step-rollout -m policy.gguf --method sample -k 16 | step-split"
        " | step-score --prm prm.gguf | step-rerank"
    )
    assert len(chosen) == 5 and len({record["group"] for record in chosen}) == 5
    assert all(record["choice"]["n"] == 16 for record in chosen)


def test_evidence_labels_and_pairs(shell: Any, work: Workdir) -> None:
    shell("cat traces.jsonl | step-split | step-rollout -m policy.gguf -k 8 -o ev.jsonl")
    shell("step-label ev.jsonl | step-pairs --to trl-dpo --conversational -o dpo.jsonl")
    pairs = [json.loads(line) for line in work.read("dpo.jsonl").splitlines()]
    assert pairs
    for pair in pairs:
        assert pair["chosen"] != pair["rejected"] and pair["prompt"] and pair["gap"] > 0
        assert pair["score_chosen"] > pair["score_rejected"]
    piped = shell(
        "cat traces.jsonl | step-split | step-rollout -m policy.gguf -k 8 | step-label"
        " | step-pairs --to trl-dpo --conversational"
    )
    assert piped == pairs
    first = shell("step-label ev.jsonl | step-pairs --rule first-error --conversational")
    assert first and all(pair["rule"] == "first-error" for pair in first)


def test_score_given_traces_and_choose(shell: Any) -> None:
    chosen = shell("cat traces.jsonl | step-split | step-score --prm prm.gguf | step-rerank")
    traces = (SAMPLES / "traces.jsonl").read_text().splitlines()[:12]
    groups = {json.loads(line)["group"] for line in traces}
    assert {record["group"] for record in chosen} == groups


def test_one_round_of_refinement(shell: Any) -> None:
    shell("step-split traces.jsonl -o t.jsonl")
    redrawn = shell(
        "step-score t.jsonl --prm prm.gguf | step-label --first below:0.5"
        " | step-rollout -m policy.gguf --at first -k 4"
    )
    flagged = shell("step-score t.jsonl --prm prm.gguf | step-label --first below:0.5")
    wrong = [record for record in flagged if record["labels"]["first"]["first"] >= 0]
    assert wrong, "the PRM flags no step of any sample trace"
    assert len(redrawn) == len(flagged) + 3 * len(wrong)
    for record in redrawn:
        if "origin" in record:
            source = next(one for one in wrong if one["id"] == record["origin"]["id"])
            kept = source["steps"][: record["origin"]["step"]]
            assert record["response"].startswith("".join(kept))


def test_a_checker_labels_steps_for_a_reward_model(shell: Any) -> None:
    rows = shell(
        "step-split traces.jsonl | step-score --check arithmetic"
        " | step-label --label hard:from=arithmetic | step-pairs --rule prm --at hard --to trl-prm"
    )
    assert rows
    for row in rows:
        given = [label for label in row["labels"] if label != -100]
        assert set(given[:-1]) <= {1} and given[-1] in (0, 1)  # right up to the first wrong sum
    assert {row["labels"].count(0) for row in rows} == {0, 1}


def test_a_reward_model_as_critic_gives_weights(shell: Any) -> None:
    rows = shell(
        "step-split --grade traces.jsonl | step-score --prm prm.gguf"
        " | step-label --label gae:from=prm,root=0.5"
        " | step-pairs --rule weighted --at gae --to plain"
    )
    assert rows and all(weight >= 0 for row in rows for weight in row["weights"])


def test_a_checker_makes_rows_for_a_reward_model(shell: Any) -> None:
    scored = "step-split traces.jsonl | step-score --check arithmetic"
    rows = shell(f"{scored} | step-pairs --rule prm --at arithmetic --to trl-prm")
    traces = [one for one in shell(scored) if any(one["scores"]["arithmetic"]["x"])]
    assert rows and len(rows) <= len(traces)
    for row in rows:
        assert set(map(type, row["labels"])) == {int} and set(row["labels"]) <= {1, 0, -100}
        (trace,) = [
            one for one in traces
            if [step.strip() for step in one["steps"]] == row["completions"]
            and one["group"] == row["group"]
        ][:1]  # fmt: skip
        x = trace["scores"]["arithmetic"]["x"]
        assert row["labels"] == [-100 if value is None else int(value) for value in x]


def test_the_nodes_of_a_search_make_rows_for_a_reward_model(shell: Any) -> None:
    shell(
        "step-rollout problems.jsonl -m policy.gguf --method omega --searches 5 -k 4"
        " | step-label --nodes --label soft -o tree.jsonl"
    )
    rows = shell("step-pairs --rule prm --at soft tree.jsonl")
    trees = {group_of(one): one["tree"] for one in shell("cat tree.jsonl")}
    assert rows and {row["group"] for row in rows} <= trees.keys()
    for row in rows:
        tree, node = trees[row["group"]], int(row["draws"])
        path = [node]
        while tree["parent"][path[-1]]:
            path.append(tree["parent"][path[-1]])
        assert "".join(row["steps"]) == "".join(tree["text"][one] for one in reversed(path))
        last = tree["labels"]["soft"]["x"][node]
        assert row["masked"][-1] is (last is None) and row["labels"][-1] == (last or 0)
    flat = shell("step-split --leaves tree.jsonl | step-pairs --rule prm --at soft")
    again = shell("step-pairs --rule prm --at soft --repeat-shared tree.jsonl")
    kept = ("group", "prompt", "steps", "labels", "masked")
    assert [[row[key] for key in kept] for row in flat] == [
        [row[key] for key in kept] for row in again
    ]

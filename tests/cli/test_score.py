"""step-score: the numbers are the model's own, one a step, and nothing else is touched."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import ggufs
import pytest
from reference_model import forward
from work import ROOT, Done, Workdir

PRM = ROOT / "samples" / "models" / "prm.gguf"
POLICY = ROOT / "samples" / "models" / "policy.gguf"
TRACE: dict[str, Any] = {
    "id": "a",
    "problem": "Ann has 12 nuts and buys 30 nuts. How many nuts does she have?",
    "response": "12 + 30 = 42.\nAnswer: 42",
    "steps": ["12 + 30 = 42.\n", "Answer: 42"],
}


def score(work: Workdir, *args: str | Path, record: Any = TRACE) -> Done:
    text = record if isinstance(record, str) else json.dumps(record) + "\n"
    done = work.run("step-score", "-t", "1", *args, input=text)
    assert "Traceback" not in done.err
    return done


def scores(done: Done, name: str) -> dict[str, Any]:
    assert done.status == 0, done.err
    return json.loads(done.out)["scores"][name]


def expected(
    path: Path, prompt: str, steps: list[str], marker: str, pair: list[str]
) -> list[float]:
    """By hand: marker ids put in, one forward pass in NumPy, softmax over two logits."""
    from stepkit.model.local.llama import Model

    model = Model(str(path))
    special = model.special_tokens()
    ids, positions = list(model.tokenize(prompt)), []
    for step in steps:
        ids += [*model.tokenize(step), special[marker]]
        positions.append(len(ids) - 1)
    good, bad = (special[token] for token in pair)
    model.close()
    logits = forward(path, ids)
    return [1 / (1 + math.exp(logits[at, bad] - logits[at, good])) for at in positions]


def test_prm_scores_are_the_forward_pass_at_the_markers(work: Workdir) -> None:
    found = scores(score(work, "--prm", PRM), "prm")
    prompt = f"Problem: {TRACE['problem']}\nSolution:\n"
    by_hand = expected(PRM, prompt, TRACE["steps"], "<|step|>", ["<|good|>", "<|bad|>"])
    assert found["x"] == pytest.approx(by_hand, abs=1e-4)
    assert found["by"] == "scorer" and found["meta"]["profile"]["marker"] == "<|step|>"


def test_a_marker_in_the_text_stays_text(work: Workdir) -> None:
    steps = ["a <|step|> b\n", "c"]
    record = TRACE | {"response": "".join(steps), "steps": steps}
    found = scores(score(work, "--prm", PRM, record=record), "prm")
    prompt = f"Problem: {TRACE['problem']}\nSolution:\n"
    by_hand = expected(PRM, prompt, steps, "<|step|>", ["<|good|>", "<|bad|>"])
    assert len(found["x"]) == 2 and found["x"] == pytest.approx(by_hand, abs=1e-4)


def test_the_options_describe_a_prm_without_a_profile(work: Workdir, tmp_path: Path) -> None:
    path = ggufs.write_llama(tmp_path / "bare.gguf")
    refused = score(work, "--prm", path)
    assert refused.status == 2 and "--marker" in refused.err
    options = ("--marker", "<|step|>", "--positive", "<|good|>", "--negative", "259")
    done = score(work, "--prm", path, *options, "--prompt", "{problem} ", "--step", "{step}!")
    by_hand = expected(
        path, TRACE["problem"] + " ", [step + "!" for step in TRACE["steps"]],
        "<|step|>", ["<|good|>", "<|bad|>"],
    )  # fmt: skip
    assert scores(done, "prm")["x"] == pytest.approx(by_hand, abs=1e-4)


def test_a_score_does_not_depend_on_its_neighbours(work: Workdir) -> None:
    lines = []
    for number in range(12):
        steps = [f"12 + {number} = {12 + number}.\n"] * (1 + number % 4) + ["Answer: 3"]
        trace = TRACE | {"id": str(number), "response": "".join(steps), "steps": steps}
        lines.append(json.dumps(trace) + "\n")
    together = score(work, "--prm", PRM, record="".join(lines))
    alone = b"".join(score(work, "--prm", PRM, record=line).out for line in lines[::5])
    assert b"".join(line + b"\n" for line in together.lines[::5]) == alone


def test_the_models_own_mean_log_probability(work: Workdir) -> None:
    from stepkit.model.local.llama import Model
    from stepkit.model.local.token_sampling import log_softmax_at

    found = scores(score(work, "-m", POLICY), "logprob")
    model = Model(str(POLICY))
    prompt = model.tokenize(f"Problem: {TRACE['problem']}\nSolution:\n")
    parts = [model.tokenize(step) for step in TRACE["steps"]]
    model.close()
    ids = [*prompt, *parts[0], *parts[1]]
    logits = forward(POLICY, ids)[:-1]
    logprobs = log_softmax_at(logits, ids[1:]).tolist()[len(prompt) - 1 :]
    first, second = logprobs[: len(parts[0])], logprobs[len(parts[0]) :]
    means = [sum(first) / len(first), sum(second) / len(second)]
    assert found["x"] == pytest.approx(means, abs=1e-4)
    assert found["total"] == pytest.approx(sum(logprobs) / len(logprobs), abs=1e-4)
    assert found["of"] == "confidence"


@pytest.mark.parametrize("how", [("--prm", PRM), ("-m", POLICY), ("-m", POLICY, "--keep-tokens")])
def test_who_draws_nothing_holds_one_trace(work: Workdir, how: tuple[str | Path, ...]) -> None:
    """A policy that only reads had the cache of all that could have been drawn, 48 sequences."""
    done = score(work, *how, "-v")
    assert done.status == 0 and "one text with its branches" in done.err
    small = score(work, *how, "--batch", "2049")
    assert small.status == 2 and "--batch 2049: expected at most 2048" in small.err


def test_scores_add_up_by_name_and_leave_the_rest_alone(work: Workdir) -> None:
    line = json.dumps(TRACE | {"scores": {"mine": {"x": [1.10, 2]}}, "n": 7})[:-1]
    line = line.replace("[1.1, 2]", "[1.10, 2]") + ', "big": 18446744073709551617}\n'
    once = score(work, "--prm", PRM, record=line)
    assert b'"mine": {"x": [1.10, 2]}' in once.out and b"18446744073709551617" in once.out
    twice = score(work, "-m", POLICY, record=once.out.decode())
    assert list(json.loads(twice.out)["scores"]) == ["mine", "prm", "logprob"]
    again = score(work, "--prm", PRM, record=twice.out.decode())
    assert again.out == twice.out


def test_nan_is_an_error_of_the_record(work: Workdir, tmp_path: Path) -> None:
    path = ggufs.write_llama(
        tmp_path / "nan.gguf",
        scale=float("nan"),
        profile='{"marker":"<|step|>","positive":"<|good|>","negative":"<|bad|>"}',
    )
    done = score(work, "--prm", path)
    assert done.status == 3 and "finite" in done.err and done.out == b""


@pytest.mark.parametrize(
    ("profile", "named"),
    [
        ("{", "not JSON"),
        ('{"colour":"red"}', "colour"),
        ('{"kind":"head","marker":"a","positive":"b","negative":"c"}', "head"),
        ('{"marker":"<|step|>","positive":"<|good|>","negative":"<|good|>"}', "same token"),
        ('{"marker":"two words","positive":"<|good|>","negative":"<|bad|>"}', "not one token"),
        ('{"marker":"a","positive":"b","negative":"c","of":"x"}', "of"),
        ('{"marker":"a","positive":"b","negative":"c","prompt":"x"}', "{problem}"),
    ],
)
def test_a_bad_profile_is_a_usage_error(
    work: Workdir, tmp_path: Path, profile: str, named: str
) -> None:
    path = ggufs.write_llama(tmp_path / "p.gguf", profile=profile)
    done = score(work, "--prm", path)
    assert done.status == 2 and named in done.err and done.err.count("\n") == 1, done.err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), "--prm"),
        (("--prm", PRM, "-m", POLICY), "either"),
        (("-m", POLICY, "--marker", "x"), "--marker"),
        (("--prm", PRM, "--system", "x"), "--system"),
    ],
)
def test_usage(work: Workdir, args: tuple[str | Path, ...], named: str) -> None:
    done = score(work, *args)
    assert done.status == 2 and named in done.err


def test_a_trace_without_steps_is_refused(work: Workdir) -> None:
    done = score(work, "--prm", PRM, record={"problem": "p"})
    assert done.status == 3 and done.err.startswith("step-score: <stdin>:1: ")

"""Scores without a reward model: seven measures of one distribution, and answers that agree."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_model import forward
from work import ROOT, Done, Workdir

from stepkit.core.confidence import MEASURES
from stepkit.search.scorers.consistency import agreement

PRM = ROOT / "samples" / "models" / "prm.gguf"
POLICY = ROOT / "samples" / "models" / "policy.gguf"
STEPS = ["12 + 30 = 42.\n", "So she has 42 nuts.\n", "Answer: 42"]
TRACE: dict[str, Any] = {
    "id": "a",
    "problem": "Ann has 12 nuts and buys 30 nuts. How many nuts does she have?",
    "response": "".join(STEPS),
    "steps": STEPS,
}


def score(work: Workdir, *args: str | Path, record: Any = TRACE) -> Done:
    done = work.run("step-score", *args, input=json.dumps(record) + "\n", timeout=600)
    assert "Traceback" not in done.err
    return done


def entry(done: Done, name: str) -> dict[str, Any]:
    assert done.status == 0, done.err
    return json.loads(done.out)["scores"][name]


# ---- against one forward pass in NumPy -----------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> tuple[list[int], dict[str, np.ndarray]]:
    """Tokens of each step, and at every token of the response what the measures read."""
    from stepkit.model.local.llama import Model

    model = Model(str(POLICY))
    prompt = model.tokenize(f"Problem: {TRACE['problem']}\nSolution:\n")
    parts = [model.tokenize(step) for step in STEPS]
    model.close()
    ids = [*prompt, *(token for part in parts for token in part)]
    logits = forward(POLICY, ids)[len(prompt) - 1 : -1].astype(np.float64)
    logp = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    logp -= logits.max(1, keepdims=True)
    size = logp.shape[1]
    uniform = np.full(size, 1 / size)
    return [len(part) for part in parts], {
        "logprob": logp[np.arange(len(logp)), ids[len(prompt) :]],
        "entropy": -(np.exp(logp) * logp).sum(1),
        "certainty": (uniform * (np.log(uniform) - logp)).sum(1),
        "top": -np.sort(logp, 1)[:, -20:].mean(1),
    }


@pytest.mark.parametrize(
    ("by", "reads", "fold"),
    [
        ("logprob", "logprob", np.mean),
        ("perplexity", "logprob", lambda v: -math.exp(-v.mean())),
        ("entropy", "entropy", lambda v: -v.mean()),
        ("self-certainty", "certainty", np.mean),
    ],
)
def test_means_over_the_tokens_of_a_step(
    work: Workdir, reference: Any, by: str, reads: str, fold: Any
) -> None:
    sizes, at = reference
    found = entry(score(work, "-m", POLICY, "-t", "1", "--by", by), by)
    parts = np.split(at[reads], np.cumsum(sizes)[:-1])
    assert found["x"] == pytest.approx([fold(part) for part in parts], rel=1e-3, abs=2e-3)
    assert found["total"] == pytest.approx(fold(at[reads]), rel=1e-3, abs=2e-3)
    assert found["of"] == "confidence"
    assert (found["meta"]["measure"], found["meta"]["better"]) == (by, "higher")


@pytest.mark.parametrize("by", ["lowest-group", "bottom-group", "tail"])
@pytest.mark.parametrize("group", [1, 4, 11, 2048])
def test_groups_of_token_confidences(work: Workdir, reference: Any, by: str, group: int) -> None:
    sizes, at = reference
    confidence = at["top"]
    x, past = [], 0
    for size in sizes:
        first, past = past, past + size
        x.append(by_hand(confidence, first, past, group, by))
    asked = ("-m", POLICY, "-t", "1", "--by", by, "--group", str(group))
    found = entry(score(work, *asked), by)
    assert found["x"] == pytest.approx(x, rel=1e-3, abs=2e-3)
    assert found["total"] == pytest.approx(
        by_hand(confidence, 0, past, group, by), rel=1e-3, abs=2e-3
    )
    assert found["meta"]["group"] == group


def by_hand(confidence: Any, first: int, past: int, group: int, by: str) -> float:
    """Groups that end at one of the tokens first .. past - 1; all tokens before past, if none."""
    ends = [end for end in range(first + 1, past + 1) if end >= group]
    groups = [float(np.mean(confidence[end - group : end])) for end in ends]
    groups = groups or [float(np.mean(confidence[:past]))]
    if by == "tail":
        return groups[-1]
    least = sorted(groups)[: max(1, len(groups) // 10)]
    return least[0] if by == "lowest-group" else sum(least) / len(least)


def test_the_default_is_the_mean_log_probability(work: Workdir) -> None:
    plain, named = (score(work, "-m", POLICY, "-t", "1", *by) for by in ((), ("--by", "logprob")))
    assert plain.out == named.out


def test_measures_of_one_trace_stand_beside_each_other(work: Workdir) -> None:
    first = score(work, "-m", POLICY, "-t", "1", "--by", "entropy")
    second = score(work, "-m", POLICY, "-t", "1", "--by", "tail", record=json.loads(first.out))
    assert list(json.loads(second.out)["scores"]) == ["entropy", "tail"]


@pytest.mark.parametrize("by", [*MEASURES, "consistency"])
def test_every_measure_can_choose(work: Workdir, by: str) -> None:
    """Higher is surer: the attempt that the model itself finds likely wins over one it does not."""
    likely = json.loads((ROOT / "samples" / "traces.jsonl").read_text().splitlines()[0])
    odd = likely | {"id": "odd", "response": "7 7 + + nuts Leo = 3.\nAnswer: 90"}
    text = "".join(json.dumps(one) + "\n" for one in (odd, likely))
    cut = work.run("step-split", input=text).out
    if by == "consistency":
        cut = work.run("step-rollout", "-m", POLICY, "-k", "6", "-t", "1", input=cut).out
        scored = work.run("step-score", "--by", by, input=cut)
    else:
        scored = work.run("step-score", "-m", POLICY, "-t", "1", "--by", by, input=cut)
    assert scored.status == 0, scored.err
    best = work.run("step-rerank", "--aggregate", "mean", input=scored.out)
    assert best.status == 0, best.err
    assert json.loads(best.out)["id"] == likely["id"]


# ---- kept at the draw ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A trace drawn with its tokens kept, cut into steps."""
    work = Workdir(tmp_path_factory.mktemp("drawn"))
    problems = ROOT / "samples" / "problems.jsonl"
    args = ("--method", "sample", "-k", "1", "-t", "1", "--limit", "1", "--keep-confidence")
    done = work.run("step-rollout", "-m", POLICY, *args, problems)
    assert done.status == 0, done.err
    return json.loads(work.run("step-split", input=done.out).out)


@pytest.mark.parametrize("by", MEASURES)
def test_kept_tokens_give_what_the_model_gives(
    work: Workdir, drawn: dict[str, Any], by: str
) -> None:
    how = ("--by", by, *(("--group", "12") if MEASURES[by].worst else ()))
    kept = entry(score(work, "--kept", *how, record=drawn), by)
    read = entry(score(work, "-m", POLICY, "-t", "1", *how, record=drawn), by)
    # the end-of-text token is the attempt's, but no token of its response
    assert kept["x"] == pytest.approx(read["x"], abs=2e-3)
    assert kept["total"] == pytest.approx(read["total"], abs=2e-3)


def test_confidence_is_kept_for_draws_that_share_a_batch(work: Workdir) -> None:
    """Many draws, longer than the first arrays, moved between slots, tempered and filtered: the
    numbers are still those of the model's own distribution at each token."""
    problems = ROOT / "samples" / "problems.jsonl"
    drawn = work.run(
        *("step-rollout", "-m", POLICY, "-t", "1", "--method", "sample", "-k", "16", problems),
        *("--limit", "3", "--temperature", "1.5", "--top-k", "40", "--max-tokens", "200"),
        "--keep-confidence",
    )
    cut = work.run("step-split", input=drawn.out)
    kept = work.run("step-score", "--kept", "--by", "entropy", input=cut.out)
    read = work.run("step-score", "-m", POLICY, "-t", "1", "--by", "entropy", input=cut.out)
    assert kept.status == read.status == 0, kept.err + read.err
    lengths = []
    for ours, model in zip(kept.out.splitlines(), read.out.splitlines(), strict=True):
        one, other = json.loads(ours), json.loads(model)
        lengths.append(len(one["sample"]["token_entropy"]))
        assert one["scores"]["entropy"]["x"] == pytest.approx(
            other["scores"]["entropy"]["x"], abs=2e-3
        )
    assert len(lengths) == 48 and min(lengths) < 64 < max(lengths)


def test_what_was_not_kept_is_named(work: Workdir) -> None:
    sample = {"token_bytes": [8], "token_logprob": [-0.5]}
    record = TRACE | {"response": "abcdefgh", "steps": ["abcdefgh"], "sample": sample}
    done = score(work, "--kept", "--by", "self-certainty", record=record)
    assert done.status == 3
    assert 'field "sample.token_certainty": not kept: draw with --keep-confidence' in done.err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("-m", POLICY, "-k", "2"), "--keep-confidence has no effect with --method chain"),
        (
            ("--server", "http://localhost:1", "--method", "sample"),
            "--keep-confidence: a server gives log-probabilities only (--keep-tokens)",
        ),
    ],
)
def test_confidence_is_kept_of_attempts_drawn_here(
    work: Workdir, args: tuple[str, ...], named: str
) -> None:
    done = work.run("step-rollout", *args, "--keep-confidence", input=json.dumps(TRACE) + "\n")
    assert done.status == 2 and named in done.err


def test_given_tokens_were_not_drawn_and_do_not_count(work: Workdir) -> None:
    sample = {"token_bytes": [3, 3, 2], "token_logprob": [None, -0.5, -1.5]}
    record = TRACE | {"response": "abcdefgh", "steps": ["ab", "cdef", "gh"], "sample": sample}
    found = entry(score(work, "--kept", record=record), "logprob")
    assert (found["x"], found["total"]) == ([None, -0.5, -1.5], -1.0)


def test_without_kept_tokens_the_record_says_so(work: Workdir) -> None:
    done = score(work, "--kept")
    assert done.status == 3 and "--keep-tokens" in done.err


# ---- answers that agree --------------------------------------------------------------------------


def same(a: str, b: str) -> bool:
    return float(a) == float(b)


def test_agreement_by_hand() -> None:
    found = agreement(["4", "4.0", "5", None, "4", "6"], same)
    shares = (3 / 5, 1 / 5, 1 / 5)
    assert found[:4] == (3 / 5, 3, 5, 1) and found.answer == "4"
    assert found.entropy == pytest.approx(-sum(p * math.log(p) for p in shares))
    assert agreement([None, None], same) == (None, 0, 0, 2, None, None)
    assert agreement(["7"], same) == (1.0, 1, 1, 0, 0.0, "7")


@given(st.lists(st.none() | st.sampled_from("1234"), max_size=30))
def test_shares_and_entropies_are_bounded(answers: list[str | None]) -> None:
    found = agreement(answers, same)
    kinds = {one for one in answers if one}
    assert found.n + found.undecided == len(answers)
    if found.x is not None and found.entropy is not None:
        assert 1 / len(kinds) <= found.x <= 1
        assert 0 <= found.entropy <= math.log(len(kinds)) + 1e-12
        assert (found.x == 1) == (found.entropy == 0)


def tree_of(steps: list[str], draws: list[tuple[int, str, str | None]]) -> dict[str, Any]:
    """A tree whose spine is ``steps`` and whose draws are (spine node, finish, answer)."""
    from stepkit.core import tree as trees

    tree = trees.from_steps(steps)
    tree["samplers"] = [{"id": "s"}]
    tree["finish"][-1], tree["final"][-1] = "stop", "42"
    counts: dict[int, int] = {}
    for node, finish, final in draws:
        number = counts[node] = counts.get(node, -1) + 1
        trees.add(tree, node, "...", whole=True, finish=finish, final=final, by=0, draw=number)
    return tree


def test_consistency_reads_the_draws_at_every_prefix(work: Workdir) -> None:
    draws: list[tuple[int, str, str | None]] = [
        *((0, "stop", "42"), (0, "stop", "7"), (0, "length", "7"), (0, "error", None)),
        *((1, "stop", "1/2"), (1, "stop", "0.5"), (1, "stop", "3"), (1, "stop", None)),
    ]
    record = TRACE | {"tree": tree_of(STEPS, draws)}
    found = entry(score(work, "--by", "consistency", record=record), "consistency")
    assert found["x"] == pytest.approx([2 / 3, None, 1.0])
    assert (found["k"], found["n"], found["undecided"]) == ([2, 0, 1], [3, 0, 1], [1, 0, 0])
    assert found["answer"] == ["1/2", None, "42"]
    two = -(2 / 3) * math.log(2 / 3) - math.log(1 / 3) / 3
    assert found["entropy"] == [pytest.approx(two), None, 0.0]
    root = {"x": 0.5, "k": 1, "n": 2, "undecided": 1, "answer": "42"}
    assert found["root"] == root | {"entropy": pytest.approx(math.log(2))}
    assert (found["of"], found["by"]) == ("confidence", "sampler")


def test_consistency_asks_whose_draws_count(work: Workdir) -> None:
    tree = tree_of(STEPS, [(1, "stop", "1"), (1, "stop", "2")])
    tree["samplers"].append({"id": "t"})
    tree["by"][-1], tree["draw"][-1] = 1, 0
    record = TRACE | {"tree": tree}
    done = score(work, "--by", "consistency", record=record)
    assert done.status == 3 and "--sampler" in done.err
    found = entry(
        score(work, "--by", "consistency", "--sampler", "t", record=record), "consistency"
    )
    assert found["answer"][0] == "2" and found["n"][0] == 1


def test_consistency_needs_a_tree(work: Workdir) -> None:
    done = score(work, "--by", "consistency")
    assert done.status == 3 and "step-rollout" in done.err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--by", "entropy"), "either"),
        (("--by", "entropy", "--prm", PRM), "--by goes with"),
        (("-m", POLICY, "--group", "4"), "--group goes with"),
        (("-m", POLICY, "--sampler", "x"), "--sampler goes with"),
        (("--kept", "--by", "consistency"), "--kept has no effect"),
        (("--kept", "-m", POLICY), "--model has no effect with --kept"),
        (("--by", "consistency", "-m", POLICY), "--model has no effect with --by consistency"),
        (("--server", "http://localhost:1", "--by", "entropy"), "--by entropy goes with -m"),
    ],
)
def test_usage(work: Workdir, args: tuple[str | Path, ...], named: str) -> None:
    done = score(work, *args)
    assert (done.status, done.out) == (2, b"") and named in done.err, done.err

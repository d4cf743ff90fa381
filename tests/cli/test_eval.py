"""step-eval as a user runs it: worked examples, simulated worlds, maps, refusals."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from work import Done, Workdir

from stepkit import api
from stepkit.core import selection
from stepkit.schema import Json

ROUGH = re.compile(r"step-eval: the intervals are rough: problems \d+, fewer than 30\n")


def attempt(
    group: str,
    final: str | None = None,
    right: bool | None = None,
    x: list[float] | None = None,
    **more: Any,
) -> Json:
    """One attempt at a problem, of as many steps as it has scores."""
    steps = [f"step {i}.\n" for i in range(len(x or [0.0]))]
    record: Json = {
        "group": group,
        "problem": f"Problem {group}?",
        "response": "".join(steps),
        "steps": steps,
        "final": final,
        "correct": right,
    }
    if x is not None:
        record["scores"] = {"prm": {"of": "validity", "by": "scorer", "x": x}}
    return record | more


def lines(records: list[Json]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def rows_of(done: Done) -> list[Json]:
    assert (done.status, ROUGH.sub("", done.err)) == (0, ""), done.err
    return [json.loads(line) for line in done.lines]


def value(rows: list[Json], measure: str, **key: Any) -> float:
    """The one row of a measure that has this key, and no "against" unless it is asked for."""
    key.setdefault("against", None)
    (row,) = [
        row
        for row in rows
        if row["measure"] == measure and all(row.get(name) == one for name, one in key.items())
    ]
    return row["value"]


TWO = [
    attempt("a", "1", True, [0.9, 0.3]),
    attempt("a", "1", True, [0.4]),
    attempt("a", "2", False, [0.8]),
    attempt("b", "5", False, [0.2]),
    attempt("b", "7", True, [0.6]),
    attempt("b", None, None, [0.1]),
]
"""Problem a: minima 0.3, 0.4 (answer 1, right) and 0.8; b: 0.2, 0.6 (right) and 0.1 (no answer)."""


def test_curves_by_hand(work: Workdir) -> None:
    """k = 2. a: pairs 11, 12, 12; b: 57, 5-, 7-."""
    rows = rows_of(work.run("step-eval", "--k", "1,2,3", input=lines(TWO)))
    assert value(rows, "pass", k=1) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert value(rows, "pass", k=2) == pytest.approx((1 + 2 / 3) / 2)
    # a: 11 right, else the 2 with 0.8; b: 57 and 7- take the 7
    assert value(rows, "best", k=2) == pytest.approx((1 / 3 + 2 / 3) / 2)
    # a: 11 right, 12 a tie; b: 57 a tie, 7- right
    assert value(rows, "majority", k=2) == pytest.approx((2 / 3 + 1 / 2) / 2)
    # a: 0.3 + 0.4 < 0.8; b: 0.6 > 0.2
    assert value(rows, "weighted", k=3) == pytest.approx((0 + 1) / 2)
    # pairs within problems: a 2 x 1 (0 won), b 1 x 2 (both won)
    assert value(rows, "auc_attempts") == pytest.approx(2 / 4)
    data = rows[0]
    assert (data["problems"], data["attempts"], data["undecided"]) == (2, 6, 1)
    assert all(row["stepkit"] == 1 for row in rows)


def test_undecided_apart(work: Workdir) -> None:
    """b has two attempts left: one right of two."""
    args = ("--undecided", "apart", "--curves", "pass", "--k", "1,2,3")
    rows = rows_of(work.run("step-eval", *args, input=lines(TWO)))
    assert value(rows, "pass", k=1) == pytest.approx((2 / 3 + 1 / 2) / 2)
    (last,) = [row for row in rows if row.get("k") == 3]
    assert (last["problems"], last["value"]) == (1, 1.0)


def test_differences(work: Workdir) -> None:
    args = ("--k", "2", "--against", "single", "--against", "majority", "--against", "last")
    more = ("--aggregate", "min", "--aggregate", "last")
    rows = rows_of(work.run("step-eval", *args, *more, input=lines(TWO)))
    best = value(rows, "best", aggregate="min")
    assert value(rows, "best", aggregate="min", against="single") == pytest.approx(best - 0.5)
    majority = value(rows, "majority")
    assert value(rows, "best", aggregate="min", against="majority") == pytest.approx(
        best - majority
    )
    last = value(rows, "best", aggregate="last")
    assert value(rows, "best", aggregate="min", against="last") == pytest.approx(best - last)
    assert not [row for row in rows if row["measure"] == "pass" and row.get("k") == 1]


def world(problems: int, n: int, seed: int = 1, bias: float = 1.0) -> list[Json]:
    """Attempts that are right with a chance of their problem's; scores that know it a little."""
    rng = random.Random(seed)
    records = []
    for problem in range(problems):
        chance = rng.random()
        for draw in range(n):
            right = rng.random() < chance
            x = [min(max(rng.gauss(0.6 if right else 0.4, 0.15), 0.01), 0.99) for _ in range(3)]
            final = "right" if right else rng.choice("xyz")
            sample = {"tokens": rng.randint(20, 40), "draw": draw}
            records.append(attempt(f"w{seed}-{problem}", final, right, x, sample=sample))
    return records


def test_all_attempts_is_what_step_rerank_chooses(work: Workdir) -> None:
    """At k = n there is one subset, and without ties nothing to share: the commands must agree."""
    work.write("in.jsonl", lines(world(60, 5)))
    rows = rows_of(work.run("step-eval", "in.jsonl", "--k", "5", "--no-intervals"))
    for by in ("best", "weighted"):
        assert value(rows, by, k=5) == pytest.approx(share_chosen(work, "--by", by))


def share_chosen(work: Workdir, *how: str) -> float:
    """How many of the attempts in in.jsonl that step-rerank chooses are right."""
    chosen = work.run("step-rerank", "in.jsonl", *how).lines
    return sum(json.loads(line)["correct"] for line in chosen) / len(chosen)


AGGREGATES = [*selection.AGGREGATES, "soft-min:t=0.5", "window:size=2,of=min"]
VOTED = {
    "weighted": [how for how in AGGREGATES if how not in ("sum", "logits")],
    "log-weighted": [how for how in AGGREGATES if how != "sum"],
}


@pytest.mark.parametrize("by", ["best", *VOTED])
def test_whatever_step_rerank_goes_by_can_be_measured(work: Workdir, by: str) -> None:
    records = world(40, 4)
    for record in records:
        a, b, c = record["scores"]["prm"]["x"]
        record["scores"]["prm"] |= {"consecutive": [a * b, b * c], "total": a * c}
    hows = VOTED.get(by, AGGREGATES)
    asked = [word for how in hows for word in ("--aggregate", how)]
    shape = ("--curves", by, "--k", "4", "--no-intervals")
    rows = rows_of(work.run("step-eval", *shape, *asked, input=lines(records)))
    for how in hows:
        chosen = api.rerank(records, by, aggregate=how)
        share = sum(record["correct"] for record in chosen) / len(chosen)
        assert value(rows, by, k=4, aggregate=how) == pytest.approx(share)


def test_sums_are_measured_but_no_votes(work: Workdir) -> None:
    """Unasked, a vote that step-rerank refuses is left out, also where a sum happens to be below 1;
    log-odds of long attempts are far beyond what exp can hold."""
    sure = [attempt("g", str(i), bool(i), [0.2 + 0.1 * i]) for i in range(2)]
    rows = rows_of(work.run("step-eval", "--aggregate", "sum", input=lines(sure)))
    assert {row["measure"] for row in rows if "score" in row} == {"best", "auc_attempts"}
    long = [attempt("g", str(i), bool(i), [(1 + i) / 1e6] * 99) for i in (0, 1)]
    args = ("--curves", "log-weighted", "--aggregate", "logits", "--k", "2")
    rows = rows_of(work.run("step-eval", *args, input=lines(long)))
    assert value(rows, "log-weighted", k=2) == 1


@pytest.mark.parametrize("how", ["min", "product"])
def test_what_nothing_is_said_of_is_chosen_as_step_rerank_chooses(work: Workdir, how: str) -> None:
    """Steps without a number are left out, an attempt without any ranks below one of 0."""
    records = world(60, 4)
    for number, record in enumerate(records):
        x = record["scores"]["prm"]["x"]
        x[number % len(x)] = None
        if number % 4 == 1:
            record["scores"]["prm"]["x"] = [None] * len(x)
        elif number % 4 == 2:
            x[-1] = 0.0
    work.write("in.jsonl", lines(records))
    args = ("in.jsonl", "--k", "4", "--no-intervals", "--aggregate", how)
    rows = rows_of(work.run("step-eval", *args))
    for by in ("best", "weighted"):
        chosen = work.run("step-rerank", "in.jsonl", "--by", by, "--aggregate", how)
        assert (chosen.status, len(chosen.lines)) == (0, 60), chosen.err
        share = sum(json.loads(line)["correct"] for line in chosen.lines) / 60
        assert value(rows, by, k=4) == pytest.approx(share)


def test_a_simulated_world_lies_within_the_interval(work: Workdir) -> None:
    """With the chance uniform, one of k is right in k of k + 1 problems."""
    text = lines(world(400, 8))
    rows = rows_of(work.run("step-eval", "--curves", "pass", input=text))
    found = [row for row in rows if row["measure"] == "pass"]
    assert [row["k"] for row in found] == [1, 2, 4, 8]
    for row in found:
        assert row["low"] - 0.01 < row["k"] / (row["k"] + 1) < row["high"] + 0.01
        assert row["tokens"] == pytest.approx(30 * row["k"], rel=0.02)


def test_the_order_of_records_changes_nothing(work: Workdir) -> None:
    """Attempts at a problem need not stand together here."""
    records = world(30, 4)
    done = work.run("step-eval", input=lines(records))
    random.Random(3).shuffle(records)
    shuffled = work.run("step-eval", input=lines(records))
    for one, other in zip(rows_of(done), rows_of(shuffled), strict=True):
        assert one == pytest.approx(other)


def test_files_side_by_side_are_paired_by_problem(work: Workdir) -> None:
    """b has the attempts of a, but one wrong more at every problem: the difference is certain."""
    records = [attempt(f"g{i}", "1", draw < i % 3) for i in range(12) for draw in range(4)]
    more = [attempt(f"g{i}", "2", False) for i in range(12)]
    work.write("a.jsonl", lines(records))
    work.write("b.jsonl", lines([*records, *more]))
    args = ("--by-file", "--curves", "pass", "--k", "1", "--against", "a.jsonl")
    rows = rows_of(work.run("step-eval", "a.jsonl", "b.jsonl", *args))
    assert value(rows, "pass", file="a.jsonl") == pytest.approx(0.25)
    assert value(rows, "pass", file="b.jsonl") == pytest.approx(0.2)
    (gap,) = [row for row in rows if "against" in row]
    assert (gap["file"], gap["value"]) == ("b.jsonl", pytest.approx(-0.05))
    (own,) = [row for row in rows if row.get("file") == "b.jsonl" and "low" in row and row != gap]
    # 1/4 and 1/5 of the same problems: the difference is a fifth of a, and about as sure as that
    assert gap["high"] - gap["low"] == pytest.approx((own["high"] - own["low"]) / 4, rel=0.5)


def test_only_problems_that_both_files_have_are_compared(work: Workdir) -> None:
    """a: g 1/2, h 1. b: g 1, i 0. b is 1/4 below a on average, and 1/2 above it where both are."""
    work.write("a.jsonl", lines([attempt("g", "1", one) for one in (True, False)]))
    work.write("more.jsonl", lines([attempt("h", "1", True)]))
    work.write("a.jsonl", work.read("a.jsonl") + work.read("more.jsonl"))
    work.write("b.jsonl", lines([attempt("g", "1", True), attempt("i", "1", False)]))
    args = ("--by-file", "--curves", "pass", "--against", "a.jsonl")
    rows = rows_of(work.run("step-eval", "a.jsonl", "b.jsonl", *args))
    assert [value(rows, "pass", file=f"{name}.jsonl") for name in "ab"] == [0.75, 0.5]
    (gap,) = [row for row in rows if "against" in row]
    assert (gap["value"], gap["problems"]) == (0.5, 1)


def test_tokens_a_point(work: Workdir) -> None:
    """Two attempts of 10 tokens, one right: at k = 2 pass gains 50 points for 10 more tokens."""
    records = [attempt("g", "1", right, sample={"tokens": 10}) for right in (True, False)]
    args = ("--curves", "pass", "--k", "2", "--against", "single")
    rows = rows_of(work.run("step-eval", *args, input=lines(records)))
    (gain,) = [row for row in rows if "against" in row]
    assert (gain["tokens"], gain["tokens_per_point"]) == (10, pytest.approx(0.2))


def test_tokens_of_a_tree_are_counted_once(work: Workdir) -> None:
    """Drawn nodes of 5 and 7 tokens; the one cut from the second, and the root, cost none."""
    tree = {
        "parent": [-1, 0, 0, 0],
        "text": ["", "step 0.\n", "abc", "a"],
        "whole": [False, False, True, False],
        "finish": ["", "stop", "stop", ""],
        "outcome": [None, None, None, None],
        "by": [-1, 0, 0, 0],
        "draw": [-1, 0, 0, 0],
        "cut": [-1, -1, -1, 2],
        "tokens": [0, 5, 7, 3],
        "spine": [1],
        "samplers": [{"id": "s"}],
    }
    record = attempt("g", "1", True, tree=tree)
    rows = rows_of(work.run("step-eval", input=lines([record])))
    assert {row["tokens"] for row in rows if row["measure"] == "pass"} == {12}


# ---- steps and protocols ---------------------------------------------------------------------


GOLD = [
    attempt("p", x=[0.9, 0.4, 0.8], labels={"gold": {"first": 1}}, subset="easy"),
    attempt("q", x=[0.8, 0.7], labels={"gold": {"x": [1, 1]}}, subset="easy"),
    attempt("r", x=[0.3, 0.6], labels={"gold": {"first": 0}}, subset="hard"),
    attempt("s", x=[0.9, 0.45], labels={"gold": {"first": -1}}, subset="hard"),
]


def test_steps_up_to_the_first_error(work: Workdir) -> None:
    """Right: 0.9 0.8 0.7 0.9 0.45; wrong: 0.4 0.3, and what follows them is not counted."""
    rows = rows_of(work.run("step-eval", input=lines(GOLD)))
    assert value(rows, "base_rate") == pytest.approx(5 / 7)
    assert value(rows, "auc_steps") == 1
    (pooled,) = [row for row in rows if row["measure"] == "auc_steps"]
    # right at 0 0 1 0 1, wrong at 1 and 0: 3 ahead of the first and 2 tied; 3 tied with the second
    assert pooled["baseline"] == pytest.approx((3 + 2 / 2 + 3 / 2) / 10)
    (within,) = [row for row in rows if row["measure"] == "auc_position"]
    assert within["baseline"] == 0.5
    errors = [0.1, 0.2, 0.3, 0.1, 0.55, 0.4, 0.3]
    assert value(rows, "brier") == pytest.approx(sum(e * e for e in errors) / 7)


def test_processbench(work: Workdir) -> None:
    """easy: 1 named, cleared: F1 1. hard: 0 named, accused: acc_cor 0, F1 0. Their mean: 1/2."""
    args = ("--protocol", "processbench", "--part", "subset")
    rows = rows_of(work.run("step-eval", *args, input=lines(GOLD)))
    assert value(rows, "f1", part="easy") == 1
    assert value(rows, "f1", part="hard") == 0
    assert value(rows, "f1", part=None) == 0.5
    lower = rows_of(work.run("step-eval", *args, "--threshold", "0.42", input=lines(GOLD)))
    assert value(lower, "f1", part=None) == 1


def test_processbench_own_field_and_a_label_that_judges(work: Workdir) -> None:
    records = [
        attempt("p", x=[0.9, 0.4], label=1, labels={"critic": {"first": 1}}),
        attempt("q", x=[0.9, 0.4], label=-1, labels={"critic": {"first": -1}}),
        attempt("r", x=[0.9, 0.4], label=0, labels={}),
    ]
    args = ("--protocol", "processbench", "--label", "critic")
    rows = rows_of(work.run("step-eval", *args, input=lines(records)))
    assert value(rows, "acc_err", label="critic") == 0.5  # the missing judgement is wrong
    assert value(rows, "acc_cor", label="critic") == 1
    explicit = rows_of(work.run("step-eval", *args, "--gold", "label:0", input=lines(records)))
    assert explicit == rows
    # counted from 1, the same numbers are other steps
    ones = work.run("step-eval", *args, "--gold", "label:1", input=lines(records[:2]))
    assert value(rows_of(ones), "acc_err") == 0


def test_prmbench_counts_from_one(work: Workdir) -> None:
    """Wrong are the steps 2 and 3 of 3; judged below 0.5 are 2 and 1: tn, fp, fn of wrong steps."""
    records = [attempt("p", x=[0.2, 0.3, 0.8], error_steps=[2, 3])]
    rows = rows_of(work.run("step-eval", "--protocol", "prmbench", input=lines(records)))
    assert value(rows, "negative_f1") == pytest.approx(2 / (2 + 1 + 1))
    assert value(rows, "f1") == 0
    assert value(rows, "first_error_acc") == 1
    wrong = lines([attempt("p", x=[0.2], error_steps=[-2])])
    done = work.run("step-eval", "--protocol", "prmbench", input=wrong)
    assert (done.status, "error_steps" in done.err) == (3, True)


def test_prmbench_judges_redundant_steps_by_their_redundancy(work: Workdir) -> None:
    """The validity sees nothing wrong in a redundant step; 0.15 itself is not above 0.15."""
    redundancy = {"of": "raw", "by": "scorer", "x": [0.15, 0.4, 0.1]}
    validity = {"of": "validity", "by": "scorer", "x": [0.9, 0.2, 0.9]}
    scores = {"prm": validity, "redundancy": redundancy}
    high = {**scores, "prm": validity | {"x": [0.9, 0.9, 0.9]}}
    records = [
        attempt(kind, x=[0] * 3, scores=which, error_steps=[2], classification=kind)
        for kind, which in (("redundency", high), ("circular", high), ("deception", scores))
    ]
    args = ("--protocol", "prmbench", "--part", "classification")
    rows = rows_of(work.run("step-eval", *args, "--redundancy", "redundancy", input=lines(records)))
    for kind in ("redundency", "circular", "deception", None):
        assert value(rows, "prmscore", part=kind) == 1
    assert {row["score"] for row in rows if "score" in row} == {"prm"}
    rows = rows_of(work.run("step-eval", *args, "--score", "prm", input=lines(records)))
    assert value(rows, "negative_f1", part="circular") == 0
    higher = ("--redundancy", "redundancy:0.5")
    rows = rows_of(work.run("step-eval", *args, *higher, input=lines(records)))
    assert value(rows, "first_error_acc", part="redundency") == 0
    done = work.run("step-eval", *args, "--redundancy", "other", input=lines(records))
    assert (done.status, "scores.other" in done.err) == (3, True)


PROCESSBENCH = [
    {
        "id": "gsm8k-0",
        "generator": "Qwen2-7B-Instruct",
        "problem": "Tom has 3 apples and buys 4. How many?",
        "steps": ["Tom has 3 apples.\n\nHe buys 4.", "3 + 4 = 8.", "The answer is \\boxed{8}."],
        "final_answer_correct": False,
        "label": 1,
    },
    {
        "id": "gsm8k-1",
        "generator": "Qwen2-7B-Instruct",
        "problem": "What is 2 * 5?",
        "steps": ["2 * 5 = 10.", "The answer is \\boxed{10}."],
        "final_answer_correct": True,
        "label": -1,
    },
]
PRMBENCH = [
    {
        "idx": "prm_test_0",
        "original_question": "What is 2 + 3, doubled?",
        "modified_question": "What is 2 + 3, doubled?",
        "original_process": ["1. 2 + 3 = 5", "2. 5 * 2 = 10", "3. So it is 10"],
        "modified_process": ["1. 2 + 3 = 6", "2. 6 * 2 = 12", "3. So it is 10"],
        "modified_steps": [1, 2],
        "error_steps": [1, 2],
        "reason": "the sum is wrong",
        "classification": "counterfactual",
    }
]
"""Records in the shape of the benchmarks' own files, with a judge that does sums."""


def test_benchmarks_files_as_they_are(work: Workdir) -> None:
    """The wrong sums are found where they are: 3 + 4 = 8; 2 + 3 = 6, after which all sums are
    right, so that of two wrong steps one is missed."""
    judge = ("--check", "arithmetic")

    def judged(records: list[Json], *split: str) -> str:
        traces = work.run("step-split", *split, input=lines(records))
        scored = work.run("step-score", *judge, input=traces.out.decode())
        assert (traces.status, scored.status) == (0, 0), traces.err + scored.err
        return "".join(
            json.dumps({**one, "scores": {"sums": filled(one["scores"]["arithmetic"])}}) + "\n"
            for one in map(json.loads, scored.lines)
        )

    def filled(score: Json) -> Json:
        return {"of": "validity", "x": [1.0 if x is None else x for x in score["x"]]}

    args = ("--protocol",)
    first = rows_of(work.run("step-eval", *args, "processbench", input=judged(PROCESSBENCH)))
    assert [value(first, name) for name in ("acc_err", "acc_cor", "f1")] == [1, 1, 1]
    names = ("--problem", "modified_question", "--field", "modified_process")
    more = ("prmbench", "--part", "classification")
    rows = rows_of(work.run("step-eval", *args, *more, input=judged(PRMBENCH, *names)))
    assert value(rows, "first_error_acc", part="counterfactual") == 1
    assert value(rows, "negative_f1", part="counterfactual") == pytest.approx(2 / 3)


def test_agentprocessbench(work: Workdir) -> None:
    """Turns of others are not judged; labels by message number, as its files have them."""
    role = ["assistant", "tool", "assistant", "assistant"]
    labels = {"agent": {"x": [1, None, -1, 0]}}
    records = [
        attempt("p", x=[0.0] * 4, role=role, step_labels={"0": 1, "2": -1, "3": -1}, labels=labels)
    ]
    args = ("--protocol", "agentprocessbench", "--label", "agent")
    rows = rows_of(work.run("step-eval", *args, input=lines(records)))
    assert value(rows, "step_acc") == pytest.approx(2 / 3)
    assert value(rows, "first_error_acc") == 1
    assert value(rows, "exact_match") == 0


def checked(name: str, gold: int, x: list[float | None], **entry: Any) -> Json:
    """An attempt whose steps a checker has looked at."""
    scores = {"check": {"of": "validity", "by": "scorer", "x": x, **entry}}
    return attempt(name, x=[0.0] * len(x), label=gold, scores=scores)


AS_PROCESSBENCH = ("--protocol", "processbench", "--no-intervals")


def test_a_checker_that_finds_nothing_wrong_has_said_so(work: Workdir) -> None:
    """It has no number for steps without anything to check. Both attempts are judged exactly
    right, and had an F1 of 0."""
    records = [checked("p", -1, [1, None], first=-1), checked("q", 1, [None, 0], first=1)]
    rows = rows_of(work.run("step-eval", *AS_PROCESSBENCH, input=lines(records)))
    assert [value(rows, name) for name in ("f1", "acc_err", "acc_cor")] == [1, 1, 1]
    assert all(row["named"] == 2 and "threshold" not in row for row in rows[1:])


def test_a_checker_of_sums_under_processbench(work: Workdir) -> None:
    """Wrong in step 1, which it finds; right; wrong in the words of step 0, which it cannot find;
    and without any sum, so that it says nothing: F1 of 1/2 and 1/2."""
    texts = [
        ("p", ["Let us see.\n", "2 + 2 = 5.\n", "So 5.\n"], 1),
        ("q", ["2 + 2 = 4.\n", "So 4.\n"], -1),
        ("r", ["She has two boxes too many.\n", "2 + 2 = 4.\n"], 0),
        ("s", ["There is nothing to add.\n"], -1),
    ]
    traces = [{"problem": n, "steps": steps, "label": first} for n, steps, first in texts]
    split = work.run("step-split", input=lines(traces))
    scored = work.run("step-score", "--check", "arithmetic", input=split.out)
    done = work.run("step-eval", "-v", *AS_PROCESSBENCH, input=scored.out)
    rows = [json.loads(line) for line in done.lines]
    assert [value(rows, name) for name in ("f1", "acc_err", "acc_cor")] == [0.5, 0.5, 0.5]
    assert {(row["named"], row["unjudged"]) for row in rows[1:]} == {(3, 1)}
    assert (
        "step-eval: arithmetic: 3 named by the scorer, 1 not judged, counted as wrong\n"
    ) in done.err


def test_a_step_without_a_number_is_passed_over_by_a_threshold(work: Workdir) -> None:
    """No first error is named, or an unknown one: the first number below the threshold is it. In
    order: found; found past two nulls; cleared; nothing said at all, and so not judged."""
    records = [
        checked("p", 1, [None, 0.2, 0.1]),
        checked("q", 2, [None, None, 0.4, None], first=None),
        checked("r", -1, [None, 0.9]),
        checked("s", -1, [None, None], first=None),
    ]
    rows = rows_of(work.run("step-eval", *AS_PROCESSBENCH, input=lines(records)))
    assert value(rows, "acc_err") == 1 and value(rows, "acc_cor") == 0.5
    about = [(row["threshold"], row["unjudged"], row["passed_over"]) for row in rows[1:]]
    assert about == [(0.5, 1, 1 + 3 + 1)] * 3
    rows = rows_of(
        work.run("step-eval", *AS_PROCESSBENCH, "--threshold", "0.3", input=lines(records))
    )
    assert value(rows, "acc_err") == 0.5


def test_a_threshold_that_is_asked_for_goes_before_the_error_that_is_named(work: Workdir) -> None:
    records = [checked("p", 0, [0.6, 0.3], first=1), checked("q", -1, [0.9, 0.8], first=-1)]
    rows = rows_of(work.run("step-eval", *AS_PROCESSBENCH, input=lines(records)))
    assert (value(rows, "acc_err"), value(rows, "acc_cor")) == (0, 1)
    rows = rows_of(
        work.run("step-eval", *AS_PROCESSBENCH, "--threshold", "0.7", input=lines(records))
    )
    assert (value(rows, "acc_err"), value(rows, "acc_cor")) == (1, 1)
    assert all(row["threshold"] == 0.7 and "named" not in row for row in rows[1:])


def test_a_label_with_undecided_steps_judges_by_those_that_are_decided(work: Workdir) -> None:
    records = [
        checked("p", 2, [1, 1, 1]) | {"labels": {"hard": {"of": "value", "x": [None, 1, 0]}}},
        checked("q", -1, [1, 1]) | {"labels": {"hard": {"of": "value", "x": [None, None]}}},
    ]
    rows = rows_of(work.run("step-eval", *AS_PROCESSBENCH, "--label", "hard", input=lines(records)))
    assert (value(rows, "acc_err"), value(rows, "acc_cor")) == (1, 0)
    assert {(row["unjudged"], row["passed_over"]) for row in rows[1:]} == {(1, 1)}


def test_the_verdicts_of_a_ternary_judge_are_read_where_labels_are_judged(work: Workdir) -> None:
    """Its scores are probabilities, and were refused. Labels named: 3 of 5, one of them missing;
    the first -1 is named in one attempt of two."""
    of = {"of": "validity", "by": "scorer"}
    one = {**of, "x": [0.9, 0.5, 0.2], "verdict": [1, 0, -1]}
    other = {**of, "x": [0.3, None], "verdict": [-1, None]}
    records = [
        attempt("p", x=[0.0] * 3, step_labels=[1, 0, -1], scores={"judge": one}),
        attempt("q", x=[0.0] * 2, step_labels=[1, -1], scores={"judge": other}),
    ]
    agent = ("--protocol", "agentprocessbench", "--no-intervals")
    rows = rows_of(work.run("step-eval", *agent, input=lines(records)))
    assert value(rows, "step_acc") == pytest.approx(3 / 5)
    assert (value(rows, "first_error_acc"), value(rows, "exact_match")) == (0.5, 0.5)
    assert {row["unjudged"] for row in rows[1:]} == {1}
    del one["verdict"]
    done = work.run("step-eval", *agent, input=lines(records))
    assert (done.status, "step-score --judge ternary gives them" in done.err) == (3, True)
    one["verdict"] = [1, 0]
    done = work.run("step-eval", *agent, input=lines(records))
    assert (done.status, 'field "scores.judge.verdict": 2 entries' in done.err) == (3, True)


def test_three_valued_gold_is_no_probability(work: Workdir) -> None:
    record = attempt("p", x=[0.5, 0.5], labels={"gold": {"x": [1, -1]}})
    done = work.run("step-eval", input=lines([record]))
    assert done.status == 3
    assert "<stdin>:1: step 1 is labelled -1, neither 0 nor 1; see --gold" in done.err


def test_a_neutral_rating_before_the_first_minus_one_is_no_first_error(work: Workdir) -> None:
    """PRM800K rates steps 1, 0 and -1: the 0 there is no error, and must not pass for one."""
    gold = {"gold": {"of": "validity", "by": "human", "x": [1, 0, -1]}}
    scores = {"prm": {"of": "validity", "by": "scorer", "x": [0.9, 0.6, 0.1]}}
    record = attempt("g", "1", False, labels=gold, scores=scores)
    record |= {"response": "a\nb\nc", "steps": ["a\n", "b\n", "c"]}
    done = work.run("step-eval", input=lines([record]))
    assert (done.status, done.out) == (3, b"")
    assert "step 2 is labelled -1, neither 0 nor 1; see --gold" in done.err


# ---- any column ------------------------------------------------------------------------------


def labelled(group: str, final: str, right: bool, x: list[float | None], **more: Any) -> Json:
    """An attempt whose steps have labels, as step-label or step-split --leaves writes them."""
    labels = {"soft": {"of": "value", "by": "sampler", "x": x}}
    return attempt(group, final, right, [0.5] * len(x), labels=labels, **more)


SOFT = [
    labelled("g", "1", False, [0.5, 0.25]),
    labelled("g", "2", True, [0.75, None]),
    labelled("h", "3", True, [1.0]),
    labelled("h", "4", False, [0.5]),
]


@pytest.mark.parametrize("name", ["soft", "labels.soft"])
def test_a_label_is_measured_as_a_score_is(work: Workdir, name: str) -> None:
    """Minima .25, .75 (right) and 1 (right), .5."""
    work.write("in.jsonl", lines(SOFT))
    args = ("in.jsonl", "--score", name, "--k", "2", "--no-intervals")
    rows = rows_of(work.run("step-eval", *args))
    for by in ("best", "weighted"):
        assert value(rows, by, score=name) == 1
        assert share_chosen(work, "--by", by, "--score", name) == 1
    assert value(rows, "auc_attempts", score=name) == 1
    assert not [row for row in rows if row.get("score") == "prm"]


def test_unasked_scores_alone_are_measured(work: Workdir) -> None:
    """Also where a label has the name of one, which is not ambiguous then."""
    records = [one | {"labels": {"prm": one["labels"]["soft"]}} for one in SOFT]
    rows = rows_of(work.run("step-eval", "--k", "2", input=lines(records)))
    assert {row["score"] for row in rows if "score" in row} == {"prm"}
    assert value(rows, "best") == 0.5  # all scores are equal
    done = work.run("step-eval", "--score", "prm", input=lines(records))
    assert done.status == 3
    assert "write labels.prm or scores.prm with --score NAME" in done.err
    asked = ("--score", "labels.prm", "--score", "scores.prm", "--against", "scores.prm")
    rows = rows_of(work.run("step-eval", "--k", "2", *asked, input=lines(records)))
    assert value(rows, "best", score="labels.prm", against="scores.prm") == 0.5


def test_a_score_is_gold_and_a_score_is_judged_as_labels_are(work: Workdir) -> None:
    """A checker's verdicts as truth; and as judgements of 0 and 1, which need no threshold."""
    records = [checked("p", 1, [1, 0, 1]), checked("q", -1, [1, 1])]
    rows = rows_of(
        work.run("step-eval", *AS_PROCESSBENCH, "--label", "scores.check", input=lines(records))
    )
    assert value(rows, "f1") == 1 and all("threshold" not in row for row in rows)
    judge = {"judge": {"of": "validity", "by": "scorer", "x": [0.9, 0.3, 0.8]}}
    records[0]["scores"] |= judge
    records[1]["scores"] |= {"judge": judge["judge"] | {"x": [0.9, 0.4]}}
    asked = ("--gold", "scores.check", "--score", "judge", "--no-intervals")
    rows = rows_of(work.run("step-eval", *asked, input=lines(records)))
    # counted are 1, 0 | 1, 1 with .9, .3 | .9, .4: right ones above the wrong one
    assert value(rows, "auc_steps") == 1 and value(rows, "base_rate") == pytest.approx(3 / 4)
    missing = work.run("step-eval", "--gold", "scores.other", input=lines(records))
    assert (missing.status, "--gold: no attempt has scores.other" in missing.err) == (3, True)
    missing = work.run(
        "step-eval", *AS_PROCESSBENCH, "--label", "scores.other", input=lines(records)
    )
    assert (missing.status, "no attempt has scores.other" in missing.err) == (3, True)


def test_progress_is_measured_but_no_probability(work: Workdir) -> None:
    """It is a difference of values: no Brier score, no vote, and no threshold of 0.5."""
    gold = {"gold": {"first": 1}}
    progress = {"progress": {"of": "progress", "by": "sampler", "x": [0.3, 0.1]}}
    records = [attempt("p", "1", True, labels=gold | progress, x=[0.5, 0.5])]
    records.append(attempt("p", "2", False, labels=gold | progress, x=[0.5, 0.5]))
    rows = rows_of(work.run("step-eval", "--score", "progress", "--k", "1", input=lines(records)))
    found = {row["measure"] for row in rows if row.get("score")}
    assert {"best", "auc_steps"} <= found and not {"brier", "ece", "weighted"} & found
    args = ("--protocol", "processbench", "--score", "progress")
    done = work.run("step-eval", *args, input=lines(records))
    assert done.status == 3
    assert "labels.progress: no probabilities; give --threshold" in done.err


def test_a_label_is_calibrated_into_a_score(work: Workdir) -> None:
    records = judged(range(40))
    for record in records:
        record["labels"]["prm"] = record.pop("scores")["prm"]
    work.write("in.jsonl", lines(records))
    args = ("--fit", "platt", "--score", "labels.prm", "--gold", "gold", "-o", "map.json")
    assert work.run("step-eval", "in.jsonl", *args).status == 0
    made = json.loads(work.read("map.json"))
    assert (made["score"], made["name"]) == ("labels.prm", "prm-platt")
    others = judged(range(40, 44))
    for record in others:
        record["labels"]["prm"] = record.pop("scores")["prm"]
    done = work.run("step-eval", "--apply", "map.json", input=lines(others))
    assert done.status == 0, done.err
    assert all(list(json.loads(line)["scores"]) == ["prm-platt"] for line in done.lines)


# ---- calibration -----------------------------------------------------------------------------


def judged(problems: range, meta: str = "m") -> list[Json]:
    """Steps that are right with chance c and scored c^3: they rank well and are far too low."""
    rng = random.Random(problems.start)
    records = []
    for problem in problems:
        x, first = [], -1
        for step in range(4):
            chance = rng.uniform(0.6, 1.0)
            x.append(chance**3)
            if rng.random() > chance:
                first = step
                break
        record = attempt(f"c{problem}", x=x, labels={"gold": {"first": first}})
        record["scores"]["prm"]["meta"] = {"model": meta}
        records.append(record)
    return records


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_fitted_on_one_file_applied_to_another(work: Workdir, method: str) -> None:
    work.write("train.jsonl", lines(judged(range(600))))
    work.write("test.jsonl", lines(judged(range(600, 1200))))
    done = work.run("step-eval", "train.jsonl", "--fit", method, "-o", "map.json")
    assert (done.status, done.err) == (0, "")
    fitted = json.loads(work.read("map.json"))
    assert (fitted["files"], fitted["problems"]) == (["train.jsonl"], 600)
    applied = work.run("step-eval", "test.jsonl", "--apply", "map.json")
    assert applied.status == 0
    records = [json.loads(line) for line in applied.lines]
    assert [list(record["scores"]) for record in records[:2]] == [["prm", f"prm-{method}"]] * 2
    rows = rows_of(work.run("step-eval", "--no-intervals", input=applied.out))
    before, after = (value(rows, "skill", score=name) for name in ("prm", f"prm-{method}"))
    if method != "temperature":  # which can only sharpen or flatten: scores of 0.5 stay there
        assert before < 0 < after
        assert value(rows, "ece", score=f"prm-{method}") < 0.05 < value(rows, "ece", score="prm")
        ranks = [value(rows, "auc_steps", score=name) for name in ("prm", f"prm-{method}")]
        assert ranks[0] == pytest.approx(ranks[1], abs=0.01)
    assert after > before


def test_what_a_map_was_fitted_on_it_does_not_measure(work: Workdir) -> None:
    work.write("train.jsonl", lines(judged(range(100))))
    work.write("mixed.jsonl", lines(judged(range(99, 105))))
    work.run("step-eval", "train.jsonl", "--fit", "platt", "-o", "map.json")
    done = work.run("step-eval", "mixed.jsonl", "--apply", "map.json")
    assert (done.status, done.out) == (3, b"")
    assert 'mixed.jsonl:1: group "c99": the map was fitted on this problem' in done.err
    rest = work.run("step-eval", "mixed.jsonl", "--apply", "map.json", "--on-error", "skip")
    assert (rest.status, len(rest.lines)) == (1, 5)
    # another name of the group does not make it another problem
    renamed = [record | {"group": "other"} for record in judged(range(99, 100))]
    done = work.run("step-eval", "--apply", "map.json", input=lines(renamed))
    assert (done.status, "fitted on this problem" in done.err) == (3, True)


def test_a_map_is_for_one_scorer(work: Workdir) -> None:
    work.write("train.jsonl", lines(judged(range(100))))
    work.run("step-eval", "train.jsonl", "--fit", "platt", "-o", "map.json")
    done = work.run("step-eval", "--apply", "map.json", input=lines(judged(range(200, 201), "x")))
    assert (done.status, "by another scorer" in done.err) == (3, True)
    two = lines(judged(range(100)) + judged(range(200, 300), "x"))
    done = work.run("step-eval", "--fit", "platt", input=two)
    assert (done.status, "<stdin>:101: " in done.err, "another scorer" in done.err) == (
        3,
        True,
        True,
    )


def test_a_fitted_threshold(work: Workdir) -> None:
    work.write("train.jsonl", lines(judged(range(600))))
    test = lines(judged(range(600, 1200)))
    work.run("step-eval", "train.jsonl", "--fit", "threshold", "-o", "t.json")
    args = ("--protocol", "processbench")
    fitted = rows_of(work.run("step-eval", *args, "--threshold", "t.json", input=test))
    plain = rows_of(work.run("step-eval", *args, input=test))
    assert value(fitted, "f1") > value(plain, "f1")
    threshold = json.loads(work.read("t.json"))["threshold"]
    assert {row["threshold"] for row in fitted if "threshold" in row} == {threshold}
    done = work.run("step-eval", "train.jsonl", *args, "--threshold", "t.json")
    assert (done.status, "fitted on this problem" in done.err) == (3, True)
    done = work.run("step-eval", "--apply", "t.json", input=test)
    assert (done.status, "use --threshold" in done.err) == (2, True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"map": 1, "method": "platt", "parameters": {}, "seen": []}', "{bad"]
)
def test_what_is_no_map(work: Workdir, text: str) -> None:
    work.write("map.json", text)
    done = work.run("step-eval", "--apply", "map.json")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("step-eval: map.json:")


# ---- manners ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--threshold", "0.5"], "--threshold has no effect without --protocol"),
        (["--protocol", "prmbench", "--k", "4"], "--k has no effect with --protocol"),
        (["--fit", "platt", "--against", "single"], "--against has no effect with --fit"),
        (["--fit", "platt", "--protocol", "prmbench"], "--fit and --protocol exclude each other"),
        (["--apply", "m", "--score", "prm"], "--score has no effect with --apply"),
        (["--over", "tokens"], "--over has no effect without --plot"),
        (["--gold", "label:2"], 'expected NAME, or FIELD:0 or FIELD:1, as in "label:0"'),
        (["--curves", "best,worst"], "'worst' is none of pass, majority, best, weighted"),
        (["--k", "0"], "expected numbers from 1"),
        (["--protocol", "processbench", "--redundancy", "r"], "without --protocol prmbench"),
        (["--protocol", "prmbench", "--redundancy", "r:x"], "expected NAME or NAME:T"),
        (["--aggregate", "median"], "--aggregate median: expected one of min, product, mean"),
        (["--aggregate", "soft-min:t=0"], "--aggregate soft-min:t=0: t: expected a number above 0"),
        (
            ["--curves", "best,weighted", "--aggregate", "logits"],
            "--aggregate logits is no number from 0 to 1: not with --curves weighted",
        ),
        (["--against", "nobody"], "--against nobody: there is majority, min, prm, single"),
        (["--protocol", "prmbench", "--label", "a", "--score", "b"], "--score has no effect"),
    ],
)
def test_refusals(work: Workdir, args: list[str], message: str) -> None:
    done = work.run("step-eval", *args, input=lines(TWO))
    assert (done.status, done.out, done.err.count("\n")) == (2, b"", 1), done.err
    assert message in done.err


def test_all_or_nothing(work: Workdir) -> None:
    """A report on a part of the records would be another report: nothing is written of it."""
    work.write("o", "OLD\n")
    work.write("in.jsonl", lines(TWO) + "{bad\n")
    done = work.run("step-eval", "in.jsonl", "-o", "o", "--plot", "p.svg")
    assert (done.status, work.read("o"), work.names()) == (3, b"OLD\n", ["in.jsonl", "o"])
    done = work.run("step-eval", "in.jsonl", "-o", "o", "--on-error", "skip")
    assert (done.status, ROUGH.sub("", done.err)) == (1, "step-eval: 1 of 7 records skipped\n")
    assert work.read("o") == work.run("step-eval", input=lines(TWO)).out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_and_a_reader_that_is_gone(work: Workdir) -> None:
    with open("/dev/full", "wb") as full:
        done = work.run("step-eval", input=lines(TWO), stdout=full)
    assert (done.status, "no space left on device" in done.err) == (4, True)
    ours, theirs = os.pipe()
    work.write("in.jsonl", lines(TWO))
    process = work.start("step-eval", "in.jsonl", "--no-intervals", stdout=theirs)
    os.close(theirs)
    os.close(ours)
    assert (process.communicate(timeout=60)[1], process.returncode) == (b"", -signal.SIGPIPE)


def test_nothing_to_measure(work: Workdir) -> None:
    record = attempt("g")
    done = work.run("step-eval", input=lines([record]))
    assert (done.status, "nothing to measure" in done.err) == (3, True)
    done = work.run("step-eval", "--protocol", "processbench", input=lines([record]))
    assert (done.status, 'no labels.gold and no "label" (0-based)' in done.err) == (3, True)
    done = work.run("step-eval", input="")
    assert (done.status, done.out) == (0, b"")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--gold", "god"], "--gold: no attempt has labels.god"),
        (["--fit", "platt", "--gold", "god"], "no attempt has labels.god"),
        (["--protocol", "processbench", "--label", "critic"], "no attempt has labels.critic"),
        (["--k", "1,9"], "--k 9: no problem has more than 3 attempts"),
        (["--part", "subsets"], 'field "subsets": expected a string, got null'),
    ],
)
def test_a_name_that_nobody_has(work: Workdir, args: list[str], message: str) -> None:
    """A slip of the pen must not become a number."""
    records = [record | {"correct": True} for record in GOLD]
    if "--k" in args:
        records = TWO
    done = work.run("step-eval", *args, input=lines(records))
    assert (done.status, done.out, message in done.err) == (3, b"", True), done.err


def test_a_calibrated_score_is_a_score(work: Workdir) -> None:
    """What --apply writes is read by the other commands under its name."""
    work.write("train.jsonl", lines(judged(range(300))))
    work.run("step-eval", "train.jsonl", "--fit", "platt", "-o", "map.json")
    applied = work.run("step-eval", "--apply", "map.json", input=lines(judged(range(400, 402))))
    chosen = work.run("step-rerank", "--score", "prm-platt", input=applied.out)
    assert chosen.status == 0
    named = work.run("step-label", "--first", "below:0.7", "--from", "prm-platt", input=applied.out)
    assert (named.status, named.err) == (0, "")
    for line in named.lines:
        record = json.loads(line)
        x = record["scores"]["prm-platt"]["x"]
        low = [step for step, p in enumerate(x) if p < 0.7]
        assert record["labels"]["first"]["first"] == (low[0] if low else -1)


def test_a_score_that_is_missing_further_down(work: Workdir) -> None:
    records = [attempt("g", "1", True, [0.5]), attempt("h", "1", True)]
    done = work.run("step-eval", input=lines(records))
    assert done.err == (
        'step-eval: <stdin>:2: field "scores.prm": missing; labels here: none; scores here: none\n'
    )


def test_raw_scores_are_compared_and_never_summed(work: Workdir) -> None:
    raw = {"reward": {"of": "raw", "by": "scorer", "x": [7.5]}}
    records = [attempt("g", str(i), bool(i), scores=raw) for i in range(2)]
    rows = rows_of(work.run("step-eval", input=lines(records)))
    assert {row["measure"] for row in rows if "score" in row} == {"best", "auc_attempts"}
    for vote in ("weighted", "log-weighted"):
        done = work.run("step-eval", "--curves", vote, input=lines(records))
        assert (done.status, "a vote needs probabilities" in done.err) == (3, True)
    done = work.run("step-eval", "--aggregate", "logits", input=lines(records))
    assert (done.status, "cannot be multiplied" in done.err) == (3, True)


def test_the_table(work: Workdir) -> None:
    done = work.run("step-eval", "--table", "--no-intervals", "--k", "2", input=lines(TWO))
    assert done.out.decode() == (
        "2 problems, 3 attempts each; 1 without a verdict, counted as wrong\n"
        "percent\n"
        "one of 2 right                                83.3\n"
        "majority of 2                                 58.3\n"
        "best of 2, by prm min                         50.0\n"
        "weighted vote of 2, by prm min                50.0\n"
        "AUC of attempts within problems, by prm min   50.0\n"
    )


def test_the_plot(work: Workdir) -> None:
    records = [record | {"scores": {"<b>&": record["scores"]["prm"]}} for record in TWO]
    done = work.run("step-eval", "--plot", "p.svg", input=lines(records))
    assert done.status == 0
    root = ElementTree.fromstring(work.read("p.svg"))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "best <b>& min" in texts and "attempts (k)" in texts
    assert b"prefers-color-scheme:dark" in work.read("p.svg")
    width = float(root.attrib["width"])
    for one in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(one.attrib["x"]) < width
    work.write("in.jsonl", lines(TWO))
    same = work.run("step-eval", "in.jsonl", "--plot", "in.jsonl")
    assert (same.status, "is also an input" in same.err) == (2, True)
    tokens = work.run("step-eval", "in.jsonl", "--plot", "t.svg", "--over", "tokens")
    assert (tokens.status, "tokens are all known" in tokens.err) == (2, True)


def test_a_map_that_is_none_is_told_with_its_place(work: Workdir) -> None:
    work.write("in.jsonl", '{"a": 1}\n{"a": 2}\n')
    done = work.run("step-eval", "in.jsonl", "--apply", "in.jsonl")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("step-eval: in.jsonl:1:10: not JSON: ")


AS_PRMBENCH = ("--protocol", "prmbench", "--resamples", "0")


def test_wrong_steps_beyond_the_last_are_passed_over_and_counted(work: Workdir) -> None:
    """Some 100 rows of PRMBench's files name a step too many; its own program ignores it."""
    sound = attempt("p", x=[0.9, 0.1], error_steps=[2])
    beyond = attempt("q", x=[0.9, 0.1], error_steps=[2, 3])
    done = work.run("step-eval", *AS_PRMBENCH, input=lines([sound, beyond]))
    assert done.status == 0
    assert done.err == (
        "step-eval: 1 of 2 attempts name a wrong step beyond their last one; it is passed over "
        "(the first: <stdin>:2)\n"
    )
    alone = work.run("step-eval", *AS_PRMBENCH, input=lines([sound, sound | {"group": "q"}]))
    assert done.out == alone.out and b'"prmscore"' in done.out
    zero = work.run(
        "step-eval", *AS_PRMBENCH, input=lines([attempt("p", x=[0.2], error_steps=[0])])
    )
    assert (zero.status, "expected a list of steps, 1 .. 1" in zero.err) == (3, True)


def test_labels_by_the_number_of_a_step_that_is_not_there(work: Workdir) -> None:
    given = attempt("p", x=[0.1] * 3, step_labels={"0": 1, "3": -1})
    done = work.run("step-eval", "--protocol", "agentprocessbench", input=lines([given]))
    assert (done.status, done.err) == (
        3,
        'step-eval: <stdin>:1: field "step_labels": step 3 of 3 (they are numbered 0 .. 2)\n',
    )


@pytest.mark.parametrize("x", [[1, -1, 1], [1, 0, -1], [1, 0.5, 0]])
def test_ratings_are_no_first_error(work: Workdir, x: list[float]) -> None:
    gold = {"of": "validity", "by": "human", "x": x}
    given = lines([attempt("p", x=[0.9, 0.1, 0.1], labels={"gold": gold})])
    done = work.run("step-eval", "--protocol", "processbench", input=given)
    assert (done.status, "which is neither right (1) nor wrong (0)" in done.err) == (3, True)


def test_curves_need_no_steps(work: Workdir) -> None:
    whole = [attempt("p", "1", True), attempt("p", "2", False)]
    bare = [{k: v for k, v in one.items() if k != "steps"} for one in whole]
    assert rows_of(work.run("step-eval", input=lines(bare))) == rows_of(
        work.run("step-eval", input=lines(whole))
    )
    done = work.run("step-eval", "--score", "prm", input=lines(bare))
    assert (done.status, "step-split first" in done.err) == (3, True)


def test_parts_by_true_and_false(work: Workdir) -> None:
    records = [attempt("p", "1", True, hard=True), attempt("q", "2", False, hard=False)]
    rows = rows_of(work.run("step-eval", "--part", "hard", input=lines(records)))
    assert {row["part"] for row in rows if "part" in row} == {"true", "false"}

"""Siblings of a step from evidence written by hand, the plainest rule, and the command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pairing import Draw, add, grown, make, only, step, trace
from work import Workdir

from stepkit.core.training_rows import PairRow
from stepkit.errors import DataError
from stepkit.schema import Json


def counts(pair: PairRow) -> tuple[Any, ...]:
    """Step, prefix, and text and counts of both sides."""
    return (pair.origin.step, pair.prefix, pair.chosen[:3], pair.rejected[:3])


def error(record: Json, rule: str = "best-worst", **options: Any) -> str:
    with pytest.raises(DataError) as raised:
        make(record, rule, **options)
    return str(raised.value)


def test_best_worst_at_every_step() -> None:
    record = trace(
        {
            0: [("a2\nx", 1.0), ("a3\ny", 0.0)],
            # so a1 has 1 of 4, b2 1 of 2, b3 0 of 2
            1: [("b2\nz", 1.0), ("b3\nw", 0.0), ("b3\nv", 0.0), ("b2\nu", 0.0)],
            # so b1 has 2 of 2, c2 2 of 2; c1 has its verdict, 0 of 1
            2: [("c2", 1.0), ("c2", 1.0)],
        }
    )
    found = make(record, scope="step")
    assert [counts(pair) for pair in found.rows] == [
        (0, "", ("a2\n", 1, 1), ("a1\n", 1, 4)),  # 1 of 4 is surely low, 0 of 1 may be luck
        (1, "a1\n", ("b1\n", 2, 2), ("b3\n", 0, 2)),
        (2, "a1\nb1\n", ("c2", 2, 2), ("c1", 0, 1)),
    ]
    assert not found.dropped
    assert counts(make(record, scope="step", rank="share").rows[0])[3] == ("a3\n", 0, 1)


def test_the_spine_has_the_counts_of_its_own_node() -> None:
    record = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0), ("q", 1.0), ("q", 0.0), ("q", 0.0)]})
    pair = only(record, scope="step")
    assert pair.rejected[:3] == ("a1\n", 1, 4)
    assert pair.gap == 0.75
    # x ~ Beta(2, 1), y ~ Beta(2, 4): P(x > y) = E[1 - y^2] = 1 - 2 * 3 / (6 * 7)
    assert pair.probability == pytest.approx(6 / 7)


def test_a_draw_that_begins_with_the_spines_step_is_evidence_for_it() -> None:
    record = trace({0: [("a1\nelse", 1.0), ("a2\n", 0.0), ("a1", 1.0)], 1: [("q", 0.0)]})
    pair = only(record, scope="step")
    assert pair.chosen[:3] == ("a1\n", 2, 3)  # one draw at its node, two at the prefix
    assert pair.rejected[:3] == ("a2\n", 0, 1)


def scored_siblings(*steps: tuple[str, float]) -> Json:
    """Steps drawn at the root, each with a score of its node."""
    record = grown()
    nodes = [step(record, 0, text, draw) for draw, (text, _) in enumerate(steps)]
    x: list[float | None] = [None] * (max(nodes) + 1)
    for node, (_, score) in zip(nodes, steps, strict=True):
        x[node] = score
    record["tree"]["scores"] = {"logprob": {"of": "raw", "by": "sampler", "x": x}}
    return record


def test_values_below_zero_are_no_ties() -> None:
    """Log-probabilities, implicit rewards and negative progress: the higher one is chosen, by the
    gap that there is."""
    record = scored_siblings(("a\n", -2.5), ("b\n", -0.25), ("c\n", -4.0))
    pair = only(record, scope="step", value="logprob")
    assert (pair.chosen.text, pair.rejected.text) == ("b\n", "c\n")
    assert (pair.chosen.value, pair.rejected.value, pair.gap) == (-0.25, -4.0, 3.75)


def test_scores_of_equal_steps_are_averaged() -> None:
    record = scored_siblings(("a\n", -1.0), ("a \n", -3.0), ("b\n", -1.5))
    pair = only(record, scope="step", value="logprob")
    assert (pair.chosen.text, pair.chosen.value) == ("b\n", -1.5)
    assert (pair.rejected.text, pair.rejected.value) == ("a\n", -2.0)


def test_a_first_step_that_is_the_whole_remainder_is_a_step() -> None:
    record = trace({0: [("right away", 1.0)]}, steps=["a1"])
    assert only(record).chosen[:3] == ("right away", 1, 1)


def test_continuations_are_attempts_with_the_right_ending() -> None:
    record = trace(
        {0: [("a2\nlong", 0.0), ("a2\nshort", 1.0)], 1: [("wrong", 0.0), ("right", 1.0)] * 2},
    )
    tree = record["tree"]
    tree["outcome"][4] = 1.0  # now a2 has 2 of 2
    pair = make(record).rows[0]
    assert pair.chosen[:3] == ("a2\nlong", 2, 2)
    assert pair.rejected[:3] == ("a1\nb1\nc1", 2, 4)  # the trace itself ended wrong
    tree["outcome"][3] = 1.0
    assert (
        make(record).rows[0].rejected.text == "a1\nwrong"
    )  # ended right: the first wrong draw instead


def test_full_scope_takes_attempts_too() -> None:
    record = trace({1: [("b2\nc2", 1.0)], 2: [("c3", 0.0)]})
    pair = only(record, scope="full")
    assert (pair.prefix, pair.chosen.text, pair.rejected.text) == ("a1\n", "b2\nc2", "b1\nc1")


def test_an_attempt_that_was_cut_off_is_no_ending() -> None:
    record = trace({0: [], 1: [("x", 1.0)]}, steps=["a1\n", "b1"])
    add(record, 0, "a2\nand so", 0.0, finish="length", draw=0)
    found = make(record)
    assert [pair.origin.step for pair in found.rows] == [1]  # x against b1
    assert found.dropped == {"no attempt that came to its end": 1}
    assert make(record, scope="step").rows[0].rejected[:3] == ("a2\n", 0, 1)


def test_a_trace_that_ran_out_of_length_competes_only_by_its_draws() -> None:
    record = trace({0: [("a2\n", 1.0)], 1: [("q", 0.0)], 2: [("c2", 1.0)]}, None, finish="length")
    found = make(record)
    assert [(pair.chosen.text, pair.rejected.text) for pair in found.rows] == [
        ("a2\n", "a1\nq"),
        ("b1\nc2", "q"),
    ]
    assert found.dropped == {"fewer than two rivals": 1}  # c1 is undecided


def test_ties_are_never_a_pair() -> None:
    record = trace({0: [("a2\n", 0.0), ("a3\n", 0.0)], 1: [("q", 0.0)]}, steps=["a1\n", "b1"])
    found = make(record)
    assert found.rows == []
    assert found.dropped == {"tie": 2}


def test_equal_values_go_to_more_draws_then_the_spine_then_draw_order() -> None:
    record = trace(
        {0: [("a2\n", 1.0), ("a3\n", 1.0), ("a3\n", 1.0), ("a4\n", 0.0), ("a5\n", 0.0)]},
        None,
        steps=["a1"],
    )
    pair = only(record, scope="step")
    assert (pair.chosen.text, pair.rejected.text) == ("a3\n", "a4\n")
    record = trace({0: [("a2", 1.0), ("a3", 0.0)]}, 1.0, steps=["a1"])
    assert only(record).chosen.text == "a1"
    # file order is not draw order
    record = trace({}, 1.0, steps=["a1"])
    add(record, 0, "a9", 0.0, draw=1)
    add(record, 0, "a8", 0.0, draw=0)
    assert only(record).rejected.text == "a8"


def test_undecided_and_failed_draws_are_left_out() -> None:
    record = trace({0: [("a2\n", None), ("a3\n", 1.0)], 1: [("q", None)]}, steps=["a1\n", "b1"])
    add(record, 0, "a4\n", None, finish="error", draw=2)
    found = make(record)
    assert found.rows == []
    assert found.dropped == {"fewer than two rivals": 2}


def test_empty_draws_are_no_siblings() -> None:
    record = trace({0: [("", 0.0), ("\n", 0.0)]}, 1.0, steps=["a1"])
    assert make(record).dropped == {"fewer than two rivals": 1}


def test_first_error_needs_a_right_sibling_at_that_step() -> None:
    draws: dict[int, list[Draw]] = {
        0: [("a2\n", 1.0)],
        1: [("b2\nx", 0.0), ("b3\ny", 1.0), ("b1\nz", 0.0), ("b3\n", 0.0), ("b4\n!", 1.0)],
        2: [("q", 0.0)],
    }
    record = trace(draws, labels={"hard": {"first": 1}})
    pair = only(record, "first-error")
    assert pair.origin.step == 1
    assert pair.chosen[:3] == ("b4\n!", 1, 1)
    assert pair.rejected[:3] == ("b1\nc1", 0, 2)
    labels: Json = {"hard": {"first": 1}, "first": {"first": 0}, "gold": {"first": -1}}
    record = trace(draws, labels=labels)
    assert only(record, "first-error").origin.step == 0
    assert make(record, "first-error", at="gold").dropped == {"no error": 1}
    assert only(record, "first-error", at="hard").origin.step == 1
    labels["first"]["first"] = None
    assert make(record, "first-error").dropped == {"first error unknown": 1}


def test_first_error_without_siblings_is_counted() -> None:
    record = trace({1: [("b2", 0.0)], 2: [("q", 0.0)]}, labels={"hard": {"first": 1}})
    assert make(record, "first-error").dropped == {"no right rival": 1}
    record = trace({1: [("b2", 1.0)]}, labels={"hard": {"first": 1}})
    assert make(record, "first-error").dropped == {"no decided draw": 1}
    record = trace({1: [("b2", 1.0)], 2: [("q", 1.0)]}, labels={"hard": {"first": 1}})
    assert make(record, "first-error").dropped == {"tie": 1}


def test_thresholds() -> None:
    record = trace(
        {
            0: [("a2\n", 1.0)],  # against a1 with 1 of 2: gap 1/2
            1: [("b2\n", 1.0), ("r", 0.0)],  # b2 1 of 1 against r 0 of 1: gap 1
            2: [("c2", 1.0), ("s", 1.0)],  # c2 1 of 1 against c1 0 of 1: gap 1
        }
    )
    assert [pair.gap for pair in make(record).rows] == [0.5, 1.0, 1.0]
    found = make(record, min_gap=0.75)
    assert [pair.origin.step for pair in found.rows] == [1, 2]
    assert found.dropped == {"under --min-gap": 1}
    # 1 of 1 against 0 of 1: 2/3 + 1/6 = 5/6 by integration of 2x and 2(1 - y)
    assert make(record, confidence=5 / 6 - 1e-9).rows[0].origin.step == 1
    assert make(record, confidence=0.91).dropped == {"under --confidence": 3}


def test_steps_of_others_do_not_compete() -> None:
    role = ["assistant", "tool", "assistant"]
    draws: dict[int, list[Draw]] = {
        0: [("a2\n", 1.0)],
        1: [("b2\n", 0.0)],
        2: [("c2", 1.0)],
    }
    found = make(trace(draws, role=role))
    assert [pair.origin.step for pair in found.rows] == [0, 2]
    # a1's own attempt holds a tool's text: the wrong draw after a1 stands for it
    assert found.rows[0].rejected.text == "a1\nb2\n"
    found = make(trace(draws, role=role), scope="full")
    assert [pair.origin.step for pair in found.rows] == [0]
    assert found.dropped == {"a prefix with turns of others": 1}


def test_what_is_missing_is_named() -> None:
    good = trace({0: [("a2", 1.0)], 1: [("q", 0.0)]})
    assert "step-rollout" in error({k: v for k, v in good.items() if k != "tree"})
    assert "step-split" in error({k: v for k, v in good.items() if k != "split"})
    assert 'field "split"' in error({**good, "split": "lines"})
    assert "step-label" in error(good, "first-error")
    assert 'field "labels.x"' in error({**good, "labels": {"hard": {}}}, "first-error", at="x")
    assert "labels.hard.first" in error({**good, "labels": {"hard": {"first": 9}}},
                                        "first-error")  # fmt: skip
    half = trace({0: [("a2", 0.5)]})
    assert 'field "tree.outcome[4]"' in error(half)


def test_command_writes_rows(work: Workdir) -> None:
    record = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0), ("b2", 1.0)]})
    work.write("in.jsonl", json.dumps(record) + "\n")
    done = work.run("step-pairs", "in.jsonl", "--prompt", "Q: {problem}\\nA: ", "-v")
    assert done.status == 0
    rows = [json.loads(line) for line in done.lines]
    assert [(row["step"], row["prompt"]) for row in rows] == [
        (0, "Q: 2 + 2?\nA:"),
        (1, "Q: 2 + 2?\nA: a1\n"),
    ]
    assert rows[0]["chosen"] == " a2\nx"
    assert b'"score_chosen":1.0,' in done.lines[0]  # a float has a point
    assert done.err == (
        "step-pairs: 2 rows (pair) of 1 traces; not: 1 fewer than two rivals\n"
        "step-pairs: chosen is longer in 50% of pairs, on average by -1.5 characters\n"
    )
    quiet = work.run("step-pairs", "in.jsonl")
    assert (quiet.err, quiet.status) == ("", 0)


def test_command_writes_no_pair_twice(work: Workdir) -> None:
    one = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0)]})
    other = {**one, "group": "u", "id": "u/0", "problem": "3 + 3?"}
    lines = [json.dumps(record) + "\n" for record in (one, {**one, "id": "t/1"}, other, one)]
    work.write("in.jsonl", "".join(lines))
    done = work.run("step-pairs", "in.jsonl", "-v")
    rows = [json.loads(line) for line in done.lines]
    assert [row["source"] for row in rows] == ["t/0", "u/0"]
    assert "2 already made" in done.err


def test_command_rejects_a_record_without_a_problem_alone(work: Workdir) -> None:
    good = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0)]})
    bad = {key: value for key, value in good.items() if key != "problem"}
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in (bad, good)))
    done = work.run("step-pairs", "in.jsonl", "--on-error", "skip")
    assert (done.status, len(done.lines)) == (1, 1)


def test_command_says_why_there_is_nothing(work: Workdir) -> None:
    record = trace({0: [("a2", 0.0)], 1: [("q", 0.0)]}, labels={"hard": {"first": -1}})
    work.write("in.jsonl", json.dumps(record) + "\n")
    done = work.run("step-pairs", "in.jsonl", "--rule", "first-error")
    assert (done.status, done.out) == (0, b"")
    assert done.err == "step-pairs: 0 rows (pair) of 1 traces; not: 1 no error\n"
    assert work.run("step-pairs", "in.jsonl", "--rule", "first-error", "-q").err == ""


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--at", "gold"], "--at has no effect"), (["--prompt", "Q:"], "no {problem}")],
)
def test_command_refuses_what_would_do_nothing(
    work: Workdir, options: list[str], complaint: str
) -> None:
    done = work.run("step-pairs", *options)
    assert (done.status, done.out) == (2, b"")
    assert complaint in done.err and done.err.count("\n") == 1

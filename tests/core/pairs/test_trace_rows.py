"""Rows made of whole traces: ranked, unpaired, stepwise, weighted, text and advantage rows."""

from __future__ import annotations

from typing import Any

import pytest
from pairing import STEPS, Draw, add, grown, make, only, step, trace

from stepkit.core.training_rows import PairSide
from stepkit.errors import DataError
from stepkit.schema import Json

DRAWS: dict[int, list[Draw]] = {
    0: [("a2\nx", 1.0), ("a3\ny", 0.0)],
    1: [("b2\nz", 1.0), ("b3\nw", 0.0), ("b2\nu", 1.0)],
    2: [("c2", 0.0)],
}


def labelled(**labels: Any) -> Json:
    """A wrong trace whose second step is its first error."""
    return trace(DRAWS, 0.0, labels={"hard": {"x": [1.0, 0.0, 0.0], "first": 1}, **labels})


def test_ranked_lists_have_no_ties() -> None:
    record = grown()
    for number, (text, outcomes) in enumerate(
        [("A", [1, 1]), ("B", [1, 0, 0]), ("C", [0]), ("D", [0, 0]), ("E", [1])]
    ):
        node = step(record, 0, text, number)
        for draw, outcome in enumerate(outcomes):
            add(record, node, "r", float(outcome), draw=draw)
    found = make(record, "ranked", scope="step")
    (row,) = found.rows
    assert [(side.text, side.k, side.n) for side in row.sides] == [
        ("A", 2, 2),
        ("B", 1, 3),
        ("D", 0, 2),
    ]
    # E ties with A, and C, 0 of 1, may be as good as B
    assert (found.dropped["tie"], found.dropped["not clearly better"]) == (1, 1)
    assert make(record, "ranked", scope="step", rank="share").dropped["tie"] == 2
    assert len(row.origin.draws) == 7
    row = only(record, "ranked", scope="step", min_gap=0.5)
    assert [side.text for side in row.sides] == ["A", "B"]
    row = only(record, "ranked")  # B is below 1/2: the first of its wrong attempts
    assert [side.text for side in row.sides] == ["Ar", "Br", "Dr"]


def test_step_kto_judges_each_sibling() -> None:
    record = trace(
        {0: [("a2\nx", 1.0), ("a3\ny", 0.0)], 1: [("q", 1.0), ("r", 0.0)]}, steps=["a1\n", "b1"]
    )
    rows = [row for row in make(record, "step-kto").rows if not row.prefix]
    assert [(row.side.text, row.desirable) for row in rows] == [("a2\nx", True), ("a3\ny", False)]
    assert make(record, "step-kto").dropped["neither desirable nor undesirable"] == 1  # a1: 1 of 2
    # one right draw of one: x ~ Beta(2, 1), P(x > 1/2) = 3/4
    assert len(make(record, "step-kto", confidence=0.75).rows) == 5
    assert make(record, "step-kto", confidence=0.76).rows == []


def test_kto_is_the_whole_attempt() -> None:
    record = {"id": "t", "problem": "p", "response": "a\nb", "steps": ["a\n", "b"], "correct": True}
    row = only(record, "kto")
    assert (row.side, row.desirable, row.prefix) == (PairSide("a\nb", 1, 1, 1.0, True), True, "")
    assert not only({**record, "correct": False}, "kto").desirable
    assert make({**record, "correct": None}, "kto").dropped == {"the attempt is undecided": 1}
    cut = {**record, "sample": {"finish": "length"}}
    assert make(cut, "kto").dropped == {"the attempt was cut off": 1}
    others = {**record, "role": ["assistant", "tool"]}
    assert make(others, "kto").dropped == {"turns of others": 1}
    with pytest.raises(DataError, match='no "response"'):
        make({"id": "t", "problem": "p"}, "kto")


def test_every_rule_has_the_verdict_of_the_tree() -> None:
    """Where "correct" says something else: as in step-label, it fills in what the tree lacks."""
    record = trace({0: [("a2\nx", 1.0)]}, 1.0, correct=False)
    assert only(record, "kto").desirable
    assert make(record, "negatives").dropped == {"the attempt is right": 1}
    assert not only(trace({}, None, correct=False), "kto").desirable


def test_filter_keeps_right_attempts_without_a_doubtful_step() -> None:
    record = trace({}, 1.0, labels={"soft": {"x": [0.5, 0.25, 1.0]}})
    assert only(record, "filter").side.text == "".join(STEPS)
    assert only(record, "filter", at="soft", min_chosen=0.25).side.text == "".join(STEPS)
    assert make(record, "filter", at="soft", min_chosen=0.3).dropped == {"under --min-chosen": 1}
    record["labels"]["soft"]["x"][0] = None
    assert make(record, "filter", at="soft").dropped == {"a step without a label": 1}
    assert make(trace({}), "filter").dropped == {"the attempt is wrong": 1}


def test_prm_rows_are_hard_soft_masked_or_cut() -> None:
    record = labelled(soft={"x": [0.75, None, 1.0], "first": None})
    assert only(record, "prm").labels == (True, False, False)
    assert only(record, "prm", at="soft").labels == (0.75, None, True)
    assert only(record, "prm", after_error="mask").labels == (True, False, None)
    cut = only(record, "prm", after_error="cut")
    assert (cut.steps, cut.labels) == (("a1\n", "b1\n"), (True, False))
    assert make(record, "prm", at="soft", after_error="mask").dropped == {"first error unknown": 1}
    record["labels"]["soft"] = {"x": [0.75, 0.0, None]}  # no first: the first zero
    assert only(record, "prm", at="soft", after_error="mask").labels == (0.75, False, None)
    record["role"] = ["assistant", "tool", "assistant"]
    assert only(record, "prm").labels == (True, None, False)
    empty = trace({}, labels={"hard": {"x": [None] * 3}})
    assert make(empty, "prm").dropped == {"no label": 1}


def test_weights_are_positive_advantages() -> None:
    record = trace({}, 1.0, labels={"progress": {"x": [0.25, -0.5, None]}})
    row = only(record, "weighted")
    assert (row.weights, row.ended) == ((0.25, 0.0, 0.0), True)
    record["labels"]["progress"]["x"] = [0.0, -0.5, None]
    assert make(record, "weighted").dropped == {"no step of positive weight": 1}


def test_advantages_are_the_labels_with_their_counts() -> None:
    value = {"x": [0.5, 0.25, 0.0], "k": [2, 1, 0], "n": [4, 4, 1]}
    record = trace({}, labels={"value": value, "progress": {"x": [0.0, -0.25, -0.25]}})
    row = only(record, "advantages")
    assert row[:5] == (tuple(STEPS), (0.5, 0.25, 0.0), (0.0, -0.25, -0.25), (2, 1, 0), (4, 4, 1))
    record["labels"]["progress"]["x"][1] = None
    assert only(record, "advantages").advantages == (0.0, None, -0.25)
    record["labels"]["progress"]["x"] = [None] * 3
    assert make(record, "advantages").dropped == {"no label": 1}


def test_the_credit_of_a_judge_needs_no_values() -> None:
    record = trace({}, scores={"judge": {"x": [1, -1, 0.5]}})
    row = only(record, "advantages", at="judge")
    assert row[:5] == (tuple(STEPS), (0.0,) * 3, (1.0, -1.0, 0.5), (0,) * 3, (0,) * 3)


def test_an_intervention_ends_with_the_right_step_or_goes_on() -> None:
    row = only(labelled(), "intervention", scope="step")
    assert (row.steps, row.weights, row.ended) == (("a1\n", "b2\n"), (1.0, 1.0), False)
    row = only(labelled(), "intervention")
    assert (row.steps, row.ended) == (("a1\n", "b2\nz"), True)
    assert row.origin.step == 1


def test_corrections_take_the_wrong_step_back() -> None:
    row = only(labelled(), "self-correction", correction="No.\n")
    assert row.steps == ("a1\n", "b1\n", "No.\n", "b2\nz")
    assert row.weights == (1.0, 1.0, 1.0, 1.0)
    masked = only(labelled(), "masked-correction")
    assert masked.steps[2].startswith("Wait")
    assert masked.weights == (1.0, 0.0, 1.0, 1.0)
    others = labelled() | {"role": ["tool", "assistant", "assistant"]}
    assert only(others, "masked-correction").weights == (0.0, 0.0, 1.0, 1.0)
    # the wrong step turns out as good as its sibling: nothing to correct
    record = labelled()
    record["tree"]["outcome"][record["tree"]["text"].index("c2")] = 1.0
    assert make(record, "self-correction").dropped == {"tie": 1}


def test_fill_in_asks_for_each_step_between_others() -> None:
    row = only(trace({}, 1.0), "fill-in")
    assert row.prefix == "a1\n<|fim_suffix|>c1<|fim_middle|>"
    assert (row.side.text, row.side.ended, row.origin.step) == ("b1\n", True, 1)
    assert make(trace({}), "fill-in").dropped == {"the attempt is wrong": 1}
    assert make(trace({}, None), "fill-in").dropped == {"the attempt is undecided": 1}

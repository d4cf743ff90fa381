"""--skip: prefixes that are not drawn from, and what readers of the tree make of them."""

from __future__ import annotations

import json
from math import log
from typing import Any

import pytest
from labelling import one
from rollouts import problems, records, rollout
from simulated import Curve, World, outcomes_at
from work import Workdir

from stepkit.core.tree import rule_at
from stepkit.errors import DataError, UsageError
from stepkit.schema import Json
from stepkit.search.skip_rules import parse_skip

LABELS = ("hard", "value", "progress")
SHORT = {"name": "short"}


def with_glue(chances: list[float], glue: set[int]) -> Curve:
    """A trace whose steps ``glue`` say nothing; ``chances`` after them are never asked for."""
    curve = Curve(chances)
    curve.steps = [
        "Let's go on:\n" if number in glue else step for number, step in enumerate(curve.steps)
    ]
    return curve


def chained(curve: Curve, tree: Any = None, **options: Any) -> Json:
    fields, _ = curve.searched("chain", tree=tree, **options)
    return curve.record() | fields


def test_glue_is_not_drawn_from_and_the_rest_is_as_without() -> None:
    chances = [0.9, 0.5, 0.5, 0.5, 0.2]
    curve = with_glue(chances, {1, 2})
    tree = chained(curve, draws=8, skip=SHORT)["tree"]
    whole = chained(curve, draws=8)["tree"]
    states = [0, *tree["spine"]]
    assert [len(outcomes_at(tree, node)) for node in states[:-1]] == [8, 8, 0, 0, 8]
    for state in (0, 1, 4):
        assert outcomes_at(tree, states[state]) == outcomes_at(whole, states[state])
    assert [rule_at(tree, node, 0) for node in states] == [
        "", "", "skip:by=short", "skip:by=short", "", "",
    ]  # fmt: skip


def test_a_shared_value_is_marked_and_is_no_evidence() -> None:
    record = chained(with_glue([1.0, 0.5, 0.5, 0.5, 0.2], {1, 2}), draws=24, skip=SHORT)
    found = one(record, "value", "hard", "progress", "best-of:k=2")
    value, progress = found["value"], found["progress"]
    own = value["x"][0]
    assert value["x"][:3] == [own, own, own] and 0 < own < 1
    assert value["shared"] == [0, 1, 1, 0, 0]
    assert value["k"][1:3] == value["n"][1:3] == [0, 0]
    assert value["low"][1:3] == value["high"][1:3] == [None, None]
    assert value["low"][0] is not None and value["low"][3] is not None
    assert progress["x"][1:3] == [0.0, 0.0]
    assert progress["x"][3] == value["x"][3] - own  # against the last that was drawn from
    assert progress["low"][1:4] == [None, None, None] and progress["shared"] == [0, 1, 1, 0, 0]
    assert "skipped" in progress["meta"]["interval"]
    assert found["hard"]["x"][1] == found["hard"]["x"][0] == 1
    assert found["best-of"]["x"][1] is None  # it needs draws of its own


def test_labels_of_a_tree_without_skips_have_no_such_column() -> None:
    record = chained(with_glue([0.9, 0.5, 0.5], {0}), draws=4)
    assert "shared" not in one(record, "value")["value"]


def test_a_skipped_step_is_never_the_first_error() -> None:
    record = chained(with_glue([1.0, 0.0, 0.0, 0.0], {1}), draws=8, skip=SHORT)
    assert one(record, "hard")["hard"]["first"] == 0


def test_topping_up_without_it_draws_what_was_left_out() -> None:
    curve = with_glue([0.9, 0.5, 0.5, 0.2], {1})
    skipped = chained(curve, draws=4, skip=SHORT)["tree"]
    filled = chained(curve, tree=skipped, draws=4)["tree"]
    whole = chained(curve, draws=4)["tree"]
    for state in range(4):
        assert outcomes_at(filled, state) == outcomes_at(whole, state)
    assert not any(filled["rule"])
    again = chained(curve, tree=whole, draws=4, skip=SHORT)["tree"]
    assert not any(again.get("rule", []))  # what has draws shares nothing


def test_a_stopping_rule_goes_on_where_nothing_is_skipped() -> None:
    until = {"name": "first-success"}
    record = chained(with_glue([1.0, 1.0, 1.0, 0.5], {1}), draws=8, skip=SHORT, until=until)
    assert one(record, "hard")["hard"]["x"][:3] == [1, 1, 1]


# ---- certain ---------------------------------------------------------------------------------

EARLY, LATE = 0.97, 0.98


def law(steps: tuple[str, ...]) -> list[tuple[str, float]]:
    """Two steps that are almost certain, then one that decides."""
    if len(steps) == 3:
        return []
    if len(steps) == 2:
        right = 0.9 if steps == ("a\n", "b\n") else 0.1
        return [("#### 42", right), ("#### 7", 1 - right)]
    name, chance = (("a\n", EARLY), ("b\n", LATE))[len(steps)]
    return [(name, chance), ("x\n", 1 - chance)]


def certain(least: float) -> tuple[World, Json]:
    world = World(law, ("a\n", "b\n", "x\n", "#### 42", "#### 7"))
    steps = ["a\n", "b\n", "#### 42"]
    data = {
        "steps": steps,
        "response": "".join(steps),
        "sample": {"token_bytes": [2, 2, 7], "token_logprob": [log(EARLY), log(LATE), log(0.9)]},
    }
    skip = {"name": "certain", "least": least}
    fields, _ = world.searched("chain", data, draws=4, skip=skip)
    return world, data | fields


def test_a_step_that_the_model_was_certain_of_changes_the_value_by_no_more_than_the_bound() -> None:
    for least, skipped in ((0.96, [True, False]), (0.95, [True, True]), (0.99, [False, False])):
        world, record = certain(least)
        nodes = record["tree"]["spine"][:-1]
        assert [bool(rule_at(record["tree"], node, 0)) for node in nodes] == skipped, least
        values = [world.value(tuple(record["steps"][:count])) for count in range(3)]
        source = 0
        for state in (1, 2):
            source = source if skipped[state - 1] else state
            assert abs(values[state] - values[source]) <= 1 - least


def test_certain_without_probabilities_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="keep-tokens"):
        chained(Curve([0.5, 0.5]), draws=4, skip={"name": "certain", "least": 0.95})


@pytest.mark.parametrize(
    "text", ["long", "certain:", "certain:1", "certain:0", "certain:x", "short:1"]
)
def test_what_cannot_be_skipped_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="--skip"):
        parse_skip(text)
    assert parse_skip("certain") == {"name": "certain", "least": 0.95}
    assert parse_skip("certain:0.9") == {"name": "certain", "least": 0.9}


# ---- as commands -----------------------------------------------------------------------------


def test_the_pipe_from_draws_to_pairs_takes_skipped_steps(work: Workdir) -> None:
    drawn = rollout(work, problems(4), "--method", "sample", "-k", "2", "--keep-tokens")
    traces = work.run("step-split", "--by", "lines", input=drawn.out)
    done = rollout(work, traces.out, "-k", "4", "--skip", "certain:0.8")
    skipped = sum(
        rule.startswith("skip")
        for record in records(done)
        for rule in record["tree"].get("rule", [])
    )
    assert skipped > 0
    assert (
        f"{skipped} of " in done.err and "share the value before them (--skip certain)" in done.err
    )
    labelled = work.run("step-label", *(f"--label={one}" for one in LABELS), input=done.out)
    assert labelled.status == 0, labelled.err
    for form in ("trl-dpo", "trl-prm"):
        made = work.run("step-pairs", "--to", form, input=labelled.out)
        assert made.status == 0, made.err
    seen = work.run("step-view", "--text", input=labelled.out)
    assert "Traceback" not in seen.err
    again = json.loads(labelled.lines[0])
    assert set(again["labels"]) >= set(LABELS)


@pytest.mark.parametrize("rule", ["posterior", "progress"])
def test_rules_that_compare_steps_refuse_it(work: Workdir, rule: str) -> None:
    done = rollout(work, b"", "--until", rule, "--skip", "short")
    assert done.status == 2 and "--skip" in done.err and done.err.count("\n") == 1

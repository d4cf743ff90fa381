"""step-rollout --regrade: outcomes again from stored text, without a model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulated import NONE, RIGHT, WRONG, Curve
from work import Workdir

from stepkit.grade import Grader
from stepkit.search.regrade import regraded


def evidence(seed: int = 0, undecided: float = 0.2) -> dict[str, Any]:
    curve = Curve([0.5, 0.5, 0.5], undecided=undecided)
    fields, _ = curve.searched("chain", seed)
    return curve.record() | fields


def test_what_was_graded_right_stays_as_it_is() -> None:
    data = evidence()
    with Grader() as grader:
        fields, changed = regraded(data, grader.grade)
    assert changed == 0 and fields["tree"] == data["tree"]
    assert (fields["final"], fields["correct"]) == (data["final"], data["correct"])


def test_another_reference_answer_turns_right_and_wrong_round() -> None:
    data = evidence() | {"answer": "7"}
    data["labels"] = {"value": {"by": "sampler"}, "gold": {"by": "human"}}
    with Grader() as grader:
        fields, changed = regraded(data, grader.grade)
    outcomes = {RIGHT: 0.0, WRONG: 1.0, NONE: None}
    tree = fields["tree"]
    drawn = [node for node, whole in enumerate(tree["whole"]) if whole]
    assert [tree["outcome"][n] for n in drawn] == [outcomes[tree["text"][n]] for n in drawn]
    assert changed == sum(tree["text"][n] != NONE for n in drawn) + 2  # the trace, and its end
    assert fields["correct"] is True and list(fields["labels"]) == ["gold"]


def test_what_was_cut_off_stays_undecided_though_an_answer_is_there() -> None:
    """Adversarial case 10: the prefix may hold an answer already."""
    data = evidence(undecided=0.0)
    node = data["tree"]["whole"].index(True)
    data["tree"]["finish"][node], data["tree"]["outcome"][node] = "length", 1.0
    with Grader() as grader:
        fields, changed = regraded(data, grader.grade)
    assert fields["tree"]["outcome"][node] is None and fields["tree"]["final"][node] is not None
    assert changed == 1


def test_rewards_and_failed_draws_are_left_alone() -> None:
    data = evidence(undecided=0.0)
    tree = data["tree"]
    a, b = [node for node, whole in enumerate(tree["whole"]) if whole][:2]
    tree["outcome"][a] = 0.25
    tree["finish"][b], tree["outcome"][b] = "error", None
    with Grader() as grader:
        fields, _ = regraded(data | {"answer": "7"}, grader.grade)
    assert fields["tree"]["outcome"][a] == 0.25 and fields["tree"]["outcome"][b] is None


def test_the_command_needs_no_model_and_keeps_what_it_does_not_write(work: Workdir) -> None:
    data = evidence() | {"answer": "7", "mine": [1.10]}
    line = json.dumps(data).replace("1.1]", "1.10]")
    done = work.run("step-rollout", "--regrade", "-v", input=line + "\n")
    assert done.status == 0 and "outcomes are others than before" in done.err
    assert b'"mine": [1.10]' in done.out
    again = work.run("step-rollout", "--regrade", input=done.out)
    assert again.out == done.out


@pytest.mark.parametrize(
    "args", [("-k", "4"), ("--method", "chain"), ("-T", "0.5"), ("--window", "3"), ("--dry-run",)]
)
def test_options_without_effect_are_refused(work: Workdir, args: tuple[str, ...]) -> None:
    done = work.run("step-rollout", "--regrade", *args, input="")
    assert done.status == 2 and "has no effect with --regrade" in done.err
    assert done.err.count("\n") == 1


def test_without_an_answer_there_is_nothing_to_grade_against(work: Workdir) -> None:
    done = work.run("step-rollout", "--regrade", input='{"problem":"p"}\n')
    assert done.status == 3 and '"answer"' in done.err

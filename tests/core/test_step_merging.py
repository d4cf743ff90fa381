"""Merged steps: every number of the twin is one that was counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some
from labelling import one, trace
from work import Workdir

from stepkit.core import step_merging
from stepkit.schema import Json


def labelled(verdict: float = 0.0) -> tuple[Json, Json]:
    draws: dict[int, list[float | None]] = {0: [1, 1, 0, 0], 1: [1, 1, 1, 0], 2: [1, 0], 3: [0, 0]}
    record = trace(["a\n", "b\n", "c\n", "d"], draws, verdict, id="t", split={"by": "lines"})
    names = ("value", "hard", "progress", "pivotal", "scan", "sorm")
    return record, one(record, *names)


def test_a_merged_step_leads_where_its_second_half_led() -> None:
    record, made = labelled()
    twin = step_merging.merge_steps(record, made, 1)
    assert twin["steps"] == ["a\n", "b\nc\n", "d"] and "".join(twin["steps"]) == record["response"]
    assert twin["id"] == "t/m1" and twin["origin"] == {"id": "t", "step": 1, "merged": 2}
    labels = twin["labels"]
    assert list(labels) == ["value", "hard", "progress", "sorm"]  # a test says nothing of two
    assert labels["value"]["x"] == [0.75, 0.0, 0.0] and labels["value"]["n"] == [4, 2, 1]
    assert labels["value"]["root"] == made["value"]["root"]
    assert labels["progress"]["x"] == [0.25, -0.75, 0.0]
    assert made["hard"]["first"] == 2 and labels["hard"]["first"] == 1
    assert made["value"]["x"] == [0.75, 0.5, 0.0, 0.0]  # the label itself is as it was


@pytest.mark.parametrize(("step", "first"), [(0, 1), (1, 1), (2, 2)])
def test_the_first_error_moves_with_its_step(step: int, first: int) -> None:
    record, made = labelled()
    assert step_merging.merge_steps(record, made, step)["labels"]["hard"]["first"] == first


def test_a_merged_progress_has_no_bounds_of_one_half() -> None:
    """Those of the second half were kept: the sum is another number."""
    record, made = labelled()
    progress = step_merging.merge_steps(record, made, 1)["labels"]["progress"]
    for bound in ("low", "high"):
        kept = made["progress"][bound]
        assert progress[bound] == [kept[0], None, kept[3]]


def test_unknown_progress_stays_unknown() -> None:
    record = trace(["a\n", "b\n", "c"], {0: [1], 2: [0]}, 0.0, id="t")
    labels = step_merging.merge_steps(record, one(record, "progress"), 0)["labels"]
    assert labels["progress"]["x"] == [None, 0.0]


@given(some.lists(some.booleans(), max_size=7), some.integers(1, 9))
def test_only_neighbours_of_the_model_are_merged(mine: list[bool], most: int) -> None:
    role = ["assistant" if own else "tool" for own in mine]
    record = {"id": "t", "response": "x" * len(mine), "steps": ["x"] * len(mine), "role": role}
    steps = step_merging.steps_to_merge(record, most)
    pairs = [i for i in range(len(mine) - 1) if mine[i] and mine[i + 1]]
    assert steps == sorted(set(steps)) and set(steps) <= set(pairs)
    assert len(steps) == min(most, len(pairs))
    assert steps == step_merging.steps_to_merge(record, most)
    for step in steps:
        assert step_merging.merge_steps(record, {}, step)["role"] == role[:step] + role[step + 1 :]


def test_command_writes_twins_behind_their_trace(work: Workdir) -> None:
    record, _ = labelled()
    record |= {"scores": {"prm": {"x": [1, 1, 1, 1]}}, "labels": {"gold": {"first": 2}}}
    line = json.dumps(record)[:-1] + ', "mine" : 1.10}\n'
    done = work.run("step-label", "--merge", "9", "--first", "posterior", input=line)
    assert (done.status, done.err) == (0, "")
    first, *twins = map(json.loads, done.lines)
    assert first["id"] == "t" and first["labels"]["gold"] == {"first": 2}
    assert [twin["id"] for twin in twins] == ["t/m0", "t/m1", "t/m2"]
    for twin, raw in zip(twins, done.lines[1:], strict=True):
        assert "".join(twin["steps"]) == twin["response"] and len(twin["steps"]) == 3
        assert list(twin["labels"]) == ["value", "hard", "progress", "first"]
        assert not {"tree", "scores", "split"} & twin.keys()
        assert b'"mine" : 1.10' in raw
        for entry in twin["labels"].values():
            assert len(entry.get("x", twin["steps"])) == 3
    again = work.run("step-label", "--merge", "1", input=line)
    assert (
        len(again.lines) == 2
        and again.lines[1] == work.run("step-label", "--merge", "1", input=line).lines[1]
    )
    prior = json.loads(again.lines[0])
    assert prior["steps"] == record["steps"]

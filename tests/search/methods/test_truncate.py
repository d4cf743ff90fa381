"""Next steps from the prefixes of a trace."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
from worlds import Sums, WorldEngine, search, value

from stepkit.errors import DataError

WORLD = Sums(3, "1/4")
TRACE = {
    **WORLD.record(),
    "response": "".join(WORLD.steps),
    "steps": WORLD.steps,
    "split": {"by": "lines"},
    "correct": True,
}


def test_k_steps_from_every_prefix_and_nothing_after_them() -> None:
    engine = WorldEngine(WORLD)
    tree = search(WORLD, "truncate", engine=engine, record=TRACE, draws=5)
    nodes = [0, *tree["spine"][:-1]]
    assert len(engine.seen) == 5 * len(nodes)
    for place, above in enumerate(nodes):
        drawn = [
            node
            for node in range(1, len(tree["parent"]))
            if tree["parent"][node] == above and tree["by"][node] == 0
        ]
        moves = {move.step: move.ends for move in WORLD.moves("".join(WORLD.steps[:place]))}
        assert len(drawn) == 5 and not any(tree["whole"][node] for node in drawn)
        for node in drawn:
            assert bool(tree["finish"][node]) == moves[tree["text"][node]]
            assert (tree["outcome"][node] is not None) == moves[tree["text"][node]]


def test_a_step_has_the_chance_that_it_has_in_the_world() -> None:
    """Of 2,000 first steps a quarter is wrong, within four standard errors."""
    record = {**TRACE, "labels": {"x": {"first": 0}}}
    tree = search(WORLD, "truncate", record=record, draws=2000, at="x")
    wrong = [tree["text"][n] != WORLD.steps[0] for n, by in enumerate(tree["by"]) if by == 0]
    assert len(wrong) == 2000
    assert abs(sum(wrong) / 2000 - 1 / 4) < 4 * sqrt(1 / 4 * 3 / 4 / 2000)
    assert value(WORLD) == (1 - WORLD.error) ** (len(WORLD.steps) - 1)


@pytest.mark.parametrize(("first", "asked"), [(1, 3), (-1, 0), (None, 0)])
def test_only_before_the_first_error_of_a_label(first: Any, asked: int) -> None:
    engine = WorldEngine(WORLD)
    record = {**TRACE, "labels": {"x": {"first": first}}}
    tree = search(WORLD, "truncate", engine=engine, record=record, draws=3, at="x")
    assert len(engine.seen) == asked
    assert {tree["parent"][n] for n, by in enumerate(tree["by"]) if by == 0} <= {1}


def test_a_label_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DataError, match=r"labels\.x.*missing"):
        search(WORLD, "truncate", record=TRACE, at="x")

"""What every search has in common: it stops at any draw and goes on, and tops itself up."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import Game24, Journal, WorldEngine, knowing, recorded, search

WORLD = Game24([5, 5, 5, 9])
GUIDE = knowing(WORLD)
METHODS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("mcts", {"searches": 20}, {"searches": 45}),
    ("best-first", {"draws": 3, "searches": 3}, {"searches": 7}),
    ("branch", {"draws": 3, "rounds": 1}, {"rounds": 2}),
    ("branch", {"width": [2, 2, 2]}, {}),
    ("truncate", {"draws": 4}, {"draws": 9}),
    *(
        (method, {"scorer": GUIDE, "searches": 2, **options}, {"searches": 9})
        for method, options in (
            *(("beam", {}), ("dvts", {}), ("lookahead", {}), ("particle", {"ess": 0.5})),
            *(("speculate", {"draws": 3}), ("speculate", {"draws": 2, "advantage": 0.1})),
            ("mcts", {"searches": 4, "select": "puct", "prior": "score"}),
        )
    ),
]
every_method = pytest.mark.parametrize(("method", "options", "more"), METHODS)


@every_method
@pytest.mark.parametrize("dies_after", [0, 1, 5])
def test_it_resumes_from_the_journal(
    method: str, options: dict[str, Any], more: dict[str, Any], dies_after: int
) -> None:
    """Killed after so many draws and run again: the same tree, and no draw is made twice."""
    if method == "truncate" and dies_after > 3:
        dies_after = 3
    whole = search(WORLD, method, **options)
    journal = Journal(dies_after)
    with pytest.raises(KeyboardInterrupt):
        search(WORLD, method, engine=recorded(WORLD, journal)[0], **options)
    journal.dies_after = 10**9
    engine, inner = recorded(WORLD, journal)
    assert search(WORLD, method, engine=engine, **options) == whole
    assert len(inner.seen) == len(journal.entries) - dies_after


@every_method
def test_it_is_topped_up(method: str, options: dict[str, Any], more: dict[str, Any]) -> None:
    """Given back with more to do it asks for just what is missing."""
    engine, alone = WorldEngine(WORLD), WorldEngine(WORLD)
    short = search(WORLD, method, engine=engine, **options)
    record = {**WORLD.record(), "tree": short}
    longer = search(WORLD, method, engine=engine, record=record, **{**options, **more})
    whole = search(WORLD, method, engine=alone, **{**options, **more})
    assert sorted(engine.seen) == sorted(alone.seen)
    for name in ("text", "outcome", "finish"):
        assert sorted(map(str, longer[name])) == sorted(map(str, whole[name]))


@every_method
def test_it_does_not_depend_on_the_order_of_arrival(
    method: str, options: dict[str, Any], more: dict[str, Any]
) -> None:
    trees = [search(WORLD, method, engine=WorldEngine(WORLD, order), **options) for order in (1, 2)]
    assert trees[0] == trees[1]


def test_scores_of_the_nodes_stay_as_long_as_the_columns() -> None:
    """Nodes that came after a scorer have null; what was derived from fewer draws goes."""
    short = search(WORLD, "mcts", searches=5)
    size = len(short["parent"])
    short["scores"] = {"prm": {"of": "validity", "by": "scorer", "x": [0.5] * size}}
    short["labels"] = {
        "soft": {"by": "sampler", "x": [0.5] * size},
        "gold": {"by": "human", "x": [1] * size},
    }
    record = {**WORLD.record(), "tree": short}
    tree = search(WORLD, "mcts", record=record, searches=20)
    grown = [None] * (len(tree["parent"]) - size)
    assert grown and tree["scores"]["prm"]["x"] == [0.5] * size + grown
    assert list(tree["labels"]) == ["gold"] and tree["labels"]["gold"]["x"] == [1] * size + grown
    assert len(short["scores"]["prm"]["x"]) == size  # the record that was read is not touched

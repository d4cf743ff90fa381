"""Building, extending and flattening trees; all expectations by hand."""

from __future__ import annotations

from math import isnan

import pytest

from stepkit.core import tree as trees
from stepkit.errors import DataError
from stepkit.schema import TREE_COLUMNS, check_tree

SAMPLER = {"id": "aa", "purpose": "value", "model": "m"}


def drawn(tree: trees.Tree, node: int, draw: int, /, **over: object) -> int:
    columns = {"whole": True, "finish": "stop", "by": 0, "draw": draw} | over
    return trees.add(tree, node, f"draw {draw}", **columns)  # type: ignore[arg-type]


def test_from_steps_has_every_column_and_a_spine() -> None:
    tree = trees.from_steps(["a\n", "b\n", "c"])
    assert tuple(tree)[: len(TREE_COLUMNS)] == TREE_COLUMNS
    assert tree["parent"] == [-1, 0, 1, 2]
    assert tree["text"] == ["", "a\n", "b\n", "c"]
    assert tree["spine"] == [1, 2, 3]
    assert check_tree({"tree": tree}) is tree


def test_no_steps_is_a_root_alone() -> None:
    tree = trees.from_steps([])
    assert tree["parent"] == [-1] and tree["spine"] == []
    assert check_tree({"tree": tree}) is tree


def test_add_appends_to_every_column() -> None:
    tree = trees.from_steps(["a"])
    assert trees.sampler_index(tree, SAMPLER) == 0
    node = drawn(tree, 0, 0, outcome=1.0, final="4", tokens=7, logprob=-2.5)
    assert node == 2
    assert [tree[name][2] for name in TREE_COLUMNS] == [
        0, "draw 0", True, "stop", 1.0, "4", 0, 0, -1, "", 7, -2.5,
    ]  # fmt: skip
    assert check_tree({"tree": tree}) is tree


def test_add_carries_foreign_columns_and_completes_older_trees() -> None:
    tree = trees.from_steps(["a"])
    tree["mine"] = [1, 2]
    tree["visits"] = [0, 1]  # no column, though as long as one
    del tree["rule"], tree["logprob"]
    trees.sampler_index(tree, SAMPLER)
    drawn(tree, 0, 0, rule="enough")
    assert tree["mine"] == [1, 2, None]
    assert tree["visits"] == [0, 1]
    assert tree["rule"] == ["", "", "enough"]
    assert tree["logprob"] == [None, None, None]


def test_a_copy_leaves_the_original_alone() -> None:
    tree = trees.from_steps(["a"])
    copy = trees.copy_tree(tree)
    trees.sampler_index(copy, SAMPLER)
    drawn(copy, 0, 0)
    assert tree == trees.from_steps(["a"])


@pytest.mark.parametrize(
    "over",
    [
        {"finish": "", "outcome": 1.0},  # a verdict where nothing ended
        {"finish": "eos"},
        {"by": 1},
        {"by": -1},  # a draw by nobody
        {"draw": -1},  # somebody's, but no draw
    ],
)
def test_impossible_nodes_are_refused(over: dict[str, object]) -> None:
    tree = trees.from_steps(["a"])
    trees.sampler_index(tree, SAMPLER)
    with pytest.raises(ValueError):
        drawn(tree, 0, 0, **over)
    with pytest.raises(ValueError):
        drawn(tree, 2, 0)
    assert len(tree["parent"]) == 2


def test_samplers_are_known_by_id() -> None:
    tree = trees.from_steps([])
    assert trees.sampler_index(tree, SAMPLER) == 0
    assert trees.sampler_index(tree, {"id": "bb"}) == 1
    assert trees.sampler_index(tree, {"id": "aa", "model": "moved"}) == 0
    assert tree["samplers"] == [SAMPLER, {"id": "bb"}]


def test_draws_at_reads_one_node_and_one_sampler_in_draw_order() -> None:
    tree = trees.from_steps(["a", "b"])
    trees.sampler_index(tree, SAMPLER)
    trees.sampler_index(tree, {"id": "bb"})
    second = drawn(tree, 0, 1)
    first = drawn(tree, 0, 0)
    drawn(tree, 1, 0)  # of another prefix
    other = drawn(tree, 0, 0, by=1)
    failed = drawn(tree, 0, 2, finish="error")
    trees.add(tree, 0, "first", whole=False, finish="", by=0, draw=0, cut=first)
    assert trees.draws_at(tree, 0, 0) == [first, second, failed]
    assert trees.draws_at(tree, 0, 1) == [other]
    assert trees.draws_at(tree, 2, 0) == []
    assert trees.drawing_samplers(tree) == [0, 1]
    assert trees.drawing_samplers(trees.from_steps(["a"])) == []


def test_plant_lays_trees_end_to_end() -> None:
    one = trees.from_steps(["a"])
    trees.sampler_index(one, SAMPLER)
    node = drawn(one, 1, 0, outcome=1)
    drawn(one, 0, 1, finish="error")
    drawn(one, 0, 2, cut=node)
    two = trees.from_steps(["b", "c"])
    del two["cut"]  # an older file
    forest = trees.build_forest([one, two])
    assert list(forest.offsets) == [0, 5, 8]
    assert list(forest.parent) == [-1, 0, 1, 0, 0, -1, 5, 6]
    assert list(forest.drawn) == [0, 0, 1, 0, 0, 0, 0, 0]
    assert forest.outcome[2] == 1.0 and all(isnan(x) for x in forest.outcome[3:])
    assert list(forest.draw) == [-1, -1, 0, 1, 2, -1, -1, -1]
    assert list(trees.build_forest([]).offsets) == [0]


def test_every_sampler_notes_its_own_rule() -> None:
    tree = trees.from_steps(["a"])
    for by, text in ((1, "wilson:half=0.1,most=9"), (0, "first-success:most=4 -> lost")):
        trees.set_rule(tree, 0, by, text)
    assert tree["rule"][0] == "first-success:most=4 -> lost; @1 wilson:half=0.1,most=9"
    assert trees.rule_at(tree, 0, 0) == "first-success:most=4"  # without what was decided
    assert trees.rule_at(tree, 0, 1) == "wilson:half=0.1,most=9"
    assert trees.rule_at(tree, 0, 2) == trees.rule_at(tree, 1, 0) == ""
    trees.set_rule(tree, 0, 0, "mixed")
    trees.set_rule(tree, 0, 1, "")
    assert tree["rule"] == ["mixed", ""]
    assert trees.rule_at({"parent": [-1]}, 0, 0) == ""  # an older tree has no such column


def test_tokens_are_kept_for_every_node_or_known_to_be_missing() -> None:
    tree = trees.from_steps(["a"])
    trees.sampler_index(tree, SAMPLER)
    drawn(tree, 0, 0, tokens=2)  # drawn before anyone asked
    trees.keep_tokens(tree, "ids")
    drawn(tree, 0, 1, tokens=3, ids=(7, 8, 9))
    drawn(tree, 0, 2, tokens=1, ids=None)
    drawn(tree, 1, 0, tokens=2, ids=(5,))  # a text that its tokens do not give back
    trees.keep_tokens(tree, "ids")
    assert tree["ids"] == [-1, -1, 7, 8, 9, -1, -1, -1]
    assert trees.kept_tokens(tree, "ids") == [[], [], [-1, -1], [7, 8, 9], [-1], [-1, -1]]
    assert trees.kept_tokens(tree, "token_logprob") is None
    with pytest.raises(DataError, match=r"tree\.ids"):
        trees.kept_tokens({**tree, "ids": [1]}, "ids")

"""Backups against a plain recursion over the tree as people would draw it."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections import defaultdict
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from properties import examples
from work import ROOT

from stepkit.core import backups, jit
from stepkit.core import tree as trees
from stepkit.errors import DataError

Tree = dict[str, Any]


@some.composite
def searched(draw: some.DrawFn) -> Tree:
    """A searched tree: steps and remainders of two samplers, cuts, failures, twins, visits."""
    tree = trees.from_steps(["s"] * draw(some.integers(0, 3)))
    for name in ("aa", "bb"):
        trees.sampler_index(tree, {"id": name})
    for _ in range(draw(some.integers(0, 15))):
        open_nodes = [node for node, end in enumerate(tree["finish"]) if not end]
        finish = draw(some.sampled_from(["", "stop", "length", "error"]))
        outcome = draw(some.sampled_from([None, 0.0, 1.0, 0.25])) if finish else None
        trees.add(
            tree,
            draw(some.sampled_from(open_nodes)),
            "x",
            whole=draw(some.booleans()),
            finish=finish,
            outcome=outcome,
            by=draw(some.integers(0, 1)),
            draw=draw(some.integers(0, 3)),
            cut=draw(some.sampled_from([-1, -1, -1, 0])),
        )
    nodes = some.integers(0, len(tree["parent"]) - 1)
    tree["visits"] = draw(some.lists(nodes, max_size=8))
    return tree


class Plain:
    """The same by recursion over children, leaves first found by their definition."""

    def __init__(self, tree: Tree, by: int) -> None:
        self.tree = tree
        self.children: dict[int, list[int]] = defaultdict(list)
        for node, above in enumerate(tree["parent"]):
            self.children[above].append(node)
        self.leaf = [self._leaf(node, by) for node in range(len(tree["parent"]))]

    def _leaf(self, node: int, by: int) -> bool:
        tree = self.tree
        if tree["by"][node] != by or by < 0 or tree["cut"][node] >= 0:
            return False
        if tree["finish"][node] not in ("stop", "length"):
            return False

        def name(other: int) -> tuple[Any, ...]:
            columns = ("parent", "by", "draw", "whole")
            return tuple(tree[column][other] for column in columns)

        same = [
            other
            for other in range(node)
            if name(other) == name(node)
            and tree["cut"][other] < 0
            and tree["finish"][other] in ("stop", "length")
        ]
        return not same

    def outcomes(self, node: int) -> list[float | None]:
        mine = [self.tree["outcome"][node]] if self.leaf[node] else []
        return mine + [x for child in self.children[node] for x in self.outcomes(child)]

    def decided(self, node: int) -> list[float]:
        return [x for x in self.outcomes(node) if x is not None]

    def mean(self, node: int) -> float | None:
        own = self.tree["outcome"][node] if self.leaf[node] else None
        values = [own, *(self.mean(child) for child in self.children[node])]
        known = [x for x in values if x is not None]
        return fsum(known) / len(known) if known else None

    def through(self, node: int) -> list[float | None]:
        found = []
        for leaf in self.tree["visits"]:
            place = leaf
            while place >= 0:
                if place == node:
                    found.append(self.tree["outcome"][leaf])
                place = self.tree["parent"][place]
        return found


def check(made: list[Tree], samplers: list[int]) -> None:
    forest = trees.build_forest(made)
    size = forest.offsets[-1]
    found = backups.back_up(forest, backups.leaves(made, samplers, size))
    visits = backups.replay(forest, made)
    for start, tree, by in zip(forest.offsets, made, samplers, strict=False):
        plain = Plain(tree, by)
        for node in range(len(tree["parent"])):
            decided, at = plain.decided(node), start + node
            leaves = found["leaves"]
            assert (leaves.k[at], leaves.n[at]) == (sum(decided), len(decided))
            assert leaves.undecided[at] == len(plain.outcomes(node)) - len(decided)
            if decided:
                assert leaves.value[at] == pytest.approx(sum(decided) / len(decided))
                assert found["max"].value[at] == max(decided)
                assert found["mean"].value[at] == pytest.approx(plain.mean(node))
            else:
                assert plain.mean(node) is None
            through = plain.through(node)
            backed = [x for x in through if x is not None]
            assert (visits.k[at], visits.n[at]) == (sum(backed), len(backed))
            assert visits.undecided[at] == len(through) - len(backed)


@given(some.lists(searched(), max_size=3))
def test_backups_are_the_recursion(made: list[Tree]) -> None:
    check(made, [index % 3 - 1 for index in range(len(made))])


@examples(50)
@given(some.lists(searched(), max_size=3))
def test_compiled_backups_are_the_same_bit_for_bit(made: list[Tree]) -> None:
    def columns() -> list[bytes]:
        forest = trees.build_forest(made)
        ended = backups.leaves(made, [0] * len(made), forest.offsets[-1])
        all_of_them = [*backups.back_up(forest, ended).values(), backups.replay(forest, made)]
        return [column.tobytes() for backup in all_of_them for column in backup]

    plain = columns()
    before = jit.REPAID
    jit.REPAID = 0
    try:
        assert columns() == plain
    finally:
        jit.REPAID = before


def test_replay_is_the_running_mean_of_a_search() -> None:
    """V <- (V N + G) / (N + 1), as the searches say it, gives Q; N counts the simulations."""
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "aa"})
    for node, outcome in [(0, None), (1, 1.0), (1, 0.0), (0, 0.5)]:
        ended = {"finish": "stop", "outcome": outcome} if outcome is not None else {"finish": ""}
        trees.add(tree, node, "x", whole=False, by=by, draw=len(tree["parent"]), **ended)
    tree["visits"] = [2, 3, 2, 4, 2]
    value: dict[int, float] = defaultdict(float)
    count: dict[int, int] = defaultdict(int)
    for leaf in tree["visits"]:
        node, gain = leaf, tree["outcome"][leaf]
        while node >= 0:
            value[node] = (value[node] * count[node] + gain) / (count[node] + 1)
            count[node] += 1
            node = tree["parent"][node]
    found = backups.replay(trees.build_forest([tree]), [tree])
    assert list(found.n) == [count[node] for node in range(5)] == [5, 4, 3, 1, 1]
    assert list(found.value) == pytest.approx([value[node] for node in range(5)])


@pytest.mark.parametrize("visits", [[9], [-1], ["0"], {"0": 1}, [True]])
def test_visits_that_are_no_nodes_are_named(visits: Any) -> None:
    tree = trees.from_steps(["a"]) | {"visits": visits}
    with pytest.raises(DataError, match="nodes"):
        backups.checked_visits(tree)


def test_a_tree_without_draws_has_no_values() -> None:
    tree = trees.from_steps(["a"])
    forest = trees.build_forest([tree])
    found = backups.back_up(forest, backups.leaves([tree], [-1], 2))
    assert all(backup.n == array("q", [0, 0]) for backup in found.values())


BOUNDS = """
from stepkit.core import backups, jit, tree
one = tree.from_steps(["a", "b"]) | {"visits": [3, 2, 3]}
tree.sampler_index(one, {"id": "s"})
for node, draw, outcome in [(0, 0, 1.0), (1, 0, None)]:
    tree.add(one, node, "x", whole=True, finish="stop", outcome=outcome, by=0, draw=draw)
jit.REPAID = 0
forest = tree.build_forest([one])
found = backups.back_up(forest, backups.leaves([one], [0], 5))
print(found["leaves"].n.tolist(), backups.replay(forest, [one]).n.tolist())
"""


def test_compiled_backups_stay_within_bounds(tmp_path: Path) -> None:
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", BOUNDS], env=os.environ | checked, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[1, 0, 0, 1, 0] [2, 0, 0, 2, 0]\n", "")

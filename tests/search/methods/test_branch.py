"""Trees of a shape, and forks at the least probable tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from worlds import Game24, Given, Sums, WorldEngine, maze, path, search

from stepkit.core.tree import Tree, kept_tokens

UNSURE = Given(
    {
        "": {"a\n": "1"},
        "a\n": {"b\n": "1/2", "c\n": "1/2"},
        "a\nb\n": {"d\n": "1/10", "e\n": "9/10"},
        "a\nc\n": {"d\n": "1/10", "e\n": "9/10"},
        **{f"a\n{x}\n{y}\n": {"f\n": "3/4", "g\n": "1/4"} for x in "bc" for y in "de"},
        **{
            f"a\n{x}\n{y}\n{z}\n": {"Answer: 1": "1/100", "Answer: 2": "99/100"}
            for x in "bc"
            for y in "de"
            for z in "fg"
        },
    }
)


def at_depth(tree: Tree, depth: int) -> list[int]:
    def of(node: int) -> int:
        return 0 if not node else 1 + of(tree["parent"][node])

    return [node for node in range(len(tree["parent"])) if of(node) == depth]


@examples(20)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(0, 999))
def test_a_tree_has_the_shape_that_was_asked_for(shape: list[int], seed: int) -> None:
    tree = search(Game24([1, 2, 3, 4]), "branch", width=shape, seed=seed)
    expected = 1
    for depth, width in enumerate(shape, 1):
        expected *= width
        level = at_depth(tree, depth)
        assert len(level) == expected
        assert {tree["whole"][node] for node in level} == {depth == len(shape)}
        ended = {bool(tree["finish"][node]) for node in level}
        assert ended == {depth == len(shape)}
    assert at_depth(tree, len(shape) + 1) == []


def test_an_attempt_that_ends_early_is_a_leaf_where_it_ends() -> None:
    tree = search(maze("lll"), "branch", width=[2, 2, 2, 2, 2, 2])
    assert len(at_depth(tree, 4)) == 16 and at_depth(tree, 5) == []
    assert {tree["finish"][node] for node in at_depth(tree, 4)} == {"stop"}


def test_steps_of_a_fixed_number_of_tokens() -> None:
    """SPO-tree: segments of 7 tokens, the last level free; they join to attempts of the world."""
    world = Game24([1, 2, 3, 4])
    tree = search(world, "branch", width=[2, 2, 3], by={"by": "tokens", "size": 7})
    assert {tree["tokens"][node] for depth in (1, 2) for node in at_depth(tree, depth)} == {7}
    leaves = at_depth(tree, 3)
    assert len(leaves) == 12
    for leaf in leaves:
        *steps, _answer = path(tree, leaf).splitlines(keepends=True)
        given = ""
        for step in steps:
            assert step in {move.step for move in world.moves(given)}
            given += step


def forks_of(tree: Tree) -> dict[int, list[int]]:
    """The nodes that were cut from each draw, in order."""
    found: dict[int, list[int]] = {}
    for node, draw in enumerate(tree["cut"]):
        if draw >= 0:
            found.setdefault(draw, []).append(node)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_forks_are_at_the_least_probable_tokens(seed: int) -> None:
    """By hand: d is the least probable token (1 of 10), where it was drawn, then g, then b or c;
    the first token is never a fork, nor is the answer (1 of 100)."""
    tree = search(UNSURE, "branch", seed=seed, draws=6, points=2, width=[2])
    chance = {"b": 1 / 2, "c": 1 / 2, "d": 1 / 10, "e": 9 / 10, "f": 3 / 4, "g": 1 / 4}
    chains = [node for node in at_depth(tree, 1) if tree["whole"][node]]
    assert len(chains) == 6
    for chain in chains:
        letters = tree["text"][chain].split("\n")[:-1]
        order = sorted((chance[one], place) for place, one in enumerate(letters) if place)
        places = sorted(place for _, place in order[:2])
        nodes = forks_of(tree)[chain]
        assert [path(tree, node) for node in nodes] == [
            "".join(f"{one}\n" for one in letters[:place]) for place in places
        ]
        assert tree["parent"][nodes[1]] == nodes[0]
        for node in nodes:
            draws = [
                n for n, above in enumerate(tree["parent"]) if above == node and tree["whole"][n]
            ]
            assert len(draws) == 2 and tree["outcome"][node] is None
    drawn = [n for n in range(1, len(tree["parent"])) if tree["whole"][n]]
    assert len(drawn) == 6 + 6 * 2 * 2


@pytest.mark.parametrize("seed", range(5))
def test_later_rounds_fork_the_branches_too(seed: int) -> None:
    """A fork a round in each tree, 2 wide, and none at a token that was certain."""
    tree = search(UNSURE, "branch", seed=seed, draws=3, points=1, width=[2], rounds=2)
    drawn = [n for n in range(1, len(tree["parent"])) if tree["whole"][n]]
    forks = forks_of(tree)
    assert len(drawn) == 3 + 2 * sum(map(len, forks.values()))
    assert 4 <= sum(map(len, forks.values())) <= 6
    assert any(tree["parent"][draw] for draw in forks) or max(map(len, forks.values())) > 1
    logprobs = kept_tokens(tree, "token_logprob")
    assert logprobs is not None
    for draw, nodes in forks.items():
        begin = len(path(tree, tree["parent"][draw]))
        cuts = [len(path(tree, node)) - begin for node in nodes]
        assert cuts == sorted(cuts) and cuts[0] > 0
        assert all(logprobs[draw][cut] < 0 for cut in cuts)


def test_forks_at_steps_only() -> None:
    """Three cities in one line: the least probable token is inside a step, the fork is not."""
    world = Sums(3, "1/5")
    tree = search(world, "branch", draws=4, points=2, width=[1], by={"by": "lines"})
    texts = [path(tree, node) for nodes in forks_of(tree).values() for node in nodes]
    assert texts and all(text.endswith("\n") for text in texts)


def test_no_fork_where_there_is_no_token_to_fork_at() -> None:
    sure = Given({"": {"Answer: 1": "1"}})
    engine = WorldEngine(sure)
    tree = search(sure, "branch", engine=engine, draws=2)
    assert len(engine.seen) == 2 and tree["cut"] == [-1, -1, -1]

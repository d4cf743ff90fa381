"""Best-first search on worlds whose values are known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from worlds import Game24, WorldEngine, maze, path, search

from stepkit.core.tree import Tree


def children(tree: Tree, node: int, *, whole: bool) -> list[int]:
    return [
        child
        for child in range(1, len(tree["parent"]))
        if tree["parent"][child] == node and tree["whole"][child] == whole
    ]


def share(tree: Tree, node: int) -> float:
    """Right ones among the decided draws at ``node``; -1 without one."""
    found = [tree["outcome"][draw] for draw in children(tree, node, whole=True)]
    decided = [outcome for outcome in found if outcome is not None]
    return sum(decided) / len(decided) if decided else -1.0


@examples(25)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 6),
    width=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    searches=st.integers(1, 12),
    max_tokens=st.sampled_from([4096, 60]),
)
def test_the_best_step_is_expanded_next(
    seed: int, k: int, width: list[int], searches: int, max_tokens: int
) -> None:
    """Expansions in the order of their first child: each was the best of those measured before."""
    tree = search(
        Game24([5, 5, 5, 9]), "best-first", seed=seed, draws=k, width=width, searches=searches,
        max_tokens=max_tokens,
    )  # fmt: skip
    size = len(tree["parent"])
    expanded = sorted(
        (children(tree, node, whole=False)[0], node)
        for node in range(size)
        if children(tree, node, whole=False)
    )
    assert expanded[0][1] == 0 and len(expanded) <= searches
    frontier = {0}
    for when, node in expanded:
        measured = {
            step
            for step in range(when)
            if not tree["whole"][step] and children(tree, step, whole=True)
        }
        done = {other for earlier, other in expanded if earlier < when}
        frontier = (measured | {0}) - done
        best = max(share(tree, one) for one in frontier)
        assert node in frontier and (node == 0 or share(tree, node) == best)
        own = children(tree, node, whole=False)
        assert len(own) == width[min(path(tree, node).count("\n"), len(width) - 1)]
    for step in range(1, size):
        draws = children(tree, step, whole=True)
        assert len(draws) in (0, k) and (not draws or not tree["finish"][step])
    assert len(expanded) == searches or not [
        step
        for step in range(1, size)
        if children(tree, step, whole=True) and not children(tree, step, whole=False)
    ]


def test_it_goes_the_right_way() -> None:
    """Of eight ways one is right; a step on it has value 1/4, 1/2 and 1, any other one 0."""
    for seed in range(20):
        tree = search(maze("rlr"), "best-first", seed=seed, draws=40, width=[8], searches=4)
        expanded = [
            path(tree, node)
            for node in range(len(tree["parent"]))
            if children(tree, node, whole=False)
        ]
        assert expanded == ["", "r\n", "r\nl\n", "r\nl\nr\n"]


def test_a_budget_ends_it() -> None:
    world = Game24([5, 5, 5, 9])
    engine = WorldEngine(world)
    search(world, "best-first", engine=engine, draws=4, width=[3], searches=99, most_draws=40)
    assert 40 - (3 + 3 * 4) < len(engine.seen) <= 40

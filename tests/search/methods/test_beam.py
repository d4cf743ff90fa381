"""Beam search, diverse subtrees and lookahead, on worlds where all values are known."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from worlds import (
    DEPTH,
    Game24,
    Given,
    Known,
    Sums,
    WorldEngine,
    knowing,
    maze,
    path,
    search,
    value,
)

from stepkit.core.leaves import leaf_traces
from stepkit.core.tree import Tree, draws_at
from stepkit.errors import DataError
from stepkit.search.methods.beam import split_evenly

F = Fraction


def steps_at(tree: Tree, node: int, by: int = 0) -> list[int]:
    return [step for step in draws_at(tree, node, by) if not tree["whole"][step]]


def first_of_equals(tree: Tree, steps: list[int]) -> list[int]:
    """Without those that were cut off, and without those that say what an earlier one says."""
    found: dict[tuple[str, str], int] = {}
    for step in steps:
        found.setdefault((path(tree, step), tree["finish"][step]), step)
    return [step for step in found.values() if tree["finish"][step] != "length"]


def mixed(text: str) -> float:
    """A score that says little and is seldom the same twice."""
    return (sum(map(ord, text)) * 7919 % 1000) / 1000


@examples(60)
@given(
    seed=st.integers(0, 10**6),
    beams=st.integers(1, 5),
    width=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    rounds=st.integers(1, 6),
    aggregate=st.sampled_from(["last", "min", "mean", "product"]),
    max_tokens=st.sampled_from([4096, 40]),
)
def test_beams_are_the_best_of_the_steps_behind_the_last_ones(
    seed: int, beams: int, width: list[int], rounds: int, aggregate: str, max_tokens: int
) -> None:
    """Go through the rounds again, with the draws counted from the tree alone."""
    world = Game24([2, 3, 5, 12])
    options: dict[str, Any] = {"beams": beams, "width": width, "searches": rounds}
    options |= {"aggregate": aggregate, "max_tokens": max_tokens, "scorer": Known(mixed)}
    tree = search(world, "beam", seed=seed, **options)

    def score_of(node: int) -> float:
        line = path(tree, node).splitlines(keepends=True)
        scores = [mixed("".join(line[: count + 1])) for count in range(len(line))]
        product = 1.0
        for score in scores:
            product *= score
        by = {"last": scores[-1], "min": min(scores), "mean": sum(scores) / len(scores)}
        return {**by, "product": product}[aggregate]

    left, open_ = beams, [0]
    for depth, kept in enumerate(tree["search"]["kept"]):
        count = left * width[min(depth, len(width) - 1)]
        shares = [len(steps_at(tree, node)) for node in open_]
        assert sum(shares) == count and max(shares) - min(shares) <= 1
        assert shares == sorted(shares, reverse=True)
        steps = first_of_equals(tree, [step for node in open_ for step in steps_at(tree, node)])
        ranking = sorted(steps, key=lambda step: -score_of(step))
        assert [round(score_of(step), 9) for step in kept] == [
            round(score_of(step), 9) for step in ranking[:left]
        ]
        open_ = [step for step in kept if not tree["finish"][step]]
        left -= len(kept) - len(open_)
    assert not open_ or len(tree["search"]["kept"]) == rounds
    assert tree["search"]["stopped"] == ("rounds" if open_ else "ended")
    drawn = [node for node in range(1, len(tree["parent"]))]
    assert all(tree["scores"]["prm"]["x"][node] == mixed(path(tree, node)) for node in drawn)
    ends = [node for node in drawn if tree["finish"][node] == "stop"]
    chosen = tree["search"]["chosen"]
    assert (chosen is None) == (not ends)
    assert chosen is None or score_of(chosen) == pytest.approx(max(map(score_of, ends)))


@pytest.mark.parametrize("method", ["beam", "dvts", "lookahead"])
@examples(25)
@given(seed=st.integers(0, 10**6), beams=st.integers(1, 3), width=st.integers(1, 6))
def test_with_the_true_values_nothing_that_can_be_won_is_lost(
    method: str, seed: int, beams: int, width: int
) -> None:
    """Where a candidate of a round can still reach 24, so can one that is kept (looking ahead goes
    by the likeliest steps, which may lose); and the answer is right whenever a right one was among
    the candidates."""
    world = Game24([5, 5, 5, 9])
    options: dict[str, Any] = {"beams": beams, "width": [width], "scorer": knowing(world)}
    tree = search(world, method, seed=seed, **options)
    above = [0]
    for kept in tree["search"]["kept"]:
        steps = [step for node in above for step in steps_at(tree, node)]
        solvable = [step for step in kept if step is not None and value(world, path(tree, step))]
        lost = not any(value(world, path(tree, step)) for step in steps)
        assert method == "lookahead" or bool(solvable) != lost
        above = [step for step in kept if step is not None and not tree["finish"][step]]
    chosen = tree["search"]["chosen"]
    assert (tree["outcome"][chosen] == 1) == (1 in tree["outcome"])


@pytest.mark.parametrize("method", ["beam", "dvts"])
def test_a_blind_scorer_does_not_help_and_one_that_knows_does(method: str) -> None:
    """One way of eight is right: chosen blindly within four standard errors of that, by values
    always, since a width of 12 misses a turn once in 4,000 times."""
    runs = 300
    for scorer, low, high in (
        (Known(lambda text: 0.5), 1 / 8, 1 / 8),
        (knowing(maze("rlr")), 0.99, 1.0),
    ):
        right = 0.0
        for seed in range(runs):
            options: dict[str, Any] = {"beams": 1, "width": [12], "scorer": scorer}
            tree = search(maze("rlr"), method, seed=seed, **options)
            right += tree["outcome"][tree["search"]["chosen"]]
        slack = 4 * sqrt(1 / 8 * 7 / 8 / runs)
        assert low - slack <= right / runs <= high + slack


@examples(40)
@given(
    seed=st.integers(0, 10**6),
    subtrees=st.integers(1, 4),
    width=st.lists(st.integers(1, 4), min_size=1, max_size=2),
)
def test_each_subtree_goes_on_from_its_own_best_step(
    seed: int, subtrees: int, width: list[int]
) -> None:
    world = Game24([2, 3, 5, 12])
    options: dict[str, Any] = {"beams": subtrees, "width": width, "scorer": Known(mixed)}
    tree = search(world, "dvts", seed=seed, **options)
    used: dict[int, int] = {}
    tips: list[int | None] = [0] * subtrees
    for depth, kept in enumerate(tree["search"]["kept"]):
        wide = width[min(depth, len(width) - 1)]
        for subtree, tip in enumerate(tips):
            if tip is None or tree["finish"][tip]:
                assert kept[subtree] is None
                continue
            begin = used.get(tip, 0)  # subtrees at one node have different draws
            own = steps_at(tree, tip)[begin : begin + wide]
            used[tip] = begin + wide
            assert len(own) == wide
            assert mixed(path(tree, kept[subtree])) == max(mixed(path(tree, s)) for s in own)
        tips = kept
    assert all(tip is None or tree["finish"][tip] for tip in tips)
    assert sum(used.values()) == len(tree["parent"]) - 1


TRAP = Given(
    {
        "": {"a\n": F(1, 2), "b\n": F(1, 2)},
        "a\n": {"c\n": F(9, 10), "d\n": F(1, 10)},
        "b\n": {"e\n": F(9, 10), "f\n": F(1, 10)},
        **{f"a\n{x}\n": {"Answer: 0": F(1)} for x in "cd"},
        **{f"b\n{x}\n": {"Answer: 1": F(1)} for x in "ef"},
    }
)
LOOKS = {"a\n": 0.9, "b\n": 0.5, "a\nc\n": 0.1, "a\nd\n": 0.1, "b\ne\n": 0.8, "b\nf\n": 0.8}


def test_looking_ahead_sees_what_a_step_leads_to() -> None:
    """The scorer likes a wrong step and dislikes what follows from it."""
    scorer = Known(lambda text: LOOKS.get(text, 0.5))
    options: dict[str, Any] = {"beams": 1, "width": [8], "scorer": scorer}
    near, far = search(TRAP, "beam", **options), search(TRAP, "lookahead", **options)
    assert near["outcome"][near["search"]["chosen"]] == 0
    assert path(far, far["search"]["kept"][0][0]) == "b\n"
    assert far["outcome"][far["search"]["kept"][-1][0]] == 1
    greedy = [node for node in range(1, len(far["parent"])) if far["by"][node] == 1]
    seen = {path(far, node) for node in greedy}
    assert {"a\nc\n", "b\ne\n"} <= seen  # the likeliest, never the other
    assert not {"a\nd\n", "b\nf\n"} & seen
    deep = search(TRAP, "lookahead", **options, ahead=5)
    ends = [n for n in range(len(deep["parent"])) if deep["by"][n] == 1 and deep["finish"][n]]
    assert {path(deep, node) for node in ends} >= {"a\nc\nAnswer: 0", "b\ne\nAnswer: 1"}


@pytest.mark.parametrize("method", ["beam", "dvts", "lookahead", "particle", "speculate"])
@pytest.mark.parametrize("most", [1, 7, 16, 40])
def test_a_budget_of_draws_is_kept(method: str, most: int) -> None:
    world = Game24([2, 3, 5, 12])
    engine = WorldEngine(world)
    tree = search(world, method, engine=engine, scorer=knowing(world), most_draws=most)
    assert len(engine.seen) <= most
    held = sum(by >= 0 for by in tree["by"])
    assert held == len(engine.seen)
    assert tree["search"]["stopped"] in ("budget", "ended")


@pytest.mark.parametrize("method", ["beam", "dvts", "lookahead", "particle", "speculate"])
def test_no_answer_is_needed_and_no_outcome_looked_at(method: str) -> None:
    """Without an answer the same tree comes out, without verdicts."""
    world = Sums(3, F(1, 3))
    options: dict[str, Any] = {"scorer": knowing(world), "beams": 2, "width": [3], "draws": 4}
    if method in ("particle", "speculate"):
        del options["beams"], options["width"]
    else:
        del options["draws"]
    known = search(world, method, **options)
    bare = {key: x for key, x in world.record().items() if key != "answer"}
    blind = search(world, method, record=bare, **options)
    assert set(blind["outcome"]) == {None} != set(known["outcome"])
    assert {**blind, "outcome": 0} == {**known, "outcome": 0}


def test_scores_that_the_tree_has_are_not_asked_for_again() -> None:
    world = Game24([2, 3, 5, 12])
    once, again = knowing(world), knowing(world)
    tree = search(world, "beam", scorer=once)
    record = {**world.record(), "tree": tree}
    assert search(world, "beam", scorer=again, record=record) == tree
    assert once.scored and not again.scored
    other = Known(mixed, "other")  # another scorer's numbers are not this one's
    new = search(world, "beam", scorer=other, record=record)
    assert len(other.scored) >= len(tree["parent"]) - 1
    assert new["scores"]["prm"]["meta"] == {"name": "other"}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1], "tree.scores: expected an object"),
        ({"prm": 3}, "tree.scores.prm: expected an object"),
        ({"prm": {"x": [0.5]}}, "tree.scores.prm.x: 1 entries"),
        ({"other": {"x": "no"}}, "tree.scores.other.x: expected a list"),
    ],
)
def test_mutilated_scores_are_bad_data(scores: Any, message: str) -> None:
    world = maze("lll")
    tree = {**search(world, "beam", scorer=knowing(world)), "scores": scores}
    with pytest.raises(DataError) as caught:
        search(world, "beam", scorer=knowing(world), record={**world.record(), "tree": tree})
    assert f"{caught.value.field}: {caught.value.what}".startswith(message)
    with pytest.raises(DataError):
        leaf_traces({**world.record(), "tree": tree}, lambda text, before: [text])


def test_scores_of_others_stay_in_the_tree() -> None:
    world = Game24([2, 3, 5, 12])
    tree = search(world, "beam", scorer=knowing(world), searches=2)
    size = len(tree["parent"])
    tree["scores"]["other"] = {"of": "value", "by": "scorer", "x": [0.25] * size}
    record = {**world.record(), "tree": tree}
    longer = search(world, "beam", scorer=knowing(world), record=record)
    new = len(longer["parent"]) - size
    assert new > 0 and longer["scores"]["other"]["x"] == [0.25] * size + [None] * new


def test_an_aggregate_that_scores_do_not_have_is_the_records_error() -> None:
    scorer = Known(lambda text: 2.0)
    with pytest.raises(DataError, match="a product needs scores from 0 to 1"):
        search(maze("lll"), "beam", scorer=scorer, aggregate="product")
    with pytest.raises(DataError, match="odds need scores from 0 to 1"):
        search(maze("lll"), "particle", scorer=scorer)
    with pytest.raises(DataError, match="a tree search needs scores from 0 to 1"):
        search(maze("lll"), "mcts", scorer=scorer)


def test_a_step_without_a_score_comes_last() -> None:
    class Partial(Known):
        def score(self, data: Any, steps: Any, first: int = 0) -> Any:
            scored = yield from super().score(data, steps, first)
            return type(scored)([None if "l" in step else 0.1 for step in steps])

    options: dict[str, Any] = {"beams": 1, "width": [12], "scorer": Partial(mixed)}
    tree = search(maze("lll"), "beam", **options)
    assert path(tree, tree["search"]["chosen"]).startswith("r\n" * DEPTH)


@given(st.integers(0, 60), st.integers(1, 9))
def test_draws_are_dealt_evenly(count: int, hands: int) -> None:
    shares = split_evenly(count, hands)
    assert sum(shares) == count and len(shares) == hands
    assert max(shares) - min(shares) <= 1 and shares == sorted(shares, reverse=True)

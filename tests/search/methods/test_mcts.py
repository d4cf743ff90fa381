"""Tree search on worlds whose values are known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import exp, log, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from worlds import (
    DEPTH,
    ByteSampler,
    Game24,
    Known,
    Sums,
    WorldEngine,
    maze,
    path,
    search,
    value,
)

from stepkit.core import backups
from stepkit.core.tree import Tree, build_forest
from stepkit.errors import DataError
from stepkit.model.engine import FinishedDraw, FinishedRequest
from stepkit.text.answers import extract

F = Fraction


def steps_below(tree: Tree, node: int) -> list[int]:
    """The steps drawn at ``node``, the first of equal ones."""
    found: dict[tuple[str, str], int] = {}
    for child in range(1, len(tree["parent"])):
        if tree["parent"][child] == node and not tree["whole"][child]:
            found.setdefault((tree["text"][child], tree["finish"][child]), child)
    return list(found.values())


def line_to(tree: Tree, node: int) -> list[int]:
    """The nodes from the root to ``node``."""
    line = [node]
    while line[-1]:
        line.append(tree["parent"][line[-1]])
    return line[::-1]


def replayed(tree: Tree) -> tuple[list[float], list[int], list[int]]:
    """k, n and undecided of every node, by the replay of the labels."""
    backup = backups.replay(build_forest([tree]), [tree])
    return list(backup.k), list(backup.n), list(backup.undecided)


def test_the_values_of_the_worlds_are_what_they_must_be() -> None:
    assert value(maze("lrl")) == F(1, 8)
    assert value(maze("lrl"), "l\nr\n") == F(1, 2)
    assert value(Sums(3, F(1, 10))) == F(9, 10) ** (len(Sums(3, F(1, 10)).steps) - 1)
    assert value(Sums(3, F(0))) == 1
    easy, impossible = Game24([1, 2, 3, 4]), Game24([1, 1, 1, 1])
    assert value(easy) > 0 and value(impossible) == 0
    for move in easy.moves(""):
        assert (value(easy, move.step) > 0) == easy.solvable(move.step)


@pytest.mark.parametrize("seed", range(4))
def test_an_engine_draws_with_the_chances_of_its_world(seed: int) -> None:
    """The mean of 2,000 draws lies within four standard errors of the truth."""
    world = Sums(seed, F(1, 5))
    engine, sampler = WorldEngine(world), ByteSampler(seed)
    prompt = sampler.prefixes.prompt(world.record())
    for number in range(2000):
        engine.submit(sampler.draw(prompt, "value", number))
    drawn = [done.result for _ in range(2000) for done in engine.step()]
    finals = [extract(one.text) for one in drawn if isinstance(one, FinishedDraw)]
    truth = float(value(world))
    mean = sum(final == world.problem.answer for final in finals) / 2000
    assert abs(mean - truth) < 4 * sqrt(truth * (1 - truth) / 2000)


@examples(25)
@given(
    seed=st.integers(0, 10**6),
    searches=st.integers(1, 60),
    width=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    select=st.sampled_from(["uct", "puct"]),
    exploration=st.floats(0, 3),
    max_tokens=st.sampled_from([4096, 40]),
)
def test_every_search_goes_by_the_formula(
    seed: int, searches: int, width: list[int], select: str, exploration: float, max_tokens: int
) -> None:
    """Walk the visits again with N and Q counted from the tree alone: each search went down from
    the root by the highest bound; and so many simulations were made, no more and no fewer."""
    world = Game24([2, 3, 5, 12])
    options: dict[str, Any] = {"width": width, "select": select, "exploration": exploration}
    options["max_tokens"] = max_tokens  # 40: attempts are cut off before their answer
    tree = search(world, "mcts", seed=seed, searches=searches, **options)
    assert len(tree["visits"]) == searches
    size = len(tree["parent"])
    n, decided, k = [0] * size, [0] * size, [0.0] * size

    def q(node: int) -> float:
        if decided[node]:
            return k[node] / decided[node]
        return q(tree["parent"][node]) if node else 0.0

    def bound(child: int, siblings: list[int]) -> float:
        above = sum(n[one] for one in siblings)
        if select == "uct":
            return q(child) + exploration * sqrt(log(above) / n[child])
        prior = [exp(tree["logprob"][one] / tree["tokens"][one]) for one in siblings]
        p = prior[siblings.index(child)] / sum(prior)
        return q(child) + exploration * p * sqrt(above) / (1 + n[child])

    for leaf in tree["visits"]:
        line = line_to(tree, leaf)
        new = [node for node in line if not n[node] and not tree["whole"][node]]
        begins = not new or new[0] == 0 or new[0] == steps_below(tree, tree["parent"][new[0]])[0]
        for above, below in pairwise(line):
            siblings = steps_below(tree, above)
            if begins and below not in new and below in siblings:
                best = max(bound(one, siblings) for one in siblings)
                assert bound(below, siblings) >= best - 1e-9
        for node in line:
            n[node] += 1
            if tree["outcome"][leaf] is not None:
                decided[node] += 1
                k[node] += tree["outcome"][leaf]
    open_ended = [all_of - some for all_of, some in zip(n, decided, strict=True)]
    assert replayed(tree) == (k, decided, open_ended)


@pytest.mark.parametrize("select", ["uct", "puct"])
@pytest.mark.parametrize("right", ["lll", "rlr"])
def test_the_best_child_is_visited_most(select: str, right: str) -> None:
    """The way that is visited most is the right one, in every one of 20 runs."""
    for seed in range(20):
        tree = search(maze(right), "mcts", seed=seed, searches=150, width=[12], select=select)
        n = replayed(tree)[1]
        node, turns = 0, ""
        for _ in range(DEPTH):
            node = max(steps_below(tree, node), key=n.__getitem__)
            turns += tree["text"][node].strip()
        assert turns == right


def test_moves_that_lose_the_game_are_left_alone() -> None:
    """The most visited first move can still reach 24, though eight of ten cannot; and nothing that
    cannot was ever seen to win."""
    world = Game24([5, 5, 5, 9])
    assert sum(world.solvable(move.step) for move in world.moves("")) == 2
    won = 0
    for seed in range(5):
        tree = search(world, "mcts", seed=seed, searches=1000, width=[50], exploration=0.5)
        k, n, _ = replayed(tree)
        won += world.solvable(path(tree, max(steps_below(tree, 0), key=n.__getitem__)))
        for node in steps_below(tree, 0):
            assert k[node] == 0 or world.solvable(path(tree, node))
    assert won >= 4


def test_a_tree_without_a_spine_is_grown() -> None:
    """The columns that must be there, and no others."""
    given: dict[str, list[Any]] = {"parent": [-1], "text": [""], "whole": [False], "finish": [""]}
    given |= {"outcome": [None], "by": [-1], "draw": [-1]}
    world = maze("lll")
    tree = search(world, "mcts", searches=10, record={**world.record(), "tree": given})
    assert tree["spine"] == [] and len(tree["visits"]) == 10


def test_puct_without_log_probabilities_is_an_error_of_the_record() -> None:
    """As with a server that does not tell any."""

    class Silent(WorldEngine):
        def step(self) -> list[FinishedRequest]:
            done = super().step()
            return [
                FinishedRequest(one.request, replace(one.result, logprob=None, logprobs=()))
                if isinstance(one.result, FinishedDraw)
                else one
                for one in done
            ]

    world = maze("lll")
    with pytest.raises(DataError, match="--select uct"):
        search(world, "mcts", engine=Silent(world), searches=20, width=[4], select="puct")
    search(world, "mcts", engine=Silent(world), searches=20, width=[4])


def test_equal_siblings_are_one_candidate_and_stay_in_the_tree() -> None:
    tree = search(maze("lll"), "mcts", searches=40, width=[12])
    first = [node for node in range(1, len(tree["parent"])) if not tree["parent"][node]]
    assert len(first) == 12 and {tree["text"][node] for node in first} == {"l\n", "r\n"}
    assert sum(node in line_to(tree, leaf) for node in first for leaf in tree["visits"]) == 40
    assert len({line_to(tree, leaf)[1] for leaf in tree["visits"]}) == 2


def test_a_budget_of_draws_ends_the_search() -> None:
    world = Game24([2, 3, 5, 12])
    engine = WorldEngine(world)
    tree = search(world, "mcts", engine=engine, searches=1000, width=[3], most_draws=30)
    assert 30 - 6 < len(engine.seen) <= 30  # a round that does not fit is not started
    assert len(tree["visits"]) < 1000


def test_a_finished_search_is_topped_up() -> None:
    """Given back with more searches it asks for what is missing, and ends as one long search."""
    world = Game24([2, 3, 5, 12])
    engine = WorldEngine(world)
    short = search(world, "mcts", searches=20, engine=engine)
    asked = len(engine.seen)
    record = {**world.record(), "tree": short}
    longer = search(world, "mcts", searches=60, engine=engine, record=record)
    fresh = WorldEngine(world)
    alone = search(world, "mcts", searches=60, engine=fresh)
    assert sorted(set(engine.seen)) == sorted(fresh.seen) and len(engine.seen) == len(fresh.seen)
    assert asked < len(engine.seen)
    outcomes = [[tree["outcome"][leaf] for leaf in tree["visits"]] for tree in (longer, alone)]
    assert outcomes[0] == outcomes[1]
    assert short["visits"] == longer["visits"][:20]


def test_opinions_alone_lead_to_the_right_way() -> None:
    """With weight 1 no continuation is drawn; opinions that are true values show the way."""
    world = maze("rlr")
    engine = WorldEngine(world)
    tree = search(
        world, "mcts", engine=engine, searches=60, width=[12], self_weight=1.0, exploration=0.3
    )
    assert not any(tree["whole"])
    node, turns = 0, ""
    visits = Counter(above for leaf in tree["visits"] for above in line_to(tree, leaf))
    for _ in range(DEPTH):
        node = max(steps_below(tree, node), key=visits.__getitem__)
        turns += tree["text"][node].strip()
    assert turns == "rlr"
    opinions = tree["scores"]["self"]["x"]
    known = dict(engine.asked)
    for node, opinion in enumerate(opinions):
        assert opinion is None or opinion == pytest.approx(known[path(tree, node)])
    asked = [path(tree, node) for node, opinion in enumerate(opinions) if opinion is not None]
    assert sorted(asked) == sorted(text for text, _ in engine.asked)


@examples(15)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.integers(2, 40))
def test_opinions_and_outcomes_are_mixed_by_their_weight(
    seed: int, weight: float, searches: int
) -> None:
    """Walk the visits again with both sums counted from the tree alone."""
    tree = search(maze("lrl"), "mcts", seed=seed, searches=searches, width=[4], self_weight=weight)
    size = len(tree["parent"])
    n, k, c = [0] * size, [0.0] * size, [0.0] * size
    opinions = tree["scores"]["self"]["x"]

    def bound(child: int, siblings: list[int]) -> float:
        above = sum(n[one] for one in siblings)
        q = (1 - weight) * k[child] / n[child] + weight * c[child] / n[child]
        return q + sqrt(log(above) / n[child])

    for leaf in tree["visits"]:
        line = line_to(tree, leaf)
        steps = [node for node in line if node and not tree["whole"][node]]
        new = [node for node in steps if not n[node]]
        begins = not new or new[0] == steps_below(tree, tree["parent"][new[0]])[0]
        for above, below in pairwise([0, *steps]):
            siblings = steps_below(tree, above)
            if begins and below not in new:
                best = max(bound(one, siblings) for one in siblings)
                assert bound(below, siblings) >= best - 1e-9
        for node in line:
            n[node] += 1
            k[node] += tree["outcome"][leaf]
            c[node] += opinions[steps[-1]]


@examples(30)
@given(
    seed=st.integers(0, 10**6),
    weight=st.sampled_from([0.0, 0.3, 1.0]),
    prior=st.sampled_from(["likelihood", "score"]),
    searches=st.integers(1, 40),
)
def test_scores_are_value_and_prior_by_the_formula(
    seed: int, weight: float, prior: str, searches: int
) -> None:
    """Walk the visits again, with the sums counted from the tree alone."""
    world = Game24([2, 3, 5, 12])
    scorer = Known(lambda text: (sum(map(ord, text)) * 7919 % 1000) / 1000)
    options: dict[str, Any] = {"score_weight": weight, "prior": prior, "scorer": scorer}
    options |= {"select": "puct", "width": [4], "searches": searches}
    tree = search(world, "mcts", seed=seed, **options)
    assert len(tree["visits"]) == searches
    assert any(tree["whole"]) == (weight < 1 and searches > 0)
    x, size = tree["scores"]["prm"]["x"], len(tree["parent"])
    n, decided, k, c = [0] * size, [0] * size, [0.0] * size, [0.0] * size

    def q(node: int) -> float:
        if decided[node]:
            return k[node] / decided[node]
        return q(tree["parent"][node]) if node else 0.0

    def bound(child: int, siblings: list[int]) -> float:
        above = sqrt(sum(n[one] for one in siblings))
        likely = [exp(tree["logprob"][one] / tree["tokens"][one]) for one in siblings]
        if prior == "score":
            likely = [x[one] for one in siblings]
        p = likely[siblings.index(child)] / (sum(likely) or 1.0)
        mixed = (1 - weight) * q(child) + weight * c[child] / n[child]
        return mixed + p * above / (1 + n[child])

    for leaf in tree["visits"]:
        line = line_to(tree, leaf)
        steps = [node for node in line if node and not tree["whole"][node]]
        new = [node for node in steps if not n[node]]
        begins = not new or new[0] == steps_below(tree, tree["parent"][new[0]])[0]
        for above, below in pairwise([0, *steps]):
            siblings = steps_below(tree, above)
            if begins and below not in new:
                best = max(bound(one, siblings) for one in siblings)
                assert bound(below, siblings) >= best - 1e-9
        for node in line:
            n[node] += 1
            c[node] += x[steps[-1]]
            if tree["outcome"][leaf] is not None:
                decided[node] += 1
                k[node] += tree["outcome"][leaf]


def test_a_value_model_alone_leads_to_the_answer() -> None:
    """AlphaMath's search: no remainders, no answer; of what can still make 24 the best attempt
    comes, in every run."""
    world = Game24([5, 5, 5, 9])
    for seed in range(5):
        scorer = Known(lambda text: float(value(world, text) > 0))
        options: dict[str, Any] = {"scorer": scorer, "exploration": 0.2}
        options |= {"searches": 150, "width": [40, 20, 10]}
        tree = search(world, "mcts", seed=seed, **options)
        assert not any(tree["whole"])
        assert tree["outcome"][tree["search"]["chosen"]] == 1
        bare = {key: x for key, x in world.record().items() if key != "answer"}
        blind = search(world, "mcts", seed=seed, record=bare, **options)
        assert (blind["visits"], blind["search"]) == (tree["visits"], tree["search"])

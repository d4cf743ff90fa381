"""Speculation by steps, with drafts of known quality."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from worlds import Known, Sums, World, WorldEngine, knowing, search, value

from stepkit.core.tree import Tree
from stepkit.model.multi_engine import MultiEngine

F = Fraction
POLICY, DRAFT = "", "draft"


def drafted(policy: World, draft: World, scorer: Any = None, **options: Any) -> Tree:
    """The tree of a speculation by two models, each with a world of its own."""
    engine = MultiEngine({POLICY: WorldEngine(policy), DRAFT: WorldEngine(draft, 1)})
    scorer = knowing(policy) if scorer is None else scorer
    return search(policy, "speculate", engine=engine, scorer=scorer, **options)


def writers(tree: Tree) -> dict[int, str]:
    """Who drew each node: the policy's sampler comes first, since its tree is opened first."""
    return {node: (POLICY, DRAFT)[by] for node, by in enumerate(tree["by"]) if by >= 0}


def line_to(tree: Tree, node: int) -> list[int]:
    line = []
    while node:
        line.append(node)
        node = tree["parent"][node]
    return line[::-1]


def test_a_perfect_draft_writes_everything() -> None:
    """Every proposal can still be made right, so it stands; the policy writes nothing."""
    policy, draft = Sums(4, F(1, 10)), Sums(4, F(0))
    tree = drafted(policy, draft, draws=5, accept=0.5)
    about = tree["search"]
    assert about["proposed"] == about["accepted"] == 5 * len(policy.steps)
    assert about["tokens"]["model"] == 0 < about["tokens"]["draft"]
    assert [tree["outcome"][node] for node in about["attempts"]] == [1.0] * 5


def test_a_hopeless_draft_costs_its_tokens_and_nothing_else() -> None:
    """Its steps are all wrong and have no value, so none stands, but for the answer, which it only
    copies from what is there: attempts are as good as the policy's own, within four standard
    errors; where the policy went wrong nothing has a value, and it writes all."""
    policy, draft = Sums(4, F(1, 5)), Sums(4, F(1))
    tree = drafted(policy, draft, draws=400, accept=0.01)
    attempts = tree["search"]["attempts"]
    truth = float(value(policy))
    mean = sum(tree["outcome"][node] for node in attempts) / 400
    assert abs(mean - truth) < 4 * sqrt(truth * (1 - truth) / 400)
    who = writers(tree)
    assert all(who[node] == POLICY for leaf in attempts for node in line_to(tree, leaf)[:-1])
    assert all((who[leaf] == DRAFT) == (tree["outcome"][leaf] == 1) for leaf in attempts)
    assert tree["search"]["accepted"] == sum(tree["outcome"][leaf] for leaf in attempts)


@examples(40)
@given(
    seed=st.integers(0, 10**6),
    error=st.integers(0, 10),
    threshold=st.sampled_from([0.0, 0.3, 0.6, 2.0]),
)
def test_a_step_stands_where_its_score_is_high_enough(
    seed: int, error: int, threshold: float
) -> None:
    policy, draft = Sums(4, F(1, 5)), Sums(4, F(error, 10))
    tree = drafted(policy, draft, seed=seed, draws=3, accept=threshold)
    who, x = writers(tree), tree["scores"]["prm"]["x"]
    taken = [node for leaf in tree["search"]["attempts"] for node in line_to(tree, leaf)]
    for node, writer in who.items():
        assert (node in taken) == (writer == POLICY or x[node] >= threshold)
    proposals = [node for node, writer in who.items() if writer == DRAFT]
    stood = [node for node in proposals if node in taken]
    about = tree["search"]
    assert (about["proposed"], about["accepted"]) == (len(proposals), len(stood))
    assert len(who) == 2 * len(proposals) - len(stood)
    spent = {
        writer: sum(tree["tokens"][n] for n in who if who[n] == writer) for writer in who.values()
    }
    assert about["tokens"]["draft"] == spent[DRAFT]
    assert about["tokens"]["model"] == spent.get(POLICY, 0)


@examples(40)
@given(
    seed=st.integers(0, 10**6),
    margin=st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1.0]),
)
def test_by_advantage_the_better_step_stands(seed: int, margin: float) -> None:
    """Both write each step of the one attempt; the policy's is taken where it is better by more."""
    policy, draft = Sums(4, F(1, 5)), Sums(4, F(1, 2))
    tree = drafted(policy, draft, seed=seed, advantage=margin)
    who, x = writers(tree), tree["scores"]["prm"]["x"]
    (leaf,) = tree["search"]["attempts"]
    line = line_to(tree, leaf)
    above, accepted = 0, 0
    for node in line:
        pair = {who[n]: n for n in who if tree["parent"][n] == above}
        better = x[pair[POLICY]] - x[pair[DRAFT]] > margin
        assert node == pair[POLICY if better else DRAFT]
        accepted += not better
        above = node
    assert len(who) == 2 * len(line)
    assert (tree["search"]["proposed"], tree["search"]["accepted"]) == (len(line), accepted)


def test_a_proposal_that_was_cut_off_is_written_again() -> None:
    """Whatever its score; here the policy's is cut off as well, and that ends the attempt."""
    world = Sums(4, F(0))
    tree = drafted(world, world, Known(lambda text: 1.0), max_tokens=5)
    assert (tree["finish"][1:], list(writers(tree).values())) == (["length"] * 2, [DRAFT, POLICY])
    assert tree["search"]["accepted"] == 0 and tree["search"]["attempts"] == [2]
    assert tree["search"]["chosen"] is None


@pytest.mark.parametrize("options", [{"accept": 0.5}, {"advantage": 0.0}])
def test_it_does_not_depend_on_the_order_of_arrival(options: dict[str, Any]) -> None:
    policy, draft = Sums(4, F(1, 5)), Sums(4, F(1, 2))
    trees = []
    for order in (1, 2):
        engine = MultiEngine({POLICY: WorldEngine(policy, order), DRAFT: WorldEngine(draft, order)})
        given_: dict[str, Any] = {"scorer": knowing(policy), "draws": 4, **options}
        trees.append(search(policy, "speculate", engine=engine, **given_))
    assert trees[0] == trees[1]

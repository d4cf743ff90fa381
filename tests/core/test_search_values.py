"""The values that a search went by, read from its tree, against those that it held at its end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from worlds import Game24, Known, WorldEngine, maze, search

from stepkit.core import labels
from stepkit.core.search_values import search_values
from stepkit.core.tree import Tree
from stepkit.core.visit_statistics import VisitStatistics
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.methods import lookahead, mcts
from stepkit.search.prm_guidance import PrmGuide
from stepkit.search.scheduler import Strategy

WORLD = Game24([2, 3, 5, 12])


def opinion(text: str) -> float:
    """A score that is seldom the same twice, and whose sums depend on their order."""
    return (sum(map(ord, text)) * 7919 % 1000) / 1000


class Seen:
    """Looks on while a search runs: at its statistics, at the values that it ranks by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statistics: list[VisitStatistics] = []
        self.values: dict[int, float] = {}
        seen = self

        class Watched(VisitStatistics):
            def __init__(self, tree: Tree, weight: float = 0.0) -> None:
                super().__init__(tree, weight)
                seen.statistics.append(self)

        monkeypatch.setattr(mcts, "VisitStatistics", Watched)
        watched_values = PrmGuide.values_of

        def values_of(guide: PrmGuide, nodes: Sequence[int]) -> Strategy[list[float]]:
            values = yield from watched_values(guide, nodes)
            seen.values |= zip(nodes, values, strict=True)
            return values

        monkeypatch.setattr(PrmGuide, "values_of", values_of)


def written(tree: Tree) -> Tree:
    """The tree as it comes back from a file."""
    again: Tree = json.loads(json.dumps(tree))
    return again


def naive(tree: Tree, weight: float, node: int) -> float:
    """Q of a node, with every outcome decided: from the simulations through it, one by one."""
    outcomes, scores = [], []
    for leaf in tree["visits"]:
        line = [leaf]
        while line[-1]:
            line.append(tree["parent"][line[-1]])
        if node in line:
            step = next(one for one in line if not tree["whole"][one])
            outcomes.append(tree["outcome"][leaf])
            name = tree["search"]["score"] if "search" in tree else ""
            scores.append(tree["scores"][name]["x"][step] if weight else 0.0)
    return float(
        (1 - weight) * sum(outcomes) / len(outcomes) + weight * sum(scores) / len(outcomes)
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("guide", ["self", "prm"])
def test_q_is_what_the_search_held_to_the_last_digit(
    weight: float, guide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(monkeypatch)
    options: dict[str, Any] = {"searches": 60, "width": [4], "exploration": 0.5}
    if guide == "self":
        options["self_weight"] = weight
    else:
        options |= {"score_weight": weight, "scorer": Known(opinion), "prior": "score"}
        options |= {"select": "puct", "aggregate": "mean"}
    tree = written(search(WORLD, "mcts", **options))
    (statistics,) = seen.statistics
    found = search_values(tree)
    assert len(statistics.visits) > 30
    for node, value in enumerate(found):
        if node in statistics.visits:
            assert value == statistics.q(node)
        else:
            assert value is None
    if guide == "self":
        for node in statistics.visits:
            assert found[node] == pytest.approx(naive(tree, weight, node), abs=1e-12)


def test_q_of_opinions_alone_needs_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """No grader, no answer: every outcome is null, and the values of the search can be read."""
    seen = Seen(monkeypatch)
    bare = {key: x for key, x in WORLD.record().items() if key != "answer"}
    options: dict[str, Any] = {"searches": 80, "width": [6, 3], "scorer": Known(opinion)}
    tree = written(search(WORLD, "mcts", record=bare, **options))
    assert not any(tree["whole"]) and set(tree["outcome"]) == {None}
    (statistics,) = seen.statistics
    visited = sorted(statistics.visits)
    found = search_values(tree)
    assert [found[node] for node in visited] == [statistics.q(node) for node in visited]
    (made,) = labels.label_nodes(
        [{**bare, "tree": tree}], labels.LabelSettings(labels.parse_all(["value:backup=q"]))
    )
    assert isinstance(made, dict)
    label = made["value"]
    assert label["x"] == found
    assert set(label["n"]) == {0} and set(label["low"]) == set(label["high"]) == {None}
    assert label["visits"] == [statistics.visits.get(node, 0) for node in range(len(found))]
    assert label["undecided"][0] == len(set(tree["visits"]))


def test_q_of_an_end_is_mixed_too_and_its_count_is_one() -> None:
    """A step that ended the attempt is visited again and again: one outcome, and the opinion of
    it stays in its value."""
    tree = search(maze("lrl"), "mcts", searches=60, width=[4], self_weight=0.5)
    settings = labels.LabelSettings(labels.parse_all(["soft:backup=q", "progress:backup=q"]))
    (made,) = labels.label_nodes([{**maze("lrl").record(), "tree": tree}], settings)
    assert isinstance(made, dict)
    label, visits = made["soft"], tree["visits"]
    ended = [leaf for leaf in set(visits) if not tree["whole"][leaf] and visits.count(leaf) > 1]
    assert ended
    for leaf in ended:
        score = tree["scores"]["self"]["x"][leaf]
        assert label["x"][leaf] == pytest.approx(0.5 * tree["outcome"][leaf] + 0.5 * score)
        assert label["n"][leaf] == 1 and label["visits"][leaf] == visits.count(leaf)
    assert label["n"][0] == len(set(visits)) < label["visits"][0] == len(visits)
    node = ended[0]
    above = label["x"][tree["parent"][node]]
    assert made["progress"]["x"][node] == pytest.approx(label["x"][node] - above)


def test_a_step_that_was_cut_off_has_the_opinion_0() -> None:
    options: dict[str, Any] = {"searches": 30, "width": [3], "max_tokens": 16}
    tree = search(WORLD, "mcts", scorer=Known(opinion), **options)
    cut_off = [leaf for leaf in set(tree["visits"]) if tree["finish"][leaf] == "length"]
    assert cut_off
    assert all(search_values(tree)[leaf] == 0.0 for leaf in cut_off)


@pytest.mark.parametrize("aggregate", ["last", "min", "product"])
@pytest.mark.parametrize("method", ["beam", "dvts", "particle", "speculate"])
def test_values_of_a_search_by_scores_are_what_it_ranked_by(
    method: str, aggregate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(monkeypatch)
    scorer = Known(lambda text: 0.01 + 0.98 * opinion(text))
    tree = written(search(WORLD, method, scorer=scorer, aggregate=aggregate))
    found = search_values(tree)
    assert seen.values and found[0] is None
    assert {node: found[node] for node in seen.values} == seen.values


def test_values_of_lookahead_are_those_of_where_the_greedy_steps_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[int, float] = {}
    values_ahead = lookahead.LookaheadValues.values

    def values(self: lookahead.LookaheadValues, nodes: Sequence[int]) -> Strategy[list[float]]:
        ahead = yield from values_ahead(self, nodes)
        seen.update(zip(nodes, ahead, strict=True))
        return ahead

    monkeypatch.setattr(lookahead.LookaheadValues, "values", values)
    options: dict[str, Any] = {"beams": 3, "width": [3], "ahead": 2}
    tree = written(search(WORLD, "lookahead", scorer=Known(opinion), **options))
    found, own = search_values(tree), tree["scores"]["prm"]["x"]
    assert seen and {node: found[node] for node in seen} == seen
    assert any(found[node] != own[node] for node in seen)


def test_a_search_by_outcomes_has_the_mean_of_its_simulations() -> None:
    tree = search(WORLD, "mcts", searches=40, width=[4])
    assert "search" not in tree
    settings = labels.LabelSettings(
        labels.parse_all(["soft:backup=q", "soft:backup=visits,as=visits"])
    )
    (made,) = labels.label_nodes([{**WORLD.record(), "tree": tree}], settings)
    assert isinstance(made, dict)
    for name in ("n", "k", "visits"):
        assert made["soft"][name] == made["visits"][name]
    through = [node for node, n in enumerate(made["soft"]["visits"]) if n]
    assert [made["soft"]["x"][node] for node in through] == pytest.approx(
        [made["visits"]["x"][node] for node in through]
    )


def test_what_another_search_left_is_not_taken_for_this_ones() -> None:
    """A tree that beams grew is searched by outcomes: Q is of the visits, not of the scores."""
    beams = search(WORLD, "beam", scorer=Known(opinion))
    again = search(WORLD, "mcts", searches=20, record={**WORLD.record(), "tree": beams})
    assert "search" not in again and "prm" in again["scores"]
    assert search_values(again)[0] == naive(again, 0.0, 0)


def test_a_tree_of_an_older_version_is_searched_again_without_a_draw() -> None:
    """What the message says: nothing is drawn or read anew, and the values are the same."""
    options: dict[str, Any] = {"searches": 40, "width": [3], "self_weight": 0.5}
    tree = search(WORLD, "mcts", **options)
    old = {key: x for key, x in tree.items() if key != "search"}
    old["search"] = {"by": "mcts", "aggregate": "last", "chosen": tree["search"]["chosen"]}
    engine = WorldEngine(WORLD)
    again = search(WORLD, "mcts", engine=engine, record={**WORLD.record(), "tree": old}, **options)
    assert not engine.seen and not engine.asked
    assert search_values(again) == search_values(tree)


def broken(change: Any) -> Json:
    tree = search(WORLD, "mcts", searches=10, width=[3], self_weight=0.5)
    change(tree)
    return tree


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda tree: tree["search"].pop("weight"),
            'field "tree.search.weight": missing: an older',
        ),
        (lambda tree: tree["search"].pop("score"), 'field "tree.search.score": missing: an older'),
        (
            lambda tree: tree["search"].update(weight=2),
            'field "tree.search.weight": expected a num',
        ),
        (lambda tree: tree["search"].update(weight="1"), 'field "tree.search.weight": a string is'),
        (lambda tree: tree["search"].update(by="luck"), 'field "tree.search.by": expected one of'),
        (lambda tree: tree.update(search=[]), 'field "tree.search": expected an object'),
        (lambda tree: tree["scores"].pop("self"), 'field "tree.scores.self": missing'),
        (lambda tree: tree.pop("visits"), 'field "tree.visits": missing'),
    ],
)
def test_what_the_record_does_not_say_is_named(change: Any, complaint: str) -> None:
    with pytest.raises(DataError) as raised:
        search_values(broken(change))
    assert complaint in str(raised.value)


def test_a_tree_that_was_not_searched_says_so() -> None:
    tree = search(WORLD, "best-first", draws=2, searches=2)
    with pytest.raises(DataError, match="only mcts and searches guided by scores"):
        search_values(tree)

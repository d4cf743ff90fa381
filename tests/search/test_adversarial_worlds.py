"""What made published search codes go wrong, as worlds."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import Game24, Given, World, WorldEngine, path, search

SEARCHES: list[tuple[str, dict[str, Any]]] = [
    ("mcts", {"searches": 12}),
    ("best-first", {"draws": 2, "searches": 4}),
    ("branch", {"draws": 3}),
    ("branch", {"width": [2, 2, 2]}),
    ("truncate", {"draws": 3}),
]
every_search = pytest.mark.parametrize(("method", "options"), SEARCHES)


@every_search
def test_an_attempt_may_be_empty(method: str, options: dict[str, Any]) -> None:
    """A policy that ends at once, half of the time: nothing loops, nothing is called wrong."""
    world = Given({"": {"": "1/2", "Answer: 1": "1/2"}})
    tree = search(world, method, **options)
    for text, outcome in zip(tree["text"][1:], tree["outcome"][1:], strict=True):
        assert outcome == (1.0 if text else None)
    assert len(tree.get("visits", [])) == options.get("searches", 0) * (method == "mcts")


@every_search
def test_a_draw_that_was_cut_off_is_undecided_though_its_prefix_has_an_answer(
    method: str, options: dict[str, Any]
) -> None:
    world = Given(
        {
            "": {"Answer: 1\n": "1"},
            "Answer: 1\n": {"I check it once more, and again, and it is as I said.\n": "1"},
            "Answer: 1\nI check it once more, and again, and it is as I said.\n": {"Yes.": "1"},
        }
    )
    tree = search(world, method, max_tokens=20, **options)
    ended = [node for node, finish in enumerate(tree["finish"]) if finish == "length"]
    assert ended or method == "truncate"
    assert all(tree["outcome"][node] is None for node in ended)


def test_a_step_that_occurs_twice_is_cut_where_it_stands() -> None:
    """Every step has the same text; forks are known by their places, never by their texts."""
    texts = ["again\n" * n for n in range(6)]
    world = Given(
        {
            **{text: {"again\n": f"{n + 1}/10", "Answer: 1": f"{9 - n}/10"}
               for n, text in enumerate(texts[:5])},
            texts[5]: {"Answer: 2": "1"},
        }
    )  # fmt: skip
    for seed in range(20):
        tree = search(world, "branch", seed=seed, draws=4, points=2, width=[1])
        for node, draw in enumerate(tree["cut"]):
            if draw >= 0:
                whole = path(tree, draw)
                assert whole.startswith(path(tree, node)) and path(tree, node) in texts


ODD = Given(
    {
        "": {"e\u0301t\u00e9 \U0001f600\r\n": "1/2", "\u2028 \u20ac5\n": "1/2"},
        "e\u0301t\u00e9 \U0001f600\r\n": {"\U0001f600\U0001f600\n": "1/3", "Answer: 1": "2/3"},
        "\u2028 \u20ac5\n": {"\U0001f600\U0001f600\n": "1/3", "Answer: 2": "2/3"},
        "e\u0301t\u00e9 \U0001f600\r\n\U0001f600\U0001f600\n": {"Answer: 1": "1"},
        "\u2028 \u20ac5\n\U0001f600\U0001f600\n": {"Answer: 2": "1"},
    }
)


def attempts(world: World, given: str = "") -> set[str]:
    """All texts that the policy may write."""
    found = set()
    for move in world.moves(given):
        found |= {given + move.step} if move.ends else attempts(world, given + move.step)
    return found


@every_search
@pytest.mark.parametrize(
    "by", [{"by": "lines"}, {"by": "tokens", "size": 3}, {"by": "confidence", "below": 0.4}]
)
def test_texts_stay_whole_whatever_their_characters(
    method: str, options: dict[str, Any], by: dict[str, Any]
) -> None:
    """Tokens are bytes, so steps of three of them end inside characters: every path still begins
    an attempt of the world, and every one that ended is one."""
    possible = attempts(ODD)
    for seed in range(5):
        tree = search(ODD, method, seed=seed, by=by, **options)
        for node, finish in enumerate(tree["finish"]):
            text = path(tree, node)
            assert any(whole.startswith(text) for whole in possible)
            assert finish != "stop" or text in possible


def test_an_exhausted_tree_is_searched_without_further_draws() -> None:
    """Only one attempt is possible: after it was seen, simulations repeat it and draw nothing."""
    world = Given({"": {"Answer: 1": "1"}})
    engine = WorldEngine(world)
    tree = search(world, "mcts", engine=engine, searches=500, width=[4])
    assert len(engine.seen) == 4 and len(tree["visits"]) == 500
    assert set(tree["visits"]) == {1}


def test_what_cannot_be_solved_has_no_right_outcome() -> None:
    tree = search(Game24([1, 1, 1, 1]), "mcts", searches=60)
    assert set(tree["outcome"]) <= {None, 0.0}

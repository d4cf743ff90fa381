"""OmegaPRM's search on a world of steps with known values: a good step may be followed by a bad
one, from which nothing is right any more."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from simulated import RIGHT, WRONG, World, outcomes_at

GOOD = [f"good {t}\n" for t in range(6)]
BAD = [f"bad {t}\n" for t in range(6)]
LENGTH = 5


def law(steps: tuple[str, ...]) -> list[tuple[str, float]]:
    """LENGTH steps, each of which goes wrong once with chance 0.2, then the answer."""
    t = len(steps)
    if t > LENGTH:
        return []
    wrong = any(step in BAD for step in steps)
    if t == LENGTH:
        return [(WRONG if wrong else RIGHT, 1.0)]
    return [(BAD[t], 1.0)] if wrong else [(GOOD[t], 0.8), (BAD[t], 0.2)]


WORLD = World(law, [*GOOD, *BAD, RIGHT, WRONG])


def omega(seed: int = 0, data: dict[str, Any] | None = None, **options: Any) -> Any:
    return WORLD.searched("omega", data, seed, **options)


def texts(tree: dict[str, Any], node: int) -> tuple[str, ...]:
    """The steps from the root to a node."""
    text = ""
    while node > 0:
        text, node = tree["text"][node] + text, tree["parent"][node]
    return WORLD.parsed(text)


def states(tree: dict[str, Any]) -> list[int]:
    """Nodes that whole remainders were drawn from."""
    return sorted({p for p, whole in zip(tree["parent"], tree["whole"], strict=True) if whole})


def test_values_at_the_states_are_the_worlds() -> None:
    assert WORLD.value(()) == pytest.approx(0.8**LENGTH)
    right: Counter[int] = Counter()
    drawn: Counter[int] = Counter()
    for seed in range(60):
        tree = omega(seed, searches=6)[0]["tree"]
        for node in states(tree):
            steps = texts(tree, node)
            if any(step in BAD for step in steps):
                assert not any(outcomes_at(tree, node))
            else:
                right[len(steps)] += sum(map(int, outcomes_at(tree, node)))
                drawn[len(steps)] += 8
    for depth, n in drawn.items():
        value = WORLD.value(tuple(GOOD[:depth]))
        assert abs(right[depth] / n - value) <= 4 * (value * (1 - value) / n) ** 0.5 + 1e-9


def test_each_wrong_remainder_is_searched_once() -> None:
    """Adversarial case 21: the published code puts the pair back and selects it for ever."""
    for seed in range(10):
        tree = omega(seed, searches=1000)[0]["tree"]
        once = omega(seed, searches=1000)[0]["tree"]
        assert tree == once
        wrong = [
            node
            for node, (whole, outcome) in enumerate(
                zip(tree["whole"], tree["outcome"], strict=True)
            )
            if whole and outcome == 0 and 1 in outcomes_at(tree, tree["parent"][node])
        ]
        cut = set(tree["cut"]) - {-1}
        # every wrong continuation of a state with a chance was halved, if it has anything to halve
        assert cut == {node for node in wrong if len(WORLD.parsed(tree["text"][node])) > 1}


def test_the_first_error_of_what_was_searched_is_bracketed() -> None:
    for seed in range(20):
        tree = omega(seed, searches=50, draws=24)[0]["tree"]
        for draw in set(tree["cut"]) - {-1}:
            steps = WORLD.parsed(tree["text"][draw])
            views = [n for n, cut in enumerate(tree["cut"]) if cut == draw]
            assert "".join(tree["text"][n] for n in views) == "".join(steps[: len(views)])
            assert all(tree["outcome"][n] is None and not tree["finish"][n] for n in views)
            assert all(tree["draw"][n] == tree["draw"][draw] for n in views)


def test_draws_go_on_from_the_very_tokens_of_the_remainder() -> None:
    fields, engine = omega(3, searches=10)
    tree = fields["tree"]
    assert len(tree["ids"]) == sum(tree["tokens"]) and -1 not in tree["ids"]
    prefixes = {request.prefix[1:] for request in engine.seen}
    assert prefixes == {WORLD.ids(texts(tree, node)) for node in states(tree)}


@pytest.mark.parametrize("most", [1, 7, 8, 9, 40, 41, 100])
def test_a_budget_in_draws_is_kept_exactly(most: int) -> None:
    fields, engine = omega(1, searches=1000, most_draws=most)
    assert len(engine.seen) <= most
    assert len(engine.seen) > most - 8 or most < 8
    assert len(states(fields["tree"])) == len(engine.seen) // 8


def test_a_budget_in_tokens_ends_the_search() -> None:
    free = omega(1, searches=1000)[0]["tree"]
    tree = omega(1, searches=1000, most_tokens=120)[0]["tree"]
    spent = sum(t for t, w in zip(tree["tokens"], tree["whole"], strict=True) if w)
    assert 120 <= spent < 120 + 8 * (LENGTH + 1)
    assert sum(free["tokens"]) > spent


def test_a_larger_budget_goes_on_where_the_search_left_off() -> None:
    small = omega(2, searches=3)[0]["tree"]
    more, engine = omega(2, {"tree": small}, searches=12)
    whole, every = omega(2, searches=12)
    assert more["tree"] == whole["tree"]
    held = sum(map(len, (outcomes_at(small, node) for node in states(small))))
    assert len(engine.seen) == len(every.seen) - held


def test_a_wrong_attempt_of_the_record_is_searched_too() -> None:
    steps = [GOOD[0], GOOD[1], BAD[2], BAD[3], BAD[4], WRONG]
    data = {"response": "".join(steps), "steps": steps}
    fields, _ = omega(0, data, searches=1000, draws=16)
    tree = fields["tree"]
    assert [tree["text"][node] for node in tree["spine"]] == steps
    assert fields["correct"] is False
    drawn = set(states(tree))
    looked = [state for state, node in enumerate(tree["spine"], 1) if node in drawn]
    assert {2, 3} <= set(looked)
    assert any(outcomes_at(tree, tree["spine"][1])) and not any(outcomes_at(tree, tree["spine"][2]))


def test_problems_that_are_always_or_never_right_are_not_searched() -> None:
    for answer in (RIGHT, WRONG):
        sure = World(lambda steps, a=answer: [] if steps else [(a, 1.0)], [RIGHT, WRONG])  # type: ignore
        fields, engine = sure.searched("omega")
        assert len(engine.seen) == 8 and states(fields["tree"]) == [0]

"""The search for a first error: on value curves that are known, monotone and not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from simulated import Curve, outcomes_at, searched

from stepkit.core import stopping
from stepkit.core.tree import rule_at
from stepkit.search.until_rules import parse_question


def found(tree: dict[str, Any]) -> int | None:
    """The first lost step whose prefix is good, by the rules at the states drawn from."""
    nodes = [0, *tree["spine"]]
    lost: dict[int, bool | None] = {len(nodes) - 1: True}
    for state, node in enumerate(nodes[:-1]):
        outcomes = [outcome for outcome in outcomes_at(tree, node) if outcome is not None]
        if outcomes:
            rule = rule_at(tree, node, 0)
            k, n = int(sum(outcomes)), len(outcomes)
            lost[state] = stopping.is_lost(rule, k, n) if rule else not k
    for state in sorted(lost):
        if lost[state] and lost.get(state - 1) is False:
            return state - 1
    return None


def drawn_from(tree: dict[str, Any]) -> set[int]:
    nodes = [0, *tree["spine"]]
    return {state for state, node in enumerate(nodes) if outcomes_at(tree, node)}


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 16])
def test_every_place_of_an_error_is_found(steps: int) -> None:
    for error in range(steps):
        curve = Curve([1.0] * (error + 1) + [0.0] * (steps - error - 1))
        fields, _ = curve.searched("bisect")
        assert found(fields["tree"]) == error


def test_it_looks_at_few_prefixes() -> None:
    fields, engine = Curve([1.0] * 20 + [0.0] * 44).searched("bisect", draws=8)
    assert found(fields["tree"]) == 19
    # the root, log2(64) halvings, and the neighbours of the two states that it ends at
    assert len(drawn_from(fields["tree"])) <= 1 + 6 + 2
    assert len(engine.seen) <= 3 + 6 * 8 + 8


def expected_cost(values: Sequence[float], most: int) -> float:
    """Expected draws of the search on a curve that is 0 from some state on, by enumeration."""
    costs = {p: (1 - (1 - p) ** most) / p if p else float(most) for p in values}

    def miss(state: int) -> float:
        return (1 - values[state]) ** most

    def after(good: int, bad: int, seen: frozenset[int], lost: frozenset[int]) -> float:
        if bad - good > 1:
            return look(
                (good + bad) // 2, seen, lost,
                lambda s, m, dead: after(good, m, s, dead),
                lambda s, m, dead: after(m, bad, s, dead),
            )  # fmt: skip
        if good >= 2 and good - 1 not in seen:

            def earlier(s: frozenset[int], m: int, dead: frozenset[int]) -> float:
                return after(max(x for x in s - dead if x < good), m, s, dead)

            return look(good - 1, seen, lost, earlier, lambda s, m, d: later(bad, s, d))
        return later(bad, seen, lost)

    def later(bad: int, seen: frozenset[int], lost: frozenset[int]) -> float:
        if bad + 1 in seen or bad + 1 > len(values):
            return 0.0

        def recovers(s: frozenset[int], m: int, dead: frozenset[int]) -> float:
            more, p = costs[values[bad]], values[bad]
            end = min(x for x in dead if x > m)
            return more + (1 - (1 - p) ** most) * after(m, end, s, dead - {bad})

        return look(bad + 1, seen, lost, lambda s, m, d: 0.0, recovers)

    Onward = Callable[[frozenset[int], int, frozenset[int]], float]

    def look(
        state: int, seen: frozenset[int], lost: frozenset[int], dead: Onward, alive: Onward
    ) -> float:
        s, q = seen | {state}, miss(state)
        total = costs[values[state]]
        if q:
            total += q * dead(s, state, lost | {state})
        if q < 1:
            total += (1 - q) * alive(s, state, lost)
        return total

    end = len(values)
    start = frozenset({0, end})
    return costs[values[0]] + (1 - miss(0)) * after(0, end, start, frozenset({end}))


@pytest.mark.parametrize("values", [
    [0.9, 0.8, 0.7, 0.0, 0.0, 0.0],
    [0.3, 0.3, 0.2, 0.2, 0.1, 0.1, 0.0, 0.0],
    [0.5, 0.0, 0.0, 0.0],
    [0.4, 0.4, 0.0, 0.3, 0.0, 0.0, 0.0],
])  # fmt: skip
def test_the_expected_number_of_draws_is_that_of_theory(values: list[float]) -> None:
    theory = expected_cost(values, 8)
    runs = 800
    total = sum(
        len(Curve(values).searched("bisect", seed, draws=8)[1].seen) for seed in range(runs)
    )
    assert abs(total / runs - theory) <= 0.1 * theory


def test_it_is_wrong_as_rarely_as_the_values_allow() -> None:
    """With values of at least 0.3 and 16 draws a good prefix is called lost in 0.3 % of cases."""
    wrong = 0
    for seed in range(600):
        fields, _ = Curve([0.6, 0.5, 0.4, 0.3, 0.0, 0.0, 0.0]).searched("bisect", seed, draws=16)
        wrong += found(fields["tree"]) != 3
    assert wrong <= 0.03 * 600


def test_a_drop_is_found_where_the_model_recovers_from_errors() -> None:
    """Research finding 2: the first prefix without a success comes late, and later with more draws;
    the relative drop does not."""
    values = [0.8, 0.8, 0.75, 0.2, 0.15, 0.15, 0.1, 0.0, 0.0]
    zero = drop = 0
    for seed in range(200):
        fields, _ = Curve(values).searched("bisect", seed, draws=32)
        zero += found(fields["tree"]) == 2
        fields, _ = Curve(values).searched(
            "bisect", seed, until=parse_question("drop:root=32"), draws=64
        )
        drop += found(fields["tree"]) == 2
    assert drop >= 0.9 * 200 and zero <= 0.1 * 200


def test_values_that_rise_again_are_noticed() -> None:
    """Adversarial case 20. Halving comes to the recovery first; the neighbours tell."""
    fields, _ = Curve([1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]).searched("bisect", draws=4)
    tree = fields["tree"]
    assert {3, 4, 5} <= drawn_from(tree)
    fields, _ = Curve([1.0, 1.0, 0.0, 1.0, 0.0, 0.0]).searched("bisect", draws=4)
    assert found(fields["tree"]) == 1
    # a prefix that seemed lost, before one that is not, gets as many draws again
    kept = [node for node in tree["spine"] if len(outcomes_at(tree, node)) > 4]
    assert not kept
    fields, _ = Curve([1.0, 0.0, 1.0, 0.0]).searched("bisect", draws=4)
    tree = fields["tree"]
    assert found(tree) == 0 or len(outcomes_at(tree, tree["spine"][0])) in (0, 8)


@pytest.mark.parametrize("right", [True, None])
def test_an_attempt_that_is_not_wrong_is_left_alone(right: bool | None) -> None:
    curve = Curve([1.0, 0.0, 0.0], right=bool(right))
    data = curve.record()
    if right is None:
        data["correct"] = None
    fields, engine = searched(curve, "bisect", data, 0, {})
    assert engine.seen == [] and drawn_from(fields["tree"]) == set()


def test_where_the_model_never_gets_there_nothing_is_looked_for() -> None:
    fields, engine = Curve([0.0] * 9).searched("bisect", draws=6)
    assert drawn_from(fields["tree"]) == {0} and len(engine.seen) == 6


def test_it_goes_on_from_what_is_there() -> None:
    for seed in range(10):
        curve = Curve([0.4, 0.4, 0.3, 0.0, 0.0])
        first, _ = curve.searched("bisect", seed, draws=8)
        again, engine = curve.searched("bisect", seed, tree=first["tree"], draws=8)
        assert engine.seen == [] and again["tree"] == first["tree"]
        full, _ = curve.searched("chain", seed, draws=8, until=None)
        after, engine = curve.searched("bisect", seed, tree=full["tree"], draws=8)
        assert engine.seen == [] and after["tree"] == full["tree"]


def test_a_second_look_takes_as_many_draws_again_as_the_question_allows() -> None:
    """The question may allow more than -k: hard says itself how many."""
    hard = parse_question("hard:value=0.2,error=0.1")
    looks = set()
    for seed in range(60):
        fields, _ = Curve([1.0, 0.0, 1.0, 0.0, 0.0]).searched("bisect", seed, until=hard)
        tree = fields["tree"]
        looks.add(len(outcomes_at(tree, tree["spine"][0])))
    assert looks <= {0, 11, 22}

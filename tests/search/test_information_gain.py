"""The search by expected information: its probabilities are kept, and it spends little."""

from __future__ import annotations

import random
from math import log, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from simulated import Curve, outcomes_at, searched

from stepkit.core import changepoint
from stepkit.search import information_gain
from stepkit.search.until_rules import parse_question

POSTERIOR = parse_question("posterior:chance=0.9")
COUNTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=6).map(
    lambda pairs: [(min(k, n), n) for k, n in pairs]
)


def counts_of(tree: dict[str, Any]) -> list[tuple[int, int]]:
    nodes = [0, *tree["spine"][:-1]]
    found = [[o for o in outcomes_at(tree, node) if o is not None] for node in nodes]
    return [(int(sum(own)), len(own)) for own in found]


def answer(tree: dict[str, Any]) -> tuple[int, float]:
    counts = counts_of(tree)
    found = changepoint.posterior(counts, [True] * len(counts), False)
    return found.mode, found.of(found.mode)


def from_the_model(rng: random.Random) -> tuple[list[float], int]:
    """Values of a wrong trace as the change-point model has them, and its first error."""
    steps = rng.randrange(2, 9)
    error = rng.randrange(steps)
    p = rng.random()
    q = rng.random() * changepoint.RHO * p
    c = changepoint.CONCENTRATION
    rates = [p] * (error + 1) + [q] * (steps - error - 1)
    return [rng.betavariate(c * rate, c * (1 - rate)) for rate in rates], error


def test_the_probability_asked_for_is_the_share_of_right_answers() -> None:
    """Traces from the model itself: of those ended at 0.9 and more, nine in ten are right."""
    rng, sure, right, claimed = random.Random(4), 0, 0, 0.0
    for seed in range(120):
        values, error = from_the_model(rng)
        fields, _ = Curve(values).searched("bisect", seed, until=POSTERIOR, draws=24)
        first, chance = answer(fields["tree"])
        if chance >= 0.9:
            sure += 1
            claimed += chance
            right += first == error
    assert sure > 50
    deviation = sqrt(0.9 * 0.1 / sure)
    assert right / sure >= 0.9 - 4 * deviation
    assert abs(right / sure - claimed / sure) <= 4 * deviation


@examples(80)
@given(COUNTS, st.data())
def test_a_draw_is_expected_to_tell_something_and_never_to_confuse(
    counts: list[tuple[int, int]], data: st.DataObject
) -> None:
    state = data.draw(st.integers(0, len(counts) - 1))
    possible = [True] * len(counts)
    found = information_gain.expected_gain(counts, possible, state)
    assert -1e-9 <= found <= log(2) + 1e-9  # a draw has one bit


def test_the_gain_is_that_of_the_predictive_chances() -> None:
    """Against the mixture over positions and rates, summed up over the grid by hand."""
    counts, state = [(3, 4), (1, 3), (0, 2)], 1
    possible = [True] * 3
    now = information_gain.first_error_probabilities(counts, possible)
    k, n = counts[state]
    after = {
        outcome: information_gain.first_error_probabilities(
            [*counts[:state], (k + outcome, n + 1), *counts[state + 1 :]], possible
        )
        for outcome in (0, 1)
    }
    rates = {  # of a right draw, from any position: Bayes' theorem turned round
        step: (now[step] - after[0][step]) / (after[1][step] - after[0][step]) for step in range(3)
    }
    assert max(rates.values()) - min(rates.values()) < 1e-9
    rate = rates[0]
    mean = rate * information_gain.entropy(after[1]) + (1 - rate) * information_gain.entropy(
        after[0]
    )
    assert information_gain.expected_gain(counts, possible, state) == pytest.approx(
        information_gain.entropy(now) - mean
    )


def test_it_finds_errors_that_a_first_zero_misses_with_fewer_draws() -> None:
    values = [0.6, 0.6, 0.5, 0.1, 0.1, 0.05, 0.05, 0.0]
    hits = {"posterior": 0, "chain": 0}
    spent = {"posterior": 0, "chain": 0}
    for seed in range(24):
        fields, engine = Curve(values).searched("bisect", seed, until=POSTERIOR, draws=24)
        hits["posterior"] += answer(fields["tree"])[0] == 2
        spent["posterior"] += len(engine.seen)
        fields, engine = Curve(values).searched("chain", seed, draws=16, until=None)
        k = [right for right, _ in counts_of(fields["tree"])]
        hits["chain"] += next((s for s, right in enumerate(k) if not right), 9) - 1 == 2
        spent["chain"] += len(engine.seen)
    assert hits["posterior"] >= 18 and hits["chain"] <= 12
    assert spent["posterior"] < 0.75 * spent["chain"]


def test_other_peoples_steps_are_not_suspected() -> None:
    curve = Curve([0.9, 0.9, 0.0, 0.0])
    data = curve.record() | {"role": ["assistant", "user", "assistant", "assistant"]}
    fields, _ = searched(curve, "bisect", data, 1, {"until": POSTERIOR, "draws": 30})
    tree = fields["tree"]
    named = [rule for rule in tree["rule"] if "first error at step" in rule]
    assert len(named) == 1 and "step 1" not in named[0]


def test_it_goes_on_from_what_is_there_and_ends_when_all_was_drawn() -> None:
    curve = Curve([0.5, 0.4, 0.0])
    first, engine = curve.searched("bisect", 2, until=POSTERIOR, draws=30)
    assert engine.seen
    again, engine = curve.searched("bisect", 2, tree=first["tree"], until=POSTERIOR, draws=30)
    assert engine.seen == [] and again["tree"] == first["tree"]
    sure = parse_question("posterior:chance=0.999999")
    fields, _ = Curve([0.02, 0.01, 0.0]).searched("bisect", 2, until=sure, draws=5)
    assert [n for _, n in counts_of(fields["tree"])] == [5, 5, 5]


def test_the_rule_is_none_of_counts() -> None:
    from stepkit.core import stopping

    fields, _ = Curve([0.9, 0.0]).searched("bisect", until=POSTERIOR)
    rules = [rule for rule in fields["tree"]["rule"] if rule]
    assert rules and all(rule.startswith("posterior:chance=0.9,most=") for rule in rules)
    with pytest.raises(ValueError, match="rule"):
        stopping.stop_condition(rules[0].partition(" -> ")[0])

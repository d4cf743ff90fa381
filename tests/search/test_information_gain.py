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
from stepkit.search.information_gain import EndedAttempt
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
    for seed in range(80):
        values, error = from_the_model(rng)
        fields, _ = Curve(values).searched("bisect", seed, until=POSTERIOR, draws=24)
        first, chance = answer(fields["tree"])
        if chance >= 0.9:
            sure += 1
            claimed += chance
            right += first == error
    assert sure > 35
    deviation = sqrt(0.9 * 0.1 / sure)
    assert right / sure >= 0.9 - 4 * deviation
    assert abs(right / sure - claimed / sure) <= 4 * deviation


@examples(80)
@given(COUNTS, st.data())
def test_a_draw_is_expected_to_tell_something_and_never_to_confuse(
    counts: list[tuple[int, int]], data: st.DataObject
) -> None:
    state = data.draw(st.integers(0, len(counts) - 1))
    attempt = EndedAttempt((True,) * len(counts), data.draw(st.sampled_from([False, True, None])))
    found = information_gain.expected_gain(counts, attempt, state)
    assert -1e-9 <= found <= log(2) + 1e-9  # a draw has one bit


def test_the_gain_is_that_of_the_predictive_chances() -> None:
    """Against the mixture over positions and rates, summed up over the grid by hand."""
    counts, state = [(3, 4), (1, 3), (0, 2)], 1
    possible = EndedAttempt((True,) * 3, False)
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


# ---- through chain --------------------------------------------------------------------------


def test_chain_asks_a_wrong_trace_as_bisect_does() -> None:
    for seed in range(6):
        curve = Curve([0.7, 0.6, 0.1, 0.0])
        ours, _ = curve.searched("chain", seed, until=POSTERIOR, draws=24)
        theirs, _ = curve.searched("bisect", seed, until=POSTERIOR, draws=24)
        assert ours == theirs


def test_chain_knows_that_a_right_trace_has_no_error() -> None:
    """It was refused for chain, though the manual said that chain takes all rules."""
    curve = Curve([0.9, 0.9, 0.9, 0.9], right=True)
    fields, engine = curve.searched("chain", 3, until=POSTERIOR, draws=24)
    tree = fields["tree"]
    noted = [rule for rule in tree["rule"] if rule]
    assert fields["correct"] is True and noted[-1].endswith(" -> no error")
    assert not any("->" in rule for rule in noted[:-1])
    assert 0 < len(engine.seen) < 4 * 24
    found = changepoint.posterior(counts_of(tree), [True] * 4, True)
    assert found.mode == -1 and found.none >= 0.9
    again, engine = curve.searched("chain", 3, tree=tree, until=POSTERIOR, draws=24)
    assert engine.seen == [] and again["tree"] == tree
    bare = {"problem": "p", "answer": "42"}
    alone = Curve([0.5])
    _, engine = searched(alone, "chain", bare, 1, {"until": POSTERIOR})
    assert engine.seen == []  # nothing to ask


def enumerated(counts: list[tuple[int, int]], right: bool | None) -> list[float]:
    """[steps, none]: sums over the grid of both rates, written out without a running sum."""
    from math import comb

    grid, c = [(i + 0.5) / 128 for i in range(128)], changepoint.CONCENTRATION

    def beta_binomial(k: int, n: int, rate: float) -> float:
        weight = float(comb(n, k))
        for i in range(n):
            right_so_far, wrong_so_far = min(i, k), i - min(i, k)
            hit = i < k
            a = c * rate + right_so_far if hit else c * (1 - rate) + wrong_so_far
            weight *= a / (c + i)
        return weight

    steps = len(counts)
    weights = [0.0] * (steps + 1)
    for p in grid:
        lower = [q for q in grid if q < changepoint.RHO * p]
        for first in range(steps + 1):
            cut = min(first + 1, steps)
            before = 1.0
            for k, n in counts[:cut]:
                before *= beta_binomial(k, n, p)
            prior = 0.5 if first == steps else 0.5 / steps
            if first == steps:
                end = 1.0 if right is None else p if right else 0.0
                weights[first] += prior * before * end
                continue
            inner = 0.0
            for q in lower:
                after = 1.0 if right is None else q if right else 1 - q
                for k, n in counts[cut:]:
                    after *= beta_binomial(k, n, q)
                inner += after
            if lower:
                weights[first] += prior * before * inner / len(lower)
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize(("values", "right"), [((0.8, 0.8, 0.2), True), ((0.7, 0.6, 0.6), True),
                                               ((0.8, 0.1, 0.1), False)])  # fmt: skip
def test_what_chain_ends_with_is_what_the_model_says(
    values: tuple[float, ...], right: bool
) -> None:
    """The probabilities of the draws that it made, by enumeration, and as step-label gives them."""
    from labelling import one

    from stepkit.core.labels import parse_first_error

    curve = Curve(values, right=right)
    fields, _ = curve.searched("chain", 7, until=parse_question("posterior:chance=0.8"), draws=12)
    tree = fields["tree"]
    counts = counts_of(tree)
    wanted = enumerated(counts, right)
    label = one(
        curve.record(tree) | {"correct": right}, "hard", first=parse_first_error("posterior")
    )["first"]
    assert [*label["x"], label["meta"]["none"]] == pytest.approx(wanted, abs=0.02)
    assert max(wanted) > 0.78 or all(n == 12 for _, n in counts)
    best = max(range(4), key=wanted.__getitem__)
    assert label["first"] == (-1 if best == 3 else best)


def test_chain_is_as_often_right_as_it_claims_on_all_attempts() -> None:
    """Attempts from the model, half of them without an error: of those ended at 0.9 and more, nine
    in ten are right."""
    rng, c, sure, hits, none = random.Random(8), changepoint.CONCENTRATION, 0, 0, 0
    for seed in range(90):
        steps, p = rng.randrange(2, 6), rng.random()
        q = p * changepoint.RHO * rng.random()
        error = -1 if rng.random() < 0.5 else rng.randrange(steps)
        ended = rng.random() < (p if error < 0 else q)
        if error < 0 and not ended:
            continue  # a wrong end leaves no room for "no error"
        cut = steps if error < 0 else error + 1
        rates = [p] * cut + [q] * (steps - cut)
        values = [rng.betavariate(c * rate, c * (1 - rate)) for rate in rates]
        fields, _ = Curve(values, right=ended).searched("chain", seed, until=POSTERIOR, draws=16)
        found = changepoint.posterior(counts_of(fields["tree"]), [True] * steps, ended)
        if found.of(found.mode) >= 0.9:
            sure += 1
            hits += found.mode == error
            none += found.mode == -1
    assert sure > 25 and none > 5
    assert hits / sure >= 0.9 - 4 * sqrt(0.9 * 0.1 / sure)

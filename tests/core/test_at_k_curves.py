"""The curves against full enumeration of subsets, in exact fractions, with ties."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.core import at_k_curves
from stepkit.core.at_k_curves import NO_ANSWER, Ballots, Expectation, fixed_weights

Right = Sequence[float]
Case = tuple[list[Fraction], list[int], list[float]]


@st.composite
def attempts(draw: st.DrawFn) -> Case:
    """Scores (few values: ties), answers numbered by appearance, verdicts, of 1 .. 6 attempts.

    One answer may have several verdicts, and an attempt without an answer be right.

    Tenths make 0.1 + 0.2 and 0.3, which are a tie that floats do not see.
    """
    n = draw(st.integers(1, 6))
    parts = draw(st.sampled_from([2, 10, 97]))
    grid = [Fraction(i, parts) for i in range(min(parts, 8) + 1)]
    scores = draw(st.lists(st.sampled_from(grid), min_size=n, max_size=n))
    raw = draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n))
    number: dict[int, int] = {}
    answers = [NO_ANSWER if one < 0 else number.setdefault(one, len(number)) for one in raw]
    right = [float(one) for one in draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))]
    return scores, answers, right


def over_subsets(n: int, k: int, chance: Callable[[tuple[int, ...]], Fraction]) -> Fraction:
    subsets = list(combinations(range(n), k))
    return sum(map(chance, subsets), Fraction(0)) / len(subsets)


def shared(winners: Sequence[Fraction]) -> Fraction:
    return sum(winners, Fraction(0)) / len(winners) if winners else Fraction(0)


def vote(
    weights: Sequence[Fraction],
    answers: Sequence[int],
    right: Right,
    chosen: tuple[int, ...],
    standing: Sequence[Fraction] | None = None,
) -> Fraction:
    """The verdict on the attempt that is taken, over all orders of those ``chosen``: the first
    tied answer wins, and of its attempts the first of those that stand highest; where nobody has
    an answer, the first of all that do."""
    stands = standing or weights
    found = []
    for order in permutations(chosen):
        sums: dict[int, Fraction] = {}
        for i in order:
            if answers[i] != NO_ANSWER:
                sums[answers[i]] = sums.get(answers[i], Fraction(0)) + weights[i]
        winner = max(sums, key=sums.__getitem__) if sums else NO_ANSWER  # the first of several
        taken = max((i for i in order if answers[i] == winner), key=stands.__getitem__)
        found.append(Fraction(right[taken]))
    return shared(found)


def ballots(
    weights: Sequence[float],
    answers: Sequence[int],
    right: Right,
    as_logs: bool = False,
) -> Ballots:
    return Ballots(answers, right, weights, fixed_weights(weights, as_logs))


@given(attempts(), st.data())
def test_pass_is_the_mean_over_all_subsets(case: Case, data: st.DataObject) -> None:
    _, _, right = case
    k = data.draw(st.integers(1, len(right)))
    true = over_subsets(len(right), k, lambda s: Fraction(max(right[i] for i in s)))
    assert abs(at_k_curves.pass_at(right, k).value - true) <= 1e-12


@given(attempts(), st.data())
def test_best_is_the_mean_over_all_subsets(case: Case, data: st.DataObject) -> None:
    scores, _, right = case
    k = data.draw(st.integers(1, len(right)))

    def best(chosen: tuple[int, ...]) -> Fraction:
        top = max(scores[i] for i in chosen)
        return shared([Fraction(right[i]) for i in chosen if scores[i] == top])

    assert (
        abs(
            at_k_curves.best_at(list(map(float, scores)), right, k).value
            - over_subsets(len(right), k, best)
        )
        <= 1e-12
    )


@examples(60)
@given(attempts())
def test_majority_is_the_mean_over_all_subsets(case: Case) -> None:
    _, answers, right = case
    ks = range(1, len(right) + 1)
    ones = [Fraction(1)] * len(right)
    for k, found in zip(ks, at_k_curves.majority_at(answers, right, ks), strict=True):
        true = over_subsets(len(right), k, lambda s: vote(ones, answers, right, s))
        assert abs(found.value - true) <= 1e-12
        assert found.exact


@examples(60)
@given(attempts(), st.data())
def test_weighted_is_the_mean_over_all_subsets(case: Case, data: st.DataObject) -> None:
    scores, answers, right = case
    k = data.draw(st.integers(1, len(right)))
    true = over_subsets(len(right), k, lambda s: vote(scores, answers, right, s))
    found = at_k_curves.weighted_at(ballots(list(map(float, scores)), answers, right), k, 0)
    assert abs(found.value - true) <= 1e-12
    assert found.exact
    logs = [math.log(score) - 2000 if score else -math.inf for score in scores]
    found = at_k_curves.weighted_at(ballots(logs, answers, right, as_logs=True), k, 0)
    assert abs(found.value - true) <= 1e-12


@examples(60)
@given(attempts(), st.sampled_from([0, 1, 2, 0.5, 1.2]), st.data())
def test_rank_votes_are_the_mean_over_all_subsets(
    case: Case, power: float, data: st.DataObject
) -> None:
    """In every subset the attempts are ranked anew; equal ones share the votes of their ranks."""
    scores, answers, right = case
    standing = [float(score) if score else -math.inf for score in scores]
    k = data.draw(st.integers(1, len(right)))

    def chance(chosen: tuple[int, ...]) -> Fraction:
        ranked = sorted(standing[i] for i in chosen if standing[i] > -math.inf)
        weights = [Fraction(0)] * len(right)
        for i in chosen:
            places = [r for r, one in enumerate(ranked, 1) if one == standing[i]]
            # rounded, so that floats that should be equal are
            votes = [Fraction(round(r**power, 9)).limit_denominator(10**9) for r in places]
            weights[i] = shared(votes)
        return vote(weights, answers, right, chosen, [Fraction(max(s, -1)) for s in standing])

    weigh = at_k_curves.rank_weights(standing, power)
    found = at_k_curves.weighted_at(Ballots(answers, right, standing, weigh), k, 0)
    assert abs(found.value - over_subsets(len(right), k, chance)) <= 1e-12


def test_by_hand() -> None:
    """Answers a, a, b with scores 1, 1, 4; a is right. Pairs: aa, ab, ab."""
    answers, right, scores = [0, 0, 1], [1.0, 1.0, 0.0], [1.0, 1.0, 4.0]
    assert at_k_curves.pass_at(right, 2).value == 1
    # aa: right; ab twice: b has the higher score, and the higher sum
    assert at_k_curves.best_at(scores, right, 2).value == pytest.approx(1 / 3)
    assert at_k_curves.weighted_at(ballots(scores, answers, right), 2, 0).value == pytest.approx(
        1 / 3
    )
    # aa: right; ab twice: a tie, half right
    assert at_k_curves.majority_at(answers, right, [2])[0].value == pytest.approx(2 / 3)
    # all three: 2 votes against 1, but 2 points against 4
    assert at_k_curves.majority_at(answers, right, [3])[0].value == 1
    assert at_k_curves.weighted_at(ballots(scores, answers, right), 3, 0).value == 0


def test_an_attempt_that_is_right_without_an_answer_is_chosen_where_no_other_has_one() -> None:
    """A unit test can find it right. Three without an answer, of which the last is right; and with
    a wrong answer next to them, which is chosen wherever it is."""
    right = [0.0, 0.0, 1.0]
    nothing = [NO_ANSWER] * 3
    assert [one.value for one in at_k_curves.majority_at(nothing, right, [1, 2, 3])] == (
        pytest.approx([1 / 3] * 3)
    )
    # by score: 2 of the 3 pairs hold the last, which stands highest
    scored = ballots([0.1, 0.2, 0.3], nothing, right)
    assert at_k_curves.weighted_at(scored, 2, 0).value == pytest.approx(2 / 3)
    assert at_k_curves.weighted_at(scored, 3, 0).value == 1
    mixed = [0, NO_ANSWER, NO_ANSWER]
    # a pair without the answer: one of three, half right
    assert at_k_curves.majority_at(mixed, right, [2])[0].value == pytest.approx(1 / 6)
    assert at_k_curves.weighted_at(ballots([0.0] * 3, mixed, right), 3, 0).value == 0


def test_one_answer_with_several_verdicts_is_judged_by_the_attempt_that_is_chosen() -> None:
    """Answer 0 three times, right where it scores .9, wrong at .5 and .1: a weighted vote takes
    the .9 wherever it is; a majority takes any."""
    scores, answers, right = [0.5, 0.9, 0.1], [0, 0, 0], [0.0, 1.0, 0.0]
    for k in (1, 2, 3):
        assert at_k_curves.weighted_at(ballots(scores, answers, right), k, 0).value == (
            pytest.approx(k / 3)
        )
        assert at_k_curves.majority_at(answers, right, [k])[0].value == pytest.approx(1 / 3)


def many(n: int) -> tuple[list[float], list[int], list[float]]:
    rng = random.Random(n)
    answers = [rng.choice([0, 0, 0, 1, 1, 2, 3, 4, NO_ANSWER]) for _ in range(n)]
    scores = [rng.random() for _ in range(n)]
    return scores, answers, [float(answer == 0) for answer in answers]


def test_sampled_where_there_are_too_many_subsets() -> None:
    """C(40, 12) is 5.6e9. With equal weights a weighted vote is the majority, which is exact."""
    _, answers, right = many(40)
    equal = ballots([0.5] * 40, answers, right)
    true = at_k_curves.majority_at(answers, right, [12])[0]
    sampled = at_k_curves.weighted_at(equal, 12, 7)
    assert true.exact and not sampled.exact and 0 < sampled.error < 0.01
    assert abs(sampled.value - true.value) < 4 * sampled.error
    assert at_k_curves.weighted_at(equal, 12, 7) == sampled
    assert at_k_curves.weighted_at(equal, 12, 8) != sampled


def test_samples_that_all_agree_are_not_exact() -> None:
    """One of 40 is wrong: a vote of 12 is always right, but not because all subsets were tried."""
    answers, right = [0] * 39 + [1], [1.0] * 39 + [0.0]
    found = at_k_curves.weighted_at(ballots([0.5] * 40, answers, right), 12, 7)
    assert found == Expectation(1.0, 0.0, exact=False)


@pytest.mark.parametrize("n", [1000, 1001])
def test_a_thousand_attempts(n: int) -> None:
    """The exact sum and the samples, either side of where a float could overflow."""
    _, answers, right = many(n)
    (found,) = at_k_curves.majority_at(answers, right, [9], seed=3)
    simulated = at_k_curves.weighted_at(ballots([1.0] * n, answers, right), 9, 5)
    assert found.exact == (n <= at_k_curves.LARGEST)
    assert abs(found.value - simulated.value) < 4 * (simulated.error + found.error)
    assert at_k_curves.best_at([1.0] * n, right, n).value == pytest.approx(sum(right) / n)


@pytest.mark.parametrize("k", [0, 4])
def test_more_than_there_are(k: int) -> None:
    right = [1.0, 0.0, 0.0]
    for call in (
        lambda: at_k_curves.pass_at(right, k),
        lambda: at_k_curves.best_at(right, right, k),
        lambda: at_k_curves.majority_at([0, 1, 1], right, [k]),
        lambda: at_k_curves.weighted_at(ballots(right, [0, 1, 1], right), k, 0),
    ):
        with pytest.raises(ValueError, match=f"{k} of 3"):
            call()

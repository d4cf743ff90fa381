"""The curves against full enumeration of subsets, in exact fractions, with ties."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, permutations
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.core import at_k_curves, selection
from stepkit.core.at_k_curves import NO_ANSWER

Right = Sequence[float]
Case = tuple[list[Fraction], list[int], list[float]]


@st.composite
def attempts(draw: st.DrawFn) -> Case:
    """Scores (few values: ties), answers numbered by appearance, verdicts, of 1 .. 9 attempts.

    Tenths make 0.1 + 0.2 and 0.3, which are a tie that floats do not see.
    """
    n = draw(st.integers(1, 9))
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


def verdicts(answers: Sequence[int], right: Right) -> dict[int, Fraction]:
    members = defaultdict(list)
    for answer, one in zip(answers, right, strict=True):
        members[answer].append(Fraction(one))
    return {answer: shared(ones) for answer, ones in members.items()}


def vote(
    weights: Sequence[Fraction], answers: Sequence[int], right: Right, chosen: tuple[int, ...]
) -> Fraction:
    """A tied answer wins as often as one of its attempts comes first."""
    of = verdicts(answers, right)
    sums: dict[int, Fraction] = defaultdict(Fraction)
    for i in chosen:
        if answers[i] != NO_ANSWER:
            sums[answers[i]] += weights[i]
    first = [a for a in (answers[i] for i in chosen) if sums and sums.get(a) == max(sums.values())]
    return shared([of[answer] for answer in first])


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


@given(attempts())
def test_majority_is_the_mean_over_all_subsets(case: Case) -> None:
    _, answers, right = case
    ks = range(1, len(right) + 1)
    ones = [Fraction(1)] * len(right)
    for k, found in zip(ks, at_k_curves.majority_at(answers, right, ks), strict=True):
        true = over_subsets(len(right), k, lambda s: vote(ones, answers, right, s))
        assert abs(found.value - true) <= 1e-12
        assert found.error == 0


@given(attempts(), st.data())
def test_weighted_is_the_mean_over_all_subsets(case: Case, data: st.DataObject) -> None:
    scores, answers, right = case
    k = data.draw(st.integers(1, len(right)))
    true = over_subsets(len(right), k, lambda s: vote(scores, answers, right, s))
    found = at_k_curves.weighted_at(list(map(float, scores)), answers, right, k, 0)
    assert abs(found.value - true) <= 1e-12
    assert found.error == 0
    logs = [math.log(score) - 2000 if score else -math.inf for score in scores]
    found = at_k_curves.weighted_at(logs, answers, right, k, 0, as_logs=True)
    assert abs(found.value - true) <= 1e-12


@examples(40)
@given(attempts(), st.sampled_from(["best", "majority", "weighted"]))
def test_ties_are_what_reranking_does_over_all_orders(case: Case, by: str) -> None:
    """step-rerank takes the first of those tied; in a random order that is any of them."""
    scores, answers, right = case[0][:5], case[1][:5], case[2][:5]
    # sums of eighths are exact: step-rerank knows no tolerance
    scores = [Fraction(round(8 * score), 8) for score in scores]
    n = len(right)
    of = verdicts(answers, right)
    right = [float(round(of[a])) if a != NO_ANSWER else 0.0 for a in answers]  # one per answer
    rule = selection.SelectionSettings(by)
    found = []
    for order in permutations(range(n)):
        candidates = [
            selection.Candidate(
                None if answers[i] == NO_ANSWER else str(answers[i]),
                "" if by == "majority" else "s",
                None if by == "majority" else float(scores[i]),
            )
            for i in order
        ]
        notes = selection.choose(candidates, rule, str.__eq__)
        first = [note is not None and note["rank"] == 0 for note in notes].index(True)
        found.append(right[order[first]])
    ours = {
        "best": lambda: at_k_curves.best_at(list(map(float, scores)), right, n),
        "majority": lambda: at_k_curves.majority_at(answers, right, [n])[0],
        "weighted": lambda: at_k_curves.weighted_at(list(map(float, scores)), answers, right, n, 0),
    }[by]()
    assert ours.value == pytest.approx(mean(found), abs=1e-12)


def test_by_hand() -> None:
    """Answers a, a, b with scores 1, 1, 4; a is right. Pairs: aa, ab, ab."""
    answers, right, scores = [0, 0, 1], [1.0, 1.0, 0.0], [1.0, 1.0, 4.0]
    assert at_k_curves.pass_at(right, 2).value == 1
    # aa: right; ab twice: b has the higher score, and the higher sum
    assert at_k_curves.best_at(scores, right, 2).value == pytest.approx(1 / 3)
    assert at_k_curves.weighted_at(scores, answers, right, 2, 0).value == pytest.approx(1 / 3)
    # aa: right; ab twice: a tie, half right
    assert at_k_curves.majority_at(answers, right, [2])[0].value == pytest.approx(2 / 3)
    # all three: 2 votes against 1, but 2 points against 4
    assert at_k_curves.majority_at(answers, right, [3])[0].value == 1
    assert at_k_curves.weighted_at(scores, answers, right, 3, 0).value == 0


def test_nothing_but_attempts_without_an_answer_is_wrong() -> None:
    answers, right = [NO_ANSWER] * 3, [0.0] * 3
    assert at_k_curves.majority_at(answers, right, [1, 3]) == [(0.0, 0.0), (0.0, 0.0)]
    assert at_k_curves.weighted_at([1.0] * 3, answers, right, 2, 0) == (0.0, 0.0)


def many(n: int) -> tuple[list[float], list[int], list[float]]:
    rng = random.Random(n)
    answers = [rng.choice([0, 0, 0, 1, 1, 2, 3, 4, NO_ANSWER]) for _ in range(n)]
    scores = [rng.random() for _ in range(n)]
    return scores, answers, [float(answer == 0) for answer in answers]


def test_sampled_where_there_are_too_many_subsets() -> None:
    """C(40, 12) is 5.6e9. With equal weights a weighted vote is the majority, which is exact."""
    _, answers, right = many(40)
    true = at_k_curves.majority_at(answers, right, [12])[0]
    sampled = at_k_curves.weighted_at([0.5] * 40, answers, right, 12, 7)
    assert true.error == 0 and 0 < sampled.error < 0.01
    assert abs(sampled.value - true.value) < 4 * sampled.error
    assert at_k_curves.weighted_at([0.5] * 40, answers, right, 12, 7) == sampled
    assert at_k_curves.weighted_at([0.5] * 40, answers, right, 12, 8) != sampled


@pytest.mark.parametrize("n", [1000, 1001])
def test_a_thousand_attempts(n: int) -> None:
    """The exact sum and the samples, either side of where a float could overflow."""
    _, answers, right = many(n)
    (found,) = at_k_curves.majority_at(answers, right, [9], seed=3)
    simulated = at_k_curves.weighted_at([1.0] * n, answers, right, 9, 5)
    assert (found.error == 0) == (n <= at_k_curves.LARGEST)
    assert abs(found.value - simulated.value) < 4 * (simulated.error + found.error)
    assert at_k_curves.best_at([1.0] * n, right, n).value == pytest.approx(sum(right) / n)


@pytest.mark.parametrize("k", [0, 4])
def test_more_than_there_are(k: int) -> None:
    right = [1.0, 0.0, 0.0]
    for call in (
        lambda: at_k_curves.pass_at(right, k),
        lambda: at_k_curves.best_at(right, right, k),
        lambda: at_k_curves.majority_at([0, 1, 1], right, [k]),
        lambda: at_k_curves.weighted_at(right, [0, 1, 1], right, k, 0),
    ):
        with pytest.raises(ValueError, match=f"{k} of 3"):
            call()

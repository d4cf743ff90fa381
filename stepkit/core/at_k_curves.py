"""How often is a choice among k attempts right? Expectations over all k-subsets of n attempts.

Drawing k of the n attempts that there are, without putting back, is the same as having drawn only
k; so the mean over all C(n, k) subsets estimates without bias what k attempts give, and uses all n.

* ``pass``: is any of them right (Chen et al., arXiv:2107.03374, eq. 1).
* ``best``: is the one with the highest score. The maximum of a subset is v with probability
  [C(a, k) - C(b, k)] / C(n, k), a attempts scoring at most v and b less; given that, each attempt
  that scores v is as likely to be taken as another. Exact, in closed form, with ties.
* ``majority``: is the most frequent answer. The counts of the answers in a subset follow a
  multivariate hypergeometric law, which is summed by a recursion over the answers. Exact.
* ``weighted``: is the answer with the highest sum of scores, or of other weights. Exact by
  enumeration up to SUBSETS subsets, beyond it the mean over SAMPLES random ones, with its standard
  error.

Chosen is what step-rerank chooses (core/selection): of the attempts with the winning answer the one
with the highest score, and where no attempt has an answer that of all. Ties are shared as it shares
them over all orders of the attempts: it takes the one that it sees first, and each attempt is as
often first as another; so of two answers with equal sums the one with more attempts has more
chances. Right is the attempt chosen: it matters where one answer has several verdicts.

Pure; one problem at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np

from stepkit.core.selection import leads

SUBSETS = 20_000
"""At most so many subsets are enumerated."""

SAMPLES = 4_000
"""Random subsets where there are more."""

LARGEST = 1_000
"""Attempts beyond which binomial coefficients leave the range of a float; then all is sampled."""

NO_ANSWER = -1

Array = np.ndarray[Any, Any]


Weigh = Callable[[Array, Array], Array]
"""[S, n] subsets (1 where an attempt is in one) and [n] who has an answer, to what each attempt
weighs there, 0 outside."""


class Expectation(NamedTuple):
    """An expectation.

    Attributes:
        error: its standard error where subsets were sampled.
        exact: they were not: it is from a formula, or all were enumerated.
    """

    value: float
    error: float = 0.0
    exact: bool = True


class Ballots(NamedTuple):
    """The attempts at one problem that vote.

    Attributes:
        answers: [n] number of each attempt's answer from 0, NO_ANSWER without one.
        right: [n] 1 right, 0 wrong.
        standing: [n] what attempts with one answer are compared by; -inf comes last.
        weigh: their weights.
    """

    answers: Sequence[int]
    right: Sequence[float]
    standing: Sequence[float]
    weigh: Weigh


def pass_at(right: Sequence[float], k: int) -> Expectation:
    """Is any of k right?

    Args:
        right: [n] 1 right, 0 wrong.

    Raises ValueError unless 1 <= k <= n.
    """
    n, wrong = _check_k(len(right), k), sum(not one for one in right)
    return Expectation(1 - comb(wrong, k) / comb(n, k))


def best_at(scores: Sequence[float], right: Sequence[float], k: int) -> Expectation:
    """Is the one of k with the highest score right?

    Args:
        scores: [n] whatever attempts are compared by; -inf comes last.
        right: [n] 1 right, 0 wrong.

    Raises ValueError unless 1 <= k <= n.
    """
    n = _check_k(len(right), k)
    tied: dict[float, list[float]] = {}
    for score, one in zip(scores, right, strict=True):
        tied.setdefault(score, []).append(one)
    total, below = 0.0, 0
    for score in sorted(tied):
        rights = tied[score]
        upto = below + len(rights)
        chance = (comb(upto, k) - comb(below, k)) / comb(n, k)
        total += chance * sum(rights) / len(rights)
        below = upto
    return Expectation(total)


def majority_at(
    answers: Sequence[int], right: Sequence[float], ks: Sequence[int], seed: int = 0
) -> list[Expectation]:
    """Is the first attempt with the most frequent answer among k right?

    With C_v the counts in which no answer appears more than v times, the attempts of each answer
    are added one answer at a time: u < v of them, or exactly v and the answer is among the tied.
    Kept are, by attempts taken and answers tied, the number of ways and the sum of their verdicts.
    Which attempts of an answer are taken does not depend on how many, so that the first of them is
    as right as all are on average.

    Args:
        answers: [n] number of each attempt's answer from 0, NO_ANSWER without one.
        right: [n] 1 right, 0 wrong.
        ks: numbers of attempts, each from 1 to n.

    Returns one estimate for each k; sampled (by ``seed``) only when n is above LARGEST.
    """
    n, most = len(right), max(ks)
    for k in ks:
        _check_k(n, k)
    if n > LARGEST:
        ballots = Ballots(answers, right, [0.0] * n, fixed_weights([1.0] * n))
        return [weighted_at(ballots, k, seed) for k in ks]
    sizes, verdicts, unanswered = _by_answer(answers, right)
    without = len(unanswered)
    ways_right = np.zeros(most + 1)
    for top in range(1, min(most, max(sizes, default=0)) + 1):
        # [ways or sum of verdicts][attempts taken][answers tied at the top]
        state = np.zeros((2, most + 1, most // top + 1))
        state[0, 0, 0] = 1.0
        for size, verdict in zip(sizes, verdicts, strict=True):
            following = np.zeros_like(state)
            for taken in range(min(size, top - 1, most) + 1):
                following[:, taken:] += comb(size, taken) * state[:, : most + 1 - taken]
            if size >= top:
                ways = comb(size, top)
                before = state[:, : most + 1 - top, :-1]
                following[:, top:, 1:] += ways * before
                following[1, top:, 1:] += ways * verdict * before[0]
            state = following
        shared = state[1, :, 1:] @ (1 / np.arange(1, state.shape[2]))
        for taken in range(min(without, most) + 1):
            ways_right[taken:] += comb(without, taken) * shared[: most + 1 - taken]
    first = sum(unanswered) / max(without, 1)  # of those without an answer, where no other is there
    return [Expectation((float(ways_right[k]) + comb(without, k) * first) / comb(n, k)) for k in ks]


def weighted_at(ballots: Ballots, k: int, seed: int) -> Expectation:
    """Is the attempt right that stands highest for the answer with the highest sum of weights?

    Args:
        seed: of the random subsets, where there are too many.

    Raises ValueError unless 1 <= k <= n.
    """
    n = _check_k(len(ballots.right), k)
    exact = comb(n, k) <= SUBSETS
    subsets = _all_subsets(n, k) if exact else _sampled_subsets(n, k, seed)
    chances = _chances(subsets, ballots)
    if exact:
        return Expectation(float(chances.mean()))
    error = float(chances.std(ddof=1) / len(chances) ** 0.5)
    return Expectation(float(chances.mean()), error, exact=False)


def fixed_weights(weights: Sequence[float], as_logs: bool = False) -> Weigh:
    """Weights that are the same in every subset.

    Of logarithms each subset's largest with an answer is taken off, so that none of its weights
    vanishes that matters there.

    Args:
        weights: [n] at least 0, or their logarithms; only their ratios matter.
        as_logs: ``weights`` are logarithms.
    """
    given = np.asarray(weights, float)

    def weigh(subsets: Array, answered: Array) -> Array:
        if not as_logs:
            return subsets * given
        there = np.where((subsets > 0) & answered, given, -np.inf)
        top = there.max(axis=1, keepdims=True)
        return np.exp(there - np.where(np.isfinite(top), top, 0.0))

    return weigh


def rank_weights(standing: Sequence[float], power: float) -> Weigh:
    """Borda votes with a power: (k - r + 1)^power, up to a factor, of the attempt on rank r of k in
    a subset, as core/selection/vote_maps.py has them for one group.

    Args:
        standing: [n] what attempts are ranked by; -inf is without a rank, and weighs 0.
    """
    given = np.asarray(standing, float)
    levels = [np.flatnonzero(given == one) for one in np.unique(given[given > -np.inf])]

    def weigh(subsets: Array, answered: Array) -> Array:
        there = subsets > 0
        most = max(int(there[:, given > -np.inf].sum(axis=1).max(initial=0)), 1)
        votes = (np.arange(1.0, most + 1) / most) ** power
        upto = np.concatenate([[0.0], np.cumsum(votes)])  # of so many of the lowest ranks
        found = np.zeros(subsets.shape)
        below = np.zeros(len(subsets), dtype=int)
        for members in levels:
            tied = there[:, members].sum(axis=1)
            share = (upto[below + tied] - upto[below]) / np.maximum(tied, 1)
            found[:, members] = share[:, None] * there[:, members]
            below = below + tied
        return found

    return weigh


def _chances(subsets: Array, ballots: Ballots) -> Array:
    """[S] how likely the attempt chosen of each subset is to be right, over all orders."""
    answers, right = np.asarray(ballots.answers), np.asarray(ballots.right, float)
    levels = np.unique(np.asarray(ballots.standing, float), return_inverse=True)[1]

    def first_right(members: Array) -> Array:
        """[S] the same of the highest of these attempts; 0 where none is there."""
        there = subsets[:, members] > 0
        if (right[members] == right[members[0]]).all():
            return there.any(axis=1) * right[members[0]]
        ranked = np.where(there, levels[members], -1)
        highest = there & (ranked == ranked.max(axis=1, keepdims=True))
        return (highest @ right[members]) / np.maximum(highest.sum(axis=1), 1)

    found = np.zeros(len(subsets))
    unanswered = np.flatnonzero(answers == NO_ANSWER)
    classes = [np.flatnonzero(answers == one) for one in range(answers.max() + 1)]
    answered = np.zeros(len(subsets), dtype=bool)
    if classes:
        member = (answers[:, None] == np.arange(len(classes))).astype(float)  # [n, answers]
        counts = subsets @ member
        sums = ballots.weigh(subsets, answers != NO_ANSWER) @ member
        top = np.where(counts > 0, sums, 0.0).max(axis=1, keepdims=True)
        shares = np.where(leads(sums, top), counts, 0.0)
        verdicts = np.stack([first_right(members) for members in classes], axis=1)
        answered = counts.any(axis=1)
        found = (shares * verdicts).sum(axis=1) / np.maximum(shares.sum(axis=1), 1)
    return np.where(answered, found, first_right(unanswered)) if len(unanswered) else found


def _check_k(n: int, k: int) -> int:
    if not 1 <= k <= n:
        raise ValueError(f"{k} of {n} attempts")
    return n


def _by_answer(
    answers: Sequence[int], right: Sequence[float]
) -> tuple[list[int], list[float], list[float]]:
    """For each answer the number of its attempts and the share of them that is right; and the
    verdicts on those without one."""
    found: dict[int, list[float]] = {}
    for answer, one in zip(answers, right, strict=True):
        found.setdefault(answer, []).append(one)
    unanswered = found.pop(NO_ANSWER, [])
    rights = [found[answer] for answer in sorted(found)]
    return [len(one) for one in rights], [sum(one) / len(one) for one in rights], unanswered


@lru_cache(64)
def _all_subsets(n: int, k: int) -> Array:
    """[C(n, k), n] 1 where an attempt is in the subset, for all subsets."""
    indices = np.array(list(combinations(range(n), k)))
    subsets = np.zeros((len(indices), n))
    np.put_along_axis(subsets, indices, 1.0, axis=1)
    return subsets


def _sampled_subsets(n: int, k: int, seed: int) -> Array:
    """[SAMPLES, n] the same for random subsets."""
    order = np.random.default_rng(seed).random((SAMPLES, n)).argpartition(k - 1, axis=1)
    subsets = np.zeros((SAMPLES, n))
    np.put_along_axis(subsets, order[:, :k], 1.0, axis=1)
    return subsets

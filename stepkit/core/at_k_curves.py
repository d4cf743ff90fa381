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

Ties are shared as step-rerank shares them over all orders of the attempts: it takes the one that it
sees first, and each attempt is as often first as another; so of two answers with equal sums the one
with more attempts has more chances. Attempts without an answer form no class; a subset of nothing
else is wrong. An answer is as right as its attempts are on average, which
matters only where verdicts differ within a class. Pure; one problem at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np

SUBSETS = 20_000
"""At most so many subsets are enumerated."""

SAMPLES = 4_000
"""Random subsets where there are more."""

LARGEST = 1_000
"""Attempts beyond which binomial coefficients leave the range of a float; then all is sampled."""

TIE = 1e-12
"""Sums that differ by less than this part are equal: they may have been added in another order."""

NO_ANSWER = -1

Array = np.ndarray[Any, Any]


class Expectation(NamedTuple):
    """An expectation; ``error`` is its standard error when it was sampled, 0 when it is exact."""

    value: float
    error: float = 0.0


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
    """Is the most frequent answer among k right?

    With C_v the counts in which no answer appears more than v times, the attempts of each answer
    are added one answer at a time: u < v of them, or exactly v and the answer is among the tied.
    Kept are, by attempts taken and answers tied, the number of ways and the sum of their verdicts.

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
        return [weighted_at([1.0] * n, answers, right, k, seed) for k in ks]
    sizes, verdicts = _by_answer(answers, right)
    without = n - sum(sizes)
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
    return [Expectation(float(ways_right[k]) / comb(n, k)) for k in ks]


def weighted_at(
    weights: Sequence[float],
    answers: Sequence[int],
    right: Sequence[float],
    k: int,
    seed: int,
    as_logs: bool = False,
) -> Expectation:
    """Is the answer with the highest sum of weights among k right?

    Args:
        weights: [n] at least 0, or their logarithms; only their ratios matter.
        answers: [n] number of each attempt's answer from 0, NO_ANSWER without one.
        right: [n] 1 right, 0 wrong.
        seed: of the random subsets, where there are too many.
        as_logs: ``weights`` are logarithms.

    Raises ValueError unless 1 <= k <= n.
    """
    n = _check_k(len(right), k)
    exact = comb(n, k) <= SUBSETS
    subsets = _all_subsets(n, k) if exact else _sampled_subsets(n, k, seed)
    verdicts = np.array(_by_answer(answers, right)[1])
    if not verdicts.size:
        return Expectation(0.0)
    member = np.array(answers)[:, None] == np.arange(verdicts.size)  # [n, answers]
    counts = subsets @ member.astype(float)
    sums = _weights(subsets, np.asarray(weights, float), as_logs) @ member.astype(float)
    top = np.where(counts > 0, sums, 0.0).max(axis=1, keepdims=True)
    shares = np.where(sums >= top * (1 - TIE), counts, 0.0)
    chances = (shares @ verdicts) / np.maximum(shares.sum(axis=1), 1)
    if exact:
        return Expectation(float(chances.mean()))
    return Expectation(float(chances.mean()), float(chances.std(ddof=1) / len(chances) ** 0.5))


def _weights(subsets: Array, weights: Array, as_logs: bool) -> Array:
    """[S, n] what each attempt weighs in each subset.

    Of logarithms each subset's largest is taken off, so that none of its weights vanishes that
    matters there.
    """
    if not as_logs:
        return subsets * weights
    there = np.where(subsets > 0, weights, -np.inf)
    top = there.max(axis=1, keepdims=True)
    return np.exp(there - np.where(np.isfinite(top), top, 0.0))


def _check_k(n: int, k: int) -> int:
    if not 1 <= k <= n:
        raise ValueError(f"{k} of {n} attempts")
    return n


def _by_answer(answers: Sequence[int], right: Sequence[float]) -> tuple[list[int], list[float]]:
    """For each answer the number of its attempts and the share of them that is right."""
    found: dict[int, list[float]] = {}
    for answer, one in zip(answers, right, strict=True):
        if answer != NO_ANSWER:
            found.setdefault(answer, []).append(one)
    rights = [found[answer] for answer in sorted(found)]
    return [len(one) for one in rights], [sum(one) / len(one) for one in rights]


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

"""Is the value of a prefix less than a part of the root's? A sequential test that knows neither.

The root has ``right`` of ``root`` draws, made beforehand; draws of the prefix follow one by one, k
right of n so far. Let p_0 and p be the two rates, low < high <= 1 two ratios between which either
answer will do. Then

    lost   refutes  p >= high p_0,
    alive  refutes  p <= low p_0,

each when the generalised likelihood ratio

    log max_{p_0, p} L(p_0, p) - log max_{refuted} L(p_0, p),
    L = p_0^right (1 - p_0)^(root - right) p^k (1 - p)^(n - k),

reaches ``bound`` (Wilks 1938; as a sequential test Lai 1988, "Nearly optimal sequential tests of
composite hypotheses"). Both samples stand in it, so it counts how uncertain the root is: where the
root was never right no prefix is ever called lost. Wald's test with right / root in place of p_0,
which stood here before, took the estimate for the truth; its error was up to 0.12 (0.3 where the
root is rarely right) for a nominal 0.05.

``bound`` is such that the probability of a wrong answer is at most the nominal one at every p_0,
computed exactly (core/drop_calibration.py). What the limit on draws cuts short is undecided and no
error.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt


def log_likelihood(right: float, n: float, rate: float) -> float:
    """Of ``right`` of ``n`` draws under a rate, without the binomial coefficient; -inf for none."""
    if (right > 0 and rate <= 0) or (right < n and rate >= 1):
        return float("-inf")
    wrong = n - right
    return (right * log(rate) if right else 0.0) + (wrong * log(1 - rate) if wrong else 0.0)


def rate_at_ratio(right: int, root: int, k: int, n: int, ratio: float) -> float:
    """The p_0 of the largest likelihood among those with p = ratio p_0, ratio <= 1.

    The derivative is 0 at the smaller root of
    ``ratio N p_0^2 - ((right + k) (1 + ratio) + root - right + ratio (n - k)) p_0 + right + k``
    with N = root + n; computed without a difference of like numbers.
    """
    hits = right + k
    if not hits:
        return 0.0
    a = ratio * (root + n)
    b = hits * (1 + ratio) + root - right + ratio * (n - k)
    return min(1.0, 2 * hits / (b + sqrt(max(0.0, b * b - 4 * a * hits))))


def evidence_against(right: int, root: int, k: int, n: int, ratio: float) -> float:
    """The log of the generalised likelihood ratio against p = ratio p_0, its sign apart."""
    free = log_likelihood(right, root, right / root) + log_likelihood(k, n, k / n)
    rate = rate_at_ratio(right, root, k, n, ratio)
    return free - log_likelihood(right, root, rate) - log_likelihood(k, n, ratio * rate)


class DropTest:
    """The test of one prefix, with its boundaries by number of draws.

    Args:
        given: ``right``, ``root``, ``low``, ``high`` and ``bound``, as above.
    """

    def __init__(self, given: Mapping[str, float]) -> None:
        self._right, self._root = int(given["right"]), int(given["root"])
        self._low, self._high, self._bound = given["low"], given["high"], given["bound"]
        self._lost, self._alive = [-1], [1]

    def shows_loss(self, k: int, n: int) -> float:
        """The evidence against "not lost"; 0 where the draws do not speak against it."""
        if k * self._root >= self._high * self._right * n:
            return 0.0
        return evidence_against(self._right, self._root, k, n, self._high)

    def shows_life(self, k: int, n: int) -> float:
        """The evidence against "lost"; 0 where the draws do not speak against it."""
        if k * self._root <= self._low * self._right * n:
            return 0.0
        return evidence_against(self._right, self._root, k, n, self._low)

    def boundaries(self, n: int) -> tuple[int, int]:
        """After n draws: the largest k that is lost (-1 for none) and the smallest that is alive
        (n + 1 for none).

        One more draw raises either by at most one or not at all, so they are walked along; where
        both hold, the larger evidence decides.
        """
        while len(self._lost) <= n:
            size = len(self._lost)
            lost, alive = self._lost[-1], self._alive[-1]
            while lost < size and self.shows_loss(lost + 1, size) >= self._bound:
                lost += 1
            while alive <= size and self.shows_life(alive, size) < self._bound:
                alive += 1
            self._lost.append(lost)
            self._alive.append(alive)
        return self._lost[n], self._alive[n]

    def decision(self, k: int, n: int) -> bool | None:
        """True for lost, False for alive, None when it does not know yet."""
        if not n:
            return None
        lost, alive = self.boundaries(n)
        if k <= lost and k >= alive:
            return self.leans(k, n)
        return True if k <= lost else False if k >= alive else None

    def leans(self, k: int, n: int) -> bool:
        """Is lost the likelier answer, decided or not?"""
        return self.shows_loss(k, n) > self.shows_life(k, n)

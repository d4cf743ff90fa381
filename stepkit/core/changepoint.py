"""Where did a row of success counts drop, and how sure is that: a change point with one drop.

The model. A trace has states 0 (the root) .. T, and its first error is one of the steps, or none.
Before the first error the states have success rates around a common p; from the state after it on,
around a common q <= rho p: an error costs at least the part 1 - rho of the chances. "Around":
every state has a rate of its own, drawn from Beta(c p, c (1 - p)), so that the k of its n draws are
beta-binomial; real values are not constant, and without this a thousand draws would take every
wiggle for a change. A priori p is uniform on (0, 1), q given p uniform on (0, rho p), and either
there is no error (probability 1/2) or each step is as likely. The end of an attempt is taken as one
draw; a wrong end leaves no room for "no error".

This is a model of our own. It answers what a threshold on k/n (zero, or half the root) cannot: how
many draws are enough to decide, and that no step is to be accused where the sampler never gets
there.
Since it sees the draws through their likelihood alone, a rule that looked at the draws to stop them
changes nothing (the likelihood principle).

Integrals over p and q are sums over a grid of midpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import exp, fsum, lgamma, log
from operator import add
from typing import NamedTuple

RHO = 0.5
CONCENTRATION = 20.0
GRID = 64
RATES = [(i + 0.5) / GRID for i in range(GRID)]


class Posterior(NamedTuple):
    """What is known about the first error of a trace.

    Attributes:
        steps: [n_steps] probability that the first error is there.
        none: probability that there is none.
    """

    steps: list[float]
    none: float

    @property
    def mode(self) -> int:
        """The most probable first error, -1 for none; between equals none, then the earlier one."""
        best = max(range(len(self.steps)), key=self.steps.__getitem__, default=-1)
        return -1 if best < 0 or self.none >= self.steps[best] else best

    def of(self, first: int) -> float:
        """The probability of a first error at a step, -1 for none."""
        return self.none if first < 0 else self.steps[first]


def posterior(
    counts: Sequence[tuple[int, int]],
    possible: Sequence[bool],
    right: bool | None,
    rho: float = RHO,
    concentration: float = CONCENTRATION,
) -> Posterior:
    """The posterior over the position of the first error.

    Args:
        counts: [n_steps] (k, n) at the states that are not the end: the root, then after each step
            but the last. n = 0 where nothing is known.
        possible: [n_steps] can the step be wrong?
        right: how the attempt ended; None when undecided.
        rho: an error leaves at most this part of the chances, 0 < rho <= 1.
        concentration: c above; how much the rates of neighbouring states agree.
    """
    logs = [_log_likelihoods(k, n, concentration) for k, n in counts]
    if right is not None:
        logs.append([log(p if right else 1 - p) for p in RATES])
    before = _running(logs)
    after = _running(logs[::-1])[::-1]
    steps = len(possible)
    candidates = [step for step in range(steps) if possible[step]]
    weights: dict[int, float] = {}
    if right is not False or not candidates:
        weights[-1] = _log_mean(before[len(logs)]) + (log(len(candidates)) if candidates else 0.0)
    for step in candidates:
        # States up to the one before the step have p; from the one after it on, q.
        cut = min(step + 1, len(logs))
        weights[step] = _log_below(before[cut], after[cut], rho)
    top = max(weights.values())
    total = fsum(exp(weight - top) for weight in weights.values())
    chance = {step: exp(weight - top) / total for step, weight in weights.items()}
    return Posterior([chance.get(step, 0.0) for step in range(steps)], chance.get(-1, 0.0))


@lru_cache(maxsize=4096)
def _log_likelihoods(k: int, n: int, c: float) -> list[float]:
    """[grid] log-probability of k of n, beta-binomial around each rate (without its constant)."""
    return [
        lgamma(c * p + k)
        - lgamma(c * p)
        + lgamma(c * (1 - p) + n - k)
        - lgamma(c * (1 - p))
        - lgamma(c + n)
        + lgamma(c)
        for p in RATES
    ]


def _running(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """[n_rows + 1][grid] sums of the first 0, 1, .. rows."""
    sums = [[0.0] * GRID]
    for row in rows:
        sums.append(list(map(add, sums[-1], row)))
    return sums


def _log_mean(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + log(fsum(exp(x - top) for x in logs) / len(logs))


def _log_below(before: Sequence[float], after: Sequence[float], rho: float) -> float:
    """log of the mean over p of exp(before(p)) times the mean over q < rho p of exp(after(q)).

    The cell that rho p cuts counts by the part of it that lies below.
    """
    top_before, top_after = max(before), max(after)
    tail = [exp(x - top_after) for x in after]
    running = list(accumulate(tail, initial=0.0))
    total = 0.0
    for x, (reach, whole, part) in zip(before, _reaches(rho), strict=True):
        total += exp(x - top_before) * (running[whole] + part * tail[whole]) / reach
    return top_before + top_after + log(total / GRID)


@lru_cache(maxsize=16)
def _reaches(rho: float) -> list[tuple[float, int, float]]:
    """[grid] rho p in cells: in all, whole ones, and the part of the next."""
    reaches = [rho * (i + 0.5) for i in range(GRID)]
    return [(reach, int(reach), reach - int(reach)) for reach in reaches]

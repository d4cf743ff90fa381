"""Maps from a score to the probability that the step is right, fitted on gold labels.

* ``temperature``: sigmoid(logit(p) / T) (Guo et al., arXiv:1706.04599); for probabilities only.
* ``platt``: sigmoid(a s + b) with s = logit(p) for probabilities, else the raw score itself, by
  Newton's method on the smoothed targets (N+ + 1)/(N+ + 2) and 1/(N- + 2) (Platt 1999; Lin, Lin and
  Weng 2007). The smoothing keeps separated scores from a slope without end.
* ``isotonic``: the non-decreasing function with the least squared error, by pooling adjacent
  violators (Ayer et al. 1955), linear between the blocks and constant beyond them.
* ``threshold``: the scores stay as they are.

Each also has the threshold below which a step is called wrong that maximises the F1 of the first
error on the data it was fitted on. A map never makes a low score high: temperature and slope are
positive, or fitting is refused. Pure; knows no records and no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Parameters = dict[str, Any]

METHODS = ("temperature", "platt", "isotonic", "threshold")

EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1, where the logit has no end."""

TEMPERATURES = (0.01, 100.0)
"""Between these the temperature is looked for: with separated scores it would go to 0."""

NEWTON_STEPS = 100
CONVERGED = 1e-10
TIE = 1e-12


def fit(method: str, scores: Array, right: Array, probabilities: bool) -> Parameters:
    """Fit a map.

    Args:
        method: one of METHODS.
        scores: [N]
        right: [N] 1.0 or 0.0, both present.
        probabilities: the scores are from 0 to 1; else any numbers.

    Raises ValueError when there is nothing to learn from, or the scores rank steps the wrong way.
    """
    if method == "threshold":
        return {}
    if not 0 < right.sum() < len(right):
        raise ValueError("all steps are labelled alike")
    if method == "isotonic":
        return _isotonic(scores, right)
    if method == "temperature" and not probabilities:
        raise ValueError("a temperature needs scores from 0 to 1; use platt")
    inputs = logit(scores) if probabilities else scores
    if method == "temperature":
        return {"temperature": _temperature(inputs, right)}
    slope, offset = _platt(inputs, right)
    if slope <= 0:
        raise ValueError("right steps have lower scores than wrong ones")
    return {"slope": slope, "offset": offset, "input": "logit" if probabilities else "score"}


def apply(method: str, parameters: Parameters, scores: Array) -> Array:
    """[N] what a fitted map makes of scores."""
    if method == "threshold":
        return scores
    if method == "isotonic":
        return np.interp(scores, parameters["scores"], parameters["values"])
    if method == "temperature":
        return sigmoid(logit(scores) / parameters["temperature"])
    inputs = logit(scores) if parameters["input"] == "logit" else scores
    return sigmoid(parameters["slope"] * inputs + parameters["offset"])


def logit(probabilities: Array) -> Array:
    """Log-odds, finite."""
    p = np.clip(probabilities, EDGE, 1 - EDGE)
    return np.log(p) - np.log1p(-p)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x)))


def _temperature(inputs: Array, right: Array) -> float:
    """Bisection on the slope of the log-likelihood, which is concave in 1/T."""
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(NEWTON_STEPS):
        middle = (low + high) / 2
        uphill = np.dot(inputs, right - sigmoid(middle * inputs)) > 0
        low, high = (middle, high) if uphill else (low, middle)
    return float(2 / (low + high))


def _platt(inputs: Array, right: Array) -> tuple[float, float]:
    """Newton's method with halved steps, as in Lin, Lin and Weng, on standardised inputs."""
    centre, scale = float(inputs.mean()), float(inputs.std()) or 1.0
    design = np.stack([(inputs - centre) / scale, np.ones(len(inputs))])
    ups = right.sum()
    downs = len(right) - ups
    target = np.where(right > 0, (ups + 1) / (ups + 2), 1 / (downs + 2))

    def loss(weights: Array) -> float:
        z = weights @ design
        return float(np.sum(np.logaddexp(0, z) - target * z))

    weights = np.array([0.0, np.log((ups + 1) / (downs + 1))])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(weights @ design)
        gradient = design @ (p - target)
        if np.abs(gradient).max() < CONVERGED * len(right):
            break
        curvature = (design * (p * (1 - p))) @ design.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size, before = 1.0, loss(weights)
        while size > 1e-10 and loss(weights - size * step) > before - 1e-4 * size * (
            gradient @ step
        ):
            size /= 2
        weights = weights - size * step
    slope, offset = weights / [scale, 1.0]
    return float(slope), float(offset - slope * centre)


def _isotonic(scores: Array, right: Array) -> Parameters:
    """Pool adjacent violators; equal scores are one point from the start."""
    points, index = np.unique(scores, return_inverse=True)
    mass = np.bincount(index).astype(float)
    means = np.bincount(index, weights=right) / mass
    blocks: list[list[float]] = []  # mean, mass, first and last score
    for mean, weight, point in zip(means, mass, points, strict=True):
        blocks.append([mean, weight, point, point])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, weight, _, last = blocks.pop()
            pooled = blocks[-1]
            pooled[0] = (pooled[0] * pooled[1] + mean * weight) / (pooled[1] + weight)
            pooled[1] += weight
            pooled[3] = last
    knots = [(float(end), float(block[0])) for block in blocks for end in dict.fromkeys(block[2:])]
    return {"scores": [end for end, _ in knots], "values": [value for _, value in knots]}


class Threshold(NamedTuple):
    """Steps scoring below ``value`` are wrong; ``f1`` is that of the first errors so named."""

    value: float
    f1: float


def best_threshold(attempts: Sequence[tuple[Sequence[float | None], int]]) -> Threshold:
    """The threshold with the highest F1 of the first error (ProcessBench's), exactly.

    With m_e the lowest score before step e, an attempt whose first error is e is judged rightly by
    the thresholds in (x_e, m_e], one without an error by those up to its lowest score. So the
    counts of hits change at scores only; of the best stretches the longest is taken, and its
    middle: it is furthest from where the F1 would change.

    A step without a score is passed over: an error there is found by no threshold, and an attempt
    without any score is not judged.

    Args:
        attempts: scores of the steps, and the index of the first error, -1 for none.

    Raises ValueError without attempts of both kinds, where F1 is 0 or not defined, and when all
    scores are equal.
    """
    errors = sum(first >= 0 for _, first in attempts)
    correct = len(attempts) - errors
    if not errors or not correct:
        raise ValueError("first errors need attempts with an error and attempts without one")
    scores = np.unique([x for steps, _ in attempts for x in steps if x is not None])
    if len(scores) < 2:
        raise ValueError("all scores are equal")
    # Stretch i is (scores[i - 1], scores[i]]; the last one is above all scores.
    changes = np.zeros((2, len(scores) + 2), dtype=np.int64)
    for steps, first in attempts:
        wrong = None if first < 0 else steps[first]
        if steps.count(None) == len(steps) or (first >= 0 and wrong is None):
            continue
        begin = 0 if wrong is None else np.searchsorted(scores, wrong) + 1
        before = [x for x in (steps if first < 0 else steps[:first]) if x is not None]
        end = np.searchsorted(scores, min(before)) + 1 if len(before) else len(scores) + 1
        if begin < end:
            changes[int(first < 0), [begin, end]] += [1, -1]
    found = np.cumsum(changes, axis=1)[:, :-1] / [[errors], [correct]]
    sums = found.sum(axis=0)
    f1 = np.divide(2 * found.prod(axis=0), sums, out=np.zeros_like(sums), where=sums > 0)
    # The ends call nothing wrong, or everything: their F1 is 0.
    best = np.flatnonzero(np.diff(np.r_[False, f1[1:-1] >= f1.max() - TIE, False]))
    begins, ends = scores[best[::2]], scores[best[1::2]]
    longest = int((ends - begins).argmax())
    return Threshold(float(begins[longest] + ends[longest]) / 2, float(f1.max()))

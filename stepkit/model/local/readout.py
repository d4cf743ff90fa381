"""The results of a Read: a few numbers of each row of output, so that no row is kept.

The loops over the vocabulary are those that choose tokens (token_sampling.py): compiled once there
is enough work, NumPy until then, with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepkit.core.jit import jit
from stepkit.model.engine import TOP, DistributionSummary, Read
from stepkit.model.local import kernels
from stepkit.model.local.kernels import BLOCK, LANES
from stepkit.model.local.token_sampling import COMPILED_AFTER, log_softmax_at, summed, weigh
from stepkit.model.prefixes import Ids

Values = tuple[float, ...]


def read_values(request: Read, ids: Ids, positions: Sequence[int], rows: Any) -> list[Values]:
    """The numbers of ``request`` at some positions of ``ids``.

    Args:
        rows: [positions, n_vocab] logits, or [positions, width] hidden states where it has a head.
    """
    if request.candidates:
        numbers = rows[:, list(request.candidates)]
    elif request.head is not None:
        numbers = request.head(rows)
    else:
        following = np.array([ids[position + 1] for position in positions])
        if request.summary:
            return [tuple(row) for row in summaries(rows, following)]
        numbers = log_softmax_at(rows, following)[:, None]
    return [tuple(row) for row in numbers.tolist()]


def summaries(logits: Any, following: Any) -> list[DistributionSummary]:
    """A DistributionSummary of each row.

    With h the highest logit, w = exp(l - h) and S = sum w: log p = l - h - log S, so that the
    entropy is log S - sum w (l - h) / S, and the self-certainty log S - mean(l - h) - log V.

    Args:
        logits: [rows, n_vocab] float32.
        following: [rows] the tokens that follow.
    """
    size = logits.shape[1]
    highest = logits.max(axis=1)
    weights = np.empty((len(logits), -(-size // BLOCK) * BLOCK), np.float32)
    weigh(logits, highest, 1.0, weights)
    total = summed(weights)[1]
    sums = np.empty((len(logits), weights.shape[1] // BLOCK, 2))
    _moments(weights.size, logits, highest, weights, np.empty((2, LANES)), sums)
    weighted, shifted = np.cumsum(sums, axis=1)[:, -1].T
    log_total = np.log(total)
    top = np.sort(np.partition(logits, -min(TOP, size), axis=1)[:, -min(TOP, size) :], axis=1)
    shift = highest.astype(np.float64)
    numbers = (
        logits[np.arange(len(logits)), following].astype(np.float64) - shift - log_total,
        log_total - weighted / total,
        log_total - shifted / size - np.log(size),
        top.astype(np.float64).mean(axis=1) - shift - log_total,
    )
    return [
        DistributionSummary(*row)
        for row in zip(*(column.tolist() for column in numbers), strict=True)
    ]


def _moments_with_numpy(logits: Any, highest: Any, weights: Any, _lanes: Any, sums: Any) -> None:
    shifts = np.zeros(weights.shape)
    shifts[:, : logits.shape[1]] = logits - highest[:, None]
    products = np.zeros(weights.shape)
    np.multiply(weights, shifts, out=products, where=weights > 0)
    for which, terms in enumerate((products, shifts)):
        parts = terms.reshape(len(sums), -1, BLOCK // LANES, LANES)
        lanes = np.zeros((*sums.shape[:2], LANES))
        for i in range(BLOCK // LANES):
            lanes += parts[:, :, i]
        sums[:, :, which] = 0.0
        for j in range(LANES):
            sums[:, :, which] += lanes[:, :, j]


_moments = jit(kernels.moments, _moments_with_numpy, COMPILED_AFTER)

"""Choosing tokens from rows of logits: NumPy, one call for the whole batch.

Every draw has its own counter-based stream of uniforms, so a token depends on the draw's seed, its
position and its own logits only: not on who shares the batch, nor on what was drawn before in time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stepkit.model.engine import Sampling

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def uniforms(seeds: Any, positions: Any) -> Any:
    """Uniform numbers in [0, 1), one per (seed, position).

    The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at counter
    ``position + 1`` of the stream that starts at ``seed``.

    Args:
        seeds: [n] uint64.
        positions: [n] int, index of the token in its draw.
    """
    with np.errstate(over="ignore"):
        z = np.asarray(seeds, np.uint64) + _GOLDEN * (np.asarray(positions, np.uint64) + 1)
        z = (z ^ (z >> np.uint64(30))) * _MIX1
        z = (z ^ (z >> np.uint64(27))) * _MIX2
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def log_softmax_at(logits: Any, tokens: Any) -> Any:
    """Log-probability (nats) of one token per row.

    Args:
        logits: [rows, n_vocab].
        tokens: [rows] ids.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1))
    return shifted[np.arange(len(tokens)), tokens] - total


def choose(logits: Any, chances: Any, sampling: Sampling) -> Any:
    """One token id per row, by inversion of the filtered distribution's cumulative sum.

    Args:
        logits: [rows, n_vocab] float32, finite or -inf.
        chances: [rows] uniforms in [0, 1).

    Returns:
        [rows] int64.
    """
    if sampling.temperature <= 0.0:
        return logits.argmax(axis=1)
    scaled = (logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / sampling.temperature
    weights = _filtered(np.exp(scaled), sampling)
    cumulative = np.cumsum(weights, axis=1)
    target = chances[:, None] * cumulative[:, -1:]
    # the first index whose cumulative weight exceeds the target always has a weight above zero
    return np.minimum((cumulative <= target).sum(axis=1), logits.shape[1] - 1)


def _filtered(weights: Any, sampling: Sampling) -> Any:
    """Zero what top-k, then top-p, then min-p exclude; equal weights stay or go together.

    ``weights`` [rows, n_vocab] need not sum to one; their maximum in each row is 1.
    """
    if 0 < sampling.top_k < weights.shape[1]:
        least = np.partition(weights, -sampling.top_k, axis=1)[:, -sampling.top_k, None]
        weights = np.where(weights >= least, weights, 0.0)
    if sampling.top_p < 1.0:
        ranked = -np.sort(-weights, axis=1)
        before = np.cumsum(ranked, axis=1) - ranked
        kept = (before < sampling.top_p * ranked.sum(axis=1, keepdims=True)).sum(axis=1)
        least = np.take_along_axis(ranked, np.maximum(kept, 1)[:, None] - 1, axis=1)
        weights = np.where(weights >= least, weights, 0.0)
    if sampling.min_p > 0.0:
        weights = np.where(weights >= sampling.min_p, weights, 0.0)
    return weights

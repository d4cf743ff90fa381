"""Choosing tokens from rows of logits: one call for the whole batch.

Every draw has its own counter-based stream of uniforms, so a token depends on the draw's seed, its
position and its own logits only: not on who shares the batch, nor on what was drawn before in time.

The loops over the vocabulary are compiled (kernels.py) once there is enough work; until then, and
where nothing can be compiled, NumPy does the same, bit for bit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from stepkit.core.jit import jit
from stepkit.model.engine import Sampling
from stepkit.model.local import kernels
from stepkit.model.local.kernels import BLOCK, BUCKETS, FIXED_POINT, LANES

EXP = np.array(
    [
        -87.0,
        1.44269504088896341,
        0.693359375,
        -2.12194440e-4,
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ],
    np.float32,
)
"""exp() in 32 bits (Moshier, Cephes, expf): its lowest argument, 1 / ln 2, ln 2 in two parts, and
the coefficients of r^7 .. r^2 for |r| <= ln 2 / 2. Within 2 units in the last place; below the
lowest argument, where numbers would be subnormal, it is 0."""

COMPILED_AFTER = 10_000_000
"""Logits after which compiling repays its half second: NumPy spends some 40 ns on each."""
CHUNK = 1 << 18
"""Weights that are processed together: they stay in the processor's cache."""
THREAD_LOGITS = 1 << 20
"""Logits that keep a thread busy for a millisecond."""

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


class TokenSampler:
    """Chooses tokens; holds the memory and the threads for it.

    Args:
        threads: most threads to use; they are used only for batches that are large enough.
    """

    def __init__(self, n_vocab: int, threads: int = 1) -> None:
        self._blocks = -(-n_vocab // BLOCK)
        self._rows = max(1, CHUNK // (self._blocks * BLOCK))
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def __call__(
        self, logits: Any, chances: Any, sampling: Sampling, own: Any = None
    ) -> tuple[Any, Any]:
        """One token per row, and its log-probability at temperature 1 without any filter.

        The distribution is softmax(logits / temperature) after top-k, top-p and min-p; equal
        weights stay or go together. A row's token is found by inversion: the first whose
        cumulative weight, in the order of ids, exceeds ``chances`` times the total.

        Args:
            logits: [rows, n_vocab] float32, finite or -inf, a finite one in each row.
            chances: [rows] uniforms in [0, 1).
            own: [rows, n_vocab] the model's own logits, which give the log-probabilities, where
                ``logits`` were changed.

        Returns:
            tokens [rows] int64, log-probabilities [rows] float64 in nats.
        """
        highest = logits.max(axis=1)
        chunks = [slice(at, at + self._rows) for at in range(0, len(logits), self._rows)]
        tokens, totals = np.empty(len(logits), np.int64), np.empty(len(logits))

        def work(chunk: slice) -> None:
            tokens[chunk], totals[chunk] = self._chunk(
                logits[chunk], highest[chunk], chances[chunk], sampling
            )

        threads = min(self._threads, logits.size // THREAD_LOGITS)
        if threads > 1:
            self._pool = self._pool or ThreadPoolExecutor(self._threads)
            list(self._pool.map(work, chunks))
        else:
            for chunk in chunks:
                work(chunk)
        if own is not None:
            logits, highest = own, own.max(axis=1)
            for chunk in chunks:
                totals[chunk] = self._total(own[chunk], highest[chunk])
        at = np.arange(len(tokens)), tokens
        return tokens, (logits[at].astype(np.float64) - highest) - np.log(totals)

    def _total(self, logits: Any, highest: Any) -> Any:
        """[rows] float64: sums of the weights at temperature 1."""
        weights = np.empty((len(logits), self._blocks * BLOCK), np.float32)
        weigh(logits, highest, 1.0, weights)
        return summed(weights)[1]

    def _chunk(
        self, logits: Any, highest: Any, chances: Any, sampling: Sampling
    ) -> tuple[Any, Any]:
        """Tokens of a few rows, and the totals of their weights at temperature 1."""
        rows, padded = len(logits), self._blocks * BLOCK
        weights = np.empty((rows, padded), np.float32)
        warm = sampling.temperature > 0
        weigh(logits, highest, sampling.temperature if warm else 1.0, weights)
        sums, totals = summed(weights)
        if not warm:
            return logits.argmax(axis=1), totals
        untempered = totals
        if sampling.temperature != 1.0:
            untempered = self._total(logits, highest)
        if 0 < sampling.top_k < logits.shape[1]:
            _top_k(weights, sampling.top_k)
        if sampling.top_p < 1.0:
            _top_p(weights, sampling.top_p)
        if sampling.min_p > 0.0:
            weights[weights < np.float32(sampling.min_p)] = 0.0
        if sampling.filters:
            sums, totals = summed(weights)
        tokens = np.empty(rows, np.int64)
        _picked(weights.size, weights, sums, totals, chances, tokens)
        return tokens, untempered

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def warm() -> None:
    """Compile the kernels now, so that their cache is on disk (for an installer)."""
    logits, chances = np.zeros((1, 2), np.float32), np.zeros(1)
    every = Sampling(temperature=0.5, top_k=1, top_p=0.5)
    for kernel in (_weighed, _added, _kept_k, _kept_p, _picked):
        kernel.visited += COMPILED_AFTER
    TokenSampler(2)(logits, chances, every)


# -- the kernels, with their scratch memory ------------------------------------------------------


def weigh(logits: Any, highest: Any, temperature: float, weights: Any) -> None:
    """``weights`` [rows, blocks * BLOCK] = exp((logit - highest) / temperature)."""
    powers = np.empty(BLOCK, np.int32)
    residues = np.empty(BLOCK, np.float32)
    inverse = np.float32(1.0 / temperature)
    scales = powers.view(np.float32)
    _weighed(weights.size, logits, highest, inverse, EXP, residues, powers, scales, weights)


def summed(weights: Any) -> tuple[Any, Any]:
    """Sums of the blocks [rows, blocks] and of the rows [rows], both float64."""
    sums = np.empty((len(weights), weights.shape[1] // BLOCK))
    _added(weights.size, weights, np.empty(LANES), sums)
    return sums, np.cumsum(sums, axis=1)[:, -1]


def _top_k(weights: Any, k: int) -> None:
    counts, ranked = np.empty(BUCKETS, np.int64), np.empty(weights.shape[1], np.float32)
    _kept_k(weights.size, weights, weights.view(np.int32), k, counts, ranked)


def _top_p(weights: Any, p: float) -> None:
    shares, ranked = np.empty(BUCKETS, np.int64), np.empty(weights.shape[1], np.float32)
    _kept_p(weights.size, weights, weights.view(np.int32), p, shares, ranked)


# -- the same in NumPy ----------------------------------------------------------------------------


def _weigh_with_numpy(
    logits: Any, highest: Any, inverse: Any, exp: Any, _r: Any, _p: Any, _s: Any, weights: Any
) -> None:
    lowest, per_ln2, ln2_high, ln2_low, c7, c6, c5, c4, c3, c2 = exp
    exponents = (logits - highest[:, None]) * inverse
    x = np.maximum(exponents, lowest)
    n = np.rint(x * per_ln2)
    scales = ((n.astype(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    r = (x - n * ln2_high) - n * ln2_low
    p = ((((c7 * r + c6) * r + c5) * r + c4) * r + c3) * r + c2
    w = ((p * (r * r) + r) + np.float32(1)) * scales
    weights[:, : logits.shape[1]] = np.where(exponents >= lowest, w, np.float32(0))
    weights[:, logits.shape[1] :] = 0


def _add_up_with_numpy(weights: Any, _lanes: Any, sums: Any) -> None:
    parts = weights.reshape(*sums.shape, BLOCK // LANES, LANES)
    lanes = np.zeros((*sums.shape, LANES))
    for i in range(BLOCK // LANES):
        lanes += parts[:, :, i]
    sums[:] = 0.0
    for j in range(LANES):
        sums += lanes[:, :, j]


def _keep_top_k_with_numpy(weights: Any, _bits: Any, k: int, _counts: Any, _ranked: Any) -> None:
    least = np.partition(weights, -k, axis=1)[:, -k, None]
    weights[weights < least] = 0.0


def _keep_top_p_with_numpy(weights: Any, _bits: Any, p: float, _shares: Any, _ranked: Any) -> None:
    ranked = -np.sort(-weights, axis=1)
    reached = np.cumsum((ranked.astype(np.float64) * FIXED_POINT).astype(np.int64), axis=1)
    short = reached.astype(np.float64) < p * reached[:, -1:].astype(np.float64)
    least = np.take_along_axis(ranked, short.sum(axis=1, keepdims=True), axis=1)
    weights[weights < least] = 0.0


def _pick_with_numpy(weights: Any, sums: Any, totals: Any, chances: Any, tokens: Any) -> None:
    target = chances * totals
    reached = np.cumsum(sums, axis=1)
    for row, (own, ends) in enumerate(zip(sums, reached, strict=True)):
        over = np.flatnonzero((ends > target[row]) & (own > 0))
        block = over[0] if len(over) else np.flatnonzero(own)[-1]
        inside = weights[row, block * BLOCK : (block + 1) * BLOCK].astype(np.float64)
        before = ends[block - 1] if block else 0.0
        cumulative = np.cumsum(np.concatenate([[before], inside]))[1:]
        over = np.flatnonzero((cumulative > target[row]) & (inside > 0))
        last = over[0] if len(over) else np.flatnonzero(inside)[-1]
        tokens[row] = block * BLOCK + last


_weighed = jit(kernels.weigh, _weigh_with_numpy, COMPILED_AFTER)
_added = jit(kernels.add_up, _add_up_with_numpy, COMPILED_AFTER)
_kept_k = jit(kernels.keep_top_k, _keep_top_k_with_numpy, COMPILED_AFTER)
_kept_p = jit(kernels.keep_top_p, _keep_top_p_with_numpy, COMPILED_AFTER)
_picked = jit(kernels.pick, _pick_with_numpy, COMPILED_AFTER)

"""The compiled loops that choose tokens; token_sampling.py explains their use.

Each gives the same bits as its NumPy twin there: every element goes through the same operations in
the same order (no fastmath, so no fused multiply-add), and sums are taken in an order that is fast
in both: the 16 lanes of a block of 256 in parallel, then the lanes, then the blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LANES = 16
BLOCK = 256
BUCKET_SHIFT = 20
BUCKETS = 1 << (31 - BUCKET_SHIFT)
"""Weights are sorted into buckets by the leading bits of their pattern, which sort as the values
do."""
FIXED_POINT = float(1 << 40)
"""Units in a weight of 1 where sums must not depend on their order; 2^22 weights fit."""

Array = Any


def weigh(
    logits: Array,  # [rows, n_vocab] float32, finite or -inf
    highest: Array,  # [rows] float32, the largest logit of each row
    inverse: Any,  # float32, 1 / temperature
    exp: Array,  # [10] float32, sampling.EXP
    residues: Array,  # [BLOCK] float32, scratch
    powers: Array,  # [BLOCK] int32, scratch
    scales: Array,  # [BLOCK] float32, the same memory as ``powers``
    weights: Array,  # [rows, blocks * BLOCK] float32, out
) -> None:
    """weights = exp((logit - highest) / temperature), 0 after the end of the vocabulary."""
    size = logits.shape[1]
    lowest, per_ln2, ln2_high, ln2_low = exp[0], exp[1], exp[2], exp[3]
    c7, c6, c5, c4, c3, c2 = exp[4], exp[5], exp[6], exp[7], exp[8], exp[9]
    one, zero = np.float32(1), np.float32(0)
    for row in range(logits.shape[0]):
        for begin in range(0, weights.shape[1], BLOCK):
            inside = max(0, min(BLOCK, size - begin))
            given, own = logits[row, begin : begin + inside], weights[row, begin : begin + BLOCK]
            for i in range(inside):
                x = (given[i] - highest[row]) * inverse
                own[i] = x
                x = max(x, lowest)
                n = np.rint(x * per_ln2)
                powers[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
                residues[i] = (x - n * ln2_high) - n * ln2_low
            for i in range(inside):
                r = residues[i]
                p = ((((c7 * r + c6) * r + c5) * r + c4) * r + c3) * r + c2
                w = ((p * (r * r) + r) + one) * scales[i]
                own[i] = w if own[i] >= lowest else zero
            own[inside:] = zero


def add_up(
    weights: Array,  # [rows, blocks * BLOCK] float32
    lanes: Array,  # [LANES] float64, scratch
    sums: Array,  # [rows, blocks] float64, out: the sum of each block
) -> None:
    """Sum every block."""
    for row in range(sums.shape[0]):
        for block in range(sums.shape[1]):
            own = weights[row, block * BLOCK : (block + 1) * BLOCK]
            lanes[:] = 0.0
            for i in range(0, BLOCK, LANES):
                for j in range(LANES):
                    lanes[j] += np.float64(own[i + j])
            total = 0.0
            for j in range(LANES):
                total += lanes[j]
            sums[row, block] = total


def keep_top_k(
    weights: Array,  # [rows, padded] float32, changed in place
    patterns: Array,  # [rows, padded] int32, the same memory
    k: int,  # from 1 to padded
    counts: Array,  # [BUCKETS] int64, scratch
    ranked: Array,  # [padded] float32, scratch
) -> None:
    """Set to zero what is below the k-th largest weight of its row; weights equal to it stay."""
    for row in range(weights.shape[0]):
        counts[:] = 0
        for i in range(weights.shape[1]):
            counts[patterns[row, i] >> BUCKET_SHIFT] += 1
        bucket, above = BUCKETS - 1, 0
        while above + counts[bucket] < k:
            above += counts[bucket]
            bucket -= 1
        found = 0
        for i in range(weights.shape[1]):
            if patterns[row, i] >> BUCKET_SHIFT == bucket:
                ranked[found] = weights[row, i]
                found += 1
        ranked[:found].sort()
        least = ranked[found - (k - above)]
        for i in range(weights.shape[1]):
            if weights[row, i] < least:
                weights[row, i] = 0.0


def keep_top_p(
    weights: Array,  # [rows, padded] float32, at most 1, changed in place
    patterns: Array,  # [rows, padded] int32, the same memory
    p: float,  # in (0, 1)
    shares: Array,  # [BUCKETS] int64, scratch
    ranked: Array,  # [padded] float32, scratch
) -> None:
    """Keep the fewest largest weights that reach p of their row's sum, and weights equal to the
    last.

    Sums are of integers, weight * 2^40, which are the same in any order: so only the bucket in
    which p is reached must be sorted."""
    for row in range(weights.shape[0]):
        shares[:] = 0
        total = 0
        for i in range(weights.shape[1]):
            part = np.int64(np.float64(weights[row, i]) * FIXED_POINT)
            shares[patterns[row, i] >> BUCKET_SHIFT] += part
            total += part
        target = p * np.float64(total)
        bucket, reached = BUCKETS - 1, 0
        while bucket > 0 and np.float64(reached + shares[bucket]) < target:
            reached += shares[bucket]
            bucket -= 1
        found = 0
        for i in range(weights.shape[1]):
            if patterns[row, i] >> BUCKET_SHIFT == bucket:
                ranked[found] = -weights[row, i]
                found += 1
        ranked[:found].sort()
        least = np.float32(0)
        for i in range(found):
            least = -ranked[i]
            reached += np.int64(np.float64(least) * FIXED_POINT)
            if np.float64(reached) >= target:
                break
        for i in range(weights.shape[1]):
            if weights[row, i] < least:
                weights[row, i] = 0.0


def pick(
    weights: Array,  # [rows, blocks * BLOCK] float32
    sums: Array,  # [rows, blocks] float64, the sum of each block
    totals: Array,  # [rows] float64, the sum of these, in order
    chances: Array,  # [rows] float64 in [0, 1)
    tokens: Array,  # [rows] int64, out
) -> None:
    """The first token whose cumulative weight exceeds its chance of the total."""
    for row in range(sums.shape[0]):
        target = chances[row] * totals[row]
        block, before, reached = 0, 0.0, 0.0
        for candidate in range(sums.shape[1]):
            if sums[row, candidate] > 0.0:
                block, before = candidate, reached
                reached += sums[row, candidate]
                if reached > target:
                    break
        # a sum in another order may end just short of the target: then it is the last weight
        reached = before
        for i in range(block * BLOCK, (block + 1) * BLOCK):
            if weights[row, i] > 0:
                tokens[row] = i
                reached += np.float64(weights[row, i])
                if reached > target:
                    break


def moments(
    logits: Array,  # [rows, n_vocab] float32
    highest: Array,  # [rows] float32, the largest logit of each row
    weights: Array,  # [rows, blocks * BLOCK] float32, 0 after the end of the vocabulary
    lanes: Array,  # [2, LANES] float64, scratch
    sums: Array,  # [rows, blocks, 2] float64, out
) -> None:
    """Sums over every block of weight * shift, and of shift = logit - highest; a token without
    weight adds nothing to the first."""
    size = logits.shape[1]
    for row in range(sums.shape[0]):
        for block in range(sums.shape[1]):
            lanes[:] = 0.0
            for i in range(block * BLOCK, min(size, (block + 1) * BLOCK)):
                shift = np.float64(logits[row, i] - highest[row])
                weight = np.float64(weights[row, i])
                if weight > 0:
                    lanes[0, i % LANES] += weight * shift
                lanes[1, i % LANES] += shift
            for which in range(2):
                total = 0.0
                for j in range(LANES):
                    total += lanes[which, j]
                sums[row, block, which] = total

"""Sampling: the distribution that is drawn from is the one that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepkit.model.engine import Sampling
from stepkit.model.sampling import choose, log_softmax_at, uniforms

LOGITS = np.array([[2.0, 1.0, 0.5, 0.0, -1.0, -3.0]], np.float32)


def distribution(sampling: Sampling, logits: np.ndarray = LOGITS, points: int = 20_000) -> list:
    """What choose() really draws: inversion at evenly spread uniforms measures every weight."""
    chances = (np.arange(points) + 0.5) / points
    tokens = choose(np.repeat(logits, points, axis=0), chances, sampling)
    return list(np.bincount(tokens, minlength=logits.shape[1]) / points)


def softmax(values: list[float]) -> list[float]:
    weights = [np.exp(value - max(values)) for value in values]
    return [weight / sum(weights) for weight in weights]


def test_temperature_divides_logits() -> None:
    halved = [value / 0.5 for value in LOGITS[0]]
    assert distribution(Sampling(temperature=0.5)) == pytest.approx(softmax(halved), abs=1e-4)


def test_temperature_zero_is_the_most_probable_token() -> None:
    assert choose(LOGITS, np.array([0.999]), Sampling(temperature=0)).tolist() == [0]


def test_top_k_keeps_k() -> None:
    expected = [*softmax([2.0, 1.0]), 0, 0, 0, 0]
    assert distribution(Sampling(top_k=2)) == pytest.approx(expected, abs=1e-4)


def test_top_p_keeps_the_fewest_that_reach_p() -> None:
    # softmax of LOGITS: .561 .206 .125 .076 .028 .004, so 0.7 needs two tokens, 0.8 three
    two = distribution(Sampling(top_p=0.7))
    three = distribution(Sampling(top_p=0.8))
    assert [share > 0 for share in two] == [True, True, False, False, False, False]
    assert [share > 0 for share in three] == [True, True, True, False, False, False]
    assert three == pytest.approx([*softmax([2.0, 1.0, 0.5]), 0, 0, 0], abs=1e-4)


def test_min_p_is_relative_to_the_best() -> None:
    # weights relative to the best: 1, .368, .223, .135, .050, .007
    shares = distribution(Sampling(min_p=0.2))
    assert [share > 0 for share in shares] == [True, True, True, False, False, False]


def test_temperature_comes_before_the_filters() -> None:
    # at temperature 4 the shares are .26 .20 .18 .16 .12 .07: 0.7 needs four
    shares = distribution(Sampling(temperature=4.0, top_p=0.7))
    assert sum(share > 0 for share in shares) == 4


def test_a_token_of_no_weight_is_never_drawn() -> None:
    logits = np.array([[0.0, -np.inf, 0.0, -np.inf]], np.float32)
    ends = np.array([0.0, 0.5, np.nextafter(1.0, 0.0)])
    tokens = choose(np.repeat(logits, 3, axis=0), ends, Sampling())
    assert tokens.tolist() == [0, 2, 2]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(2, 300),
    st.integers(2, 9),
    st.integers(0, 2**32 - 1),
    st.sampled_from([Sampling(), Sampling(0.7, 5, 0.9, 0.05), Sampling(0.0)]),
)
def test_a_row_does_not_depend_on_its_mates(
    vocabulary: int, rows: int, seed: int, sampling: Sampling
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (rows, vocabulary)).astype(np.float32)
    chances = rng.random(rows)
    together = choose(logits, chances, sampling)
    alone = [choose(logits[r : r + 1], chances[r : r + 1], sampling)[0] for r in range(rows)]
    assert together.tolist() == alone
    logprobs = log_softmax_at(logits, together)
    apart = [log_softmax_at(logits[r : r + 1], together[r : r + 1])[0] for r in range(rows)]
    assert logprobs.tolist() == apart


def test_logprob_is_the_models_own() -> None:
    logprob = log_softmax_at(LOGITS, np.array([2]))[0]
    assert logprob == pytest.approx(np.log(softmax(list(LOGITS[0]))[2]), abs=1e-6)


def test_uniforms_are_splitmix64() -> None:
    # reference outputs of SplitMix64 seeded with 1234567 (Vigna's splitmix64.c), top 53 bits
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    expected = [(value >> 11) / 2**53 for value in published]
    assert uniforms([1234567] * 3, [0, 1, 2]).tolist() == expected


def test_uniforms_fill_the_interval() -> None:
    values = uniforms(np.arange(20_000, dtype=np.uint64) * np.uint64(7919), [3] * 20_000)
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    statistic = float(((counts - 1000) ** 2 / 1000).sum())
    assert statistic < 43.8  # chi-square, 19 degrees of freedom, 0.1 %
